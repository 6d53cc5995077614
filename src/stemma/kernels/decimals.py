"""Float32 numbers as decimals and back, in compiled code: the inner loop of every text format.

Written as the shortest decimals that give the same float32 when read, as lmplz and NumPy write them. Read to the float32
that Python's own `float` gives; what is not plain digits, or too near the middle of two float32, is left to it.
"""

import math

import numpy as np

from stemma.kernels.compiling import compiled

BLANK, PLUS, MINUS, POINT, ZERO, NINE, UPPER_E, LOWER_E = 32, 43, 45, 46, 48, 57, 69, 101  # BLANK: or any control character
NUMBER = 40  # bytes that one number takes at most
EXACT = 22  # 10**22 is the largest power of ten that float64 holds exactly
SMALL, LARGE = 1e-12, 1e15  # outside of these, nine significant digits and an exponent: always enough for a float32
TENS = np.array([10.0**n for n in range(EXACT + 1)])
NONE, TEN = np.uint64(0), np.uint64(10)  # a signed division would mind the sign
PLAIN = np.int64(1) << np.int64(53)  # integers up to this are exact in float64
SLACK = 2.0**-50  # more than the relative error of an inexact reading


@compiled
def put_number(value, out, at):
    """Writes a finite float32 in its shortest decimal form. Gives the next place."""
    if value < 0:
        out[at] = MINUS
        at += 1
    single = np.float32(abs(value))
    size = np.float64(single)
    if size != 0.0 and not SMALL <= size < LARGE:
        return _put_scientific(size, out, at)
    decimals = 0 if np.float32(np.uint64(size)) == single else _decimals(size, single)
    return _put_digits(np.uint64(np.rint(size * TENS[decimals])), decimals, out, at)


@compiled
def _decimals(size, single):
    """The fewest decimals, one at least, that give `single` back: sought from seven significant digits on, down or up."""
    decimals, leading = 7, size
    while leading < 0.1 and decimals < EXACT:
        decimals, leading = decimals + 1, leading * 10.0
    while decimals < EXACT and not _gives(single, size, decimals):
        decimals += 1
    while decimals > 1 and _gives(single, size, decimals - 1):
        decimals -= 1
    return decimals


@compiled
def _gives(single, size, decimals):
    scale = TENS[decimals]
    return np.float32(np.rint(size * scale) / scale) == single


@compiled
def _put_digits(whole, decimals, out, at):
    """Writes `whole` / 10**`decimals`, `whole` a uint64, with one digit before the point at least."""
    count = decimals + 1
    while whole >= TENS[count]:
        count += 1
    last = at + count + (1 if decimals > 0 else 0)
    end = last
    for place in range(count):
        if place == decimals and decimals > 0:
            end -= 1
            out[end] = POINT
        end -= 1
        rest = whole // TEN
        out[end] = np.uint64(ZERO) + (whole - rest * TEN)
        whole = rest
    return last


@compiled
def _put_scientific(size, out, at):
    exponent = math.floor(math.log10(size))
    whole = np.uint64(np.rint(size * 10.0 ** (8 - exponent)))
    if whole >= np.uint64(1_000_000_000):
        whole, exponent = whole // TEN, exponent + 1
    decimals = 8
    while decimals > 0 and whole % TEN == NONE:
        whole, decimals = whole // TEN, decimals - 1
    at = _put_digits(whole, decimals, out, at)
    out[at] = LOWER_E
    out[at + 1] = MINUS if exponent < 0 else PLUS
    out[at + 2], out[at + 3] = ZERO + abs(exponent) // 10, ZERO + abs(exponent) % 10
    return at + 4


@compiled
def get_number(text, at, end):
    """The number that begins at text[at] and ends at a blank or at `end`: its value, the place behind it, and True.

    False in the last place where `float` must read it, or refuse it.
    """
    negative = at < end and text[at] == MINUS
    if at < end and (negative or text[at] == PLUS):
        at += 1
    whole, digits, shift, pointed = np.int64(0), 0, 0, False
    while at < end and text[at] > BLANK:
        byte = text[at]
        if ZERO <= byte <= NINE:
            if whole < PLAIN:  # at most 17 digits: no overflow; the others move the point alone
                whole = whole * 10 + (byte - ZERO)
                shift -= pointed
            else:
                shift += not pointed
            digits += 1
        elif byte == POINT and not pointed:
            pointed = True
        else:
            break
        at += 1
    if at < end and text[at] > BLANK:
        exponent, at = _get_exponent(text, at, end)
        shift += exponent
    if digits == 0 or not -300 < shift < 300 or (at < end and text[at] > BLANK):
        return 0.0, at, False
    size, exact = float(whole), -EXACT <= shift <= EXACT
    if exact:
        size = size / TENS[-shift] if shift < 0 else size * TENS[shift]
    else:
        size *= 10.0**shift
    if not (exact and whole <= PLAIN) and np.float32(size * (1 - SLACK)) != np.float32(size * (1 + SLACK)):
        return 0.0, at, False
    return (-size if negative else size), at, True


@compiled
def _get_exponent(text, at, end):
    """The exponent that begins at text[at] and the place behind it; where there is none, 0 and a place that is no blank."""
    if text[at] != LOWER_E and text[at] != UPPER_E:
        return 0, at
    place = at + 1
    negative = place < end and text[place] == MINUS
    if place < end and (negative or text[place] == PLUS):
        place += 1
    exponent, digits = 0, 0
    while place < end and ZERO <= text[place] <= NINE and digits < 4:
        exponent = exponent * 10 + (text[place] - ZERO)
        place, digits = place + 1, digits + 1
    return (0, at) if digits == 0 else ((-exponent if negative else exponent), place)
