# ruff: noqa: F722 (axis names stand in annotations)
"""From the states of a text's tokens to one vector. Axes: B batch, T positions, D width."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def mean_state(hidden: Float[Tensor, "B T D"], segments: Int[Tensor, "B T"] | Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """The mean over real tokens; zeros for a text without any."""
    real = (segments > 0).to(hidden.dtype)[..., None]
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


def matched(first: Float[Tensor, "B D"], second: Float[Tensor, "B D"]) -> Float[Tensor, "B 4D"]:
    """Two vectors with what tells how alike they are: u, v, |u - v| and u v (Conneau 2017, section 3.2)."""
    return torch.cat([first, second, (first - second).abs(), first * second], -1)


def last_state(hidden: Float[Tensor, "B T D"], segments: Int[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """The state at the last real token, on whichever side the padding stands (the first position of a text without any)."""
    last = (segments > 0).long().cumsum(1).argmax(1)  # the first place where all have been seen
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), last]


def largest_state(hidden: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """The largest value of each number over real positions; zeros for a text without any."""
    largest = hidden.masked_fill(~real[..., None], -torch.inf).amax(1)
    return largest.masked_fill(~real.any(1)[:, None], 0.0)
