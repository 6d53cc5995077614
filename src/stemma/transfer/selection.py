"""Which of the training examples are learnt from, and on which hyperparameters are chosen.

The dev file is for reporting only: choosing a learning rate on it would flatter whoever has most knobs.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from stemma.errors import DataError
from stemma.nouns import counted
from stemma.objectives.batch import generator

T = TypeVar("T")


def drawn(examples: Sequence[T], most: int) -> list[T]:
    """At most so many of the examples, drawn by lot, in their order; all for 0. One draw for everybody: of equal examples the same."""
    if not most or most >= len(examples):
        return list(examples)
    return [examples[k] for k in sorted(generator("train limit").permutation(len(examples))[:most])]


def hold_out(labels: Sequence[int] | np.ndarray, share: float, limit: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (learning, selection) of a stratified split, both ascending.

    Each class gives `share` of its examples (at most `limit` in all), at least one when it has
    two, and always keeps one to learn from. Raises DataError when nothing could be held out.
    """
    labels = np.asarray(labels)
    share = min(share, limit / max(len(labels), 1))
    held: list[np.ndarray] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held.append(generator("selection", seed, int(label)).permutation(members)[:count])
    selection = np.sort(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    if len(selection) == 0:
        raise DataError(
            f"{counted(len(labels), 'training example')}, too few to hold one out to choose hyperparameters on",
            "two examples or more of at least one class",
            "add labelled examples",
        )
    return np.setdiff1d(np.arange(len(labels)), selection), selection


def trial_values(grid: Sequence[float], budget: int) -> list[float]:
    """At most `budget` values of the grid, evenly spaced, its ends kept (its middle, if only one may be tried)."""
    values = sorted(grid)
    if budget >= len(values):
        return values
    places = np.linspace(0, len(values) - 1, budget) if budget > 1 else [(len(values) - 1) / 2]
    return [values[round(place)] for place in places]


def middle_first(values: Sequence[float]) -> list[float]:
    """The values from the middle outwards: where time ends early, the ends are left out.

    >>> middle_first([1, 2, 3, 4])
    [2, 3, 1, 4]
    """
    middle = (len(values) - 1) / 2
    return [values[place] for place in sorted(range(len(values)), key=lambda place: abs(place - middle))]
