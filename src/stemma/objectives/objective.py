"""What every objective offers to the training loop, written down and never guessed.

An objective is made as `Class(store, facts, config, seed=…, batch_tokens=…, max_length=…)`, the counting one as
`Class(config, model, store, facts, room)`; the table says which is which, and which reads the text once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stemma.objectives.batch import Batch
from stemma.tokens.store import TokenStore


class Objective(Protocol):
    """Where batches come from; a batch is a pure function of the seed and the step."""

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """What `rank` of `ranks` processes reads in this step."""

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch."""

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it), both from 0."""

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of the text that the batch reads, thinned out or not, and their separators; none where it was read in preparation."""

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the store's tokens, itemised: `tokens` = `used` + the others."""


class TextObjective(Objective, Protocol):
    """An objective over a text, as pre-training has it."""

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch use; the ledger's `used` where they are all."""

    def constant_losses(self, learnt_from: TokenStore) -> dict[str, float]:
        """Nats a prediction of this text for what answers by the frequencies of `learnt_from` alone.

        By the names of the loss's parts, that of the tokens first; "" is the whole, where it has no parts or is not their sum. Empty
        where no loss is held out.
        """


@dataclass(frozen=True)
class Preparation:
    """What working up the whole text took, or takes again when it was done in an earlier call."""

    tokens: int
    seconds: float
    cpu_seconds: float
    bytes: int  # on disk until training ends


class Prepares(Protocol):
    """An objective that works up the whole text first; its steps then read what it made, and no text (`reads_once` in the table)."""

    def prepare(self, folder: Path, threads: int, note: Callable[[str], None]) -> Preparation:
        """Makes in `folder` what the steps read, or takes up what an earlier call made there."""
