"""How generations that count learn a task of texts; what they become stands in `runs.counted`. Axes: N texts, K classes."""

import time
from collections.abc import Sequence

import numpy as np
import torch

from stemma.errors import UsageError
from stemma.runs.assignment import Assignment
from stemma.runs.counted import Adapted, Bag, Bagged, Sides, bag_of, encode_sides, unigrams
from stemma.runs.ngrams import extended, flatten, histories
from stemma.tasks.task import Text
from stemma.training.facts import Report
from stemma.transfer.journal import Journal
from stemma.transfer.recipe import Lesson
from stemma.transfer.regression import MODELS, fit_rows
from stemma.transfer.settings import Config


class BagOfNgrams:
    """The recipe of `frozen`: logistic regression on a surprise-weighted bag of the model's n-grams."""

    knob = "C"
    grid = (1.0, 10.0, 100.0)
    deterministic = True

    def __init__(self, assignment: Assignment, config: Config) -> None:
        self._assignment = assignment
        model = MODELS[assignment.task.link(assignment.targets)]
        self.head = f"{model} on the n-grams that the pre-trained model kept, weighed by the root of their surprise"

    def prepare(self, texts: Sequence[Text]) -> Bag:
        """Keys and weights of the texts' n-grams."""
        return bag_of(self._assignment.network, encode_sides(self._assignment.tokenizer, texts))

    def threads(self, lesson: Lesson) -> int:
        """Torch's own choice: hardly anything here is torch's work."""
        return torch.get_num_threads()

    def fit(
        self, lesson: Lesson, rows: np.ndarray, c: float, seed: int, report: Report | None = None, journal: Journal | None = None
    ) -> Bagged:
        """The head of this C on the rows' bags."""
        began = time.perf_counter()
        task, network = self._assignment.task, self._assignment.network
        bag = lesson.data.of(rows)
        columns = np.unique(bag.keys)
        targets = self._assignment.targets
        head = fit_rows(bag.design(columns), task.rows(lesson.gold[rows]), len(targets["labels"]), c, task.link(targets), bag.borders)
        trained = head.weights.size + head.biases.size
        stored = sum(array.size for array in network.arrays().values())
        facts = {
            "features": len(columns),
            "seconds": time.perf_counter() - began,
            "loaded": list(network.arrays()),
            "new": ["task.columns", "task.weights", "task.biases"],
            "frozen": list(network.arrays()),
            "parameters": {"total": stored + trained, "trained": trained},
        }
        return Bagged(self._assignment, columns, head, facts)


class ClassModels:
    """The recipe of `finetune` and `scratch`: one adapted language model a class."""

    knob = "mu"
    grid = (30.0, 100.0, 300.0)
    deterministic = True

    def __init__(self, assignment: Assignment, config: Config) -> None:
        self._assignment, self._config = assignment, config
        prior = "a uniform prior" if config.mode == "scratch" else "the pre-trained model as their prior"
        self.head = f"class-conditional {config.order}-gram models with {prior}, decided by Bayes' rule"
        self._prior = unigrams(assignment)

    def prepare(self, texts: Sequence[Text]) -> Sides:
        """Token ids."""
        return encode_sides(self._assignment.tokenizer, texts)

    def threads(self, lesson: Lesson) -> int:
        """Torch's own choice: hardly anything here is torch's work."""
        return torch.get_num_threads()

    def fit(
        self, lesson: Lesson, rows: np.ndarray, mu: float, seed: int, report: Report | None = None, journal: Journal | None = None
    ) -> Adapted:
        """Counts the rows' n-grams class by class."""
        began = time.perf_counter()
        task, texts = self._assignment.task, lesson.data.of(rows)
        labels, link = task.rows(lesson.gold[rows]), task.link(self._assignment.targets)
        if link == "within":  # right candidates are one class, wrong ones the other
            right = texts.borders[:-1] + labels[:, 0]
            labels = np.isin(np.arange(texts.count), right).astype(np.int64)
        if link == "logistic":
            raise UsageError("several labels a text with class-conditional models", "one label a text", "use transfer.mode = frozen")
        classes = len(self._assignment.targets["labels"]) or 2
        tables: dict[str, np.ndarray] = {"shares": np.bincount(labels, minlength=classes) / len(labels)}
        for side in range(len(texts.sides)):
            tables |= count_classes(texts, side, labels, classes, self._config.order, len(self._prior) - 1)
        facts = {
            "seconds": time.perf_counter() - began,
            "loaded": [] if self._config.mode == "scratch" else list(self._assignment.network.arrays()),
            "new": [f"task.{name}" for name in tables],
            "frozen": [],
            "parameters": {
                "total": len(self._prior) + sum(t.size for t in tables.values()),
                "trained": sum(t.size for t in tables.values()),
            },
        }
        return Adapted(self._assignment, self._prior, tables, mu, facts)


def count_classes(texts: Sides, side: int, labels: np.ndarray, classes: int, order: int, end: int) -> dict[str, np.ndarray]:
    """For n = 1 .. order, counts a class of the n-grams and of their histories: sorted keys and tables (keys, K)."""
    flat, starts = flatten(texts.sides[side], end)
    owner = np.repeat(labels, np.diff(starts))
    past, there = histories(flat, starts, order - 1, side)
    tables = {}
    for n in range(1, order + 1):
        inside = there[n - 1]
        for name, keys in (("ngrams", extended(past[n - 1], flat)), ("histories", past[n - 1])):
            known, place = np.unique(keys[inside], return_inverse=True)
            counts = np.bincount(place * classes + owner[inside], minlength=len(known) * classes)
            tables[f"{name}.{side}.{n}"] = known
            tables[f"{name}.{side}.{n}.counts"] = counts.reshape(-1, classes).astype(np.float32)
    return tables
