"""Macro-F1 and Matthews' correlation of counts, the confusion table of class numbers, and the ranks of numbers.

Axes: K classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def confusion(gold: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (K K): row the gold class, column the predicted one."""
    cells = np.asarray(gold, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def mean_f1_of(hits: np.ndarray, support: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The plain mean of the classes' F1 (... K).

    A class that is neither gold nor predicted does not count (as in scikit-learn, which
    averages over the classes it sees).
    """
    seen = support + given  # 2 hits + misses + false alarms
    f1 = np.where(seen > 0, 2.0 * hits / np.maximum(seen, 1), 0.0)
    return f1.sum(axis=-1) / np.maximum((seen > 0).sum(axis=-1), 1)


def matthews_of(hits: np.ndarray, support: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Matthews' correlation of K classes (Gorodkin 2004) from counts (... K); 0 where all are of one class, or given one.

    >>> float(matthews_of(np.array([3, 2]), np.array([4, 3]), np.array([4, 3])).round(4))
    0.4167
    """
    count, right = support.sum(-1).astype(np.float64), hits.sum(-1)
    shared, own, answered = ((a.astype(np.float64) * b).sum(-1) for a, b in ((support, given), (support, support), (given, given)))
    spread = (count**2 - own) * (count**2 - answered)
    found: np.ndarray = np.where(spread > 0, (right * count - shared) / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
    return found


def f1_of(hits: np.ndarray, support: np.ndarray, given: np.ndarray) -> np.ndarray:
    """2 hits / (support + given), and 0 where there is neither."""
    return 2.0 * hits / np.maximum(support + given, 1)


def each_label(names: Sequence[str], hits: np.ndarray, support: np.ndarray, given: np.ndarray) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of examples of each label, from counts (K) of hits, of gold and of what was given."""
    return [
        {
            "label": name,
            "precision": float(hits[k] / max(given[k], 1)),
            "recall": float(hits[k] / max(support[k], 1)),
            "f1": float(2 * hits[k] / max(support[k] + given[k], 1)),
            "examples": int(support[k]),
        }
        for k, name in enumerate(names)
    ]


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank (N) of each number, 1 for the smallest; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found
