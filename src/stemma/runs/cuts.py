"""The probability of a text whose sentences nobody tells apart, under a model that reads sentence by sentence.

Such a model predicts each token after those of its sentence, and each sentence's end. An end is no character of the text,
and models that read on from sentence to sentence predict none: so that all predict the same, the ends are summed
over. With a_t(j) the probability of the tokens before t and of a sentence that began j tokens ago (forward algorithm,
Rabiner 1989, section III A):

    a_t(0)   += sum_(j > 0) a_t(j) P(end | last j tokens, the first of a sentence)
    a_t+1(j+1) = a_t(j) P(w_t | last j tokens, the first of a sentence)

A prediction reads `reach` tokens: sentences that began longer ago are one state. A sentence has a token or more.

N rows of a call, P parts, R reach.
"""

from typing import Protocol

import numpy as np

NEGLIGIBLE = 1e-4  # of the probability: a state below is let go, which can only make a text less likely


class ReadsSentences(Protocol):
    """A model that predicts tokens within a sentence, and its end."""

    @property
    def reach(self) -> int:
        """R, tokens before a prediction that it reads."""

    def token_or_end(self, past: np.ndarray, seen: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P (N) of the `following` token and of the sentence's end, after the last `seen` ids of `past` (N R) in the sentence.

        Where `seen` is R the sentence may have begun before them; where it is less, it begins with them.
        """


def surprises_uncut(network: ReadsSentences, ids: np.ndarray, borders: np.ndarray, negligible: float = NEGLIGIBLE) -> np.ndarray:
    """Nats of each of the flat ids given those before it in its part, whatever sentences they are cut into."""
    reach, nats = network.reach, np.zeros(len(ids))
    first = _first(network, ids)
    padded = np.concatenate([np.zeros(reach, np.int64), ids.astype(np.int64)])
    lengths = np.diff(borders)
    shares = np.zeros((len(lengths), reach + 1))  # a_t of each part, made to sum to one
    shares[:, 0] = 1.0
    for at in range(int(lengths.max(initial=0))):
        parts = np.flatnonzero(lengths > at)
        places, now = borders[parts] + at, shares[parts]
        row, seen = np.nonzero(now[:, 1:] > negligible)
        tokens, ends = np.zeros(now.shape), np.zeros(now.shape)
        past = padded[places[row][:, None] + np.arange(reach)]
        tokens[row, seen + 1], ends[row, seen + 1] = network.token_or_end(past, seen + 1, ids[places[row]])
        tokens[:, 0] = first[places]
        now[:, 0] += (now * ends).sum(1)  # their sentences end here
        reached = now * tokens
        total = reached.sum(1)
        with np.errstate(divide="ignore"):
            nats[places] = -np.log(total)
        shares[parts] = _moved(np.divide(reached, total[:, None], out=now, where=total[:, None] > 0))
    return nats


def _first(network: ReadsSentences, ids: np.ndarray) -> np.ndarray:
    """P (N) of each id as the first of a sentence, which has one at least."""
    different, place = np.unique(ids, return_inverse=True)
    nothing = np.zeros((len(different), network.reach), np.int64)
    tokens, ends = network.token_or_end(nothing, np.zeros(len(different), np.int64), different)
    return (tokens / (1 - ends))[place]


def _moved(shares: np.ndarray) -> np.ndarray:
    """One token later: every sentence under way has one token more, as far as is seen."""
    if shares.shape[1] == 1:
        return shares
    moved = np.zeros_like(shares)
    moved[:, 1:] = shares[:, :-1]
    moved[:, -1] += shares[:, -1]
    return moved
