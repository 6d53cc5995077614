"""Bootstrap intervals of accuracy and macro-F1, alone and for the difference of two systems.

Examples are drawn with replacement (Efron 1979); of several seeds, seeds are drawn too, so that the
interval holds the luck of training as well as that of the dev file. Examples that agree in gold
label and in all predictions are alike, so a resample is one multinomial draw over the distinct
cells, not N draws. Axes: N examples, S seeds, R resamples, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stemma.errors import UsageError
from stemma.objectives.batch import generator
from stemma.tasks.scores import accuracy_of, macro_f1_of

Metric = Literal["accuracy", "macro_f1"]
METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"accuracy": accuracy_of, "macro_f1": macro_f1_of}


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure and the `level` percentile interval round it."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """True when the interval lies on one side of zero: of a difference, that it is real."""
        return self.low > 0 or self.high < 0

    def as_dict(self) -> dict[str, float]:
        """JSON-able."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


def interval(
    gold: np.ndarray,
    predictions: np.ndarray,
    classes: int,
    metric: Metric = "accuracy",
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The interval of a metric (its mean over seeds when `predictions` is (S N))."""
    gold, systems = _checked(gold, predictions)
    value = _means(gold, systems, classes, metric)
    drawn = _resampled(gold, systems, classes, metric, resamples, seed)
    return _percentiles(value[0], drawn[0], level)


def difference(
    gold: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    classes: int,
    metric: Metric = "accuracy",
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The paired interval of metric(ours) - metric(theirs): both are measured on the same resamples."""
    gold, systems = _checked(gold, ours, theirs)
    value = _means(gold, systems, classes, metric)
    drawn = _resampled(gold, systems, classes, metric, resamples, seed)
    return _percentiles(value[0] - value[1], drawn[0] - drawn[1], level)


def _checked(gold: np.ndarray, *systems: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    gold = np.asarray(gold)
    arrays = [np.atleast_2d(np.asarray(system)) for system in systems]
    for array in arrays:
        if array.shape[1] != len(gold) or len(gold) == 0:
            told = f"{array.shape[1]} predictions for {len(gold)} gold labels"
            raise UsageError(told, "one prediction for each of one example or more", "predict the same file")
    return gold, arrays


def _means(gold: np.ndarray, systems: list[np.ndarray], classes: int, metric: Metric) -> list[float]:
    cells = [gold[None] * classes + system for system in systems]
    tables = [np.stack([np.bincount(row, minlength=classes**2) for row in cell]) for cell in cells]
    return [float(METRICS[metric](table.reshape(-1, classes, classes)).mean()) for table in tables]


def _resampled(gold: np.ndarray, systems: list[np.ndarray], classes: int, metric: Metric, resamples: int, seed: int) -> list[np.ndarray]:
    """For each system its metric (R), mean over seeds drawn with replacement."""
    rng = generator("bootstrap", seed)
    rows, counts = np.unique(np.vstack([gold[None], *systems]), axis=1, return_counts=True)  # cells in columns
    weights = rng.multinomial(len(gold), counts / counts.sum(), size=resamples)  # R x cells
    results, at = [], 1
    for system in systems:
        seeds = len(system)
        values = np.stack([_measured(weights, rows[0], rows[at + s], classes, metric) for s in range(seeds)])  # S R
        chosen = rng.integers(seeds, size=(seeds, resamples))
        results.append(np.take_along_axis(values, chosen, axis=0).mean(0))
        at += seeds
    return results


def _measured(weights: np.ndarray, gold: np.ndarray, predicted: np.ndarray, classes: int, metric: Metric) -> np.ndarray:
    place = gold * classes + predicted
    table = np.zeros((len(weights), classes**2))
    order = np.argsort(place, kind="stable")
    firsts = np.flatnonzero(np.diff(place[order], prepend=-1))
    table[:, place[order][firsts]] = np.add.reduceat(weights[:, order], firsts, axis=1)
    return METRICS[metric](table.reshape(-1, classes, classes))


def _percentiles(value: float, drawn: np.ndarray, level: float) -> Interval:
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high), level)
