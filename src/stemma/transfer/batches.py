"""Examples -> framed token ids -> batches: grouped by length, under a token budget, padding counted.

Axes: B rows, T positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemma.corpus.task import Example
from stemma.objectives.batch import Batch

WINDOW = 128  # batches sorted together: like lengths find each other, and batches still come in random order


@dataclass(frozen=True, slots=True)
class Framed:
    """Tokenised examples with their generation's special tokens, ready to be put into rows."""

    ids: tuple[np.ndarray, ...]
    types: tuple[np.ndarray, ...]  # sentence A or B
    cut: int  # examples shortened to fit
    tokens_cut: int  # and the tokens that cost

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, specials included."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)


def frame(network: Any, tokenizer: Any, examples: Sequence[Example], max_length: int) -> Framed:
    """Tokenises the examples and frames them; a pair too long loses tokens at the end of its longer half."""
    firsts = tokenizer.encode_batch([example.text for example in examples])
    seconds = iter(tokenizer.encode_batch([example.text_b for example in examples if example.text_b]))
    most = min(max_length, network.max_length or max_length)
    room, room_of_pair = max(most - len(network.frame([])[0]), 1), max(most - len(network.frame([], [])[0]), 1)
    ids, types, cut, tokens_cut = [], [], 0, 0
    for first, example in zip(firsts, examples, strict=True):
        second = next(seconds) if example.text_b else None
        kept, kept_second, lost = _fitted(first, second, room if second is None else room_of_pair)
        cut, tokens_cut = cut + (lost > 0), tokens_cut + lost
        framed, kinds = network.frame([int(i) for i in kept], None if kept_second is None else [int(i) for i in kept_second])
        ids.append(np.asarray(framed, dtype=np.int64))
        types.append(np.asarray(kinds, dtype=np.int64))
    return Framed(tuple(ids), tuple(types), cut, tokens_cut)


def shuffled(lengths: np.ndarray, rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows of one epoch in batches of like lengths, in random order; each row stands in exactly one."""
    order = rng.permutation(rows)
    batches: list[np.ndarray] = []
    for start in range(0, len(order), batch_size * WINDOW):
        window = order[start : start + batch_size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
    return [batches[k] for k in rng.permutation(len(batches))]


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
    """One batch (B T): ids, types, positions, and segments that are 0 where a row is padded."""
    longest = max([1, *(len(framed.ids[row]) for row in rows)])
    shape = (len(rows), longest)
    batch = {
        "ids": np.full(shape, pad, dtype=np.int64),
        "types": np.zeros(shape, dtype=np.int64),
        "segments": np.zeros(shape, dtype=np.int64),
    }
    for k, row in enumerate(rows):
        length = len(framed.ids[row])
        batch["ids"][k, :length] = framed.ids[row]
        batch["types"][k, :length] = framed.types[row]
        batch["segments"][k, :length] = 1
    batch["positions"] = np.broadcast_to(np.arange(longest), shape).copy()
    return batch


def padding_share(framed: Framed, batches: Sequence[np.ndarray]) -> float:
    """The share of positions in these batches that hold padding."""
    lengths = framed.lengths
    held = sum(int(lengths[rows].sum()) for rows in batches)
    room = sum(len(rows) * max(int(lengths[rows].max()), 1) for rows in batches)
    return 1 - held / room if room else 0.0


def _fitted(first: Sequence[int], second: Sequence[int] | None, room: int) -> tuple[Sequence[int], Sequence[int] | None, int]:
    """The text or pair within `room` tokens, and how many were lost."""
    if second is None:
        return first[:room], None, max(len(first) - room, 0)
    keep_second = min(len(second), max(room - len(first), room // 2))
    keep_first = min(len(first), room - keep_second)
    return first[:keep_first], second[:keep_second], len(first) + len(second) - keep_first - keep_second
