"""N-grams as the bytes of ARPA lines, and back: the inner loops of writing and reading, and nothing else.

`spelling` holds the bytes of all words one after the other, `borders` where each begins, with the end.
"""

import math

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.decimals import get_number, put_number

TAB, NEWLINE, RETURN, SPACE = 9, 10, 13, 32
OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, 64 bits
NEVER = np.float32(-99)  # how the logarithm of 0 is written, as is the custom


@compiled
def put_lines(words, log10_probs, log10_backoffs, spelling, borders, out):
    """Writes the n-grams `words` (n-grams, n), one a line, into `out`; gives how many bytes that took.

    The back-off column is written if `log10_backoffs` is not empty.
    """
    at = 0
    for row in range(len(words)):
        at = put_number(NEVER if math.isinf(log10_probs[row]) else log10_probs[row], out, at)
        for n in range(words.shape[1]):
            out[at] = SPACE if n else TAB
            at += 1
            for byte in range(borders[words[row, n]], borders[words[row, n] + 1]):
                out[at] = spelling[byte]
                at += 1
        if len(log10_backoffs):
            out[at] = TAB
            at = put_number(NEVER if math.isinf(log10_backoffs[row]) else log10_backoffs[row], out, at + 1)
        out[at] = NEWLINE
        at += 1
    return at


@compiled
def seats_of(spelling, borders):
    """A hash table of the words, which must differ: their places plus one, 0 where a slot is free."""
    size = 8
    while size < 2 * len(borders):
        size *= 2
    slots = np.zeros(size, np.uint32)
    for word in range(len(borders) - 1):
        begin, end = borders[word], borders[word + 1]
        hashed = OFFSET
        for place in range(begin, end):
            hashed = (hashed ^ np.uint64(spelling[place])) * PRIME
        slots[_seat(spelling, begin, end, hashed, slots, spelling, borders)] = word + 1
    return slots


@compiled
def _seat(text, begin, end, hashed, slots, spelling, borders):
    """The slot of the word text[begin:end], or the free one where it belongs."""
    mask = np.uint64(len(slots) - 1)
    slot = (hashed ^ (hashed >> np.uint64(32))) & mask
    while slots[slot] > 0:
        first = borders[slots[slot] - 1]
        if borders[slots[slot]] - first == end - begin:
            place = begin
            while place < end and spelling[first + place - begin] == text[place]:
                place += 1
            if place == end:
                break
        slot = (slot + np.uint64(1)) & mask
    return slot


@compiled
def get_ngrams(text, at, slots, spelling, borders, ids, words, log10_probs, log10_backoffs):
    """Reads lines of `text` from `at` on: the `ids` of the words of each n-gram (n-grams, n), its probability and its back-off.

    An empty `log10_backoffs` is the highest order's, which has none. Stops when the arrays are full, at the end of the
    text, or before the first line that is not plainly an n-gram of known words; gives the number read and the place then.
    """
    count, order, highest = 0, words.shape[1], len(log10_backoffs) == 0
    while at < len(text) and count < len(words):
        number, end, plain = get_number(text, _word_at(text, at), len(text))
        if not plain or number > 0:
            break
        log10_probs[count] = number
        known = True
        for n in range(order):
            start, end, hashed = _field(text, end)
            word = slots[_seat(text, start, end, hashed, slots, spelling, borders)] if end > start else 0
            known = known and word > 0
            words[count, n] = ids[word - 1] if word > 0 else 0
        end, number = _word_at(text, end), 0.0
        if end < len(text) and text[end] > SPACE:
            number, end, plain = get_number(text, end, len(text))
            end = _word_at(text, end)
        ended = end == len(text) or text[end] == NEWLINE
        if not known or not plain or not ended or (highest and number != 0):
            break
        if not highest:
            log10_backoffs[count] = number
        count += 1
        at = min(end + 1, len(text))
    return count, at


@compiled
def _word_at(text, at):
    """The place of the next byte on the line that is no blank."""
    while at < len(text) and (text[at] == SPACE or text[at] == TAB or text[at] == RETURN):
        at += 1
    return at


@compiled
def _field(text, at):
    """The next field of the line, up to a blank or another control character, and its hash; an empty one at the line's end."""
    begin = at = _word_at(text, at)
    hashed = OFFSET
    while at < len(text) and text[at] > SPACE:
        hashed = (hashed ^ np.uint64(text[at])) * PRIME
        at += 1
    return begin, at, hashed
