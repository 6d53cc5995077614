"""Masking: which tokens are hidden, and what stands in their place (Devlin 2018, section 3.1).

In each segment round(share * length) tokens are chosen, specials counted in the length but never
chosen. Of the chosen, 80 % become the mask, 10 % a token drawn from the vocabulary, 10 % stay.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from stemma.kernels.draws import shares_at
from stemma.objectives.batch import IGNORE, seed_for


@dataclass(frozen=True)
class Masking:
    """The shares of the masked language model."""

    share: float = 0.15  # of a segment's tokens, chosen for prediction
    most: int = 0  # predictions a segment at most; 0: no limit
    masked: float = 0.8  # of the chosen, replaced by the mask
    drawn: float = 0.1  # of the chosen, replaced by a drawn token


class Draws(NamedTuple):
    """What is drawn for each token, (B T) each, in [0, 1)."""

    choice: np.ndarray  # the lowest of a segment are chosen
    fate: np.ndarray  # what becomes of it if it is chosen
    word: np.ndarray  # the place in the vocabulary of what may replace it

    @classmethod
    def at(cls, seed: int, places: np.ndarray) -> Self:
        """The draws of tokens at these places (B T) of an epoch, whatever stands in one batch with them."""
        return cls(*(shares_at(seed_for(seed, kind), places) for kind in cls._fields))


def mask_tokens(
    ids: np.ndarray, segments: np.ndarray, candidates: np.ndarray, masking: Masking, mask_id: int, vocab_size: int, draws: Draws
) -> tuple[np.ndarray, np.ndarray]:
    """(ids with the chosen tokens hidden, labels), both (B T).

    `candidates` (B T) marks the tokens that may be chosen; `segments` (B T) is 0 at padding.
    """
    chosen = choose(segments, candidates, masking, draws.choice)
    labels = np.where(chosen, ids, IGNORE)
    fate, drawn = draws.fate, (draws.word * vocab_size).astype(np.int64)
    hidden = np.where(fate < masking.masked, mask_id, np.where(fate < masking.masked + masking.drawn, drawn, ids))
    return np.where(chosen, hidden, ids), labels


def choose(segments: np.ndarray, candidates: np.ndarray, masking: Masking, choice: np.ndarray) -> np.ndarray:
    """Where a prediction is asked for, (B T): in every segment its quota of candidates, those with the lowest `choice` (B T)."""
    row, column = np.nonzero(segments)
    segment = row * (segments.max(initial=0) + 1) + segments[row, column]
    _, segment, lengths = np.unique(segment, return_inverse=True, return_counts=True)
    quota = np.maximum(1, np.rint(masking.share * lengths)).astype(np.int64)
    if masking.most:
        quota = np.minimum(quota, masking.most)
    key = np.where(candidates[row, column], choice[row, column], 2.0)  # those that may not be chosen sort last
    order = np.lexsort((key, segment))
    rank = np.arange(len(order)) - (np.cumsum(lengths) - lengths)[segment[order]]
    taken = order[(rank < quota[segment[order]]) & (key[order] < 2.0)]
    chosen = np.zeros(segments.shape, bool)
    chosen[row[taken], column[taken]] = True
    return chosen
