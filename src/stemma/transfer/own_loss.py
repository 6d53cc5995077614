"""How a network that translates learns a task of pairs: all of it moves, by its own loss, through the one training loop."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from stemma.errors import UsageError
from stemma.layers.loss import Carried, Loss
from stemma.runs.assignment import Assignment
from stemma.runs.writing import TokenPairs, Writer, token_pairs
from stemma.tasks.task import Text
from stemma.transfer.batches import TaskBatches
from stemma.transfer.moving import Descent
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config


class Headless(nn.Module):
    """A network as it is, in the form in which others have a head on them."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def loss(self, batch: Mapping[str, Tensor], carried: Carried | None = None) -> Loss:
        """The network's own."""
        loss: Loss = self.backbone.loss(batch, carried)
        return loss

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Those of the network's loss."""
        found: dict[str, int] = self.backbone.predictions(batch)
        return found


class OwnLoss(Descent):
    """The recipe of `finetune` and `scratch` for targets: that of labels, without a head."""

    def __init__(self, assignment: Assignment, config: Config) -> None:
        if config.dropout != Config().dropout:
            wrong = f"transfer.dropout = {config.dropout:g} for the task {assignment.task.name}, which has no head"
            raise UsageError(wrong, "the dropout that the network was pre-trained with", "drop transfer.dropout")
        super().__init__(assignment, config)

    def prepare(self, texts: Sequence[Text]) -> TokenPairs:
        """Tokenises both sides."""
        return token_pairs(self._assignment.network, self._assignment.tokenizer, texts, self._config.max_length)

    def batches(self, lesson: Lesson, rows: np.ndarray, seed: int) -> TaskBatches:
        """The pairs of the lesson as pre-training has them."""
        return TaskBatches(lesson.data.lengths, rows, self._config, seed, lesson.data.batch)

    def _words(self) -> str:
        return "none: the network's own decoder, by its own loss"

    def _headed(self, backbone: Any) -> Headless:
        return Headless(backbone)

    def _learnt(self, model: Headless, facts: dict[str, Any]) -> Writer:
        return Writer(self._assignment, model.backbone, facts)
