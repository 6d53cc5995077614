# ruff: noqa: F722 (axis names stand in annotations)
"""The position-wise network of a Transformer block, and its activation (Hendrycks & Gimpel 2016).

Axes: D width.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from stemma.layers.dense import Dense

Activation = Literal["gelu", "gelu_tanh"]

SLOPE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # 0.5 (1 + tanh(u)) = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
CHUNK = 1 << 17  # numbers at a time: their float32 copies stay in a core's cache


def activate(x: Float[Tensor, "*shape"], activation: Activation) -> Float[Tensor, "*shape"]:
    """GELU in its exact form (`gelu`, by erf) or in the tanh form of Google's and OpenAI's code (`gelu_tanh`)."""
    if activation == "gelu":
        return F.gelu(x)
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.requires_grad:
        return _GeluTanh.apply(x)
    return F.gelu(x, approximate="tanh")


class _GeluTanh(torch.autograd.Function):
    """gelu_tanh(x) = x sigmoid(z), z = SLOPE (x + CUBIC x^3), with its slope computed on the way.

    A CPU's sigmoid is four times as fast as its tanh, and the backward pass is one product: 1.7x in all.
    """

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        x = x.contiguous()
        y, slope = torch.empty_like(x), torch.empty_like(x)
        for some, y_some, slope_some in zip(*(t.view(-1).split(CHUNK) for t in (x, y, slope)), strict=True):
            exact = some.float()
            square = exact * exact
            turn = (square * (3 * SLOPE * CUBIC)).add_(SLOPE).mul_(exact)  # x dz/dx
            share = square.mul_(SLOPE * CUBIC).add_(SLOPE).mul_(exact).sigmoid_()
            y_some.copy_(exact.mul_(share))
            turn.mul_(share)
            slope_some.copy_(turn.addcmul_(turn, share, value=-1).add_(share))  # share + x dz/dx share (1 - share)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y):  # type: ignore[no-untyped-def]
        return d_y * ctx.saved_tensors[0]


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
