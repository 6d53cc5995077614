"""The measures of a classification, whole and class by class, and what several seeds give together."""

from collections.abc import Sequence

import numpy as np

from stemma.tasks.scores import accuracy, confusion, macro_f1

__all__ = ["accuracy", "confusion", "macro_f1", "over_seeds", "per_class"]


def per_class(gold: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> list[dict]:
    """Precision, recall, F1 and number of examples of each class, in the order of `labels`."""
    table = confusion(gold, predicted, len(labels))
    hits, asked, answered = np.diagonal(table), table.sum(1), table.sum(0)
    return [
        {
            "label": label,
            "precision": float(hits[k] / max(answered[k], 1)),
            "recall": float(hits[k] / max(asked[k], 1)),
            "f1": float(2 * hits[k] / max(asked[k] + answered[k], 1)),
            "examples": int(asked[k]),
        }
        for k, label in enumerate(labels)
    ]


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation (n - 1; 0 for a single seed) of one measure over seeds."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": spread, "seeds": len(values)}
