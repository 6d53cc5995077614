# ruff: noqa: F722 (axis names stand in annotations)
"""The position-wise network of a Transformer block and its activations (Hendrycks & Gimpel 2016)."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["gelu", "gelu_tanh"]


def activate(x: Float[Tensor, "*shape"], activation: Activation) -> Float[Tensor, "*shape"]:
    """GELU in its exact form (`gelu`, by erf) or in the tanh form of Google's and OpenAI's code (`gelu_tanh`)."""
    return F.gelu(x, approximate="tanh" if activation == "gelu_tanh" else "none")


class FeedForward(nn.Module):
    """down(gelu(up(x))), at every position alike; `inner` is the paper's d_ff."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        return self.down(activate(self.up(x), self.activation))
