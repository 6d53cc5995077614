"""A run put to a task: what it learns is learnt, and used, from these five things."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from stemma.lineage.network import ReadsSpelling
from stemma.lineage.table import Generation
from stemma.runs.settings import InUse
from stemma.tasks.task import Targets, Task, Text
from stemma.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stemma.lineage.network import Frames


def learner(row: Generation, task: Task) -> Literal["descend", "vectors", "count", "target"]:
    """What learns the task, which decides how: where targets are written the network itself, else a head as the generation learns.

    Static vectors learn as what descends does; under a linear head they are read as the tables that they are.
    """
    if task.per == "target":
        return "target"
    return "vectors" if row.updates == "by hand" else row.learns


@dataclass(frozen=True)
class Assignment:
    """The pre-trained network with its tokenizer, the task with its label space, and how they meet."""

    row: Generation
    tokenizer: Tokenizer
    network: Any  # `lineage.network.Encoder`, or `Counted`
    task: Task
    targets: Targets
    settings: InUse

    @property
    def speller(self) -> ReadsSpelling | None:
        """What reads words that the vocabulary lacks; None where they are unknown."""
        return self.network if self.row.reads_spelling else None

    @property
    def pad(self) -> int:
        """The id that fills rows up."""
        return self.tokenizer.specials.get("pad", 0)

    @property
    def of_pairs(self) -> bool:
        """Whether a text is read with another, its second half or a candidate, that a frozen network's head compares it with."""
        return self.task.per == "candidate" or bool(self.targets.get("pairs"))


class Answers(Protocol):
    """A model that has learnt the task."""

    facts: dict[str, Any]

    def prepare(self, texts: Sequence[Text]) -> Any:
        """Tokenises once what the others read."""

    def together(self, several: Sequence[Any]) -> list[Any]:
        """What was prepared by itself, in as few as can be computed at once, in the same order."""

    def answers(self, data: Any) -> list[Any]:
        """The task's answer to each prepared text."""

    def vectors(self, data: Any) -> np.ndarray:
        """What the head reads: a vector of each text (N F)."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The tensors to save: the network's under their own names, the task's under `task.`."""


class Scored(Answers, Protocol):
    """A model whose answers are read off scores that a network computes: PyTorch's, or the same in another program."""

    @property
    def assignment(self) -> Assignment:
        """What it has learnt, on what."""

    @property
    def frames(self) -> "Frames":
        """What frames the texts."""

    @property
    def module(self) -> "nn.Module":
        """What holds its parameters."""

    def scores(self, batch: "dict[str, Tensor]") -> "Tensor":
        """The scores of a batch of prepared texts."""

    def read_off(self, scores: "Tensor", batch: "dict[str, Tensor]") -> list[Any]:
        """The task's answer to each text of the batch, whose scores these are."""
