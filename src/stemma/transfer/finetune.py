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
    labels, gold = kind.label_numbers(examples, names), kind.label_numbers(judged, names)
    recipe = kind.recipe(run, config)
    lesson = Lesson(recipe.prepare(examples), labels, len(names))
    judged_lesson = Lesson(recipe.prepare(judged), gold, len(names))
    learning, selection = hold_out(labels, config.selection_share, config.selection_limit, config.seeds[0] if config.seeds else 0)

    trials, best = _select(recipe, kind, lesson, (learning, selection), config, progress)
    models = [best[1]]
    if not recipe.deterministic:
        models += [recipe.fit(lesson, learning, best[0], seed, progress) for seed in config.seeds[1:]]
    rows = [_seed_facts(kind, model, lesson, selection, judged_lesson) for model in models]
    rows = [{"seed": seed, **row} for seed, row in zip(config.seeds, rows, strict=False)]
    chosen = max(range(len(models)), key=lambda k: (rows[k]["selection"]["accuracy"], -k))
    facts = {
        "task": task,
        "mode": config.mode,
        "generation": run.row.name,
        "head": recipe.head,
        "labels": list(names),
        "pairs": any(example.text_b for example in examples),
        "examples": {"train": len(examples), "learning": len(learning), "selection": len(selection), "dev": len(judged)},
        "data": {"train": fingerprint(examples), "dev": fingerprint(judged) if judged else None},
        "cut": _cut(lesson.data),
        "knob": recipe.knob,
        "trials": trials,
        "chosen": {recipe.knob: best[0]},
        "deterministic": recipe.deterministic,
        "seeds": rows,
        "saved_seed": rows[chosen]["seed"],
        **_means(rows),
        **{key: value for key, value in models[chosen].facts.items() if key not in ("seconds", "loss")},
        "seconds": time.perf_counter() - began,
    }
    result = Classifier(run, task, config, recipe, models[chosen], names, facts)
    if out is not None:
        result.save(Path(out))
    return result


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


def _select(
    recipe: Recipe, kind: Any, lesson: Lesson, split: tuple[np.ndarray, np.ndarray], config: Config, told: Told | None
) -> tuple[list[dict], tuple[float, Fitted]]:
    """Every trial's facts, and the value and model of the best; a trial that diverges is told and passed over."""
    learning, selection = split
    trials: list[dict] = []
    best: tuple[tuple[float, float], float, Fitted] | None = None
    for value in trial_values(config.grid or recipe.grid, config.budget):
        began = time.perf_counter()
        try:
            model = recipe.fit(lesson, learning, value, config.seeds[0], told)
        except RunError as error:
            trials.append({recipe.knob: value, "failed": str(error)})
            continue
        found = kind.score(lesson.labels[selection], model.probabilities(lesson.data)[selection])
        trials.append({recipe.knob: value, **found, "seconds": time.perf_counter() - began})
        rank = (found["accuracy"], -found["loss"])
        if best is None or rank > best[0]:
            best = (rank, value, model)
    if best is None:
        told_last = trials[-1]["failed"]
        raise RunError(f"every trial failed: {told_last}", "a grid with a value that works", "set transfer.grid to smaller values")
    return trials, best[1:]


def _seed_facts(kind: Any, model: Fitted, lesson: Lesson, selection: np.ndarray, dev: Lesson) -> dict:
    """What one model gave, on the selection part and on the dev file, prediction by prediction."""
    held = kind.score(lesson.labels[selection], model.probabilities(lesson.data)[selection])
    row = {"selection": held, "seconds": model.facts["seconds"]}
    if not len(dev.labels):
        return row
    probabilities = model.probabilities(dev.data)
    return row | {**kind.score(dev.labels, probabilities), "predictions": kind.decode(probabilities).tolist()}


def _means(rows: list[dict]) -> dict[str, dict[str, float]]:
    if "accuracy" not in rows[0]:
        return {}
    spread = lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0  # noqa: E731
    found = {name: [row[name] for row in rows] for name in ("accuracy", "macro_f1", "loss")}
    return {name: {"mean": float(np.mean(values)), "std": spread(values)} for name, values in found.items()}


def _examples(given: str | Path | Sequence[Example]) -> list[Example]:
    return read_examples(Path(given)) if isinstance(given, (str, Path)) else list(given)


def _cut(data: Any) -> dict[str, int]:
    return {"examples": getattr(data, "cut", 0), "tokens": getattr(data, "tokens_cut", 0)}
