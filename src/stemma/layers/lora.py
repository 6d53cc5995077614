# ruff: noqa: F722 (axis names stand in annotations)
"""Low-rank adapters beside the matrices of a network (LoRA: Hu 2021).

A matrix W that stands still maps x to W x; beside it an adapter learns (alpha / R) B A x, of which A begins drawn by lot and B as
zeros, so that nothing changes at first. Merged, W becomes W + (alpha / R) B A, and the network is again what it was, at no cost.

Deviates: all projections of attention are adapted, where the paper's tables adapt queries and values alone.

Axes: D inputs, E outputs, R rank, P matrices that stand one above the other in a weight (E = P O), each with an adapter of its own.
"""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.layers.attention import CrossAttention, SelfAttention
from stemma.layers.blocks import FeedForward
from stemma.layers.fast import Dense
from stemma.layers.relative import RelativeAttention

ATTENTION = (SelfAttention, CrossAttention, RelativeAttention)


class Adapted(nn.Module):
    """An affine map with an adapter beside it. Its `weight` is the merged one, for whoever reads parts of it."""

    def __init__(self, original: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        parts = parts_of(original)
        self.original, self.scale = original, alpha / rank
        bound = 1 / math.sqrt(original.in_features)  # as the authors' code draws A (loralib, layers.py)
        self.down = nn.Parameter(original.weight.new_empty(parts, rank, original.in_features).uniform_(-bound, bound))  # A
        self.up = nn.Parameter(original.weight.new_zeros(parts, original.out_features // parts, rank))  # B

    @property
    def weight(self) -> Float[Tensor, "E D"]:
        """W + (alpha / R) B A."""
        return self.original.weight + self.scale * (self.up @ self.down).flatten(0, 1)

    @property
    def bias(self) -> Float[Tensor, " E"] | None:
        """The map's own."""
        return self.original.bias

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape E"]:
        """The map of every state, and what the adapter adds to it, by its two narrow products."""
        parts, rank, _ = self.down.shape
        low = F.linear(x, self.down.flatten(0, 1)).unflatten(-1, (parts, rank))  # (..., P, R)
        added = torch.einsum("...pr,por->...po", low, self.up).flatten(-2)  # (..., E)
        return self.original(x) + self.scale * added


def adaptable(network: nn.Module, feedforward: bool) -> list[tuple[nn.Module, str]]:
    """The maps that may have an adapter, as the module that holds each and its name there: the projections of all attention, and if
    `feedforward` the two maps of each block beside. What stands in several places is named once.
    """
    kinds = (*ATTENTION, FeedForward) if feedforward else ATTENTION
    holders = [module for module in network.modules() if isinstance(module, kinds)]
    return [(holder, name) for holder in holders for name, child in holder.named_children() if isinstance(child, nn.Linear)]


def largest_rank(network: nn.Module, feedforward: bool) -> int:
    """The rank with which an adapter can make any change of the smallest of these maps: more adds nothing. 0: there are none."""
    maps = [cast(nn.Linear, holder.get_submodule(name)) for holder, name in adaptable(network, feedforward)]
    return min((min(own.in_features, own.out_features // parts_of(own)) for own in maps), default=0)


def parts_of(original: nn.Linear) -> int:
    """How many matrices stand one above the other in its weight."""
    return original.parts if isinstance(original, Dense) else 1


def adapt(network: nn.Module, rank: int, alpha: float, feedforward: bool) -> None:
    """Puts an adapter beside every map that may have one. What moves is left to the caller."""
    for holder, name in adaptable(network, feedforward):
        setattr(holder, name, Adapted(holder.get_submodule(name), rank, alpha))  # type: ignore[arg-type]


def adapters(network: nn.Module) -> list[str]:
    """The names of the adapters' parameters."""
    return [f"{name}.{part}" for name, module in network.named_modules() if isinstance(module, Adapted) for part in ("down", "up")]


@torch.no_grad()
def merge(network: nn.Module) -> list[str]:
    """Adds every adapter to its matrix, takes it away, and names the matrices."""
    found = [(name, module) for name, module in network.named_modules() if isinstance(module, Adapted)]
    for name, module in found:
        holder, _, place = name.rpartition(".")
        module.original.weight.copy_(module.weight)
        setattr(network.get_submodule(holder), place, module.original)
    return [f"{name}.weight" for name, _ in found]
