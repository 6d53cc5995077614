"""The loss of knowing nothing but word frequencies: what a network has to leave behind before it has learnt from any context."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stemma.tokens.store import TokenStore


def frequency_loss(learnt_from: "TokenStore", held_out: "TokenStore", ends: tuple[int, int] | None = None) -> float:
    """Nats a prediction of `held_out` when each token is given its share of the tokens of `learnt_from`, whatever stands round it.

    `ends` are the ends of either text, where they are asked for too. What was never seen counts as seen once.
    """
    seen, asked = (np.append(text.counts, [ends[k]] if ends else []) for k, text in enumerate((learnt_from, held_out)))
    return nats_of_shares(seen, asked)


def nats_of_shares(seen: np.ndarray, asked: np.ndarray) -> float:
    """Nats a prediction where each outcome is given its share of those `seen` (V), at least one each, and comes `asked` (V) times."""
    seen = np.maximum(seen, 1)
    return float(-(asked * np.log(seen / seen.sum())).sum() / asked.sum())
