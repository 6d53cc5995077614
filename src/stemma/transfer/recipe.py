"""What finetune asks of a way to learn a task: the seam between selection and heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stemma.corpus.task import Example


@dataclass(frozen=True, slots=True)
class Lesson:
    """Prepared examples with the numbers of their labels, and how many classes there are."""

    data: Any
    labels: np.ndarray
    classes: int


class Fitted(Protocol):
    """A model that has learnt the task."""

    facts: dict[str, Any]

    def probabilities(self, data: Any) -> np.ndarray:
        """Class probabilities (N K) of prepared examples."""

    def vectors(self, data: Any) -> np.ndarray:
        """What the head reads: a vector of each example (N F)."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The tensors to save: the network's under their own names, the task's under `task.`."""


class Recipe(Protocol):
    """One way to learn a task from one run: a head, its batches, and the one knob that is chosen for it."""

    knob: str  # what the grid's values are: `rate`, `C`, `mu`
    grid: tuple[float, ...]  # the values tried unless the config names others
    head: str  # in words
    deterministic: bool  # True when no seed can change the result

    def prepare(self, examples: Sequence[Example]) -> Any:
        """Tokenises once what every trial reads."""

    def fit(self, lesson: Lesson, rows: np.ndarray, value: float, seed: int, told: Callable | None = None) -> Fitted:
        """Learns from these rows of the lesson with this value of the knob."""

    def restore(self, arrays: dict[str, np.ndarray], classes: int, facts: dict[str, Any]) -> Fitted:
        """A fitted model from its saved tensors."""
