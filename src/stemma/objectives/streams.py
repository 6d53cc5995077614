"""Streams: columns of text that go on from step to step, for networks that carry their state (truncated backpropagation through time).

The documents of an epoch, in a drawn order, form one stream of predictions: the inputs `<eos> t1 .. tn <eos> u1 ..` with the
labels `t1 .. tn <eos> u1 .. um <eos>`, so that every token and every document's end is predicted exactly once, and each label is the
next input. The stream is cut into C contiguous columns, whose lengths differ by one at most; step t holds window t of every column
(Zaremba 2014, section 4.1). A column's first prediction of an epoch starts from nothing; all others have all of the column before them,
other documents included, whose borders the network learns to read from `<eos>`.

With `variable` the windows of a step are drawn as in AWD-LSTM (Merity 2017, section 5): the cuts then fall elsewhere in each epoch.
Such batches hold `rate_scale` (), the window over the usual one: short windows would otherwise count as much as long ones.

Several processes share the columns: rank r of R has the columns r, r + R, ..., so that each rank's carried state stays its own.
Every row of every batch predicts one token or more: where only the longer columns have a token left, the window before takes it in.

N predictions of an epoch, C columns, B of them in a batch, T positions of a window.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stemma.bounds import Length
from stemma.errors import UsageError
from stemma.objectives.batch import IGNORE, Batch, generator
from stemma.objectives.epochs import Epochs
from stemma.objectives.whole_text import WholeText

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts
    from stemma.tokens.store import TokenStore

HALVED = 0.05  # the share of steps whose window is about half as long (Merity 2017, section 5)
SPREAD = 5  # tokens, the standard deviation of a drawn window's length
SHORTEST = 5  # tokens that a drawn window has at least


@dataclass(frozen=True)
class Config:
    """How the stream is cut; there are `batch_tokens // window` columns."""

    window: Length = 64  # tokens that the gradient reaches back
    variable: bool = False  # windows of drawn lengths about `window` (5 in 100 about half of it); a column's last may be shorter than 5


@dataclass(frozen=True)
class _Plan:
    """An epoch: documents in order, where each starts in the stream, and where the steps cut the columns."""

    documents: np.ndarray  # (D,)
    starts: np.ndarray  # (D+1,) stream positions
    cuts: np.ndarray  # (steps+1,) places within a column

    @property
    def rows(self) -> int:
        return len(self.cuts) - 1


class Streams(WholeText[_Plan]):
    """Batches of `ids`, `segments`, `labels` (B T), and `begins` (B): True where the carried state of a row starts anew."""

    def __init__(
        self,
        store: "TokenStore",
        facts: "TokenFacts",
        config: Config,
        *,
        seed: int,
        batch_tokens: int,
        max_length: int | None = None,  # accepted for the common signature: columns have no longest length
    ) -> None:
        if "eos" not in facts.specials:
            raise UsageError("the tokenizer has no 'eos' token", "a tokenizer with an end-of-text token", "set tokenizer.kind to bpe")
        super().__init__(store, Epochs(self._plan, 1))
        self._seed, self._config = seed, config
        self._separator = facts.specials["eos"]
        self._borders = np.asarray(store.sentence_starts)[np.asarray(store.document_starts)]  # (D+1,) token offsets
        self._predictions = len(store.ids) + len(self._borders) - 1
        self._columns = min(max(1, batch_tokens // config.window), self._predictions)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Window `step` of the columns of `rank`; a pure function of the seed and the step."""
        if self._columns < ranks:
            wrong = f"{self._columns} columns for {ranks} processes"
            raise UsageError(wrong, "a column or more for each process", "raise training.batch_tokens or lower objective.window")
        epoch, within = self.epochs.locate(step)
        plan = self.epochs.plan(epoch)
        chosen = np.arange(rank, self._columns, ranks)[:, None]  # (B 1)
        short, longer = divmod(self._predictions, self._columns)  # the first `longer` columns have one prediction more
        place = np.arange(plan.cuts[within], plan.cuts[within + 1])  # (T)
        real = place < short + (chosen < longer)  # (B T)
        labels = self._stream(plan, chosen * short + np.minimum(chosen, longer) + place)
        first = self._stream(plan, chosen * short + np.minimum(chosen, longer) + place[:1] - 1)
        batch = {
            "ids": np.where(real, np.concatenate([first, labels[:, :-1]], 1), self._separator),
            "segments": real.astype(np.int64),
            "labels": np.where(real, labels, IGNORE),
            "begins": np.full(len(chosen), within == 0),
        }
        if self._config.variable:
            batch["rate_scale"] = np.array(len(place) / self._config.window, np.float32)
        return batch

    def _stream(self, plan: _Plan, event: np.ndarray) -> np.ndarray:
        """The labels of these predictions of the epoch; what stands before the first and after the last is the separator."""
        inside = np.clip(event, 0, self._predictions - 1)
        which = np.searchsorted(plan.starts, inside, side="right") - 1
        document = plan.documents[which]
        offset = self._borders[document] + inside - plan.starts[which]
        end = (offset == self._borders[document + 1]) | (event != inside)
        tokens = self._store.ids[np.minimum(offset, len(self._store.ids) - 1)].astype(np.int64)
        return np.where(end, self._separator, tokens)

    def _plan(self, epoch: int) -> _Plan:
        rng = generator(self._seed, "streams", epoch)
        documents = rng.permutation(len(self._borders) - 1)
        starts = np.concatenate([[0], np.cumsum(np.diff(self._borders)[documents] + 1)])  # with the separator
        cuts = self._cuts(-(-self._predictions // self._columns), rng)
        if self._predictions % self._columns and cuts[-1] - cuts[-2] == 1:
            cuts = np.delete(cuts, -2)  # a window that only the longer columns have would leave the ranks of the others nothing to predict
        return _Plan(documents, starts, cuts)

    def _cuts(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Where windows begin and end in columns of this length."""
        window = self._config.window
        if not self._config.variable:
            return np.append(np.arange(0, length, window), length)
        enough = -(-length // SHORTEST)
        usual = np.where(rng.random(enough) < HALVED, window / 2, window)
        ends = np.cumsum(np.maximum(SHORTEST, rng.normal(usual, SPREAD).astype(np.int64)))
        return np.concatenate([[0], ends[ends < length], [length]])
