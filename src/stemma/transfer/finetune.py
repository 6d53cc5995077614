"""Transfer of any run to any task: prepare, choose on held-out training examples, learn once a seed, report.

`mode` is the one switch. The dev file is read for reporting alone.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.corpus.task import Example, read_examples
from stemma.errors import RunError
from stemma.training.settings import Fact
from stemma.transfer.recipe import Fitted, Lesson, Recipe
from stemma.transfer.result import Classifier
from stemma.transfer.selection import hold_out
from stemma.transfer.settings import Config, Mode
from stemma.transfer.tasks import find_task

Told = Callable[[Fact], None]


def finetune(
    run: Any,
    *,
    train: str | Path | Sequence[Example],
    dev: str | Path | Sequence[Example] | None = None,
    task: str = "classify",
    mode: Mode | None = None,
    config: Config | None = None,
    out: str | Path | None = None,
    progress: Told | None = None,
) -> Classifier:
    """The run carried over to the task, with all that a report needs in `.facts`.

    `mode` wins over `config.mode`. With `out`, the result is saved there as a run folder.
    """
    began = time.perf_counter()
    config = config or Config()
    config = dataclasses.replace(config, mode=mode or config.mode)
    kind = find_task(task)
    examples, judged = _examples(train), _examples(dev) if dev is not None else []
    names = kind.label_names(examples)
    recipe = kind.recipe(run, config)
    work = _Work(kind, recipe, config, examples, judged, names)

    trials, value, first = _select(work, progress)
    rows, saved, model = _over_seeds(work, value, first, progress)
    facts = {
        "task": task,
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
        **_means(rows),
        **{key: value for key, value in model.facts.items() if key not in ("seconds", "loss")},
        "seconds": time.perf_counter() - began,
    }
    result = Classifier(run, task, config, recipe, model, names, facts)
    if out is not None:
        result.save(Path(out))
    return result


class _Work:
    """The task's examples, numbered and tokenised: the learning, the selection and the dev part."""

    def __init__(
        self, kind: Any, recipe: Recipe, config: Config, examples: list[Example], dev: list[Example], names: Sequence[str]
    ) -> None:
        self.kind, self.recipe, self.config, self.names = kind, recipe, config, names
        self._examples, self._dev = examples, dev
        labels = kind.label_numbers(examples, names)
        self.learning, held = hold_out(labels, config.selection_share, config.selection_limit, config.seeds[0])
        self.dev = self._lesson(dev)
        self.train = Lesson(recipe.prepare(examples), labels, len(names))
        self.selection = self._lesson([examples[row] for row in held])

    def facts(self) -> dict[str, Any]:
        """What the report says of the examples."""
        sizes = {
            "train": len(self._examples),
            "learning": len(self.learning),
            "selection": len(self.selection.labels),
            "dev": len(self._dev),
        }
        data = self.train.data
        return {
            "labels": list(self.names),
            "pairs": any(example.text_b for example in self._examples),
            "examples": sizes,
            "data": {"train": fingerprint(self._examples), "dev": fingerprint(self._dev) if self._dev else None},
            "cut": {"examples": getattr(data, "cut", 0), "tokens": getattr(data, "tokens_cut", 0)},
        }

    def fit(self, value: float, seed: int, told: Told | None) -> Fitted:
        """A model of the learning part."""
        return self.recipe.fit(self.train, self.learning, value, seed, told)

    def score(self, model: Fitted, lesson: Lesson) -> tuple[dict[str, float], np.ndarray]:
        """The task's measures of the model on these examples, and what it answered."""
        probabilities = model.probabilities(lesson.data)
        return self.kind.score(lesson.labels, probabilities), self.kind.decode(probabilities)

    def _lesson(self, examples: list[Example]) -> Lesson:
        return Lesson(self.recipe.prepare(examples), self.kind.label_numbers(examples, self.names), len(self.names))


def fingerprint(examples: Sequence[Example]) -> str:
    """Changes whenever an example's text or label does."""
    digest = hashlib.blake2b(digest_size=16)
    for example in examples:
        digest.update("\t".join((example.label, example.text, example.text_b, "\n")).encode())
    return digest.hexdigest()


def trial_values(grid: Sequence[float], budget: int) -> list[float]:
    """At most `budget` values of the grid, evenly spaced, its ends kept (its middle, if only one may be tried)."""
    values = sorted(grid)
    if budget >= len(values):
        return values
    places = np.linspace(0, len(values) - 1, budget) if budget > 1 else [(len(values) - 1) / 2]
    return [values[round(place)] for place in places]


def _select(work: _Work, told: Told | None) -> tuple[list[dict], float, Fitted]:
    """Every trial's facts, and the value and model of the best; a trial that diverges is told and passed over."""
    knob, trials = work.recipe.knob, []
    best: tuple[tuple[float, float], float, Fitted] | None = None
    for value in trial_values(work.config.grid or work.recipe.grid, work.config.budget):
        began = time.perf_counter()
        try:
            model = work.fit(value, work.config.seeds[0], told)
        except RunError as error:
            trials.append({knob: value, "failed": str(error)})
            continue
        found, _ = work.score(model, work.selection)
        trials.append({knob: value, **found, "seconds": time.perf_counter() - began})
        rank = (found["accuracy"], -found["loss"])
        if best is None or rank > best[0]:
            best = (rank, value, model)
    if best is None:
        raise RunError(
            f"every trial failed: {trials[-1]['failed']}", "a grid with a value that works", "set transfer.grid to smaller values"
        )
    return trials, best[1], best[2]


def _over_seeds(work: _Work, value: float, first: Fitted, told: Told | None) -> tuple[list[dict], int, Fitted]:
    """What each seed gave, prediction by prediction; the seed that was best on the selection part, and its model."""
    seeds = work.config.seeds[:1] if work.recipe.deterministic else work.config.seeds
    rows: list[dict] = []
    best: tuple[float, int, Fitted] | None = None
    for seed in seeds:
        model = first if not rows else work.fit(value, seed, told)
        held, _ = work.score(model, work.selection)
        row = {"seed": seed, "selection": held, "seconds": model.facts["seconds"]}
        if len(work.dev.labels):
            found, answers = work.score(model, work.dev)
            row |= {**found, "predictions": answers.tolist()}
        rows.append(row)
        if best is None or held["accuracy"] > best[0]:
            best = (held["accuracy"], seed, model)
    assert best is not None
    return rows, best[1], best[2]


def _means(rows: list[dict]) -> dict[str, dict[str, float]]:
    if "accuracy" not in rows[0]:
        return {}
    spread = lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0  # noqa: E731
    found = {name: [row[name] for row in rows] for name in ("accuracy", "macro_f1", "loss")}
    return {name: {"mean": float(np.mean(values)), "std": spread(values)} for name, values in found.items()}


def _examples(given: str | Path | Sequence[Example]) -> list[Example]:
    return read_examples(Path(given)) if isinstance(given, (str, Path)) else list(given)
