"""What finetune needs of a way to learn a task: the seam between selection and heads."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stemma.errors import UsageError
from stemma.lineage.table import TABLE, Generation
from stemma.runs.assignment import Answers, Assignment, learner
from stemma.tasks.task import Task, Text
from stemma.transfer.settings import Config

if TYPE_CHECKING:
    from stemma.training.facts import Report
    from stemma.transfer.journal import Journal

_LINEAR, _NETWORK = "stemma.transfer.features:LinearOnFeatures", "stemma.transfer.features:NetworkOnFeatures"
_CLASS_MODELS = "stemma.transfer.counting:ClassModels"
_DESCENT, _WRITING = "stemma.transfer.moving:Descent", "stemma.transfer.own_loss:OwnLoss"
_OF_VECTORS = "stemma.transfer.features:LinearOnVectors"
_DESCENDED = {
    "frozen": _LINEAR,
    "frozen-network": _NETWORK,
    "random": _LINEAR,
    "random-network": _NETWORK,
    "finetune": _DESCENT,
    "scratch": _DESCENT,
}
RECIPES: dict[str, dict[str, str]] = {  # what learns (`learner`), and the way it is carried over -> "module:Class"
    "descend": _DESCENDED,
    "vectors": _DESCENDED | {"frozen": _OF_VECTORS, "random": _OF_VECTORS},
    "count": {  # has no states, and nothing to draw
        "frozen": "stemma.transfer.counting:BagOfNgrams",
        "finetune": _CLASS_MODELS,
        "scratch": _CLASS_MODELS,
    },
    "target": {"finetune": _WRITING, "scratch": _WRITING},
}


class Prepared(Protocol):
    """Texts as a recipe reads them."""

    cut: int  # texts shortened to fit
    tokens_cut: int  # and the tokens that cost
    unread: int  # units without a token


Rank = tuple[float, float]  # of two models the better one has the greater: the primary metric, more being better, then the loss


@dataclass(frozen=True, slots=True)
class Lesson:
    """Prepared texts, and what is right; of those to learn from, what ranks a model on the ones held out."""

    data: Any
    gold: np.ndarray
    judge: Callable[[Answers], Rank] | None = None


class Recipe(Protocol):
    """One way to learn a task from one run: a head, its batches, and the one knob that is chosen for it."""

    knob: str  # what the grid's values are: `rate`, `C`, `mu`
    grid: tuple[float, ...]  # the values tried unless the config names others
    head: str  # in words
    deterministic: bool  # True when no seed can change the result

    def prepare(self, texts: Sequence[Text]) -> Any:
        """Tokenises once what every trial reads."""

    def threads(self, lesson: Lesson) -> int:
        """How many threads of torch do this fastest here and now."""

    def fit(
        self, lesson: Lesson, rows: np.ndarray, value: float, seed: int, report: "Report | None" = None, journal: "Journal | None" = None
    ) -> Answers:
        """Learns from these rows of the lesson with this value of the knob; what descends saves into the journal on the way."""


def refusal(row: Generation, task: Task) -> str:
    """Why the generation can be carried over to the task in no way at all; empty where it can."""
    if "transfer" not in row.abilities:
        return f"{row.name} cannot be carried over to a task"
    if task.per == "unit" and "embed" not in row.abilities:
        return f"{row.name} has no states of words, which the task {task.name} is answered from"
    if task.needs_context and not row.in_context:
        return f"{row.name} gives a word the same vector whatever stands round it, so that the task {task.name} has nothing to go by"
    if task.per == "target" and not ("translate" in row.abilities or row.reshapes):
        return f"{row.name} writes no target for a source"
    return ""


def why_not(row: Generation, task: Task, way: str) -> str:
    """Why the generation cannot be carried over to the task in this way; empty where it can."""
    if refused := refusal(row, task):
        return refused
    how = learner(row, task)
    if way not in RECIPES[how]:
        return "no head on a fixed network can learn to write" if how == "target" else f"{row.name} counts: it has no states"
    if RECIPES[how][way] == _CLASS_MODELS and not task.classes:
        return f"{row.name} counts a model for each class, and the task {task.name} has none"
    return ""


def ways(row: Generation, task: Task) -> dict[str, str]:
    """The ways in which the generation can be carried over to the task -> "module:Class" of the recipe."""
    return {} if refusal(row, task) else {way: name for way, name in RECIPES[learner(row, task)].items() if not why_not(row, task, way)}


def recipe_for(assignment: Assignment, config: Config) -> Recipe:
    """How this run learns this task; UsageError where its generation cannot be carried over in this way."""
    if refused := refusal(assignment.row, assignment.task):
        others = ", ".join(row.name for row in TABLE if row.ready and not refusal(row, assignment.task))
        raise UsageError(refused, f"these can learn it: {others}", "pre-train and name a run of one of these")
    known = ways(assignment.row, assignment.task)
    if config.way not in known:
        *first, last = known
        others = f"use {', '.join(first)} or {last}" if first else f"use {last}"
        reason = why_not(assignment.row, assignment.task, config.way)
        raise UsageError(f"the way {config.way} for the task {assignment.task.name}: {reason}", "a way that it can be learnt in", others)
    module, _, name = known[config.way].partition(":")
    return getattr(importlib.import_module(module), name)(assignment, config)
