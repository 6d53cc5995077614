"""Causal rows: each token is predicted from those to its left (GPT, GPT-2).

A document becomes the inputs `<eos> t1 .. tn` with the labels `t1 .. tn <eos>`. The documents of an
epoch, in a drawn order, form one stream that is cut into rows: every token is predicted exactly once
an epoch, only the last row has padding, and attention stays inside a document's part of a row.
"""

from dataclasses import dataclass

import numpy as np

from stemma.bounds import Length
from stemma.errors import DataError
from stemma.objectives.batch import IGNORE, Batch, generator
from stemma.objectives.epochs import Epochs
from stemma.objectives.frequencies import frequency_loss
from stemma.tokens.facts import TokenFacts
from stemma.tokens.store import TokenStore


@dataclass(frozen=True)
class Config:
    """How documents become rows."""

    row_length: Length | None = None  # positions in a row; None: the model's max_length


@dataclass(frozen=True)
class _Plan:
    """An epoch: documents in order, where each starts in the stream, and the order of its rows."""

    documents: np.ndarray  # (D,)
    starts: np.ndarray  # (D+1,) stream positions
    shift: int  # the first row begins this far before the stream, so that cuts fall elsewhere each epoch
    order: np.ndarray  # (R,) rows in drawn order

    @property
    def rows(self) -> int:
        return len(self.order)


class Causal:
    """Batches of `ids`, `positions`, `segments`, `labels`, each (B T)."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        if len(store.ids) == 0:
            raise DataError("the token store is empty", "a corpus with text", "run `stemma corpus check` on it")
        self._store, self._seed = store, seed
        self._separator = facts.specials["eos"]
        self._length = config.row_length or max_length
        self._borders = np.asarray(store.sentence_starts)[np.asarray(store.document_starts)]  # (D+1,) token offsets
        self._epochs = Epochs(self._plan, max(1, batch_tokens // self._length))

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch."""
        return self._epochs.steps(epoch)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        return self._epochs.locate(step)

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of the batch and their separators, padding never."""
        return int((batch["segments"] > 0).sum())

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the store's tokens: all are predicted, once."""
        return {"tokens": len(self._store.ids), "used": len(self._store.ids)}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch predict, about: all steps are alike."""
        return round(len(self._store.ids) * min(1.0, steps / self.steps_in_epoch(0)))

    def constant_losses(self, learnt_from: TokenStore) -> dict[str, float]:
        """Nats of answering by frequency alone: tokens, and the ends of documents."""
        return {"": frequency_loss(learnt_from, self._store, (learnt_from.documents, self._store.documents))}

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rows of `step` that fall to `rank`; a pure function of the seed and the step."""
        plan, _, chosen = self._epochs.rows(step, rank, ranks)
        first = plan.order[chosen][:, None] * self._length - plan.shift  # (B 1) stream position of each row's start
        place = first + np.arange(self._length)  # (B T)
        real = (place >= 0) & (place < plan.starts[-1])
        inside = np.clip(place, 0, plan.starts[-1] - 1)
        which = np.searchsorted(plan.starts, inside, side="right") - 1  # (B T) document of each position
        within = inside - plan.starts[which]
        document = plan.documents[which]
        offset = self._borders[document] + within
        ids = np.where(within == 0, self._separator, self._tokens(offset - 1))
        ends = offset == self._borders[document + 1]
        labels = np.where(ends, self._separator, self._tokens(offset))
        begins = np.maximum(plan.starts[which], np.maximum(first, 0))
        segments = which - which[:, :1] + 1
        batch = {
            "ids": np.where(real, ids, self._separator),
            "positions": np.where(real, inside - begins, 0),
            "segments": np.where(real, segments, 0),
            "labels": np.where(real, labels, IGNORE),
        }
        return batch

    def _tokens(self, offset: np.ndarray) -> np.ndarray:
        """The store's ids at the offsets; an offset just outside gives an id that the caller replaces."""
        return self._store.ids[np.clip(offset, 0, len(self._store.ids) - 1)].astype(np.int64)

    def _plan(self, epoch: int) -> _Plan:
        rng = generator(self._seed, "causal", epoch)
        documents = rng.permutation(len(self._borders) - 1)
        lengths = np.diff(self._borders)[documents] + 1  # with the separator
        starts = np.concatenate([[0], np.cumsum(lengths)])
        # A shift costs at most one row's padding: taken only where that is nothing.
        shift = int(rng.integers(self._length)) if starts[-1] > 100 * self._length else 0
        rows = -(-int(starts[-1] + shift) // self._length)
        return _Plan(documents, starts, shift, rng.permutation(rows))
