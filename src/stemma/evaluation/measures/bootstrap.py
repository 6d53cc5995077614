"""The bootstrap: 95 % intervals of any measure, alone and for the difference of two systems.

Examples are drawn with replacement (Efron 1979); of several seeds, seeds are drawn too, so that the interval holds the luck
of training as well as that of the examples. A measure is a function of sums: each example has terms, such as (right, 1) for
accuracy or (nats, characters) for bits per character, and a resample's terms are summed before the measure is taken.
Examples with equal terms are alike, so a resample is one multinomial draw over the distinct ones, not N draws.
What is no function of sums (a correlation of ranks) is computed anew from the rows of each resample.

Axes: S seeds, N examples, C terms, R resamples, D distinct examples, G strata.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stemma.errors import UsageError
from stemma.objectives.batch import generator

RESAMPLES = 2000
_LEVEL = 0.95
_HELD = 4_000_000  # counts of resamples held at once: 32 MB

Measure = Callable[[np.ndarray], np.ndarray]  # summed terms (... C) -> values (...)


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure and the 95 % percentile interval round it."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True when the interval lies on one side of zero: of a difference, that it is real."""
        return self.low > 0 or self.high < 0

    @property
    def half(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2

    def overlaps(self, other: "Interval") -> bool:
        """True when the two intervals share a value."""
        return self.low <= other.high and other.low <= self.high

    def as_dict(self) -> dict[str, float]:
        """JSON-able."""
        return {"value": self.value, "low": self.low, "high": self.high}


def interval(terms: np.ndarray, measure: Measure, strata: np.ndarray | None = None, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The interval of `measure`, its mean over seeds, from the terms (S N C) of each seed and example.

    `strata` (N) are class numbers: each class is then drawn again by itself, and keeps its size.
    """
    (whole,), (drawn,) = _resampled([terms], measure, strata, resamples, seed)
    return _percentiles(whole, drawn)


def difference(ours: np.ndarray, theirs: np.ndarray, measure: Measure, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The paired interval of measure(ours) - measure(theirs), each (S N C): both are measured on the same resamples."""
    whole, drawn = _resampled([ours, theirs], measure, None, resamples, seed)
    return _percentiles(whole[0] - whole[1], drawn[0] - drawn[1])


def interval_of_rows(
    statistic: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray, resamples: int = 1000, seed: int = 0
) -> Interval:
    """The interval of a statistic of two columns (N), such as a correlation, taken anew from the rows of each resample."""
    each = np.ones(len(x), np.int64)
    draws = _draws(generator("bootstrap", seed), each, np.zeros_like(each), resamples)
    picks = (np.repeat(np.arange(len(x)), weights) for chunk in draws for weights in chunk)
    return _percentiles(statistic(x, y), np.array([statistic(x[pick], y[pick]) for pick in picks]))


def _resampled(
    systems: Sequence[np.ndarray], measure: Measure, strata: np.ndarray | None, resamples: int, seed: int
) -> tuple[list[float], list[np.ndarray]]:
    """Of each system its measure on all examples, and on the same resamples of them (R), both as means over its seeds."""
    examples = _checked(systems)
    rng = generator("bootstrap", seed)
    rows = [_alike(terms) for system in systems for terms in system]  # S of (D C), (N)
    classes = np.zeros(examples, np.int64) if strata is None else strata
    kinds, counts = np.unique(np.stack([classes, *(which for _, which in rows)]), axis=1, return_counts=True)  # (1+S D)
    draws = _draws(rng, counts, kinds[0], resamples)
    values = _measured(draws, [row[kind] for (row, _), kind in zip(rows, kinds[1:], strict=True)], measure)
    whole, drawn, at = [], [], 0
    for system in systems:
        seeds = len(system)
        chosen = rng.integers(seeds, size=(seeds, resamples))
        drawn.append(np.take_along_axis(values[at : at + seeds], chosen, axis=0).mean(0))
        whole.append(float(np.mean(measure(system.sum(1, dtype=np.float64)))))
        at += seeds
    return whole, drawn


def _checked(systems: Sequence[np.ndarray]) -> int:
    sizes = {system.shape[1] for system in systems}
    if len(sizes) > 1 or 0 in sizes:
        told = f"answers to {' and '.join(map(str, sorted(sizes)))} examples"
        raise UsageError(told, "answers to the same examples, one or more", "answer the same file")
    return sizes.pop()


def _alike(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of terms (N C), the largest first, and which of them each example has (N)."""
    rows, which = np.unique(terms, axis=0, return_inverse=True)
    return rows[::-1], len(rows) - 1 - which.reshape(-1)


def _draws(rng: np.random.Generator, counts: np.ndarray, classes: np.ndarray, resamples: int) -> Iterator[np.ndarray]:
    """How often each kind of example (D), of which there are `counts`, is drawn in some resamples at a time (r D), class by class."""
    members = [np.flatnonzero(classes == k) for k in np.unique(classes)]
    step = max(1, _HELD // len(counts))
    for start in range(0, resamples, step):
        weights = np.empty((min(step, resamples - start), len(counts)), np.int64)
        for kinds in members:
            size = counts[kinds].sum()
            weights[:, kinds] = rng.multinomial(size, counts[kinds] / size, len(weights))
        yield weights


def _measured(draws: Iterator[np.ndarray], terms: Sequence[np.ndarray], measure: Measure) -> np.ndarray:
    """The measure (S R) of the summed terms, (D C) of each seed."""
    chunks = [[measure(weights.astype(np.float64) @ own) for own in terms] for weights in draws]
    return np.concatenate([np.stack(chunk) for chunk in chunks], axis=1)


def _percentiles(value: float, drawn: np.ndarray) -> Interval:
    """The interval between the outer percentiles; resamples of which the measure is not defined are left out."""
    low, high = np.nanquantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(value), float(low), float(high))
