"""What objectives share that predict all of a text once an epoch: where a step stands, and what becomes of the tokens."""

from typing import TYPE_CHECKING, Generic, TypeVar

from stemma.errors import DataError
from stemma.objectives.batch import Batch
from stemma.objectives.epochs import Epochs, Plan
from stemma.objectives.frequencies import frequency_loss

if TYPE_CHECKING:
    from stemma.tokens.store import TokenStore

P = TypeVar("P", bound=Plan)


class WholeText(Generic[P]):
    """All of an objective but its batches, which have `segments` (B T), 0 at padding."""

    def __init__(self, store: "TokenStore", epochs: Epochs[P]) -> None:
        if len(store.ids) == 0:
            raise DataError("the token store is empty", "a corpus with text", "run `stemma corpus check` on it")
        self._store, self.epochs = store, epochs

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch."""
        return self.epochs.steps(epoch)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        return self.epochs.locate(step)

    def real_tokens(self, batch: Batch) -> int:
        """Positions of the batch, separators among them, padding never."""
        return int((batch["segments"] > 0).sum())

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the store's tokens: all are used."""
        return {"tokens": len(self._store.ids), "used": len(self._store.ids)}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch use, about: all steps are alike."""
        return round(len(self._store.ids) * min(1.0, steps / self.steps_in_epoch(0)))

    def constant_losses(self, learnt_from: "TokenStore") -> dict[str, float]:
        """Nats of answering by frequency alone: tokens, and the ends of documents."""
        return {"": frequency_loss(learnt_from, self._store, (learnt_from.documents, self._store.documents))}
