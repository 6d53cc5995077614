"""How a network that translates learns a task of pairs: all of it moves, by its own loss, through the one training loop."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from stemma.errors import UsageError
from stemma.layers.loss import Carried, Loss
from stemma.runs.assignment import Assignment
from stemma.runs.moved import Resting, new_tokens
from stemma.runs.writing import TokenPairs, Writer, token_pairs, writes
from stemma.tasks.task import Text
from stemma.transfer.batches import TaskBatches
from stemma.transfer.moving import Descent
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config


class Headless(Resting):
    """A network as it is, in the form in which others have a head on them; `writes` is what it writes targets by."""

    def __init__(self, backbone: Any, assignment: Assignment) -> None:
        super().__init__()
        self.backbone, self._writes = backbone, [writes(assignment, backbone)]  # in a list: it is no part of its own

    def loss(self, batch: Mapping[str, Tensor], carried: Carried | None = None) -> Loss:
        """The network's own, of the targets."""
        loss: Loss = self._writes[0].loss(batch, carried)
        return loss

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Those of the network's loss."""
        found: dict[str, int] = self._writes[0].predictions(batch)
        return found


class OwnLoss(Descent):
    """The recipe of `finetune` and `scratch` for targets: that of labels, without a head."""

    def __init__(self, assignment: Assignment, config: Config) -> None:
        if config.dropout != Config().dropout:
            wrong = f"transfer.dropout = {config.dropout:g} for the task {assignment.task.name}, which has no head"
            raise UsageError(wrong, "the dropout that the network was pre-trained with", "drop transfer.dropout")
        if config.auxiliary:
            wrong = f"transfer.auxiliary = {config.auxiliary:g} for the task {assignment.task.name}, which has no other loss"
            raise UsageError(wrong, "the loss of the targets alone", "drop transfer.auxiliary")
        super().__init__(assignment, config)

    def prepare(self, texts: Sequence[Text]) -> TokenPairs:
        """Tokenises both sides."""
        return token_pairs(self._assignment, texts)

    def batches(self, lesson: Lesson, rows: np.ndarray, seed: int) -> TaskBatches:
        """The pairs of the lesson as pre-training has them."""
        return TaskBatches(lesson.data.lengths, rows, self._config, seed, lesson.data.batch)

    def _standardise(self, model: Headless, batches: TaskBatches) -> None:
        """Nothing: there is no head."""

    def _absorb(self, model: Headless) -> None:
        """Nothing."""

    def _words(self) -> str:
        if new_tokens(self._assignment.network, self._assignment.task):
            return "none: start, source, delimiter and target in one row, by the network's own loss on the target"
        return "none: the network's own decoder, by its own loss"

    def _headed(self, backbone: Any) -> Headless:
        return Headless(backbone, self._assignment)

    def _learnt(self, model: Headless, facts: dict[str, Any]) -> Writer:
        return Writer(self._assignment, model.backbone, facts)
