"""Masking: which tokens are hidden, and what stands in their place (Devlin 2018, section 3.1).

In each segment round(share * length) tokens are chosen, specials counted in the length but never
chosen. Of the chosen, 80 % become the mask, 10 % a token drawn from the vocabulary, 10 % stay.

What is chosen are pieces, whole words (Cui 2019, section 3.1; all of a word's tokens, or none), or n-grams
of whole words, whose n is drawn with chances that go as 1/n (Lan 2019, section 4.1). Words that would go beyond
the share are passed over, and n-grams shortened, as in both papers' code; each token is hidden by a draw of its own.

Deviates: n-grams do not reach from one sentence of a pair into the other; where all words of a segment are
larger than its share, the smallest is chosen, so that short texts are not passed over.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from stemma.kernels.draws import shares_at
from stemma.kernels.masked_words import choose_words
from stemma.objectives.batch import IGNORE, seed_for


@dataclass(frozen=True)
class Masking:
    """The shares of the masked language model."""

    share: float = 0.15  # of a segment's tokens, chosen for prediction
    most: int = 0  # predictions a segment at most; 0: no limit
    longest: int = 1  # words in a row that are chosen together
    masked: float = 0.8  # of the chosen, replaced by the mask
    drawn: float = 0.1  # of the chosen, replaced by a drawn token


class Draws(NamedTuple):
    """What is drawn for each token, (B T) each, in [0, 1)."""

    choice: np.ndarray  # the words whose first tokens have the lowest of a segment are chosen
    length: np.ndarray  # how many words are chosen with the one that begins here
    fate: np.ndarray  # what becomes of it if it is chosen
    word: np.ndarray  # the place in the vocabulary of what may replace it

    @classmethod
    def at(cls, seed: int, places: np.ndarray) -> Self:
        """The draws of tokens at these places (B T) of an epoch, whatever stands in one batch with them."""
        return cls(*(shares_at(seed_for(seed, kind), places) for kind in cls._fields))


def mask_tokens(
    ids: np.ndarray, chosen: np.ndarray, masking: Masking, mask_id: int, vocab_size: int, draws: Draws
) -> tuple[np.ndarray, np.ndarray]:
    """(ids with the chosen tokens hidden, labels), both (B T); `chosen` (B T) is of `choose`."""
    predicted = chosen > 0
    labels = np.where(predicted, ids, IGNORE)
    fate, drawn = draws.fate, (draws.word * vocab_size).astype(np.int64)
    hidden = np.where(fate < masking.masked, mask_id, np.where(fate < masking.masked + masking.drawn, drawn, ids))
    return np.where(predicted, hidden, ids), labels


def choose(segments: np.ndarray, candidates: np.ndarray, begins: np.ndarray, masking: Masking, draws: Draws) -> np.ndarray:
    """Which tokens are predicted, (B T): 0 where not, else the number, within the row, of what is chosen together.

    `segments` (B T) is 0 at padding; `candidates` (B T) marks the tokens that may be chosen, `begins` (B T) those that begin a
    word. Words end at what is no candidate.
    """
    found: np.ndarray = choose_words(segments, candidates, begins, *draws[:2], masking.share, masking.most, masking.longest)
    return found
