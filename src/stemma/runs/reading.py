"""Reading texts of any length: the states of their tokens, and their surprise.

N tokens of all texts and their ends, S sentences, P parts (texts, or documents of several sentences).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from stemma.lineage.network import ScoresBackward, StaticVectors
from stemma.objectives.batch import Batch
from stemma.runs.alike import alike
from stemma.runs.cuts import surprises_uncut

T = TypeVar("T")
BATCH_POSITIONS = 4096  # rows times positions of one forward pass
GATHERED = 1 << 18  # positions that are looked over at once for rows of like length
ALONE: Batch = {}  # what goes beside batches of ids that are all in the vocabulary
LONGEST = 1 << 14  # tokens that a network without a window of its own reads at once: memory does not grow with the text


@dataclass(frozen=True)
class Piece:
    """A window's worth of one text's ids, and what frames them."""

    text: int  # which text
    first: int  # where in it
    ids: np.ndarray
    framed: list[int]
    types: list[int]
    own: np.ndarray  # columns of the framed row that hold `ids`


class MaskedRow(NamedTuple):
    """A text some of whose tokens are to be filled in, framed."""

    framed: list[int]
    types: list[int]
    masks: int  # how many


class Surprises(NamedTuple):
    """What every token and every end of a text read costs."""

    nats: np.ndarray  # (N)
    unknown: np.ndarray  # (N) bool: the vocabulary lacks it
    orders: np.ndarray  # (N) tokens in the longest n-gram that matched; 0 where nothing is counted
    borders: np.ndarray  # (P + 1) of the parts


Lacks = Callable[[np.ndarray], np.ndarray]  # of ids (N): which are no word to the network


class Reader(Protocol):
    """How a generation reads text to score it; `beside` goes with every batch of the ids (`runs.open_vocabulary`)."""

    def __call__(self, ids: np.ndarray, starts: np.ndarray, parts: np.ndarray, beside: Batch) -> Surprises:
        """What flat ids cost, given the borders (S + 1) of the sentences in them, and of the parts in those; and the ends it predicts."""

    def uncut(self, ids: np.ndarray, borders: np.ndarray, beside: Batch) -> Surprises:
        """Each token of each part (P + 1 borders in the ids), and no end: every generation predicts the same."""

    def lacks(self, ids: np.ndarray) -> np.ndarray:
        """True for each of the ids that is no word to the network."""


class CountReader:
    """A model of counts reads flat ids, sentence by sentence."""

    def __init__(self, network: Any, end: int, lacks: Lacks) -> None:
        self._network = network

    def lacks(self, ids: np.ndarray) -> np.ndarray:
        """Of a tokenizer's words those that were pruned are unknown too."""
        return self._network.lacks(ids)

    def __call__(self, ids: np.ndarray, starts: np.ndarray, parts: np.ndarray, beside: Batch) -> Surprises:
        """Each token, and each sentence's end."""
        scores = self._network.score_flat(ids, starts)
        return Surprises(np.negative(scores.log_probs, out=scores.log_probs), scores.unknown, scores.orders, scores.starts[parts])

    def uncut(self, ids: np.ndarray, borders: np.ndarray, beside: Batch) -> Surprises:
        """Each token, whatever the sentences are."""
        return Surprises(surprises_uncut(self._network, ids, borders), self.lacks(ids), np.zeros(len(ids), np.uint8), borders)


class SentenceReader:
    """A network that learnt sentence by sentence reads so."""

    def __init__(self, network: Any, end: int, lacks: Lacks) -> None:
        self._network, self._end, self.lacks = network, end, lacks

    def __call__(self, ids: np.ndarray, starts: np.ndarray, parts: np.ndarray, beside: Batch) -> Surprises:
        """Each token, and each sentence's end."""
        read = self._read(ids, starts, beside)
        return read._replace(borders=read.borders[parts])

    def uncut(self, ids: np.ndarray, borders: np.ndarray, beside: Batch) -> Surprises:
        """Each token, whatever the sentences are."""
        return Surprises(surprises_uncut(self._network, ids, borders), self.lacks(ids), np.zeros(len(ids), np.uint8), borders)

    def _read(self, ids: np.ndarray, borders: np.ndarray, beside: Batch, closing: bool = True) -> Surprises:
        ends = [self._end] * closing
        texts = [np.append(ids[first:last], ends).astype(np.int64) for first, last in pairwise(borders)]
        nats = np.concatenate([np.zeros(0), *surprises(self._network, texts, beside, end=self._end)])
        unknown = self.lacks(np.concatenate([np.zeros(0, np.int64), *texts]))
        return Surprises(nats, unknown, np.zeros(len(nats), np.uint8), np.cumsum([0, *map(len, texts)]))


class DocumentReader(SentenceReader):
    """Other networks carry the context on from one sentence of a part to the next."""

    def __call__(self, ids: np.ndarray, starts: np.ndarray, parts: np.ndarray, beside: Batch) -> Surprises:
        """Each token, and each part's end."""
        return self._read(ids, starts[parts], beside)

    def uncut(self, ids: np.ndarray, borders: np.ndarray, beside: Batch) -> Surprises:
        """Each token."""
        return self._read(ids, borders, beside, closing=False)


READERS: dict[str, Callable[[Any, int, Lacks], Reader]] = {"counts": CountReader, "sentence": SentenceReader, "document": DocumentReader}


def states(
    network: Any, texts: Sequence[np.ndarray], layer: int | None, beside: Batch = ALONE, framed: bool = False
) -> Iterator[tuple[Piece, np.ndarray]]:
    """(piece, states (L T D) of its own tokens) for every piece of every text; L is 1 when `layer` is given.

    `beside` goes with every batch. The specials round a piece are among its states where they are to be `framed`. A text longer than the
    network's window, or than LONGEST where it has none, is read in windows that follow one another.
    """
    import torch

    every = chain.from_iterable(_pieces(network, number, np.asarray(ids, np.int64)) for number, ids in enumerate(texts))
    for pieces in _gathered(every, lambda piece: len(piece.framed)):
        for rows in alike([len(piece.framed) for piece in pieces], BATCH_POSITIONS):
            batch = _padded([pieces[n].framed for n in rows], [pieces[n].types for n in rows]) | beside
            with torch.no_grad():
                layers = network.encode({name: torch.from_numpy(array) for name, array in batch.items()})
            chosen = [array.float().numpy() for array in (layers if layer is None else [layers[layer]])]
            for row, number in enumerate(rows):
                piece = pieces[number]
                yield piece, np.stack([array[row, np.arange(len(piece.framed)) if framed else piece.own] for array in chosen])


def static_states(network: StaticVectors, texts: Sequence[np.ndarray]) -> Iterator[tuple[Piece, np.ndarray]]:
    """As `states`, of word vectors, whose one layer (1 T D) is looked up."""
    for number, ids in enumerate(texts):
        for piece in _pieces(network, number, np.asarray(ids, np.int64)):
            yield piece, network.vectors_of(piece.ids)[None]


def filled(network: Any, rows: Sequence[MaskedRow], pad: int) -> Iterator[tuple[list[int], Any]]:
    """(numbers of rows that were read together, scores (M V) of every token at each of their masks, row by row)."""
    import torch

    for together in alike([len(row.framed) for row in rows], BATCH_POSITIONS):
        batch = _padded([rows[n].framed for n in together], [rows[n].types for n in together])
        batch["ids"][batch["segments"] == 0] = pad
        yield together, network.fill({name: torch.from_numpy(array) for name, array in batch.items()})


def widths(network: Any) -> list[int]:
    """The numbers in a state of each layer (L+1), the embeddings first."""
    import torch

    with torch.no_grad():
        layers = network.encode({"ids": torch.zeros(1, 1, dtype=torch.long), "segments": torch.ones(1, 1, dtype=torch.long)})
    return [states.shape[-1] for states in layers]


def backward_nats(network: ScoresBackward, texts: Sequence[np.ndarray], end: int | None, beside: Batch) -> list[float]:
    """Nats of each text read from its end to its start, where `end`, if one is given, is predicted too."""
    turned = [np.append(ids[::-1], [end] * (end is not None)).astype(np.int64) for ids in texts]
    return [float(nats.sum()) for nats in surprises(network, turned, beside, network.score_backward)]


def surprises(
    network: Any, texts: Sequence[np.ndarray], beside: Batch = ALONE, score: Callable[[Any], Any] | None = None, end: int | None = None
) -> list[np.ndarray]:
    """Nats of each id given those before it, starting from the network's start context; `beside` goes with every batch.

    Where a network frames a text with nothing before it, the start context is the `end` of another text. `score` is the network's own
    where none is given. A text longer than the window (LONGEST where there is none) is read in windows that
    overlap by half, so that every token but the first few has half a window of context at least.
    """
    import torch

    found = [np.zeros(len(ids)) for ids in texts]
    before = network.frame([-1])[0]
    start = before[: before.index(-1)] or [end] * (end is not None)
    every = chain.from_iterable(_windows(start, network.max_length, number, np.asarray(ids, np.int64)) for number, ids in enumerate(texts))
    for windows in _gathered(every, lambda window: len(window.ids)):
        for rows in alike([len(window.ids) for window in windows], BATCH_POSITIONS):
            batch = _padded([windows[n].ids for n in rows], [np.zeros_like(windows[n].ids) for n in rows]) | beside
            nats = (score or network.score)({name: torch.from_numpy(array) for name, array in batch.items()}).numpy()
            for row, number in enumerate(rows):
                text, ids, first, count = windows[number]
                found[text][first : first + count] = nats[row, len(ids) - count : len(ids)]
    return found


class _Window(NamedTuple):
    text: int  # which text
    ids: np.ndarray  # framed
    first: int  # of the text's ids, the first one scored
    size: int  # how many are


def _windows(context: Sequence[int], max_length: int | None, number: int, ids: np.ndarray) -> Iterator[_Window]:
    framed = np.concatenate([np.array(context, np.int64), ids])
    most, lead = max_length or LONGEST, len(context)
    start, done = 0, 0
    while done < len(ids):
        row = framed[start : start + most]
        scored = start + len(row) - lead - done
        yield _Window(number, row, done, scored)
        done += scored
        start = max(0, done + lead - most // 2)


def _gathered(items: Iterable[T], length: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in lists whose lengths come to GATHERED or a little more."""
    found: list[T] = []
    positions = 0
    for item in items:
        found.append(item)
        positions += length(item)
        if positions >= GATHERED:
            yield found
            found, positions = [], 0
    if found:
        yield found


def _pieces(network: Any, number: int, ids: np.ndarray) -> Iterator[Piece]:
    frame, lead = len(network.frame([])[0]), network.frame([-1])[0].index(-1)  # specials in all, and before the text
    room = (network.max_length or LONGEST) - frame
    for first in range(0, len(ids), max(1, room)):
        own = ids[first : first + room]
        framed, types = network.frame([int(i) for i in own])
        yield Piece(number, first, own, framed, types, np.arange(lead, lead + len(own)))


def _padded(ids: list[Any], types: list[Any]) -> dict[str, np.ndarray]:
    """A batch (B T) of rows padded at their ends, padding being segment 0."""
    longest = max(map(len, ids))
    batch = {name: np.zeros((len(ids), longest), np.int64) for name in ("ids", "types", "segments")}
    for row, (tokens, kinds) in enumerate(zip(ids, types, strict=True)):
        batch["ids"][row, : len(tokens)], batch["types"][row, : len(tokens)] = tokens, kinds
        batch["segments"][row, : len(tokens)] = 1
    return batch
