"""Texts of a task -> framed token ids -> batches: under a token budget, units aligned with tokens.

A text that is answered for as a whole is cut to the length that is read. One whose units are answered for is read in windows
that overlap, each unit where it stands further from the window's ends: nothing of it is lost.

Axes: B examples, W windows of all of them, T positions, U units.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stemma.lineage.network import Frames, ReadsSpelling
from stemma.nouns import counted
from stemma.objectives.batch import Batch
from stemma.runs.open_vocabulary import OpenVocabulary
from stemma.tasks.task import PLACES, Text

Units = tuple[np.ndarray, np.ndarray]  # of each unit the position of its token in the example's ids, or -1, and its place in that token
OVERLAP = 4  # windows share a fourth of what each can hold, where no stride is given


@dataclass(frozen=True, slots=True)
class Framed:
    """Tokenised examples with their generation's special tokens, ready to be put into rows."""

    ids: tuple[np.ndarray, ...]  # of each example its windows, one after the other
    types: tuple[np.ndarray, ...]  # sentence A or B
    windows: tuple[
        tuple[int, ...], ...
    ]  # their lengths; where the text is answered for as a whole one, one an order of a pair, or one a candidate
    units: tuple[Units, ...]  # of each text; empty arrays where the text is answered for
    lost: tuple[int, ...]  # tokens that were cut off each example to fit; off the question that a passage is read with
    known: np.ndarray  # True for each example that had a token of the vocabulary, and its second half too where it has one
    texts: tuple[Text, ...] = ()  # what they were
    halves: tuple[
        np.ndarray, ...
    ] = ()  # of each id: 1 of a text or a pair's first half, 2 of its second, 0 a special; not where units count
    beside: Batch = field(default_factory=dict)  # what every batch of them holds: how words beyond the vocabulary are spelled

    @property
    def cut(self) -> int:
        """Examples shortened to fit."""
        return sum(map(bool, self.lost))

    @property
    def tokens_cut(self) -> int:
        """And the tokens that cost."""
        return sum(self.lost)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, specials included."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    @property
    def window_starts(self) -> np.ndarray:
        """Borders (N+1) of the examples among all windows."""
        return np.concatenate([[0], np.cumsum([len(own) for own in self.windows])]).astype(np.int64)

    def crossing(self, ends: np.ndarray) -> int:
        """Examples whose two units `ends` (N 2) are read in different windows."""
        count = 0
        for (columns, _), lengths, own in zip(self.units, self.windows, ends, strict=True):
            first, last = np.searchsorted(np.cumsum(lengths), columns[own], side="right")
            count += int(first != last)
        return count

    @property
    def unread(self) -> int:
        """Units without a token: made of characters that the tokenizer drops."""
        return sum(int((columns < 0).sum()) for columns, _ in self.units)

    @property
    def unit_counts(self) -> np.ndarray:
        """Units of each example."""
        return np.array([len(columns) for columns, _ in self.units], dtype=np.int64)


def frame(
    network: Frames,
    tokenizer: Any,
    texts: Sequence[Text],
    max_length: int,
    speller: ReadsSpelling | None = None,
    both_orders: bool = False,
    stride: int = 0,
) -> Framed:
    """Tokenises the texts and frames them; a pair too long loses tokens at the end of its longer half.

    A text of units is read in windows that begin `stride` tokens apart (0: three fourths of a window), a window's length at most.
    For a `speller` a word that the vocabulary lacks has an id beyond it. With `both_orders` a symmetric pair has two windows, one an order.
    """
    vocabulary = OpenVocabulary(tokenizer, speller)
    firsts, spans = _encoded(vocabulary, texts)
    others = vocabulary.encode_batch([other for text in texts for other in _seconds(text)])
    known, seconds = vocabulary.known_of(firsts), iter(others)
    owners = np.repeat(np.arange(len(texts)), [len(_seconds(text)) for text in texts])
    known[owners[~vocabulary.known_of(others)]] = False
    most = min(max_length, network.max_length or max_length)
    room, room_of_pair = max(most - len(network.frame([])[0]), 1), max(most - len(network.frame([], [])[0]), 1)
    ids, types, windows, units, losses, halves = [], [], [], [], [], []
    for first, span, text in zip(firsts, spans, texts, strict=True):
        lost = 0
        if text.units:
            whole_question = next(seconds) if text.other else None
            question = None if whole_question is None else whole_question[: room_of_pair // 2].tolist()
            lost = 0 if whole_question is None or question is None else len(whole_question) - len(question)
            aligned = align(text.units, span)
            rows, (columns, places) = _windowed(network, first, aligned, room if question is None else room_of_pair, question, stride)
            whole = np.array([start == end for start, end in text.units])
            own = np.where(whole, len(rows[0][0]) - 1, columns), np.where(whole, PLACES - 1, places)
        elif text.candidates:
            parts = [_fitted(first, next(seconds), room_of_pair) for _ in text.candidates]
            rows, own = [network.frame(a.tolist(), b.tolist()) for a, b, _ in parts], align((), ())  # type: ignore[union-attr]
            lost = sum(cut for _, _, cut in parts)
            halves.append(np.concatenate([_halves(network, len(a), len(b)) for a, b, _ in parts]))  # type: ignore[arg-type]
        else:
            second = next(seconds) if text.other else None
            kept, kept_second, lost = _fitted(first, second, room if second is None else room_of_pair)
            rows, own = [network.frame(kept.tolist(), None if kept_second is None else kept_second.tolist())], align((), ())
            halves.append(_halves(network, len(kept), None if kept_second is None else len(kept_second)))
            if both_orders and text.symmetric and kept_second is not None:
                rows.append(network.frame(kept_second.tolist(), kept.tolist()))
        ids.append(np.concatenate([np.asarray(row, dtype=np.int64) for row, _ in rows]))
        types.append(np.concatenate([np.asarray(kinds, dtype=np.int64) for _, kinds in rows]))
        windows.append(tuple(len(row) for row, _ in rows))
        units.append(own)
        losses.append(lost)
    return Framed(
        tuple(ids), tuple(types), tuple(windows), tuple(units), tuple(losses), known, tuple(texts), tuple(halves), vocabulary.beside
    )


def joined(*several: Framed) -> Framed:
    """The examples of all, one after the other, of a network whose batches hold nothing beside them."""
    assert not any(framed.beside for framed in several), "words beyond the vocabulary are numbered for each call by itself"
    ids, types, windows, units, lost, texts, halves = (
        tuple(itertools.chain.from_iterable(columns))
        for columns in zip(*((own.ids, own.types, own.windows, own.units, own.lost, own.texts, own.halves) for own in several), strict=True)
    )
    return Framed(ids, types, windows, units, lost, np.concatenate([framed.known for framed in several]), texts, halves)


def framed_together(several: Sequence[Framed]) -> list[Framed]:
    """All of them as one, unless words beyond the vocabulary are numbered in each for itself."""
    return list(several) if any(framed.beside for framed in several) else [joined(*several)]


def cut_warning(framed: "Framed", things: str) -> str:
    """In words, how many of the texts were cut and what that cost."""
    share = (
        f"{framed.cut:,} of {len(framed.ids):,} {things} were cut to what is read of one (transfer.max_length, the network's own length)"
    )
    return f"{share}: {counted(framed.tokens_cut, 'token was', 'tokens were')} not read"


def lengths(network: Frames, tokenizer: Any, texts: Sequence[Text]) -> np.ndarray:
    """The tokens that each text or pair would have if nothing were cut (N), specials included; of several candidates the longest counts."""
    firsts = tokenizer.encode_batch([text.text for text in texts])
    seconds = iter(tokenizer.encode_batch([other for text in texts for other in _seconds(text)]))
    alone, paired = len(network.frame([])[0]), len(network.frame([], [])[0])
    longest = [max([paired + len(next(seconds)) for _ in _seconds(text)], default=alone) for text in texts]
    return np.array([len(first) + more for first, more in zip(firsts, longest, strict=True)], dtype=np.int64)


def align(units: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> Units:
    """Where each unit's first token stands, and the unit's place among those of that token.

    Both are given as (start, end) characters in order. A unit that no token covers stands at -1.

    >>> align([(0, 2), (3, 6)], [(0, 1), (1, 2), (2, 6)])  # words, the first in two pieces
    (array([0, 2]), array([0, 0]))
    >>> align([(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 2), (2, 3)])  # characters, the first two in one word, the last without a token
    (array([ 0,  0,  1, -1]), array([0, 1, 0, 0]))
    """
    seen = [token for token, (start, end) in enumerate(spans) if end > start]
    ends = np.array([spans[token][1] for token in seen], dtype=np.int64)
    columns, places = np.full(len(units), -1, dtype=np.int64), np.zeros(len(units), dtype=np.int64)
    for unit, (start, end) in enumerate(units):
        at = int(np.searchsorted(ends, start, side="right"))
        if at == len(seen) or spans[seen[at]][0] >= end:
            continue
        columns[unit] = seen[at]
        if unit and columns[unit - 1] == columns[unit]:
            places[unit] = min(places[unit - 1] + 1, PLACES - 1)
    return columns, places


def under_budget(lengths: np.ndarray, rows: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """The rows, shortest first, in groups whose padded size (rows x longest) keeps to `budget` tokens."""
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    start = 0
    for at in range(len(rows)):
        if at > start and (at + 1 - start) * max(lengths[rows[at]], 1) > budget:
            yield rows[start:at]
            start = at
    if len(rows):
        yield rows[start:]


def collate(framed: Framed, rows: Sequence[int] | np.ndarray, pad: int = 0) -> Batch:
    """One batch (W T) of all windows of these examples: ids, types, positions, and segments that are 0 where a window is padded."""
    lengths = [length for row in rows for length in framed.windows[row]]
    shape = (len(lengths), max([1, *lengths]))
    real = np.arange(shape[1]) < np.array(lengths, dtype=np.int64)[:, None]
    batch = {
        "ids": np.full(shape, pad, dtype=np.int64),
        "types": np.zeros(shape, dtype=np.int64),
        "segments": real.astype(np.int64),
        "positions": np.broadcast_to(np.arange(shape[1]), shape).copy(),
    }
    if lengths:
        batch["ids"][real] = np.concatenate([framed.ids[row] for row in rows])
        batch["types"][real] = np.concatenate([framed.types[row] for row in rows])
    return batch | framed.beside


def collate_windows(framed: Framed, rows: Sequence[int] | np.ndarray) -> Batch:
    """Of the same examples `windows` (B K): which of the batch's windows are theirs, -1 where there are no more."""
    counts = np.array([len(framed.windows[row]) for row in rows], dtype=np.int64)
    places = np.arange(max([1, *counts.tolist()]))
    first = np.cumsum(counts) - counts
    return {"windows": np.where(places < counts[:, None], first[:, None] + places, -1)}


def collate_halves(framed: Framed, rows: Sequence[int] | np.ndarray) -> Batch:
    """Of the same examples `halves` (W T): 1 at the first half's tokens, 2 at the second's, 0 at specials and at padding."""
    lengths = np.array([length for row in rows for length in framed.windows[row]], dtype=np.int64)
    found = np.zeros((len(lengths), max([1, *lengths.tolist()])), dtype=np.int64)
    if len(lengths):
        found[np.arange(found.shape[1]) < lengths[:, None]] = np.concatenate([framed.halves[row] for row in rows])
    return {"halves": found}


def collate_units(framed: Framed, rows: Sequence[int] | np.ndarray) -> Batch:
    """Of the same examples (B U): `columns` and `places` of their units, and `sites`, True where a unit is real.

    A column counts through the batch's windows, (W T) flattened.
    """
    longest = max([1, *(length for row in rows for length in framed.windows[row])])
    counts = framed.unit_counts[rows]
    shape = (len(rows), max([1, *counts.tolist()]))
    batch = {"columns": np.full(shape, -1, dtype=np.int64), "places": np.zeros(shape, dtype=np.int64)}
    batch["sites"] = np.arange(shape[1]) < counts[:, None]
    window = 0
    for k, row in enumerate(rows):
        columns, places = framed.units[row]
        own = np.concatenate([(window + w) * longest + np.arange(length) for w, length in enumerate(framed.windows[row])])
        batch["columns"][k, : counts[k]] = np.where(columns < 0, -1, np.append(own, -1)[columns])
        batch["places"][k, : counts[k]] = places
        window += len(framed.windows[row])
    return batch


def _seconds(text: Text) -> tuple[str, ...]:
    """What the text is read with: its second half, or its candidates."""
    return text.candidates or ((text.other,) if text.other else ())


def _encoded(vocabulary: OpenVocabulary, texts: Sequence[Text]) -> tuple[list[np.ndarray], list[list[tuple[int, int]]]]:
    """The ids of each text, and the characters that each stands for where the text has units."""
    if not any(text.units for text in texts):
        return vocabulary.encode_batch([text.text for text in texts]), [[]] * len(texts)
    pairs = [vocabulary.encode_offsets(text.text) for text in texts]
    return [ids for ids, _ in pairs], [spans for _, spans in pairs]


def _fitted(first: np.ndarray, second: np.ndarray | None, room: int) -> tuple[np.ndarray, np.ndarray | None, int]:
    """The text or pair within `room` tokens, and how many were lost."""
    if second is None:
        return first[:room], None, max(len(first) - room, 0)
    keep_second = min(len(second), max(room - len(first), room // 2))
    keep_first = min(len(first), room - keep_second)
    return first[:keep_first], second[:keep_second], len(first) + len(second) - keep_first - keep_second


def _halves(network: Frames, first: int, second: int | None) -> np.ndarray:
    """Which half each token of a framed text or pair of these lengths belongs to."""
    row = np.array(network.frame([-1] * first, None if second is None else [-2] * second)[0], dtype=np.int64)
    return np.where(row < 0, -row, 0)


def _windowed(
    network: Frames, ids: np.ndarray, units: Units, room: int, question: list[int] | None, stride: int
) -> tuple[list[tuple[list[int], list[int]]], Units]:
    """The framed windows of a text, and its units with their positions in all of them, one after the other.

    A window has `room` tokens, of which the `question`, where there is one, takes its part in each.
    """

    def framed(part: list[int]) -> tuple[list[int], list[int]]:
        return network.frame(part) if question is None else network.frame(question, part)

    room -= len(question or [])
    step = min(stride, room) or room - room // OVERLAP
    starts = [*range(0, len(ids) - room, step), max(len(ids) - room, 0)]
    rows = [framed(ids[start : start + room].tolist()) for start in starts]
    lead = framed([-1])[0].index(-1)  # what stands before the text
    begins = np.cumsum([0, *(len(row) for row, _ in rows[:-1])])
    middles = [(start + earlier + room) // 2 for earlier, start in itertools.pairwise(starts)]  # of what two windows share
    columns, places = units
    window = np.searchsorted(middles, columns, side="right")
    inside = begins[window] + lead + columns - np.array(starts)[window]
    return rows, (np.where(columns < 0, -1, inside), places)
