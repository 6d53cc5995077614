# ruff: noqa: F722 (axis names stand in annotations)
"""Networks that begin by predicting each token by its frequency. Axes: V tokens.

It is what a language model learns first: hundreds of updates, in which it turns all states into nearly one vector, the one that has the
right products with the token table; whatever a task wants to know of a text is then small beside what all texts share.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

SCALE = 0.1  # of the log frequencies in the column, whose coefficient is its inverse: 0.02 to 0.1 teach GPT the same


def log_frequencies(counts: np.ndarray) -> Float[Tensor, " V"]:
    """The logarithm of each token's share, as if each had been seen once more."""
    seen = torch.tensor(counts, dtype=torch.float64) + 1
    return (seen / seen.sum()).log().float()


@torch.no_grad()
def begin_with_bias(bias: nn.Parameter, counts: np.ndarray | None) -> None:
    """The free bias of a head begins as log frequencies; without counts, or without numbers, it stays as it is."""
    if counts is not None and not bias.is_meta:
        bias.copy_(log_frequencies(counts))


@torch.no_grad()
def begin_with_column(table: nn.Embedding, norm: nn.LayerNorm, counts: np.ndarray | None) -> None:
    """For a head without a bias, which is the token table: its first column begins as log frequencies, and `norm`, whose states it reads,
    gives each state their coefficient there. Without counts, or without numbers, both stay as they are.
    """
    if counts is not None and not table.weight.is_meta:
        logs = log_frequencies(counts)
        table.weight[:, 0] = SCALE * (logs - logs.mean())
        norm.bias[0] = 1 / SCALE
