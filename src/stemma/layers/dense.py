# ruff: noqa: F722 (axis names stand in annotations)
"""The affine map, without the copy that a CPU makes of its bias.

Axes: D width, E output width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.layers.precision import product_type


def dense(x: Float[Tensor, "*shape D"], weight: Float[Tensor, "E D"], bias: Float[Tensor, " E"]) -> Float[Tensor, "*shape E"]:
    """The product x weight' + bias.

    In bfloat16 on a CPU the bias is added to the finished product: `F.linear` first fills the whole result with the
    bias and lets the product add to it, a tenth slower. In float32, where it is not slower, and on a GPU: `F.linear`.
    """
    if x.device.type == "cpu" and product_type(x) == torch.bfloat16:
        return F.linear(x, weight).add_(bias.to(torch.bfloat16))
    return F.linear(x, weight, bias)


class Dense(nn.Linear):
    """`dense` with its own weight (E D) and bias (E)."""

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape E"]:
        """The map of every state."""
        return dense(x, self.weight, self.bias)
