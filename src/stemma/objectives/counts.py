"""Counts: the objective of the n-gram model. Of a text it needs no more than how often each n-gram occurs.

Any range of sentences gives a sorted run of n-grams; runs merge to the same bytes however the text was cut, and whether
they were kept in memory or on disk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stemma.bounds import NonNegative
from stemma.checkpoint import leave_pages
from stemma.errors import BudgetError, DataError
from stemma.kernels import ngram_counts as kernels
from stemma.kernels.numbers import ABSENT, END, START, UNKNOWN
from stemma.objectives.spool import Room, Spool

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts

SHARD_EVENTS = 1 << 31  # positions are 32-bit
SORTING = 16  # bytes that sorting an event takes: ids, stream, positions twice
KEPT = 8  # bytes that a sorted event keeps: stream and positions
BLOCK = 1 << 18  # rows that go from hand to hand at most
LEAST_BLOCK = 1 << 4
SENTENCES = 1 << 16  # read at a time


@dataclass(frozen=True)
class Config:
    """How the counting is done; its result does not depend on it."""

    memory: NonNegative = 0.0  # GiB that the process may hold, the rest goes to disk; 0: one more than it holds before counting


class Sentences(Protocol):
    """What counting reads of a text."""

    @property
    def ids(self) -> np.ndarray:
        """Tokens, flat."""

    @property
    def sentence_starts(self) -> np.ndarray:
        """(sentences + 1) borders in `ids`."""


class Run(Protocol):
    """Distinct n-grams of the highest order, sorted, each with its count; read once."""

    def read(self, count: int) -> np.ndarray:
        """The next `count` rows, fewer at the end."""


class TextRun:
    """A run that is still text: the events and the sorted positions that the n-grams end at."""

    def __init__(self, room: Room, kept: int, stream: np.ndarray, positions: np.ndarray, order: int, width: int) -> None:
        """`kept` bytes of the room are given back once all is read."""
        self._room, self._kept, self._stream, self._positions, self._order, self._width = room, kept, stream, positions, order, width
        self._done = 0

    def read(self, count: int) -> np.ndarray:
        """The next `count` rows, fewer at the end."""
        rows = np.empty((count, self._width), np.uint32)
        filled, self._done = kernels.gather_rows(self._stream, self._positions, self._done, self._order, rows)
        if not filled:
            self._room.release(self._kept)
            self._kept = self._done = 0
            self._stream = self._positions = np.empty(0, np.uint32)
        return rows[:filled]


@dataclass(frozen=True)
class Partial:
    """The n-grams of a range of sentences."""

    run: Run
    skipped: int  # special tokens inside sentences, left out


@dataclass(frozen=True)
class NgramCounts:
    """All that estimation needs: n-grams over word ids, and which word a token is."""

    runs: Sequence[Run]
    order: int
    width: int  # columns of a row: the words, then one or two of the count
    words: np.ndarray  # (tokens) uint32: word id of a token id; ABSENT where a token is no word
    vocabulary: int  # word ids, <unk> 0, <s> 1 and </s> 2 included
    closed: bool  # the tokenizer knows no unknown token
    skipped: int  # special tokens inside sentences, left out
    room: Room

    def blocks(self) -> Iterator[np.ndarray]:
        """All n-grams as one sorted list, in blocks of rows; once."""
        most = self.room.working // (4 * self.width * 4 * (len(self.runs) + 1))
        if most < LEAST_BLOCK:
            raise too_little(self.room, 4 * self.width * 4 * (len(self.runs) + 1) * LEAST_BLOCK * 2)
        size = min(most, BLOCK)
        if len(self.runs) > 1:
            yield from self._merged(size)
            return
        while len(rows := self.runs[0].read(size)):
            yield rows

    def _merged(self, size: int) -> Iterator[np.ndarray]:
        blocks = np.empty((len(self.runs), size, self.width), np.uint32)
        at, stop = np.zeros(len(self.runs), np.int64), np.zeros(len(self.runs), np.int64)
        rows, filled = np.empty((size, self.width), np.uint32), 0
        wanting = list(range(len(self.runs)))
        while True:
            for run in wanting:
                block = self.runs[run].read(size)
                blocks[run, : len(block)] = block
                at[run], stop[run] = 0, len(block)
            filled, state = kernels.merge_rows(blocks, at, stop, self.order, rows, filled)
            wanting = [state] if state >= 0 else []
            if state == -1:  # the last row may yet meet its equal
                yield rows[: filled - 1]
                rows[0], filled = rows[filled - 1], 1
            elif state == -2:
                yield rows[:filled]
                return


class Counts:
    """The n-grams of a token store, countable by ranges of sentences.

    Words are numbered by first appearance, as KenLM does. A token that never appears is a type like any other, last in
    number; it is unknown where the model drops the tokenizer's unknown token.
    """

    def __init__(self, config: Config, model: Any, store: Sentences, facts: "TokenFacts", room: Room) -> None:
        self.order, self.store, self.room = model.order, store, room
        self.sentence_starts = np.asarray(store.sentence_starts)
        if len(self.sentence_starts) < 2:
            raise DataError("the token store has no sentence", "text to count", "check the corpus paths")
        self.width = self.order + (1 if self.events < 2**32 else 2)
        self.closed = "unk" not in facts.specials
        self.words, self.vocabulary = number_words(store.ids, facts, self.closed or not model.drops_unknown)

    @property
    def events(self) -> int:
        """Tokens and sentence ends in the store."""
        return int(self.sentence_starts[-1] - self.sentence_starts[0]) + len(self.sentence_starts) - 1

    def shards(self, workers: int) -> list[tuple[int, int]]:
        """Ranges of sentences of about equal length: at least one a worker, none too big for the memory."""
        starts, events = self.sentence_starts, self.events
        piles = 12 * self.vocabulary  # of a sort
        room = min((self.room.working / workers - piles) / SORTING, SHARD_EVENTS)
        number = max(1, workers, -(-events // max(int(room), LEAST_BLOCK)))
        edges = np.searchsorted(starts + np.arange(len(starts)), np.linspace(0, events, number + 1)[1:-1] + starts[0])
        borders = np.unique(np.concatenate([[0], edges, [len(starts) - 1]]))
        return [(int(first), int(last)) for first, last in pairwise(borders)]

    def partial(self, first: int, last: int) -> Partial:
        """The distinct n-grams of the sentences `first` up to `last`. Holds no lock: threads count side by side."""
        stream, skipped = self._events(first, last)
        positions = kernels.sort_events(stream, self.order, self.vocabulary)
        kept = KEPT * len(stream) if self.room.keeps(KEPT * len(stream)) else 0
        run: Run = TextRun(self.room, kept, stream, positions, self.order, self.width)
        return Partial(run if kept else self._spilled(run), skipped)

    def merge(self, partials: Sequence[Partial]) -> NgramCounts:
        """The partial counts as one."""
        runs, skipped = [partial.run for partial in partials], sum(partial.skipped for partial in partials)
        return NgramCounts(runs, self.order, self.width, self.words, self.vocabulary, self.closed, skipped, self.room)

    def _events(self, first: int, last: int) -> tuple[np.ndarray, int]:
        starts = np.ascontiguousarray(self.sentence_starts[first : last + 1], np.int64)
        stream = np.empty(int(starts[-1] - starts[0]) + len(starts) - 1, np.uint32)
        filled = skipped = 0
        for begin in range(0, len(starts) - 1, SENTENCES):
            part = starts[begin : begin + SENTENCES + 1]
            filled, left_out = kernels.event_stream(_plain(self.store.ids[part[0] : part[-1]]), part, self.words, stream, filled)
            skipped += left_out
            leave_pages(self.store.ids)
        return stream[:filled], skipped

    def _spilled(self, run: Run) -> Spool:
        spool = self.room.spool(np.dtype((np.uint32, (self.width,))))
        size = max(LEAST_BLOCK, min(BLOCK, self.room.working // (16 * self.width)))
        while len(rows := run.read(size)):
            spool.append(rows)
        return spool


def number_words(ids: np.ndarray, facts: "TokenFacts", unseen_too: bool) -> tuple[np.ndarray, int]:
    """Word ids of all token ids, in order of first appearance in `ids`; and how many word ids there are.

    Tokens that `ids` lack come last where they are numbered too (`unseen_too`), else they are unknown.
    """
    free = np.uint32(ABSENT - 1)
    words = np.full(facts.vocab_size, free, np.uint32)
    for name, word in (("pad", ABSENT), ("cls", ABSENT), ("sep", ABSENT), ("mask", ABSENT), ("unk", UNKNOWN), ("bos", START), ("eos", END)):
        if name in facts.specials:
            words[facts.specials[name]] = word
    vocabulary = END + 1
    for begin in range(0, len(ids), BLOCK):
        vocabulary = kernels.first_appearances(_plain(ids[begin : begin + BLOCK]), free, words, vocabulary)
        leave_pages(ids)
    unseen = words == free
    if unseen_too:
        words[unseen] = np.arange(vocabulary, vocabulary + unseen.sum())
        vocabulary += int(unseen.sum())
    else:
        words[unseen] = UNKNOWN
    return words, int(vocabulary)


def too_little(room: Room, least: int) -> BudgetError:
    """What to say when the memory is less than any way of counting takes."""
    return BudgetError(
        f"{room.memory / 2**20:,.1f} MiB are left for counting",
        f"at least {least / 2**20:,.1f} MiB",
        "allow more memory with --memory, or a smaller vocabulary with tokenizer.vocab_size",
    )


def _plain(ids: np.ndarray) -> np.ndarray:
    """The ids as one kind of array, so that each kernel is compiled once: a copy unless they are uint32 already."""
    plain = np.ascontiguousarray(ids, np.uint32).view()
    plain.flags.writeable = False
    return plain
