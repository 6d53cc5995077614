"""Transfer of any run to any task: prepare, choose on held-out training examples, learn once a seed, report.

`mode` is the one switch. The dev file is read for reporting alone.
"""

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import as_read, checked
from stemma.errors import RunError, UsageError
from stemma.layers.threads import computing_with
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.framing import cut_warning
from stemma.tasks.table import make_task
from stemma.tasks.task import Targets, Task
from stemma.tokens.files import one_writer
from stemma.training.facts import Note, Report
from stemma.transfer import own_text
from stemma.transfer.distill import TaskTeacher
from stemma.transfer.doubts import DevDoubt, floor_warning, repeats_warning
from stemma.transfer.journal import BEST_SEED, BEST_TRIAL, Journal
from stemma.transfer.recipe import Lesson, Rank, Recipe, recipe_for
from stemma.transfer.saving import begin, finish, identity_of, settled_threads
from stemma.transfer.selection import drawn, hold_out
from stemma.transfer.settings import Config, Mode, in_words

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
    progress: Report | None = None,
    teacher: TaskTeacher | None = None,
    targets: Targets | None = None,
) -> FittedRun:
    """The run carried over to the task, with all that a report needs in `.facts`.

    A `teacher` that has learnt the task is imitated, and its labels are the label space; so are the `targets` of more examples
    than those that are learnt from.

    `task` is a name, for its default settings, or a task that was made. `mode` wins over `config.mode`. With `out`, the
    result is saved there as a run folder: the same call again goes on where a killed one was, to the same weights, and gives
    back what is finished. RunError when the folder was begun with other settings, or while another process writes into it.
    """
    config = Config() if config is None else config
    config = as_read(checked("transfer", config if mode is None else dataclasses.replace(config, mode=mode), "finetune"))
    kind = make_task(task) if isinstance(task, str) else task
    place = Path(out) if out is not None else None
    first_place = own_text.place_for(place) if config.first_on_text else nullcontext()
    with one_writer(place) if place else nullcontext(), first_place as reading:
        every, judged = _examples(kind, train), _examples(kind, dev) if dev is not None else []
        examples = drawn(every, config.train_limit)
        targets = teacher.targets if teacher else targets or _label_space(kind, every, examples)
        assignment = Assignment(run.row, run.tokenizer, run.module(), kind, targets, config)
        data = {"train": _fingerprint(kind, examples), "dev": _fingerprint(kind, judged) if judged else None}
        identity = identity_of(run, assignment, data) | (teacher.identity() if teacher else {})
        folder = RunFolder.resume(place, identity) if place else None
        if folder and folder.finished:
            return FittedRun.load(folder.path)
        if repeats := repeats_warning(kind, examples, judged):
            warnings.warn(repeats, DevDoubt, stacklevel=2)
        first: dict[str, Any] = {}
        if reading is not None:
            recipe_for(assignment, config)  # what cannot be learnt is refused before
            read, first = own_text.read_first(run, kind.texts(examples), config, reading, progress)
            assignment = dataclasses.replace(assignment, tokenizer=read.tokenizer, network=read.module())
        recipe = teacher.recipe(assignment, kind.texts(examples), progress) if teacher else recipe_for(assignment, config)
        work = _Work(assignment, recipe, config, examples, judged)
        for doubt in run.doubts:
            whose = "learnt from its examples alone" if kind.per == "target" else "its head's doing"
            warnings.warn(f"{run.path}: {doubt}; what it learns of the task is {whose}", stacklevel=2)
        threads = config.threads or (settled_threads(folder) if folder else work.recipe.threads(work.train))
        if place and folder is None:
            folder = begin(place, assignment, identity, threads)
        journal = Journal(folder, assignment)
        if journal.summary and progress:
            progress(Note(f"going on: {journal.summary}"))
        with computing_with(threads), journal.interrupted():
            value = _select(work, journal, progress)
            best, model = _over_seeds(work, value, journal, progress)
        settled = dataclasses.replace(assignment, targets=assignment.targets | best["settled"])
        facts = work.facts(data) | {"threads": threads, "chosen": {work.recipe.knob: value}, "saved_seed": best["seed"]}
        beside: dict[str, Any] = {"taught": teacher.facts(settled, model, *work.judging)} if teacher else {}
        beside |= {"first_on_text": first, "ways": [own_text.in_words(first), *facts["ways"]]} if first else {}
        fitted = FittedRun(settled, model, {**facts, "targets": settled.targets, **_found(work, journal, model), **beside})
        if doubt := floor_warning(fitted.facts):
            warnings.warn(f"what was learnt is {doubt}", DevDoubt, stacklevel=2)
        if folder is not None:
            finish(fitted, folder)
        return fitted


def _found(work: "_Work", journal: Journal, model: Answers) -> dict[str, Any]:
    """What the report says of the trials, the seeds and the model that is kept."""
    return {
        "trials": list(journal.done.trials),
        "left_out": _left_out(work, journal),
        "seeds": list(journal.done.rows),
        **work.means(journal.done.rows),
        "floor": work.floor(journal.done.rows),
        **{key: value for key, value in model.facts.items() if key not in ("seconds", "loss", "chosen")},
        "seconds": journal.seconds,
    }


def _left_out(work: "_Work", journal: Journal) -> dict[str, Any]:
    """The values of the knob, and the seeds, for which the seconds were too few; empty where they were not."""
    tried, seeds = len(journal.done.trials), len(journal.done.rows)
    wanted = 1 if work.recipe.deterministic else len(work.config.seeds)
    found = {work.recipe.knob: work.values[tried:], "seeds": list(work.config.seeds[seeds:wanted])}
    return {name: values for name, values in found.items() if values}


class _Work:
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


def trial_values(grid: Sequence[float], budget: int) -> list[float]:
    """At most `budget` values of the grid, evenly spaced, its ends kept (its middle, if only one may be tried)."""
    values = sorted(grid)
    if budget >= len(values):
        return values
    places = np.linspace(0, len(values) - 1, budget) if budget > 1 else [(len(values) - 1) / 2]
    return [values[round(place)] for place in places]


def middle_first(values: Sequence[float]) -> list[float]:
    """The values from the middle outwards: where time ends early, the ends are left out.

    >>> middle_first([1, 2, 3, 4])
    [2, 3, 1, 4]
    """
    middle = (len(values) - 1) / 2
    return [values[place] for place in sorted(range(len(values)), key=lambda place: abs(place - middle))]


def _affordable(work: _Work, journal: Journal) -> float:
    """How many models may be learnt in all: as many as the seconds buy at the first one's price, one at least.

    It follows from what the journal keeps, so that a resumed call comes to the same.
    """
    seconds, trials = work.config.budget_seconds, journal.done.trials
    return max(1, seconds // max(trials[0]["seconds"], 1e-9)) if seconds and trials else math.inf


def _seeds(work: _Work, journal: Journal) -> tuple[int, ...]:
    """Those that there is time for; the first one's model is that of a trial. One where no seed changes anything."""
    seeds = work.config.seeds[:1] if work.recipe.deterministic else work.config.seeds
    further = _affordable(work, journal) - len(journal.done.trials)
    return seeds[: 1 + int(min(max(further, 0), len(seeds)))]


def _select(work: _Work, journal: Journal, report: Report | None) -> float:
    """The value of the best trial; the journal has every trial's facts. A trial that diverges is reported and passed over."""
    knob, values = work.recipe.knob, work.values
    for number, value in enumerate(values[len(journal.done.trials) :], start=len(journal.done.trials) + 1):
        if number > _affordable(work, journal):
            break
        work.announce(f"trial {number} of {len(values)}", value, report)
        try:
            model = work.fit(value, work.config.seeds[0], report, journal)
        except RunError as error:
            journal.trial({knob: value, "failed": str(error), "seconds": journal.last_seconds}, None)
            continue
        found, _ = work.held(model)
        trial = {knob: value, **found, "seconds": journal.last_seconds}
        best = _best_trial(work, journal.done.trials)
        journal.trial(trial, model if best is None or work.rank(trial) > work.rank(best) else None)
    trials = journal.done.trials
    best = _best_trial(work, trials)
    if best is None:
        raise RunError(
            f"every trial failed: {trials[-1]['failed']}", "a grid with a value that works", "set transfer.grid to smaller values"
        )
    return best[knob]


def _best_trial(work: _Work, trials: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The facts of the best one, the first of equals; None where none worked."""
    return max((trial for trial in trials if "failed" not in trial), key=work.rank, default=None)


def _over_seeds(work: _Work, value: float, journal: Journal, report: Report | None) -> tuple[dict[str, Any], Answers]:
    """What the seed gave that was best on the selection part, and its model; the journal has that of each, prediction by prediction."""
    seeds = _seeds(work, journal)
    for seed in seeds[len(journal.done.rows) :]:
        rows = journal.done.rows
        if rows:
            work.announce(f"seed {seed}, {len(rows) + 1} of {len(seeds)}", value, report)
        model = work.fit(value, seed, report, journal) if rows else journal.done.models[BEST_TRIAL]
        held, targets = work.held(model)
        settled = {key: value for key, value in targets.items() if value != work.targets[key]}
        row = {"seed": seed, "selection": held, "settled": settled, "seconds": model.facts["seconds"]}
        if len(work.dev.gold):
            found, answers = work.score(model, work.dev, targets)
            row |= {**found, "predictions": answers.tolist()}
        better = not rows or work.quality(held) > max(work.quality(earlier["selection"]) for earlier in rows)
        journal.seed(row, model if better else None)
    best = max(journal.done.rows, key=lambda row: work.quality(row["selection"]))
    return best, journal.done.models[BEST_SEED]


def _examples(task: Task, given: Examples) -> list[Any]:
    return task.read(given) if isinstance(given, (str, Path)) else task.given(given)


def _label_space(task: Task, every: Sequence[Any], examples: Sequence[Any]) -> Targets:
    """The label space of the examples, with all the labels of those that they were drawn from: dev may have one that the draw lacks."""
    found = task.targets(every)
    return found if found["labels"] or len(examples) == len(every) else task.targets(examples)


def _fingerprint(task: Task, examples: Sequence[Any]) -> str:
    """Changes whenever an example's text or label does."""
    digest = hashlib.blake2b(digest_size=16)
    for example in examples:
        digest.update(task.written(example).encode())
    return digest.hexdigest()
