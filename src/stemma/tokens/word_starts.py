"""Which tokens begin a word of the text, whatever cut it into tokens.

A word here is what a segmenter finds in Chinese, letters and digits joined by apostrophes, or a symbol alone; white
space belongs to the word that follows it, as in the tokens of byte-level BPE. A token begins a word when more words
have begun before its end than before the end of the token that stands before it: so the first of several pieces of a
word does (of the bytes of a character too), and so does a token that spans several words. A text's first token always does.

Ends are places in the raw text: how many of its characters stand before a token's end.
"""

from collections.abc import Callable, Sequence

import numpy as np

from stemma.tokens.chinese import Segmenter
from stemma.tokens.scripts import PLACES, codes_of, word_classes


def word_starts(texts: Sequence[str], lengths: np.ndarray, ends: np.ndarray, words: Segmenter) -> np.ndarray:
    """True for every token that begins a word, of all texts one after the other; `lengths` says how many each text has."""
    from stemma.kernels.word_scan import borders

    joined = "\n".join(texts)
    codes, first = codes_of(joined), _first_places(texts)
    starts, stops = borders(codes, words.cuts(joined, codes), word_classes())
    begins = np.zeros(len(codes) + 1, dtype=np.int32)  # of a word with the white space before it
    inner = np.searchsorted(first, starts[1:], side="right") == np.searchsorted(first, starts[:-1], side="right")
    begins[stops[:-1][inner]] = 1
    begins[first] = 1
    begun = np.cumsum(begins, dtype=np.int32)  # up to each character, itself included
    text = np.repeat(np.arange(len(texts)), lengths)
    last = first[text] + np.maximum(ends, 1) - 1  # the last character of each token
    furthest = np.maximum.accumulate(begun[np.maximum.accumulate(last)]) if len(last) else np.zeros(0, np.int32)
    return np.diff(furthest, prepend=0) > 0


def ends_by_size(
    texts: Sequence[str], lengths: np.ndarray, sizes: np.ndarray, widths: Callable[[np.ndarray], np.ndarray], ahead: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of tokens whose `sizes` are known, and which texts these sizes do not fit (their ends are wrong).

    `widths` gives for code points how much each takes of the size of tokens; a text's first token may be up to `ahead` larger.
    """
    codes, first = codes_of("\n".join(texts)), _first_places(texts)
    width = widths(codes)
    before = np.concatenate(([0], np.cumsum(width)))  # of each character
    room = before[first + np.fromiter(map(len, texts), np.int64, len(texts))] - before[first]
    passed = np.concatenate(([0], np.cumsum(sizes)))
    borders = np.concatenate(([0], np.cumsum(lengths)))
    extra = passed[borders[1:]] - passed[borders[:-1]] - room
    text = np.repeat(np.arange(len(texts)), lengths)
    place = before[first][text] + passed[1:] - passed[borders[:-1]][text] - extra[text]  # in units of size
    owner = np.repeat(np.arange(len(codes)), width)  # the character of each unit
    ends = np.zeros(len(sizes), np.int64)
    if len(owner):
        ends = np.where(place > before[first][text], owner[np.clip(place - 1, 0, len(owner) - 1)] + 1 - first[text], 0)
    return ends, (extra < 0) | (extra > ahead)


class NormalWidths:
    """How many visible characters a normaliser makes of each code point, computed once for each that is met."""

    def __init__(self, normalise: Callable[[str], str]) -> None:
        self._normalise = normalise
        self._widths = np.full(PLACES, -1, dtype=np.int8)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """The width of each code point."""
        if (self._widths[codes] < 0).any():
            for code in np.unique(codes[self._widths[codes] < 0]).tolist():
                self._widths[code] = len("".join(self._normalise(chr(code)).split()))
        return self._widths[codes].astype(np.int64)


def _first_places(texts: Sequence[str]) -> np.ndarray:
    """Where each text begins among those joined by line ends."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    return np.cumsum(sizes) - sizes
