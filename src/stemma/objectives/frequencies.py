"""The loss of knowing nothing but word frequencies: what a network has to leave behind before it has learnt from any context."""

from typing import Protocol

import numpy as np


class Frequencies(Protocol):
    """A text, by how often it has each token."""

    @property
    def counts(self) -> np.ndarray:
        """Of each token (V)."""


def frequency_loss(learnt_from: Frequencies, held_out: Frequencies, ends: tuple[int, int] | None = None) -> float:
    """Nats a prediction of `held_out` when each token is given its share of the tokens of `learnt_from`, whatever stands round it.

    `ends` are the ends of either text, where they are predicted too. What was never seen counts as seen once.
    """
    seen, predicted = (np.append(text.counts, [ends[k]] if ends else []) for k, text in enumerate((learnt_from, held_out)))
    return nats_of_shares(seen, predicted)


def nats_of_shares(seen: np.ndarray, predicted: np.ndarray) -> float:
    """Nats a prediction where each outcome has its share of those `seen` (V), at least one each, and is `predicted` (V) so often."""
    seen = np.maximum(seen, 1)
    return float(-(predicted * np.log(seen / seen.sum())).sum() / predicted.sum())
