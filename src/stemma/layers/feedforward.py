# ruff: noqa: F722 (axis names stand in annotations)
"""The position-wise network of a Transformer block (Vaswani 2017, section 3.3). Axes: D width."""

from jaxtyping import Float
from torch import Tensor, nn

from stemma.layers.fast import Activation, Dense, activate


class FeedForward(nn.Module):
    """down(gelu(up(x))), at every position alike; `inner` is the paper's d_ff."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.up = Dense(width, inner)
        self.down = Dense(inner, width)

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """The network at every position."""
        return self.down(activate(self.up(x), self.activation))
