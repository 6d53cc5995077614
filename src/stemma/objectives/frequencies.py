"""The loss of knowing nothing but word frequencies: what a network has to leave behind before it has learnt from any context."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stemma.tokens.store import TokenStore


def frequency_loss(learnt_from: "TokenStore", held_out: "TokenStore", ends: tuple[int, int] = (0, 0)) -> float:
    """Nats a prediction of `held_out` when each token is given its share of the tokens of `learnt_from`, whatever stands round it.

    `ends` are the ends that are asked for too, of either text. What was never seen counts as seen once.
    """
    seen = np.maximum(np.append(learnt_from.counts, ends[0]), 1)
    asked = np.append(held_out.counts, ends[1])
    return float(-(asked * np.log(seen / seen.sum())).sum() / asked.sum())
