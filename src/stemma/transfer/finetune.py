"""Transfer of any run to any task: prepare, choose on held-out training examples, learn once a seed, report.

`mode` is the one switch. The dev file is read for reporting alone.
"""

import dataclasses
import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import check_free
from stemma.config import checked
from stemma.errors import RunError
from stemma.layers.threads import computing_with
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.framing import told_of_cut
from stemma.tasks.table import make_task
from stemma.tasks.task import Task
from stemma.training.facts import Fact
from stemma.transfer.recipe import Lesson, Recipe, recipe_for
from stemma.transfer.saving import save
from stemma.transfer.selection import drawn, hold_out
from stemma.transfer.settings import Config, Mode

Told = Callable[[Fact], None]
Examples = str | Path | Sequence[Any]


def finetune(
    run: Any,
    *,
    train: Examples,
    dev: Examples | None = None,
    task: str | Task = "classify",
    mode: Mode | None = None,
    config: Config | None = None,
    out: str | Path | None = None,
    progress: Told | None = None,
) -> FittedRun:
    """The run carried over to the task, with all that a report needs in `.facts`.

    `task` is a name, for its default settings, or a task that was made. `mode` wins over `config.mode`. With `out`, the
    result is saved there as a run folder.
    """
    began = time.perf_counter()
    if out is not None:
        check_free(Path(out))
    config = Config() if config is None else config
    config = checked("transfer", config if mode is None else dataclasses.replace(config, mode=mode), "finetune")
    kind = make_task(task) if isinstance(task, str) else task
    examples, judged = drawn(_examples(kind, train), config.train_limit), _examples(kind, dev) if dev is not None else []
    targets = kind.targets(examples)
    assignment = Assignment(run.row, run.tokenizer, run.network, kind, targets, config)
    recipe = recipe_for(assignment, config)
    work = _Work(assignment, recipe, config, examples, judged)

    for doubt in run.doubts:
        warnings.warn(f"{run.path}: {doubt}; what it learns of the task is its head's doing", stacklevel=2)
    threads = config.threads or recipe.threads(work.train)
    with computing_with(threads):
        trials, value, first = _select(work, progress)
        rows, saved, model = _over_seeds(work, value, first, progress)
    facts = {
        "task": kind.name,
        "mode": config.mode,
        "generation": run.row.name,
        "head": recipe.head,
        **work.facts(),
        "knob": recipe.knob,
        "trials": trials,
        "chosen": {recipe.knob: value},
        "deterministic": recipe.deterministic,
        "seeds": rows,
        "saved_seed": saved,
        "threads": threads,
        **work.means(rows),
        **{key: value for key, value in model.facts.items() if key not in ("seconds", "loss")},
        "seconds": time.perf_counter() - began,
    }
    fitted = FittedRun(assignment, model, facts)
    if out is not None:
        save(fitted, Path(out))
    return fitted


class _Work:
    """The task's examples, prepared: the learning, the selection and the dev part."""

    def __init__(self, assignment: Assignment, recipe: Recipe, config: Config, examples: list[Any], dev: list[Any]) -> None:
        self.task, self.targets, self.recipe, self.config = assignment.task, assignment.targets, recipe, config
        self.metrics = self.task.metrics(self.targets)
        self._examples, self._dev = examples, dev
        gold = self.task.gold(examples, self.targets)
        self.learning, held = hold_out(self.task.strata(gold), config.selection_share, config.selection_limit, config.seeds[0])
        self.dev = self._lesson(dev)
        self.train = Lesson(recipe.prepare(self.task.texts(examples)), gold)
        for part, lesson in (("training examples", self.train), ("dev examples", self.dev)):
            if lesson.data.cut:
                warnings.warn(told_of_cut(lesson.data, part), stacklevel=4)
        self.selection = self._lesson([examples[row] for row in held])

    def facts(self) -> dict[str, Any]:
        """What the report says of the examples."""
        sizes = {
            "train": len(self._examples),
            "learning": len(self.learning),
            "selection": len(self.selection.gold),
            "dev": len(self._dev),
        }
        return {
            "labels": list(self.targets["labels"]),
            "targets": self.targets,
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "examples": sizes,
            "data": {"train": self._fingerprint(self._examples), "dev": self._fingerprint(self._dev) if self._dev else None},
            "cut": {
                "examples": self.train.data.cut,
                "tokens": self.train.data.tokens_cut,
                "units": self.train.data.unread,
                "dev_units": self.dev.data.unread,
            },
        }

    def fit(self, value: float, seed: int, told: Told | None) -> Answers:
        """A model of the learning part."""
        return self.recipe.fit(self.train, self.learning, value, seed, told)

    def score(self, model: Answers, lesson: Lesson) -> tuple[dict[str, float], np.ndarray]:
        """The task's measures of the model on these examples, and what it answered."""
        answers = model.answers(lesson.data)
        return self.task.score(lesson.gold, answers, self.targets), self.task.decode(answers, self.targets)

    def rank(self, found: dict[str, float]) -> tuple[float, float]:
        """By what a trial is chosen: the primary metric, and of equals the lower loss."""
        return self.quality(found), -found.get("loss", 0.0)

    def quality(self, found: dict[str, float]) -> float:
        """The primary metric, turned so that more is better."""
        return self.metrics[0].sign * found[self.metrics[0].name]

    def means(self, rows: list[dict]) -> dict[str, dict[str, float | None]]:
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

    def _fingerprint(self, examples: Sequence[Any]) -> str:
        """Changes whenever an example's text or label does."""
        digest = hashlib.blake2b(digest_size=16)
        for example in examples:
            digest.update(self.task.written(example).encode())
        return digest.hexdigest()


def trial_values(grid: Sequence[float], budget: int) -> list[float]:
    """At most `budget` values of the grid, evenly spaced, its ends kept (its middle, if only one may be tried)."""
    values = sorted(grid)
    if budget >= len(values):
        return values
    places = np.linspace(0, len(values) - 1, budget) if budget > 1 else [(len(values) - 1) / 2]
    return [values[round(place)] for place in places]


def _select(work: _Work, told: Told | None) -> tuple[list[dict], float, Answers]:
    """Every trial's facts, and the value and model of the best; a trial that diverges is told and passed over."""
    knob, trials = work.recipe.knob, []
    best: tuple[tuple[float, float], float, Answers] | None = None
    for value in trial_values(work.config.grid or work.recipe.grid, work.config.budget):
        began = time.perf_counter()
        try:
            model = work.fit(value, work.config.seeds[0], told)
        except RunError as error:
            trials.append({knob: value, "failed": str(error)})
            continue
        found, _ = work.score(model, work.selection)
        trials.append({knob: value, **found, "seconds": time.perf_counter() - began})
        rank = work.rank(found)
        if best is None or rank > best[0]:
            best = (rank, value, model)
    if best is None:
        raise RunError(
            f"every trial failed: {trials[-1]['failed']}", "a grid with a value that works", "set transfer.grid to smaller values"
        )
    return trials, best[1], best[2]


def _over_seeds(work: _Work, value: float, first: Answers, told: Told | None) -> tuple[list[dict], int, Answers]:
    """What each seed gave, prediction by prediction; the seed that was best on the selection part, and its model."""
    seeds = work.config.seeds[:1] if work.recipe.deterministic else work.config.seeds
    rows: list[dict] = []
    best: tuple[float, int, Answers] | None = None
    for seed in seeds:
        model = first if not rows else work.fit(value, seed, told)
        held, _ = work.score(model, work.selection)
        row = {"seed": seed, "selection": held, "seconds": model.facts["seconds"]}
        if len(work.dev.gold):
            found, answers = work.score(model, work.dev)
            row |= {**found, "predictions": answers.tolist()}
        rows.append(row)
        if best is None or work.quality(held) > best[0]:
            best = (work.quality(held), seed, model)
    assert best is not None
    return rows, best[1], best[2]


def _examples(task: Task, given: Examples) -> list[Any]:
    return task.read(given) if isinstance(given, (str, Path)) else task.given(given)
