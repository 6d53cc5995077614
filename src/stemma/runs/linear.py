"""Fixed features that linear models are fitted on, dense or sparse. Axes: N examples, F features, K classes."""

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


def _bags(starts: np.ndarray, places: np.ndarray, values: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    places, starts = np.asarray(places, dtype=np.int64), np.asarray(starts[:-1], dtype=np.int64)
    return torch.from_numpy(places), torch.from_numpy(starts), torch.from_numpy(np.asarray(values, dtype=np.float32))


def _bag_sums(bags: tuple[Tensor, Tensor, Tensor], table: Tensor) -> Tensor:
    """Each bag's weighted sum of the rows of `table`: a sparse product by PyTorch's best-tuned sparse kernel."""
    places, starts, values = bags
    if len(places) == 0:
        return torch.zeros(len(starts), table.shape[1])
    return F.embedding_bag(places, table, starts, mode="sum", per_sample_weights=values)
