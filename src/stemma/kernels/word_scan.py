"""The rules that part text into words, by character class: the plain form, over code points, compiled with Numba.

`word_table` follows the same rules over bytes. `classes` is the table of `scripts`. A word is one of

- letters, digits and marks, joined by single apostrophes where the table has them: `[WM]+(A[WM]+)*`;
- Chinese characters up to the segmenter's next cut: `[H][HM]*`;
- a symbol with the marks and joiners that follow it, ❤️ or a family of emoji: `[SA]([M]+[SA]?)*`.
"""

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.numbers import APOSTROPHE, HAN, MARK, SEPARATOR, WORD


@compiled
def borders(codes: np.ndarray, cuts: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the words start and end. `cuts` is true where the segmenter starts a word, or empty."""
    starts = np.empty(len(codes), np.int64)
    ends = np.empty(len(codes), np.int64)
    n = i = 0
    while i < len(codes):
        kind = classes[codes[i]]
        if kind == SEPARATOR:
            i += 1
            continue
        starts[n] = i
        i += 1
        if kind in (WORD, MARK):
            i = _end_of_word(codes, i, classes)
        elif kind == HAN:
            while i < len(codes) and (classes[codes[i]] == MARK or (classes[codes[i]] == HAN and not (len(cuts) and cuts[i]))):
                i += 1
        else:
            i = _end_of_symbol(codes, i, classes)
        ends[n] = i
        n += 1
    return starts[:n].copy(), ends[:n].copy()


@compiled
def _end_of_word(codes, i, classes):
    while i < len(codes):
        kind = classes[codes[i]]
        if kind == APOSTROPHE and i + 1 < len(codes) and (classes[codes[i + 1]] == WORD or classes[codes[i + 1]] == MARK):
            i += 2
        elif kind in (WORD, MARK):
            i += 1
        else:
            break
    return i


@compiled
def _end_of_symbol(codes, i, classes):
    while i < len(codes) and classes[codes[i]] == MARK:
        i += 1
        if i < len(codes) and classes[codes[i]] >= 4 and classes[codes[i - 1]] == MARK:
            i += 1
    return i
