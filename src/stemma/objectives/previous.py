"""Previous words: each word of a sentence is predicted from those before it, and so is the sentence's end (Bengio 2003).

A step is whole sentences in drawn order, one after the other in one row: the inputs `<s> w1 .. wn` with the labels
`w1 .. wn </s>`, each sentence a segment of its own. Every word and every end is predicted exactly once an epoch.
A sentence longer than a step is cut, the words before the cut but the last one being lost to what comes after it.

S sentences, P pieces of sentences, N predictions of a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stemma.errors import UsageError
from stemma.objectives.batch import Batch, generator
from stemma.objectives.epochs import Epochs
from stemma.objectives.frequencies import frequency_loss
from stemma.objectives.whole_text import WholeText

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts
    from stemma.tokens.store import TokenStore


@dataclass(frozen=True)
class Config:
    """The objective has no choices: how many words are read is the network's `context`."""


@dataclass(frozen=True)
class _Plan:
    """An epoch: the order of its pieces, and the first piece of each step."""

    order: np.ndarray  # (P,)
    borders: np.ndarray  # (steps + 1,)

    @property
    def rows(self) -> int:
        return len(self.borders) - 1


class Previous(WholeText[_Plan]):
    """Batches of `ids`, `segments`, `labels`, each (1 N)."""

    def __init__(
        self,
        store: "TokenStore",
        facts: "TokenFacts",
        config: Config,
        *,
        seed: int,
        batch_tokens: int,
        max_length: int | None = None,  # accepted for the common signature: contexts are short
    ) -> None:
        super().__init__(store, Epochs(self._plan, 1))
        self._seed, self._size = seed, batch_tokens
        self._start, self._end = sentence_marks(facts.specials)
        starts = np.asarray(store.sentence_starts, np.int64)
        lengths = np.diff(starts) + 1  # with the end
        cuts = -(-lengths // batch_tokens)
        self._sentence = np.repeat(np.arange(len(lengths)), cuts)  # (P,) which sentence
        first = np.arange(len(self._sentence)) - np.repeat(np.cumsum(cuts) - cuts, cuts)
        self._first = first * batch_tokens  # (P,) first event of it
        self._length = np.minimum(lengths[self._sentence] - self._first, batch_tokens)  # (P,)

    def constant_losses(self, learnt_from: "TokenStore") -> dict[str, float]:
        """Nats of answering by frequency alone: tokens, and the ends of sentences."""
        return {"": frequency_loss(learnt_from, self._store, (learnt_from.sentences, self._store.sentences))}

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The sentences of `step` that fall to `rank`; a pure function of the seed and the step."""
        epoch, within = self.epochs.locate(step)
        plan = self.epochs.plan(epoch)
        pieces = plan.order[plan.borders[within] : plan.borders[within + 1]][rank::ranks]
        lengths = self._length[pieces]
        which = np.repeat(np.arange(len(pieces)), lengths)  # (N,) piece of each prediction
        event = np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + self._first[pieces][which]
        starts = np.asarray(self._store.sentence_starts)
        sentence = self._sentence[pieces][which]
        offset = starts[sentence] + event
        ids = np.where(event == 0, self._start, self._tokens(offset - 1))
        labels = np.where(offset == starts[sentence + 1], self._end, self._tokens(offset))
        return {"ids": ids[None], "segments": which[None] + 1, "labels": labels[None]}

    def _tokens(self, offset: np.ndarray) -> np.ndarray:
        """The store's ids at the offsets; an offset just outside gives an id that the caller replaces."""
        return self._store.ids[np.clip(offset, 0, len(self._store.ids) - 1)].astype(np.int64)

    def _plan(self, epoch: int) -> _Plan:
        order = generator(self._seed, "previous", epoch).permutation(len(self._length))
        ends = np.cumsum(self._length[order])
        firsts = np.searchsorted(ends - self._length[order], np.arange(0, ends[-1], self._size))
        return _Plan(order, np.unique(np.append(firsts, len(order))))


def sentence_marks(specials: Mapping[str, int]) -> tuple[int, int]:
    """The ids of <s> and </s>; UsageError for a tokenizer that has not both, or has one token for both."""
    start, end = specials.get("bos"), specials.get("eos")
    if start is None or end is None or start == end:
        wrong = "the tokenizer has no token of its own for both a sentence's start and its end"
        raise UsageError(wrong, "<s> and </s>", 'set tokenizer.kind to "word", "whitespace", "char" or "unigram"')
    return start, end
