"""Answers to a task against what is right: every metric of the task with its interval, and the difference of two systems.

Axes: S seeds, N examples, C terms.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stemma.evaluation.measures.intervals import Effects, Interval, Measure, difference, effects, interval
from stemma.tasks.task import Targets, Task


class Judge:
    """Measures answers (of each seed, to every example) in the form of the task's gold, or as `rows` of it."""

    def __init__(self, task: Task, targets: Targets, gold: Sequence[Any] | np.ndarray) -> None:
        self.task, self.targets, self.gold = task, targets, as_array(gold)
        self.metrics = task.metrics(targets)

    def terms(self, answers: Sequence[Any]) -> np.ndarray:
        """What each seed's answer to each example adds to the metrics (S N C)."""
        return np.stack([self.task.terms(self.gold, as_array(seed), self.targets) for seed in answers])

    def intervals(self, answers: Sequence[Any]) -> dict[str, Interval]:
        """Each metric by its name, its mean over seeds."""
        terms = self.terms(answers)
        return {metric.name: interval(terms, self.measure(metric.name), metric.share) for metric in self.metrics}

    def values(self, answers: Sequence[Any]) -> list[float]:
        """The primary metric of each seed."""
        found: list[float] = self.measure(self.metrics[0].name)(self.terms(answers).sum(1, dtype=np.float64)).tolist()
        return found

    def effects(self, answers: Sequence[Any]) -> Effects:
        """What the examples do to the primary metric, counted so that more is better: what leads are found from."""
        metric = self.metrics[0]
        found = effects(self.terms(answers), self.measure(metric.name), metric.share)
        return found if metric.higher_is_better else -found

    def difference(self, ours: Sequence[Any], theirs: Sequence[Any]) -> Interval:
        """How much more of the primary metric `ours` have than `theirs`, on the same examples."""
        metric = self.metrics[0]
        return difference(self.terms(ours), self.terms(theirs), self.measure(metric.name), metric.share)

    def measure(self, name: str) -> Measure:
        """What gives the metric of this name from sums of terms."""
        return lambda sums: self.task.measures(sums, self.targets)[name]


def rows(answers: np.ndarray) -> list[Any]:
    """Answers as JSON-able values, one an example."""
    return [row.tolist() if isinstance(row, np.ndarray) else row for row in answers.tolist()]


def as_array(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """`rows` as the array that they were: an object array where lengths differ."""
    if isinstance(values, np.ndarray):
        return values
    if len({len(row) for row in values if isinstance(row, (list, tuple))}) > 1:
        ragged = np.empty(len(values), dtype=object)
        ragged[:] = [np.array(row) for row in values]
        return ragged
    return np.array(values)
