"""Pseudo-log-likelihood: what a masked language model gives a sentence (Salazar 2020), one token at a time.

With a token, the tokens of the same word that stand to its right are masked too (PLL-word-l2r, Kauf & Ivanova 2023, section 3):
else the pieces of a word give one another away, and rare words, which have many, look likely. A word is what
`tokens.word_starts` says: of Chinese, the segmenter's.

A sentence of n tokens makes n copies, each with its own masks; copies of many sentences go through the network together.
S sentences, C copies, T positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stemma.lineage.network import Fills
from stemma.objectives.batch import IGNORE, Batch
from stemma.runs.framing import under_budget
from stemma.tokens.tokenizer import Tokenizer

POSITIONS = 4096  # copies times positions of one forward pass
_FRAME = -1  # the word of the specials that frame a text


@dataclass(frozen=True)
class _Window:
    """What the network reads of one sentence at a time, mostly all of it."""

    sentence: int
    ids: np.ndarray  # (T) framed
    types: np.ndarray
    words: np.ndarray  # which word each belongs to
    scored: range  # the positions scored here, maybe none


def pseudo_nats(network: Fills, tokenizer: Tokenizer, texts: Sequence[str]) -> list[float]:
    """Nats of each text: the sum over its tokens of -log P(token | all others, but for its word's tokens on its right).

    Not those of a probability: they sum to no 1 over all texts. A text longer than the network's window is read in windows
    that overlap by half, each token in the one where it stands more amid its neighbours.
    """
    ids, lengths, words = _encoded(tokenizer, texts)
    asked = [range(length) for length in lengths.tolist()]
    return _nats(network, tokenizer, _windows(network, ids, lengths, words, asked), len(texts)).tolist()


def gap_nats(
    network: Fills, tokenizer: Tokenizer, texts: Sequence[str], gaps: Sequence[tuple[int, int]], whole: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Nats (N) of what stands between two characters of each text, given all else of it, and how many tokens that is (N).

    A token of which a part stands there counts. The tokens of a `whole` gap are those of one word, whatever words they are: filled from
    left to right, and so by the chain rule a probability over all fillings of as many tokens. In others, words are masked as in
    `pseudo_nats`.
    """
    ids, lengths, words = _encoded(tokenizer, texts)
    asked, begin = list[range](), np.concatenate([[0], np.cumsum(lengths)])
    for number, (text, (start, end), one) in enumerate(zip(texts, gaps, whole, strict=True)):
        _, spans = tokenizer.encode_offsets(text)
        first = int(np.searchsorted([last for _, last in spans], start, side="right"))
        asked.append(range(first, max(first, int(np.searchsorted([at for at, _ in spans], end)))))
        if one:
            words[begin[number] + first : begin[number] + asked[-1].stop] = len(ids) + 1 + number
    nats = _nats(network, tokenizer, _windows(network, ids, lengths, words, asked), len(texts))
    return nats, np.array([len(own) for own in asked], np.int64)


def _nats(network: Fills, tokenizer: Tokenizer, windows: Sequence[_Window], texts: int) -> np.ndarray:
    """Nats of all that is scored of each text in its windows."""
    import torch

    owners = np.repeat(np.arange(len(windows)), [len(window.scored) for window in windows])  # (C)
    places = np.array([place for window in windows for place in window.scored], np.int64)  # (C)
    lengths = np.array([len(window.ids) for window in windows], np.int64)[owners]
    nats = np.zeros(texts)
    sentences = np.array([window.sentence for window in windows], np.int64)[owners]
    for copies in under_budget(lengths, np.arange(len(owners)), POSITIONS):
        batch = _masked(windows, owners[copies], places[copies], tokenizer.specials["mask"])
        found = network.label_nats({name: torch.from_numpy(array) for name, array in batch.items()})
        np.add.at(nats, sentences[copies], found.double().numpy())
    return nats


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat ids of the texts, how many each has, and the number of the word that each belongs to."""
    ids, lengths, starts = tokenizer.encode_words(texts)
    return ids, lengths, np.arange(len(ids)) if starts is None else np.cumsum(starts)


def _windows(network: Fills, ids: np.ndarray, lengths: np.ndarray, words: np.ndarray, asked: Sequence[range]) -> list[_Window]:
    """The windows of each text; of its tokens those that are `asked` for are scored."""
    lead, frame = network.frame([-1])[0].index(-1), len(network.frame([])[0])
    windows = []
    for sentence, (first, last) in enumerate(pairwise(np.cumsum([0, *lengths.tolist()]).tolist())):
        room, own_asked = (network.max_length or last - first + frame) - frame, asked[sentence]
        for start, scored in _spans(last - first, room):
            own = slice(first + start, min(first + start + room, last))
            framed, types = network.frame(ids[own].tolist())
            of = np.full(len(framed), _FRAME, np.int64)
            of[lead : lead + own.stop - own.start] = words[own]
            inside = range(max(scored.start, own_asked.start) - start + lead, min(scored.stop, own_asked.stop) - start + lead)
            windows.append(_Window(sentence, np.array(framed, np.int64), np.array(types, np.int64), of, inside))
    return windows


def _spans(length: int, room: int) -> list[tuple[int, range]]:
    """Where each window of `room` tokens starts in a text of `length`, and the tokens scored in it.

    >>> _spans(4, 6), _spans(9, 4)
    ([(0, range(0, 4))], [(0, range(0, 3)), (2, range(3, 5)), (4, range(5, 6)), (5, range(6, 9))])
    """
    if length <= room:
        return [(0, range(length))]
    starts = [*range(0, length - room, max(1, room // 2)), length - room]
    borders = [0, *((before + room + after) // 2 for before, after in pairwise(starts)), length]
    return [(start, range(first, last)) for start, (first, last) in zip(starts, pairwise(borders), strict=True)]


def _masked(windows: Sequence[_Window], owners: np.ndarray, places: np.ndarray, mask: int) -> Batch:
    """The copies as one batch (C T): each is its window with the token at its place, and its word's on the right of it, masked."""
    kinds, which = np.unique(owners, return_inverse=True)
    longest = max(len(windows[kind].ids) for kind in kinds)
    batch = {name: np.zeros((len(kinds), longest), np.int64) for name in ("ids", "types", "segments")}
    words = np.full((len(kinds), longest), _FRAME, np.int64)
    for row, kind in enumerate(kinds):
        window, length = windows[kind], len(windows[kind].ids)
        batch["ids"][row, :length], batch["types"][row, :length], words[row, :length] = window.ids, window.types, window.words
        batch["segments"][row, :length] = 1
    batch, words = {name: array[which] for name, array in batch.items()}, words[which]
    copies = np.arange(len(places))
    labels = np.full_like(batch["ids"], IGNORE)
    labels[copies, places] = batch["ids"][copies, places]
    hidden = (words == words[copies, places][:, None]) & (np.arange(longest) >= places[:, None])
    return batch | {"ids": np.where(hidden, mask, batch["ids"]), "labels": labels}
