"""Reading texts of any length through a network with a window: states of tokens, and their surprise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCH_POSITIONS = 4096  # rows times positions of one forward pass


@dataclass(frozen=True)
class Piece:
    """A window's worth of one text's ids, and what frames them."""

    text: int  # which text
    first: int  # where in it
    ids: np.ndarray
    framed: list[int]
    types: list[int]
    own: np.ndarray  # columns of the framed row that hold `ids`


def states(network: Any, texts: Sequence[np.ndarray], layer: int | None) -> Iterator[tuple[Piece, np.ndarray]]:
    """(piece, states (L T D) of its own tokens) for every piece of every text; L is 1 when `layer` is given.

    A text longer than the network's window is read in windows that follow one another.
    """
    import torch

    pieces = [piece for number, ids in enumerate(texts) for piece in _pieces(network, number, np.asarray(ids, np.int64))]
    for rows in _batches([len(piece.framed) for piece in pieces]):
        batch = _padded([pieces[n].framed for n in rows], [pieces[n].types for n in rows])
        with torch.no_grad():
            layers = network.encode({name: torch.from_numpy(array) for name, array in batch.items()})
        chosen = [array.float().numpy() for array in (layers if layer is None else [layers[layer]])]
        for row, number in enumerate(rows):
            yield pieces[number], np.stack([array[row, pieces[number].own] for array in chosen])


def surprises(network: Any, texts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Nats of each id given those before it, starting from the network's start context.

    A text longer than the window is read in windows that overlap by half, so that every token but the
    first few has half a window of context at least.
    """
    import torch

    found = [np.zeros(len(ids)) for ids in texts]
    windows = []  # (text, framed ids, first id scored, how many)
    for number, ids in enumerate(texts):
        framed, _ = network.frame([int(i) for i in ids])
        most, lead = network.max_length or len(framed), len(framed) - len(ids)
        start, done = 0, 0
        while done < len(ids):
            row = framed[start : start + most]
            scored = start + len(row) - lead - done
            windows.append((number, row, done, scored))
            done += scored
            start = max(0, done + lead - most // 2)
    for rows in _batches([len(window[1]) for window in windows]):
        batch = _padded([windows[n][1] for n in rows], [[0] * len(windows[n][1]) for n in rows])
        nats = network.score({name: torch.from_numpy(array) for name, array in batch.items()}).numpy()
        for row, number in enumerate(rows):
            text, ids, first, count = windows[number]
            found[text][first : first + count] = nats[row, len(ids) - count : len(ids)]
    return found


def _pieces(network: Any, number: int, ids: np.ndarray) -> Iterator[Piece]:
    frame, lead = len(network.frame([])[0]), network.frame([-1])[0].index(-1)  # specials in all, and before the text
    room = (network.max_length or len(ids) + frame) - frame
    for first in range(0, len(ids), max(1, room)):
        own = ids[first : first + room]
        framed, types = network.frame([int(i) for i in own])
        yield Piece(number, first, own, framed, types, np.arange(lead, lead + len(own)))


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Rows of like length together, each batch within the budget of positions."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[number] > BATCH_POSITIONS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _padded(ids: list[list[int]], types: list[list[int]]) -> dict[str, np.ndarray]:
    """A batch (B T) of rows padded at their ends, padding being segment 0."""
    longest = max(map(len, ids))
    batch = {name: np.zeros((len(ids), longest), np.int64) for name in ("ids", "types", "segments")}
    for row, (tokens, kinds) in enumerate(zip(ids, types, strict=True)):
        batch["ids"][row, : len(tokens)], batch["types"][row, : len(tokens)] = tokens, kinds
        batch["segments"][row, : len(tokens)] = 1
    return batch
