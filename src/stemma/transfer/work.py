"""A task's examples, prepared for a way to learn it: what is learnt from, what is chosen on, what is reported on."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from stemma.errors import UsageError
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.framing import cut_warning
from stemma.tasks.task import Targets
from stemma.training.facts import Note, Report
from stemma.transfer.journal import Journal
from stemma.transfer.recipe import Lesson, Rank, Recipe
from stemma.transfer.selection import hold_out, middle_first, trial_values
from stemma.transfer.settings import Config, in_words


class Work:
    """The task's examples, prepared: the learning, the selection and the dev part."""

    def __init__(self, assignment: Assignment, recipe: Recipe, config: Config, examples: list[Any], dev: list[Any]) -> None:
        self.task, self.targets, self.recipe, self.config = assignment.task, assignment.targets, recipe, config
        if config.stride and self.task.per != "unit":
            wrong = f"transfer.stride = {config.stride} for the task {self.task.name}, which reads a text in one window"
            raise UsageError(wrong, "a task that answers for words, such as span or tag", "drop transfer.stride")
        self.generation = assignment.row.name
        self.metrics = self.task.metrics(self.targets)
        values = trial_values(config.grid or recipe.grid, config.budget)
        self.values = middle_first(values) if config.budget_seconds else values  # of the knob, as they are tried
        self._examples, self._dev = examples, dev
        gold = self.task.gold(examples, self.targets)
        self.learning, held = hold_out(self.task.strata(gold), config.selection_share, config.selection_limit, config.seeds[0])
        self.dev = self._lesson(dev)
        self.train = Lesson(recipe.prepare(self.task.texts(examples)), gold, self.judge)
        for part, lesson in (("training examples", self.train), ("dev examples", self.dev)):
            if lesson.data.cut:
                warnings.warn(cut_warning(lesson.data, part), stacklevel=4)
        self._held = [examples[row] for row in held]
        self.selection = self._lesson(self._held)

    def facts(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the report says of the way and of the examples, whose fingerprints `data` are."""
        sizes = {
            "train": len(self._examples),
            "learning": len(self.learning),
            "selection": len(self.selection.gold),
            "dev": len(self._dev),
        }
        return {
            "task": self.task.name,
            "mode": self.config.mode,
            "generation": self.generation,
            "head": self.recipe.head,
            "ways": in_words(self.config),
            "knob": self.recipe.knob,
            "deterministic": self.recipe.deterministic,
            "labels": list(self.targets["labels"]),
            "targets": self.targets,
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "examples": sizes,
            "data": data,
            "cut": {
                **({"crossing": self._crossing} if self.task.needs_context else {}),
                "examples": self.train.data.cut,
                "tokens": self.train.data.tokens_cut,
                "units": self.train.data.unread,
                "dev_units": self.dev.data.unread,
            },
        }

    def fit(self, value: float, seed: int, report: Report | None, journal: Journal) -> Answers:
        """A model of the learning part."""
        model = self.recipe.fit(self.train, self.learning, value, seed, report, journal)
        model.facts["chosen"] = {self.recipe.knob: value}
        return model

    def announce(self, fit: str, value: float, report: Report | None) -> None:
        """Says which fit begins, where fits take their time."""
        if report and not self.recipe.deterministic:
            report(Note(f"{fit}: {self.recipe.knob} {value:g}"))

    def score(self, model: Answers, lesson: Lesson, targets: Targets | None = None) -> tuple[dict[str, float], np.ndarray]:
        """The task's measures of the model on these examples, and what it answered; `targets` where they were settled since."""
        answers, targets = model.answers(lesson.data), targets or self.targets
        return self.task.score(lesson.gold, answers, targets), self.task.decode(answers, targets)

    def held(self, model: Answers) -> tuple[dict[str, float], Targets]:
        """The measures on the selection part, and the label space as it is settled there."""
        answers = model.answers(self.selection.data)
        targets = self.task.settled(self.selection.gold, answers, self.targets)
        return self.task.score(self.selection.gold, answers, targets), targets

    def judge(self, model: Answers) -> Rank:
        """How good the model is on the selection part."""
        return self.rank(self.held(model)[0])

    def rank(self, found: dict[str, float]) -> Rank:
        """By what a trial is chosen: the primary metric, and of equals the lower loss."""
        return self.quality(found), -found.get("loss", 0.0)

    def quality(self, found: dict[str, float]) -> float:
        """The primary metric, turned so that more is better."""
        return self.metrics[0].sign * found[self.metrics[0].name]

    @property
    def judging(self) -> tuple[Lesson, list[Any], str]:
        """What a model is judged on: dev, or without one the selection part; its examples, and what one of them is called."""
        if len(self.dev.gold):
            return self.dev, self._dev, "dev example"
        return self.selection, self._held, "held-out training example"

    def floor(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What needs no learning gets on what models are judged on, and what the seeds `reached` there."""
        lesson, examples, name = self.judging
        found = [row if len(self.dev.gold) else row["selection"] for row in rows]
        reached = float(np.mean([one[self.metrics[0].name] for one in found]))
        least = self.task.floor(self.train.gold[self.learning], lesson.gold, self.task.texts(examples), self.targets)
        return {**least, "reached": reached, "examples": len(lesson.gold), "of": name}

    @property
    def _crossing(self) -> int:
        """Training answers of which a part stands in another window than the rest."""
        found: int = self.train.data.crossing(self.task.labels(self.train.gold))
        return found

    def means(self, rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
        """Mean and standard deviation over seeds of each measure on dev; of a single seed there is no deviation (None)."""
        found: dict[str, dict[str, float | None]] = {}
        for name in [*(metric.name for metric in self.metrics), "loss"]:
            values = [row[name] for row in rows if name in row]
            if values:
                spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
                found[name] = {"mean": float(np.mean(values)), "std": spread}
        return found

    def _lesson(self, examples: list[Any]) -> Lesson:
        return Lesson(self.recipe.prepare(self.task.texts(examples)), self.task.gold(examples, self.targets))
