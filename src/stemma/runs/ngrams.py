"""N-grams of flat token ids as 64-bit keys, all events of an order at once.

A key mixes an n-gram's ids and the side of a pair; two different n-grams among a million share one with
a chance of about 1e-7. Axes: E events, S texts.
"""

from collections.abc import Sequence

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio in 64 bits (Steele 2014, "splittable" generators)
_START = np.uint64(1)  # stands before a text's first token; ids begin at 2


def flatten(texts: Sequence[np.ndarray], end: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flat ids (E) of the texts, each closed by `end` if given, and their borders (S+1)."""
    tail = [] if end is None else [end]
    parts = [np.concatenate([np.asarray(ids, np.int64), tail]).astype(np.int64) for ids in texts]
    starts = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=starts[1:])
    return (np.concatenate(parts) if parts else np.empty(0, np.int64)), starts


def histories(ids: np.ndarray, starts: np.ndarray, longest: int, side: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For m = 0 .. longest: the key (E) of the m tokens before each event, and where a text has that many.

    The place before a text's first token counts as one, so that beginnings are known as such.
    """
    place = np.arange(len(ids)) - np.repeat(starts[:-1], np.diff(starts))
    symbols = np.concatenate([np.ones(longest, np.uint64), ids.astype(np.uint64) + np.uint64(2)])
    keys, there = [_mixed(np.full(len(ids), side + 1, np.uint64))], [np.ones(len(ids), bool)]
    for m in range(1, longest + 1):
        back = symbols[longest - m : longest - m + len(ids)]
        keys.append(_mixed(keys[-1] ^ np.where(place >= m, back, _START)))
        there.append(place >= m - 1)
    return keys, there


def extended(history: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The keys (E) of the n-grams that the events' ids make with their histories."""
    return _mixed(~history ^ (ids.astype(np.uint64) + np.uint64(2)))


def find(keys: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each key stands in the sorted `known` keys, and whether it does."""
    if not len(known):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return place, known[place] == keys


def _mixed(x: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits, each input bit moving about half of the output bits (splitmix64)."""
    x = x + _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
