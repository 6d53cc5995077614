"""Which value of the knob, and which seed: models are learnt, compared on held-out training examples, and the best is kept.

One after the other: each value with the first seed, then the best value with the others. Or crossed: each value with each seed.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stemma.errors import RunError
from stemma.runs.assignment import Answers
from stemma.training.facts import Report
from stemma.transfer.journal import BEST_SEED, BEST_TRIAL, Journal
from stemma.transfer.recipe import Rank
from stemma.transfer.work import Work


class Chosen(NamedTuple):
    """What the trials and the seeds came to."""

    value: float  # of the knob
    row: dict[str, Any]  # what is told of the seed whose model is kept
    model: Answers


def choose(work: Work, journal: Journal, report: Report | None) -> Chosen:
    """The best value of the knob with the best of its seeds. The journal has every trial, and the rows of that value's seeds.

    RunError where no value works.
    """
    if work.config.crossed:
        return _crossed(work, journal, report)
    value = _select(work, journal, report)
    return Chosen(value, *_over_seeds(work, value, journal, report))


def left_out(work: Work, journal: Journal) -> dict[str, Any]:
    """The values of the knob, and the seeds, for which the seconds were too few, or the `pairs` of both; empty where they were not."""
    tried, seeds = len(journal.done.trials), len(journal.done.rows)
    found = {work.recipe.knob: work.values[tried:], "seeds": list(_all_seeds(work)[seeds:])}
    if work.config.crossed:
        found = {"pairs": [list(pair) for pair in _pairs(work)[tried:]]}
    return {name: values for name, values in found.items() if values}


def _all_seeds(work: Work) -> tuple[int, ...]:
    """Those asked for; one where no seed changes anything."""
    return work.config.seeds[:1] if work.recipe.deterministic else work.config.seeds


def _pairs(work: Work) -> list[tuple[float, int]]:
    """Each value with each seed, in the order in which they are learnt: all values with the first seed, then with the next."""
    return [(value, seed) for seed in _all_seeds(work) for value in work.values]


def _crossed(work: Work, journal: Journal, report: Report | None) -> Chosen:
    """Each value with each seed: the value whose mean is best over the seeds that all values were learnt with, and its best seed."""
    knob, pairs = work.recipe.knob, _pairs(work)
    for number, (value, seed) in enumerate(pairs[len(journal.done.trials) :], start=len(journal.done.trials) + 1):
        if number > _affordable(work, journal):
            break
        work.announce(f"trial {number} of {len(pairs)}, seed {seed}", value, report)
        try:
            model = work.fit(value, seed, report, journal)
        except RunError as error:
            journal.trial({knob: value, "seed": seed, "failed": str(error), "seconds": journal.last_seconds}, None)
            continue
        row = _row(work, seed, model)
        earlier = [trial["row"] for trial in journal.done.trials if trial[knob] == value and "row" in trial]
        trial = {knob: value, "seed": seed, **row["selection"], "seconds": journal.last_seconds, "row": row}
        journal.trial(trial, {**journal.done.models, f"{BEST_TRIAL} {value!r}": model} if _better(work, row, earlier) else None)
    trials = journal.done.trials
    judged = trials[: len(trials) // len(work.values) * len(work.values)] or trials  # whole rounds, if there is one
    means = {value: mean for value in work.values if (mean := _mean_rank(work, [one for one in judged if one[knob] == value]))}
    if not means:
        raise _all_failed(trials)
    value = max(means, key=means.__getitem__)
    journal.settle([trial["row"] for trial in trials if trial[knob] == value and "row" in trial])
    return Chosen(value, _best_row(work, journal), journal.done.models[f"{BEST_TRIAL} {value!r}"])


def _mean_rank(work: Work, trials: Sequence[dict[str, Any]]) -> Rank | None:
    """By what a value is chosen: the means of what its trials are ranked by; None where it has none, or one failed."""
    if not trials or any("failed" in trial for trial in trials):
        return None
    quality, loss = np.mean([work.rank(trial) for trial in trials], axis=0).tolist()
    return quality, loss


def _affordable(work: Work, journal: Journal) -> float:
    """How many models may be learnt in all: as many as the seconds buy at the first one's price, one at least.

    It follows from what the journal keeps, so that a resumed call comes to the same.
    """
    seconds, trials = work.config.budget_seconds, journal.done.trials
    return max(1, seconds // max(trials[0]["seconds"], 1e-9)) if seconds and trials else math.inf


def _seeds(work: Work, journal: Journal) -> tuple[int, ...]:
    """Those that there is time for; the first one's model is that of a trial."""
    seeds = _all_seeds(work)
    further = _affordable(work, journal) - len(journal.done.trials)
    return seeds[: 1 + int(min(max(further, 0), len(seeds)))]


def _select(work: Work, journal: Journal, report: Report | None) -> float:
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
        journal.trial(trial, {BEST_TRIAL: model} if best is None or work.rank(trial) > work.rank(best) else None)
    trials = journal.done.trials
    best = _best_trial(work, trials)
    if best is None:
        raise _all_failed(trials)
    return float(best[knob])


def _all_failed(trials: Sequence[dict[str, Any]]) -> RunError:
    wrong = next(trial["failed"] for trial in reversed(trials) if "failed" in trial)
    return RunError(f"every trial failed: {wrong}", "a grid with a value that works", "set transfer.grid to smaller values")


def _best_trial(work: Work, trials: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The facts of the best one, the first of equals; None where none worked."""
    return max((trial for trial in trials if "failed" not in trial), key=work.rank, default=None)


def _over_seeds(work: Work, value: float, journal: Journal, report: Report | None) -> tuple[dict[str, Any], Answers]:
    """What the seed gave that was best on the selection part, and its model; the journal has that of each, prediction by prediction."""
    seeds = _seeds(work, journal)
    for seed in seeds[len(journal.done.rows) :]:
        rows = journal.done.rows
        if rows:
            work.announce(f"seed {seed}, {len(rows) + 1} of {len(seeds)}", value, report)
        model = work.fit(value, seed, report, journal) if rows else journal.done.models[BEST_TRIAL]
        row = _row(work, seed, model)
        journal.seed(row, model if _better(work, row, rows) else None)
    return _best_row(work, journal), journal.done.models[BEST_SEED]


def _row(work: Work, seed: int, model: Answers) -> dict[str, Any]:
    """What is told of a seed: its measures on the selection part, what was settled there, and how it answers the dev part."""
    held, targets = work.held(model)
    settled = {key: value for key, value in targets.items() if value != work.targets[key]}
    row = {"seed": seed, "selection": held, "settled": settled, "seconds": model.facts["seconds"]}
    if len(work.dev.gold):
        found, answers = work.score(model, work.dev, targets)
        row |= {**found, "predictions": answers.tolist()}
    return row


def _better(work: Work, row: dict[str, Any], earlier: Sequence[dict[str, Any]]) -> bool:
    """Whether the seed did better on the selection part than all earlier ones."""
    return all(work.quality(row["selection"]) > work.quality(one["selection"]) for one in earlier)


def _best_row(work: Work, journal: Journal) -> dict[str, Any]:
    """That of the seed which did best on the selection part, the first of equals."""
    return max(journal.done.rows, key=lambda row: work.quality(row["selection"]))
