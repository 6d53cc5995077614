"""The order in which a task's examples are learnt: batches of like lengths, in random order.

Axes: B rows, T positions.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from stemma.objectives.batch import Batch, generator
from stemma.transfer.settings import Config

WINDOW = 128  # batches sorted together: like lengths find each other, and batches still come in random order


class TaskBatches:
    """What the training loop needs of an objective: labelled batches, a pure function of the seed and the step.

    `lengths` (N) are those of all texts, `rows` the texts to learn from, `make` the batch of some of them.
    """

    def __init__(self, lengths: np.ndarray, rows: np.ndarray, config: Config, seed: int, make: Callable[[np.ndarray], Batch]) -> None:
        self._lengths, self._rows, self._seed, self._make = lengths, rows, seed, make
        longest = int(lengths[rows].max()) if len(rows) else 1
        most = min(config.batch_size, max(1, len(rows)))  # rows an update: none reads the same row twice
        self.parts = max(1, math.ceil(most * longest / config.batch_tokens))  # micro-batches an update
        self.size = max(1, most // self.parts)  # rows of each
        self._epoch, self._batches = -1, []  # type: int, list[np.ndarray]
        updates = math.ceil(config.epochs * self.steps_in_epoch(0) / self.parts)
        self.updates = max(updates, config.updates)  # to be made in all

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The micro-batch `step`."""
        epoch, at = self.epoch_of(step)
        return self._make(self.epoch(epoch)[at])

    def steps_in_epoch(self, epoch: int) -> int:
        """Micro-batches of an epoch."""
        full, rest = divmod(len(self._rows), self.size)
        return full + (rest > 0)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it), both from 0."""
        return divmod(step, self.steps_in_epoch(0))

    def real_tokens(self, batch: Batch) -> int:
        """Tokens, or sites, of the batch that are no padding."""
        return int((batch["segments"] > 0).sum() if "segments" in batch else batch["sites"].sum())

    def ledger(self) -> dict[str, int]:
        """Tokens of an epoch: all of the rows' are used."""
        tokens = int(self._lengths[self._rows].sum())
        return {"tokens": tokens, "used": tokens}

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Rows of each micro-batch of an epoch."""
        if epoch != self._epoch:
            rng = generator("transfer", self._seed, "epoch", epoch)
            self._epoch, self._batches = epoch, shuffled(self._lengths, self._rows, self.size, rng)
        return self._batches

    @property
    def padding(self) -> float:
        """The share of padding in the first epoch."""
        return padding_share(self._lengths, self.epoch(0))


def shuffled(lengths: np.ndarray, rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows of one epoch in batches of like lengths, in random order; each row stands in exactly one."""
    order = rng.permutation(rows)
    batches: list[np.ndarray] = []
    for start in range(0, len(order), batch_size * WINDOW):
        window = order[start : start + batch_size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def padding_share(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """The share of positions in these batches of rows that hold padding."""
    held = sum(int(lengths[rows].sum()) for rows in batches)
    room = sum(len(rows) * max(int(lengths[rows].max()), 1) for rows in batches)
    return 1 - held / room if room else 0.0
