"""Counts: the objective of the n-gram model. Text asks nothing more than how often each n-gram occurs.

Any range of sentences gives a partial count; partial counts merge to the same bytes however the text was cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.config import PositiveFloat
from stemma.errors import DataError
from stemma.objectives import ngram_counts as kernels
from stemma.objectives.ngram_counts import ABSENT, END, START, UNKNOWN

if TYPE_CHECKING:
    from stemma.tokens.settings import TokenFacts
    from stemma.tokens.store import TokenStore

SHARD_EVENTS = 1 << 31  # positions are 32-bit


@dataclass(frozen=True)
class Config:
    """How the counting is done; its result does not depend on it."""

    memory: PositiveFloat = 4.0  # GiB that sorting may take


@dataclass
class Grams:
    """Distinct n-grams of the highest order, sorted, last word first: `columns` (order G) and `counts` (G)."""

    columns: np.ndarray  # uint32; columns[0] is the last word, columns[n] the n-th before it
    counts: np.ndarray  # uint32, int64 for texts of 4 billion tokens and more
    skipped: int = 0  # special tokens inside sentences, left out

    def hand_over(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns and the counts, which are not kept: they may be most of the memory in use."""
        columns, counts = self.columns, self.counts
        self.columns, self.counts = columns[:, :0].copy(), counts[:0].copy()
        return columns, counts


@dataclass(frozen=True)
class NgramCounts:
    """All that estimation needs: n-grams over word ids, and which word a token is."""

    grams: Grams
    words: np.ndarray  # (tokens) uint32: word id of a token id; ABSENT where a token is no word
    vocabulary: int  # word ids, <unk> 0, <s> 1 and </s> 2 included
    closed: bool  # the tokenizer knows no unknown token


class Counts:
    """The n-grams of a token store, countable by ranges of sentences.

    Words are numbered by first appearance, as KenLM does. A token that never appears is unknown to the model if the
    tokenizer has an unknown token; else it is a type like any other, last in number.
    """

    def __init__(self, config: Config, model: Any, store: "TokenStore", facts: "TokenFacts") -> None:
        self.config, self.order, self.store = config, model.order, store
        self.sentence_starts = np.asarray(store.sentence_starts)
        if len(self.sentence_starts) < 2:
            raise DataError("the token store has no sentence", "text to count", "check the corpus paths")
        self.count_type = np.uint32 if self.events < 2**32 else np.int64
        self.closed = "unk" not in facts.specials
        self.words, self.vocabulary = number_words(store.ids, facts, self.closed)

    @property
    def events(self) -> int:
        """Tokens and sentence ends in the store."""
        return int(self.sentence_starts[-1] - self.sentence_starts[0]) + len(self.sentence_starts) - 1

    def shards(self, workers: int) -> list[tuple[int, int]]:
        """Ranges of sentences of about equal length: at least one a worker, none too big for the memory."""
        starts, events = self.sentence_starts, self.events
        bytes_per_event = 4 * 3 + 1 + 4 * self.order + 8
        room = min(self.config.memory * 2**30 / workers / bytes_per_event, SHARD_EVENTS)
        number = max(1, workers, -(-events // max(int(room), 1)))
        edges = np.searchsorted(starts + np.arange(len(starts)), np.linspace(0, events, number + 1)[1:-1] + starts[0])
        borders = np.unique(np.concatenate([[0], edges, [len(starts) - 1]]))
        return [(int(first), int(last)) for first, last in pairwise(borders)]

    def partial(self, first: int, last: int) -> Grams:
        """The distinct n-grams of the sentences `first` up to `last`. Holds no lock: threads count side by side."""
        starts = np.ascontiguousarray(self.sentence_starts[first : last + 1], np.int64)
        ids = np.asarray(self.store.ids[starts[0] : starts[-1]])
        stream, skipped = kernels.event_stream(_plain(ids), starts, self.words)
        positions = kernels.sort_events(stream, self.order, self.vocabulary)
        fresh, distinct = kernels.mark_distinct(stream, positions, self.order)
        columns, counts = np.empty((self.order, distinct), np.uint32), np.empty(distinct, self.count_type)
        kernels.gather_grams(stream, positions, fresh, columns, counts)
        return Grams(columns, counts, skipped)

    def merge(self, partials: Sequence[Grams]) -> NgramCounts:
        """The partial counts as one, two by two."""
        parts = list(partials)
        while len(parts) > 1:
            parts = [_merged(*parts[i : i + 2]) if i + 1 < len(parts) else parts[i] for i in range(0, len(parts), 2)]
        return NgramCounts(parts[0], self.words, self.vocabulary, self.closed)


def number_words(ids: np.ndarray, facts: "TokenFacts", closed: bool) -> tuple[np.ndarray, int]:
    """Word ids of all token ids, in order of first appearance in `ids`; and how many word ids there are."""
    free = np.uint32(ABSENT - 1)
    words = np.full(facts.vocab_size, free, np.uint32)
    for name, word in (("pad", ABSENT), ("cls", ABSENT), ("sep", ABSENT), ("mask", ABSENT), ("unk", UNKNOWN), ("bos", START), ("eos", END)):
        if name in facts.specials:
            words[facts.specials[name]] = word
    vocabulary = kernels.first_appearances(_plain(np.asarray(ids)), free, words, END + 1)
    unseen = words == free
    if closed:
        words[unseen] = np.arange(vocabulary, vocabulary + unseen.sum())
        vocabulary += int(unseen.sum())
    else:
        words[unseen] = UNKNOWN
    return words, int(vocabulary)


def _plain(ids: np.ndarray) -> np.ndarray:
    """The ids as one kind of array, so that each kernel is compiled once: a copy unless they are uint32 already."""
    plain = np.ascontiguousarray(ids, np.uint32).view()
    plain.flags.writeable = False
    return plain


def _merged(a: Grams, b: Grams) -> Grams:
    columns = np.empty((len(a.columns), len(a.counts) + len(b.counts)), np.uint32)
    counts = np.empty(len(a.counts) + len(b.counts), a.counts.dtype)
    length = kernels.merge_grams(a.columns, a.counts, b.columns, b.counts, columns, counts)
    return Grams(np.ascontiguousarray(columns[:, :length]), counts[:length], a.skipped + b.skipped)
