"""N-grams as the bytes of ARPA lines: the inner loop of writing, and nothing else.

Numbers are the shortest decimals that give the same float32 when read, as lmplz writes them.
"""

import math

import numpy as np
from numba import njit

TAB, NEWLINE, SPACE, MINUS, POINT, ZERO = 9, 10, 32, 45, 46, 48
NUMBER = 40  # bytes that one number takes at most
MOST_DECIMALS = 22  # 10**22 is the largest power of ten that float64 holds exactly


@njit(cache=True, nogil=True)
def put_number(value, out, at):
    """Writes a float32 in its shortest decimal form; -99 for minus infinity, as is the custom. Gives the next place."""
    if math.isinf(value):
        value = np.float32(-99)
    if value < 0:
        out[at] = MINUS
        at += 1
    size = abs(np.float64(value))
    whole, scale, decimals = np.int64(round(size)), 1.0, 0
    while np.float32(whole / scale) != np.float32(size) and decimals < MOST_DECIMALS:
        decimals += 1
        scale *= 10.0
        whole = np.int64(round(size * scale))
    digits = np.empty(NUMBER, np.uint8)
    count = 0
    while whole > 0 or count <= decimals:
        digits[count] = ZERO + whole % 10
        whole //= 10
        count += 1
    for place in range(count - 1, -1, -1):
        out[at] = digits[place]
        at += 1
        if place == decimals and decimals > 0:
            out[at] = POINT
            at += 1
    return at


@njit(cache=True, nogil=True)
def put_lines(words, rows, log10_probs, log10_backoffs, spelling, borders, out):
    """Writes the n-grams `rows` of `words` (n-grams, n), one a line, into `out`; gives how many bytes that took.

    The back-off column is written if `log10_backoffs` is not empty. `borders` borders the words' bytes in `spelling`.
    """
    at = 0
    for row in rows:
        at = put_number(log10_probs[row], out, at)
        for n in range(words.shape[1]):
            out[at] = SPACE if n else TAB
            at += 1
            for byte in range(borders[words[row, n]], borders[words[row, n] + 1]):
                out[at] = spelling[byte]
                at += 1
        if len(log10_backoffs):
            out[at] = TAB
            at = put_number(log10_backoffs[row], out, at + 1)
        out[at] = NEWLINE
        at += 1
    return at
