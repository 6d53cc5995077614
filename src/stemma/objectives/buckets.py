"""Rows of a source and a target in batches of like lengths, within a budget of padded positions (Vaswani 2017, section 5.1).

Rows are sorted by the length of their source in strips, and within a strip by that of their target, to and fro, so that
neighbours are alike on both sides. Batches are cut from that order and come in a drawn one; so do rows of the same lengths.

N rows, B rows of a batch, T positions.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Buckets:
    """An epoch: its rows, batch after batch."""

    order: np.ndarray  # (N,) rows
    starts: np.ndarray  # (batches+1,) places in `order`

    @property
    def rows(self) -> int:
        """Batches of the epoch, which `Epochs` numbers."""
        return len(self.starts) - 1

    def batch(self, number: int, rank: int, ranks: int) -> np.ndarray:
        """The rows of the batch that fall to `rank`."""
        return self.order[self.starts[number] : self.starts[number + 1]][rank::ranks]


def bucketed(source: np.ndarray, target: np.ndarray, budget: int, rng: np.random.Generator) -> Buckets:
    """Every row once, in batches of at most `budget` positions: rows times the longest source and the longest target together.

    `source` and `target` (N) are lengths. A row that is longer than the budget stands alone.
    """
    order = _like_lengths_together(source, target, budget, rng)
    starts, first, longest = [0], 0, (0, 0)
    for place, lengths in enumerate(zip(source[order].tolist(), target[order].tolist(), strict=True)):
        wider = max(longest[0], lengths[0]), max(longest[1], lengths[1])
        if place > first and (place - first + 1) * sum(wider) > budget:
            starts.append(place)
            first, wider = place, lengths
        longest = wider
    borders = np.append(starts, len(order)) if len(order) else np.zeros(1, np.int64)
    drawn = rng.permutation(len(borders) - 1)
    sizes = np.diff(borders)[drawn]
    shifted = np.repeat(borders[drawn] - (np.cumsum(sizes) - sizes), sizes)
    return Buckets(order[shifted + np.arange(len(order))], np.append(0, np.cumsum(sizes)))


def _like_lengths_together(source: np.ndarray, target: np.ndarray, budget: int, rng: np.random.Generator) -> np.ndarray:
    """The rows (N) in an order in which neighbours are about as long; as many strips as a strip has batches."""
    order = rng.permutation(len(source))
    order = order[np.argsort(source[order], kind="stable")]
    positions = np.cumsum((source + target)[order])
    if not len(positions):
        return order
    strips = max(1, round(float(positions[-1] / budget) ** 0.5))
    strip = (positions - 1) * strips // positions[-1]
    return order[np.lexsort((np.where(strip % 2, -target[order], target[order]), strip))]


def gathered(ids: np.ndarray, first: np.ndarray, lengths: np.ndarray, before: int | None, after: int | None, padding: int) -> np.ndarray:
    """Rows (B T) int64 of `lengths` (B) ids from `first` (B) on, with an id before and after them if given, then padding."""
    lead = int(before is not None)
    place = np.arange(lead + int(lengths.max(initial=0)) + int(after is not None))[None, :] - lead  # (1 T) place among a row's ids
    inside = (place >= 0) & (place < lengths[:, None])
    found = np.full(inside.shape, padding, np.int64)
    found[inside] = ids[(first[:, None] + place)[inside]]
    if before is not None:
        found[:, 0] = before
    if after is not None:
        found[np.arange(len(lengths)), lengths + lead] = after
    return found


def real(lengths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(B T) int64, as many as in `rows`: 1 at the first `lengths` (B) positions of a row, 0 at its padding."""
    return (np.arange(rows.shape[1])[None, :] < lengths[:, None]).astype(np.int64)
