"""A fitted linear model in use, without PyTorch. Axes: N examples, F features, K classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stemma.errors import DamagedError
from stemma.tasks.task import Link

AT_ONCE = 4096  # rows of a sparse matrix that are multiplied together


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Weights (F K) and biases (K) of a fitted linear model."""

    weights: np.ndarray
    biases: np.ndarray
    link: Link = "softmax"

    def outputs(self, products: np.ndarray) -> np.ndarray:
        """What stands for features @ weights (N K) in float32, by the link: probabilities, or the scores as they are."""
        return self.linked(products + self.biases)

    def linked(self, scores: np.ndarray) -> np.ndarray:
        """The same of scores (N K)."""
        if self.link in ("identity", "within"):
            return scores.astype(np.float32)
        if self.link == "logistic":
            found: np.ndarray = 1 / (1 + np.exp(-scores))
            return found.astype(np.float32)
        powers = np.exp(scores - scores.max(1, keepdims=True, initial=-np.inf))
        return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def sparse_times(starts: np.ndarray, places: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows of `values` in the columns `places`, `starts` (N+1) their borders, @ weights (F K)."""
    products = np.zeros((len(starts) - 1, weights.shape[1]), weights.dtype)
    for first in range(0, len(products), AT_ONCE):
        borders = starts[first : first + AT_ONCE + 1]
        part = slice(borders[0], borders[-1])
        terms = values[part, None].astype(weights.dtype) * weights[places[part]]
        filled = np.flatnonzero(np.diff(borders))
        if len(filled):  # reduceat has no empty sums
            products[first + filled] = np.add.reduceat(terms, borders[filled] - borders[0])
    return products


def check_shapes(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """DamagedError unless each array is there in its shape."""
    for name, shape in shapes.items():
        found = arrays[name].shape if name in arrays else "missing"
        if found != shape:
            raise DamagedError(f"{name} of the weights is {found}", f"{shape}", "restore the run from a copy, or fine-tune again")
