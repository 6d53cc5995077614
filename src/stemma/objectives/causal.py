"""Causal rows: each token is predicted from those to its left (GPT, GPT-2).

A document becomes the inputs `<eos> t1 .. tn` with the labels `t1 .. tn <eos>`. The documents of an
epoch, in a drawn order, form one stream that is cut into rows: every token is predicted exactly once
an epoch, only the last row has padding, and attention stays inside a document's part of a row.
"""

from dataclasses import dataclass

import numpy as np

from stemma.bounds import Length
from stemma.objectives.batch import IGNORE, Batch, generator
from stemma.objectives.epochs import Epochs
from stemma.objectives.whole_text import WholeText
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


class Causal(WholeText[_Plan]):
    """Batches of `ids`, `positions`, `segments`, `labels`, each (B T)."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        self._length = config.row_length or max_length
        super().__init__(store, Epochs(self._plan, max(1, batch_tokens // self._length)))
        self._seed, self._separator = seed, facts.specials["eos"]
        self._borders = np.asarray(store.sentence_starts)[np.asarray(store.document_starts)]  # (D+1,) token offsets

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rows of `step` that fall to `rank`; a pure function of the seed and the step."""
        plan, _, chosen = self.epochs.rows(step, rank, ranks)
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
