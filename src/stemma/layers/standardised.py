# ruff: noqa: F722 (axis names stand in annotations)
"""Vectors that a linear map reads standardised while it learns, which in the end reads them as they are. Axes: D width, N vectors."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

FLOOR = 0.1  # of a scale, and of it over the root mean square of all: what varies less would be made so large that it leaps as it learns


class Standardised(nn.Module):
    """x with mean 0 and deviation 1 in each number, by figures that were measured once."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Float[Tensor, " D"], scale: Float[Tensor, " D"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    @classmethod
    def of(cls, vectors: Float[Tensor, "N D"]) -> "Standardised":
        """By these vectors, whose numbers are made ten times as large at most."""
        scale, mean = torch.std_mean(vectors.double(), 0, correction=0)
        return cls(mean.float(), scale.clamp(min=FLOOR * max(1.0, float(scale.square().mean().sqrt()))).float())

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Standardised."""
        return (x - self.mean) / self.scale

    @torch.no_grad()
    def absorb_into(self, linear: nn.Linear) -> None:
        """Has the map give of x what it gave of x standardised; it may read more behind x."""
        weight = linear.weight[:, : len(self.mean)]
        weight.div_(self.scale)
        linear.bias.sub_(weight @ self.mean)
