# ruff: noqa: F722 (axis names stand in annotations)
"""Several layers' states as one: their mean by learned shares. Axes: L layers, D width.

Source: Peters 2018, eq. 1: gamma * sum over l of softmax(w)_l h_l.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ScalarMix(nn.Module):
    """The mix of `layers` layers; all begin with equal shares, and gamma with 1."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, states: Float[Tensor, "*shape L D"]) -> Float[Tensor, "*shape D"]:
        """The mix of the layers' states."""
        return self.gamma * torch.einsum("l,...ld->...d", self.weights.softmax(0), states)

    def shares(self) -> list[float]:
        """The share of each layer; they sum to one."""
        return self.weights.detach().softmax(0).tolist()
