"""Word vectors as bytes, in lines or in word2vec's binary records, and back: the inner loops, and nothing else.

W words, D width. `spelling` holds the bytes of all words one after the other, `borders` (W+1) where each begins.
"""

import math

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.decimals import get_number, put_number

TAB, NEWLINE, RETURN, SPACE = 9, 10, 13, 32


@compiled
def put_lines(spelling, borders, vectors, out):
    """Writes each word and its numbers (W D), parted by single spaces, as a line of `out`; gives how many bytes that took."""
    at = 0
    for row in range(len(vectors)):
        for place in range(borders[row], borders[row + 1]):
            out[at] = spelling[place]
            at += 1
        for d in range(vectors.shape[1]):
            out[at] = SPACE
            at = put_number(vectors[row, d], out, at + 1)
        out[at] = NEWLINE
        at += 1
    return at


@compiled
def put_records(spelling, borders, numbers, out):
    """Writes each word, a space, its bytes of `numbers` (W 4D), and a line end, as word2vec.c does; gives how many bytes that took."""
    at = 0
    for row in range(len(numbers)):
        for place in range(borders[row], borders[row + 1]):
            out[at] = spelling[place]
            at += 1
        out[at] = SPACE
        at += 1
        for place in range(numbers.shape[1]):
            out[at] = numbers[row, place]
            at += 1
        out[at] = NEWLINE
        at += 1
    return at


@compiled
def get_lines(text, at, starts, ends, vectors):
    """Reads the lines of `text` from `at` on: where each word stands, and its numbers (W D), counted from the right.

    Stops at the end or before the first line that is not plainly one word without spaces and D finite decimals.
    Gives how many lines were read and the place behind them.
    """
    count, width = 0, vectors.shape[1]
    while at < len(text) and count < len(vectors):
        end = at
        while end < len(text) and text[end] != NEWLINE:
            end += 1
        place, d = end, width
        while d > 0:
            while place > at and (text[place - 1] == SPACE or (d == width and text[place - 1] == RETURN)):
                place -= 1
            stop = place
            while place > at and text[place - 1] != SPACE:
                place -= 1
            number, _, plain = get_number(text, place, stop)
            if not plain or math.isinf(np.float32(number)):
                return count, at
            d -= 1
            vectors[count, d] = number
        while place > at and text[place - 1] == SPACE:
            place -= 1
        for byte in range(at, place):
            if text[byte] == SPACE or text[byte] == TAB:
                return count, at
        if place == at:
            return count, at
        starts[count], ends[count] = at, place
        count += 1
        at = min(end + 1, len(text))
    return count, at


@compiled
def get_records(data, at, starts, ends, numbers):
    """Reads whole records of `data` from `at` on: where each word stands, and the bytes of its numbers (W 4D).

    Gives how many records were read and the place behind them. Line ends before a word are skipped: word2vec.c writes them.
    """
    count, size = 0, numbers.shape[1]
    while count < len(numbers):
        begin = at
        while begin < len(data) and data[begin] == NEWLINE:
            begin += 1
        end = begin
        while end < len(data) and data[end] != SPACE:
            end += 1
        if end + 1 + size > len(data):
            break
        starts[count], ends[count] = begin, end
        for place in range(size):
            numbers[count, place] = data[end + 1 + place]
        count += 1
        at = end + 1 + size
    return count, at
