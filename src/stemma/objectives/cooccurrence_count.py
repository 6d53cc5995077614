"""The counting of co-occurrence under a memory limit: threads count shares of the text, spill what does not fit, and merge.

Each thread has a corner and a buffer of its own. A full buffer is sorted, summed and written as a *run*: pairs in the order of
their keys. The corners are added up; then, round by round, their pairs and those of all runs are merged and written.

V words, B blocks, P pairs.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from stemma.checkpoint import write_tensors
from stemma.errors import BudgetError, DataError
from stemma.kernels import cooccurrence as kernels

CORNER = 10_000  # words whose pairs are added up in memory at most: beyond, its cells are no longer in the cache
CHUNK = 1 << 17  # tokens counted at a time, at most
LEAST = 8 << 20  # bytes for the corner and the buffer of a thread, below which it would only spill
FILES: dict[str, np.dtype] = {"rows": np.dtype("<u2"), "columns": np.dtype("<u2"), "values": np.dtype("<f8")}
INDEX = "index.safetensors"
PAIR_BYTES = 56  # of a pair that is read, merged and written: three times key and sum, and what is written
MEND = "raise objective.memory, or count less text with objective.tokens"


Piece = tuple[int, np.ndarray, np.ndarray]  # a round, and keys and sums of pairs in it


@dataclass(frozen=True)
class Text:
    """What is counted, and how."""

    ids: np.ndarray  # flat, any unsigned type
    borders: np.ndarray  # int64 of its sentences, from 0 to the last token
    rank_of_id: np.ndarray  # (vocabulary) int32, -1 where an id is no word
    shares: np.ndarray  # (window + 1) int64: what a pair at each distance adds, in units of 1/`unit`
    unit: int
    blocks: int  # B
    symmetric: bool

    @property
    def window(self) -> int:
        """Words on each side."""
        return len(self.shares) - 1

    def chunks(self, first: int, last: int, most: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """The sentences `first` up to `last` as (ranks, borders, known), at most `most` tokens at a time.

        A sentence that goes on from one chunk to the next brings along its last words, `known` of them.
        """
        carried = np.empty(0, np.int32)
        for start in range(int(self.borders[first]), int(self.borders[last]), most):
            stop = min(start + most, int(self.borders[last]))
            inside = self.borders[np.searchsorted(self.borders, start, "right") : np.searchsorted(self.borders, stop, "left")]
            edges, known = np.concatenate([[start], inside, [stop]]), len(carried)
            ranks, places = np.empty(known + stop - start, np.int32), np.empty(len(edges), np.int64)
            ranks[:known] = carried
            filled = kernels.ranks_of(np.array(self.ids[start:stop], np.uint32), edges, self.rank_of_id, ranks, places, known)
            places[0] = 0
            yield ranks[:filled], places, known
            ended = self.borders[np.searchsorted(self.borders, stop)] == stop
            carried = ranks[:0] if ended else ranks[places[-2] : filled][-self.window :].copy()


@dataclass(frozen=True)
class Run:
    """Pairs on disk, sorted by key: where each round begins in the two files."""

    keys: Path
    sums: Path
    rounds: np.ndarray  # (B + 1) int64

    def read(self, turn: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The keys and sums of a round whose first block is `first` up to `last`."""
        start, stop = map(int, self.rounds[turn : turn + 2])
        if stop == start:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        blocks = np.array([first, last], np.uint64) << np.uint64(2 * kernels.PLACE_BITS)
        edges = (np.uint64(turn) << np.uint64(kernels.ROUND_SHIFT)) + blocks
        start, stop = (start + np.searchsorted(np.memmap(self.keys, "<u8", "r")[start:stop], edges)).tolist()
        keys, sums = (np.fromfile(path, kind, stop - start, offset=8 * start) for path, kind in ((self.keys, "<u8"), (self.sums, "<i8")))
        return keys, sums


class Counter:
    """One thread's corner, buffer and runs, in at most `room` bytes."""

    def __init__(self, text: Text, room: int, folder: Path, number: int) -> None:
        self._text, self._folder, self._number = text, folder, number
        words = int(text.rank_of_id.max()) + 1
        cells = int(0.4 * room) // 8
        self.corner = min(words, CORNER, int((2 * cells) ** 0.5 - 1 if text.symmetric else cells**0.5))
        self.table = np.zeros(self.corner * (self.corner + 1) // 2 if text.symmetric else self.corner**2, np.int64)
        places = (room - self.table.nbytes) // 16  # a key, and a sum when it is spilt
        self._chunk = max(1, min(CHUNK, places // (2 * text.window)))
        self._waiting = np.empty(places, np.uint64)
        self._filled = 0
        self.paired = np.zeros(words, np.bool_)
        self.runs: list[Run] = []

    def count(self, first: int, last: int) -> "Counter":
        """Counts the sentences `first` up to `last`; all that is not in the corner is on disk then."""
        text = self._text
        for ranks, borders, known in text.chunks(first, last, self._chunk):
            if self._filled + (len(ranks) - known) * text.window > len(self._waiting):
                self._spill()
            rest = (text.shares, text.blocks, text.symmetric, self.corner, self.table, self._waiting, self._filled, self.paired)
            self._filled = kernels.count_pairs(ranks, borders, known, *rest)
        self._spill()
        self._waiting = self._waiting[:0].copy()  # merging needs the room
        return self

    def _spill(self) -> None:
        if not self._filled:
            return
        waiting, sums = self._waiting[: self._filled], np.empty(self._filled, np.int64)
        waiting.sort()
        distinct = kernels.sum_equal(waiting, self._text.shares, sums)
        name = f"run-{self._number}-{len(self.runs)}"
        files = [self._folder / f"{name}.{part}" for part in ("keys", "sums")]
        for path, array in zip(files, (waiting, sums), strict=True):
            path.write_bytes(array[:distinct].data)  # not tofile, which says nothing of a disk that fills with the last block
        rounds = np.arange(self._text.blocks + 1, dtype=np.uint64) << np.uint64(kernels.ROUND_SHIFT)
        self.runs.append(Run(files[0], files[1], np.searchsorted(waiting[:distinct], rounds)))
        self._filled = 0


def count(text: Text, memory: int, threads: int, folder: Path) -> int:
    """Writes X of the text into `folder` in tiles, using at most `memory` bytes; gives the number of pairs.

    The files' bytes depend on the text alone. Raises BudgetError when the memory is too small, DataError when there is no pair.
    """
    room = room_for(text, memory, threads)
    shares = np.searchsorted(text.borders, np.linspace(0, text.borders[-1], threads + 1)[1:-1])
    ranges = pairwise([0, *map(int, shares), len(text.borders) - 1])
    with ThreadPoolExecutor(threads) as pool:
        counters = list(pool.map(lambda n, part: Counter(text, room, folder, n).count(*part), range(threads), ranges))
    table, runs = counters[0].table, [run for counter in counters for run in counter.runs]
    for other in counters[1:]:
        table += other.table
    merged = _pieces(text, counters[0].corner, table, runs, memory - table.nbytes * threads)
    pairs = _write(text, merged, np.logical_or.reduce([counter.paired for counter in counters]), folder)
    for run in runs:
        run.keys.unlink()
        run.sums.unlink()
    return pairs


def room_for(text: Text, memory: int, threads: int) -> int:
    """Bytes for the corner and the buffer of each thread; BudgetError when it is too little."""
    chunk = CHUNK * 16  # ids, ranks and borders of a chunk
    fixed = text.rank_of_id.nbytes * 3  # ranks, ids by rank, members of blocks
    room = (memory - fixed) // threads - chunk
    if room < LEAST:
        needed = (fixed + threads * (LEAST + chunk)) / 2**30
        raise BudgetError(
            f"objective.memory = {memory / 2**30:.3g} GiB for {len(text.rank_of_id):,} words and {threads} threads",
            f"{needed:.3g} GiB at least",
            f"set objective.memory={np.ceil(needed * 100) / 100:.2f}, or fewer training.threads",
        )
    return room


def _pieces(text: Text, corner: int, table: np.ndarray, runs: Sequence[Run], memory: int) -> Iterator[Piece]:
    """All pairs in the order of their keys, each once: the corner and all runs merged, as much at a time as memory allows."""
    across = -(-corner // text.blocks)  # words of the corner in a block
    for turn in range(text.blocks):
        most = across**2 * text.blocks + sum(int(run.rounds[turn + 1] - run.rounds[turn]) for run in runs)
        number = min(text.blocks, 1 + 2 * PAIR_BYTES * most // memory)  # twice as many as if all were alike
        for first, last in pairwise(np.linspace(0, text.blocks, number + 1).astype(int).tolist()):
            room = across**2 * (last - first)
            keys, sums = np.empty(room, np.uint64), np.empty(room, np.int64)
            filled = kernels.corner_pairs(turn, first, last, table, corner, text.blocks, text.symmetric, keys, sums)
            parts = [(keys[:filled], sums[:filled]), *(run.read(turn, first, last) for run in runs)]
            pairs = sum(len(part[0]) for part in parts)
            if PAIR_BYTES * pairs > memory:
                raise BudgetError(f"{pairs:,} pairs must be merged at once", f"{PAIR_BYTES * pairs / 2**30:.2g} GiB for them", MEND)
            while len(parts) > 1:
                parts = [_merged(*parts[n : n + 2]) if n + 1 < len(parts) else parts[n] for n in range(0, len(parts), 2)]
            yield turn, *parts[0]


def _merged(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    room = len(one[0]) + len(other[0])
    keys, sums = np.empty(room, np.uint64), np.empty(room, np.int64)
    length = kernels.merge_sums(*one, *other, keys, sums)
    return keys[:length], sums[:length]


def _write(text: Text, pieces: Iterator[Piece], paired: np.ndarray, folder: Path) -> int:
    """Writes the pairs as they come and, at the end, where tiles and rounds begin and which words have no pair."""
    tiles, blocks, pairs = [], [], 0
    rounds = np.zeros(text.blocks + 1, np.int64)
    files = {name: (folder / name).open("wb") for name in FILES}
    try:
        for turn, keys, sums in pieces:
            a = (keys >> np.uint64(2 * kernels.PLACE_BITS)).astype(np.int64) & ((1 << kernels.BLOCK_BITS) - 1)
            starts = np.flatnonzero(np.diff(a, prepend=-1))
            tiles.append(pairs + starts)
            blocks.append(np.stack([a[starts], (turn - a[starts]) % text.blocks], 1))
            rounds[turn + 1] += len(starts)
            pairs += len(keys)
            rows, columns = ((keys >> np.uint64(shift)).astype("<u2") for shift in (kernels.PLACE_BITS, 0))
            if text.symmetric:
                sums[(rows == columns) & (a == (turn - a) % text.blocks)] *= 2  # a word beside itself is its neighbour on both sides
            for name, array in {"rows": rows, "columns": columns, "values": sums / text.unit}.items():
                files[name].write(array.astype(FILES[name]).data)
    finally:
        for file in files.values():
            file.close()
    if not pairs:
        raise DataError("no two words stand together", "sentences of two words and more", "check the corpus, or lower tokenizer.min_count")
    index = {"tiles": np.append(np.concatenate(tiles), pairs), "blocks": np.concatenate(blocks).astype(np.int32)}
    write_tensors(folder / INDEX, index | {"rounds": np.cumsum(rounds), "lone": np.flatnonzero(~paired)})
    return pairs
