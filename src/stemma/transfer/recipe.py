"""What finetune asks of a way to learn a task: the seam between selection and heads."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stemma.runs.assignment import Answers, Assignment
from stemma.tasks.task import Text
from stemma.transfer.settings import Config

RECIPES = {  # (how the generation learns, what learns the task) -> "module:Class", made as Class(assignment, config)
    ("descend", "linear"): "stemma.transfer.features:LinearOnFeatures",
    ("descend", "network"): "stemma.transfer.features:NetworkOnFeatures",
    ("descend", "moving"): "stemma.transfer.moving:Descent",
    ("count", "linear"): "stemma.transfer.counting:BagOfNgrams",
    ("count", "network"): "stemma.transfer.counting:NoStates",
    ("count", "moving"): "stemma.transfer.counting:ClassModels",
}


class Prepared(Protocol):
    """Texts as a recipe reads them."""

    cut: int  # texts shortened to fit
    tokens_cut: int  # and the tokens that cost
    unread: int  # units without a token


@dataclass(frozen=True, slots=True)
class Lesson:
    """Prepared texts, and what is right."""

    data: Any
    gold: np.ndarray


class Recipe(Protocol):
    """One way to learn a task from one run: a head, its batches, and the one knob that is chosen for it."""

    knob: str  # what the grid's values are: `rate`, `C`, `mu`
    grid: tuple[float, ...]  # the values tried unless the config names others
    head: str  # in words
    deterministic: bool  # True when no seed can change the result

    def prepare(self, texts: Sequence[Text]) -> Any:
        """Tokenises once what every trial reads."""

    def fit(self, lesson: Lesson, rows: np.ndarray, value: float, seed: int, told: Callable | None = None) -> Answers:
        """Learns from these rows of the lesson with this value of the knob."""


def recipe_for(assignment: Assignment, config: Config) -> Recipe:
    """How this run learns this task."""
    module, _, name = RECIPES[assignment.row.learns, config.manner].partition(":")
    return getattr(importlib.import_module(module), name)(assignment, config)
