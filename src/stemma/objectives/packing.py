"""Packing: pieces of text of any length into rows of one length, so that padding stays rare.

Best fit, longest first, inside windows of shuffled pieces: close to optimal, linear in the corpus,
and still a random order. Attention does not cross from one piece of a row to another.
"""

import numpy as np

from stemma.kernels.best_fit import best_fit

WINDOW = 4096  # pieces that are packed together; larger packs tighter, smaller mixes better


def pack(lengths: np.ndarray, row_length: int, group: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pieces: (pieces (N,) in row order, row starts (R+1,) into them).

    Every piece stands in exactly one row. Rows come in random order, but the `group` rows of one step
    are filled to like lengths, so that a step cut to its longest row is nearly free of padding.
    `lengths` (N,) are in 1..row_length.
    """
    order = rng.permutation(len(lengths))
    row_of = np.empty(len(lengths), np.int64)
    rows = 0
    for first in range(0, len(order), WINDOW):
        window = order[first : first + WINDOW]
        longest_first = window[np.argsort(-lengths[window], kind="stable")]
        rows = best_fit(longest_first, lengths, row_length, rows, row_of)
    place = _like_lengths_together(np.bincount(row_of, lengths, minlength=rows), group, rng)
    placed = place[row_of]
    pieces = np.argsort(placed, kind="stable")
    starts = np.searchsorted(placed[pieces], np.arange(rows + 1))
    return pieces, starts


def _like_lengths_together(used: np.ndarray, group: int, rng: np.random.Generator) -> np.ndarray:
    """The new place of each row: shuffled, sorted by length within windows, groups shuffled."""
    order = rng.permutation(len(used))
    for first in range(0, len(order), 32 * group):
        window = order[first : first + 32 * group]
        order[first : first + 32 * group] = window[np.argsort(-used[window], kind="stable")]
    whole = len(order) // group
    groups = rng.permutation(whole)
    order = np.concatenate([order[: whole * group].reshape(whole, group)[groups].ravel(), order[whole * group :]])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place
