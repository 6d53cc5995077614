"""Multinomial logistic regression over fixed features, dense or sparse: the head of every frozen run.

Minimises C * sum of cross-entropies + |W|^2 / 2 by L-BFGS with a strong Wolfe line search, the
objective of scikit-learn's LogisticRegression (biases unpenalised). Axes: N examples, F features, K classes.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 4096  # rows widened to float32 at once, so that half-precision caches are never copied whole


class Design(Protocol):
    """A matrix of features (N F) that can be multiplied from both sides."""

    shape: tuple[int, int]
    dtype: torch.dtype

    def times(self, weights: Tensor) -> Tensor:
        """(N F) @ (F K)."""

    def transposed_times(self, residuals: Tensor) -> Tensor:
        """(F N) @ (N K)."""


class Dense:
    """Dense features, standardised on the fly by `mean` and `scale` of the training part."""

    def __init__(self, features: Tensor, mean: Tensor, scale: Tensor) -> None:
        self.features, self.mean, self.scale = features, mean, scale
        self.shape = (features.shape[0], features.shape[1])
        self.dtype = torch.float64 if features.dtype == torch.float64 else torch.float32

    def times(self, weights: Tensor) -> Tensor:
        """Standardised features @ weights, with the standardising folded into the weights."""
        weights = weights / self.scale[:, None]
        shift = self.mean @ weights
        return torch.cat([part.to(self.dtype) @ weights for part in self.features.split(CHUNK)]) - shift

    def transposed_times(self, residuals: Tensor) -> Tensor:
        """Standardised features, transposed, @ residuals."""
        total = torch.zeros(self.shape[1], residuals.shape[1], dtype=self.dtype)
        for part, rest in zip(self.features.split(CHUNK), residuals.split(CHUNK), strict=True):
            total += part.to(self.dtype).T @ rest
        return (total - torch.outer(self.mean, residuals.sum(0))) / self.scale[:, None]


class Sparse:
    """Sparse features in compressed rows: `starts` (N+1), `columns` and `values`."""

    def __init__(self, starts: np.ndarray, columns: np.ndarray, values: np.ndarray, width: int) -> None:
        self.shape = (len(starts) - 1, width)
        self.dtype = torch.float32
        rows = np.repeat(np.arange(self.shape[0]), np.diff(starts))
        order = np.argsort(columns, kind="stable")
        flipped = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=width))])
        self._rows = _bags(starts, columns, values)
        self._columns = _bags(flipped, rows[order], values[order])

    def times(self, weights: Tensor) -> Tensor:
        """(N F) @ (F K)."""
        return _bag_sums(self._rows, weights)

    def transposed_times(self, residuals: Tensor) -> Tensor:
        """(F N) @ (N K)."""
        return _bag_sums(self._columns, residuals)


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Weights (F K) and biases (K) of a fitted logistic regression."""

    weights: Tensor
    biases: Tensor

    def probabilities(self, design: Design) -> np.ndarray:
        """Class probabilities (N K) in float32, each row summing to one."""
        return (design.times(self.weights) + self.biases).softmax(-1).numpy().astype(np.float32)


def standardiser(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (F) of the features; a constant feature keeps scale 1."""
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    count = features.shape[0]
    mean = sum(part.to(torch.float64).sum(0) for part in features.split(CHUNK)) / count
    spread = sum((part.to(torch.float64) - mean).square().sum(0) for part in features.split(CHUNK)) / count
    scale = spread.sqrt()
    floor = 1e-6 * (1 + mean.abs())  # below this a "spread" is rounding
    return mean.to(dtype), torch.where(scale > floor, scale, torch.ones_like(scale)).to(dtype)


def fit(design: Design, labels: np.ndarray, classes: int, c: float, start: LinearHead | None = None, steps: int = 100) -> LinearHead:
    """The head that minimises the penalised loss; `start` warms it up with a neighbour's solution."""
    gold = torch.as_tensor(np.asarray(labels), dtype=torch.long)
    count, width = design.shape
    # Two softmax columns share what scikit-learn's single binary one carries: w = w1 - w0, so |w|^2 = 2 |W|^2.
    penalty = (2.0 if classes == 2 else 1.0) / (c * count)
    # Weights and loss in double, products in the features' precision: the line search needs the digits.
    weights = torch.zeros(width, classes, dtype=torch.float64) if start is None else start.weights.double().clone()
    biases = torch.zeros(classes, dtype=torch.float64) if start is None else start.biases.double().clone()
    tight = 1e-8 if design.dtype == torch.float64 else 1e-5
    optimiser = torch.optim.LBFGS(
        [weights, biases],
        max_iter=steps,
        tolerance_grad=tight,
        tolerance_change=tight * 1e-3,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> Tensor:
        logs = (design.times(weights.to(design.dtype)) + biases).log_softmax(-1)
        residuals = logs.exp()
        residuals[torch.arange(count), gold] -= 1
        residuals /= count
        weights.grad = design.transposed_times(residuals.to(design.dtype)) + penalty * weights
        biases.grad = residuals.sum(0)
        return -logs[torch.arange(count), gold].mean() + 0.5 * penalty * weights.square().sum()

    optimiser.step(closure)
    return LinearHead(weights.to(design.dtype), biases.to(design.dtype))


def _bags(starts: np.ndarray, places: np.ndarray, values: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    places, starts = np.asarray(places, dtype=np.int64), np.asarray(starts[:-1], dtype=np.int64)
    return torch.from_numpy(places), torch.from_numpy(starts), torch.from_numpy(np.asarray(values, dtype=np.float32))


def _bag_sums(bags: tuple[Tensor, Tensor, Tensor], table: Tensor) -> Tensor:
    """Each bag's weighted sum of the rows of `table`: a sparse product by PyTorch's best-tuned sparse kernel."""
    places, starts, values = bags
    if len(places) == 0:
        return torch.zeros(len(starts), table.shape[1])
    return F.embedding_bag(places, table, starts, mode="sum", per_sample_weights=values)
