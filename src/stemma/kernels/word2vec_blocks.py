"""One block of word2vec's fast kernels: the objective of `word2vec_pairs` for many tokens at a time.

A block's rows have been gathered into small contiguous buffers. All scores come from the values that the rows have there, and
SHARED negatives serve the whole block with weight pairs·K/SHARED, so that the expected gradient is the plain one. A block owns the
pairs of its inputs (skip-gram) or of its centres (CBOW) and reads the tokens around its edges, so no pair is lost.

D width, P pairs of a block, K negatives a pair.
"""

from typing import NamedTuple

import numpy as np

from stemma.kernels.compiling import inlined
from stemma.kernels.word2vec_registers import FLOATS, LANES, aligned, combine_2, combine_4, combine_8, pitch, score_2x4, turn
from stemma.kernels.word2vec_rows import average_and_score, gradients, step_row

BLOCK = 64  # tokens whose rows are updated together, at most
SHARED = 16  # negatives drawn once for a block: one AVX-512 register of float32 scores
ONE = (0,) * (LANES // FLOATS)  # `lanes` of rows of one register
ROOM = 8  # rows past the end of a buffer that loops over two, four or eight rows may touch with weight 0


class Setting(NamedTuple):
    """How a chunk is learnt from."""

    negatives: int  # K
    window: int  # words on each side at most
    rate: np.float32
    seed: np.uint64  # of the negatives


class Spans(NamedTuple):
    """The tokens of a block by their places in the chunk: inputs [first, last), centres [start, stop)."""

    first: int
    last: int
    start: int
    stop: int


class Space(NamedTuple):
    """Buffers of one thread."""

    x: np.ndarray  # rows of the inputs
    y: np.ndarray  # of the centres
    z: np.ndarray  # of the negatives
    mean: np.ndarray  # of the windows' means (CBOW)
    error: np.ndarray  # their steps
    scores: np.ndarray  # in the band
    real: np.ndarray  # in the band: 1 where an input and a centre make a pair
    steps: np.ndarray  # (rows SHARED) of inputs or means with the negatives
    weights: np.ndarray  # (rows SHARED) of those steps
    turned: np.ndarray  # z, column after column
    edges: np.ndarray  # of windows
    plan: np.ndarray  # of windows: see `lay_windows`


class Deltas(NamedTuple):
    """What a block adds to its rows."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


@inlined
def make_space(lanes, window):
    """The buffers, with room for the longest block."""
    width, rows = np.int64(pitch(lanes)), BLOCK + 2 * window + ROOM
    pairs = rows * band_of(window)
    x, y, z = aligned(rows * width), aligned(rows * width), aligned(SHARED * width)
    mean, error, scores, real = aligned(rows * width), aligned(rows * width), aligned(pairs), aligned(pairs)
    steps, weights = aligned(rows * SHARED), aligned(rows * SHARED)
    turned, edges, plan = aligned(SHARED * width), np.zeros(rows, np.int64), np.zeros((rows, 4), np.int64)
    return Space(x, y, z, mean, error, scores, real, steps, weights, turned, edges, plan)


# Centre c and input j of a block meet in the band at c * band + (j - own) + window + 1, where `own` is the place
# of the centre's own token among the inputs: a centre's inputs lie side by side, an input's centres band - 1 apart.


@inlined
def band_of(window):
    """Places in the band for a centre: its window, a neighbour's, what rounding strips up to four may touch; whole registers."""
    return (2 * window + 6 + LANES - 1) // LANES * LANES


@inlined
def lay_windows(text, spans, window, plan, real):
    """Lays the windows of the centres over the inputs, two centres to a strip.

    plan[c] = (begin, end) of centre c's own window, then (begin, length) of the strip that covers both and is a
    multiple of four inputs, all counted from the first input. The band `real` gets 1 where an input makes a pair, else 0.
    """
    _, low, high = text
    first, last, start, stop = spans
    centres, band = stop - start, band_of(window)
    for c in range(centres + 1):  # one more, without a window, evens the number
        begin, end = last - first, 0
        if c < centres:
            left, right = max(low[start + c] - first, 0), min(high[start + c] + 1, last) - first
            begin, end = (left, right) if left < right else (begin, end)
        plan[c, 0], plan[c, 1] = begin, end
        side = start + c - first - window - 1  # the input at the band's first place
        for part in range(0, band, LANES):
            for j in range(part, part + LANES):
                real[c * band + j] = np.float32((j >= begin - side) & (j < end - side) & (j != window + 1))
    for c in range(0, centres, 2):
        begin, end = min(plan[c, 0], plan[c + 1, 0]), max(plan[c, 1], plan[c + 1, 1])
        plan[c, 2], plan[c, 3] = begin, max(end - begin + 3, 0) // 4 * 4


@inlined
def reach(text, spans, place, window):
    """(First, past the last) of the centres with a window over the tokens `place` and `place` + 1."""
    _, low, high = text
    _, _, start, stop = spans
    near, past = place, place
    for c in range(max(place - window, start), min(place, stop)):
        near = min(near, c if high[c] >= place else place)
    for c in range(max(place, start), min(place + window + 2, stop)):
        past = max(past, c + 1 if low[c] <= place + 1 else place)
    return max(near, start), max(past, near, start)


@inlined
def descend_negatives(lanes, x, count, rate, space, dx, dz):
    """Steps of `count` inputs against the SHARED negatives: *sets* dx and dz, gives the loss."""
    z, steps, weights, turned = space.z, space.steps, space.weights, space.turned
    width = np.int64(pitch(lanes))
    turn(lanes, z, turned)
    for j in range(0, count, 8):
        combine_8(ONE, x, j * width, width, 1, FLOATS * len(lanes), turned, 0, steps, j * SHARED, False)
    loss = gradients(steps, -1, rate, weights, count * SHARED)
    for j in range(0, count, 4):
        combine_4(lanes, steps, j * SHARED, SHARED, 1, SHARED, z, 0, dx, j * width, False)
    for k in range(0, SHARED, 8):
        combine_8(lanes, steps, k, 1, SHARED, count, x, 0, dz, k * width, False)
    return loss


@inlined
def weight_negatives(words, spans, drawn, share, space):
    """Weights of the shared negatives: `share` x an input's pairs whose target is another word. Gives all pairs.

    A centre that is itself an input makes no pair with it.
    """
    edges, weights, plan = space.edges, space.weights, space.plan
    targets, count, shift = words[spans.start : spans.stop], spans.last - spans.first, spans.start - spans.first
    edges[:] = 0
    for c in range(len(targets)):
        if plan[c, 0] < plan[c, 1]:
            edges[plan[c, 0]] += 1
            edges[plan[c, 1]] -= 1
    windows_open, pairs = 0, 0
    for j in range(count):
        windows_open += edges[j]
        pairs += windows_open - 1
        weight = share * np.float32(windows_open - 1)
        for k in range(SHARED):
            weights[j * SHARED + k] = weight
    for c in range(len(targets)):
        hits = np.int32(0)
        for k in range(SHARED):
            hits += np.int32(drawn[k] == targets[c])
        if hits:  # a negative that is the target itself is skipped
            for j in range(plan[c, 0], plan[c, 1]):
                for k in range(SHARED):
                    weights[j * SHARED + k] -= share * np.float32((drawn[k] == targets[c]) & (j != c + shift))
    return pairs


@inlined
def skipgram_block(lanes, text, spans, drawn, setting, space, deltas):
    """Steps of the inputs with the centres of their windows and the negatives drawn. Gives (loss, pairs)."""
    x, y, scores, real, plan = space.x, space.y, space.scores, space.real, space.plan
    first, last, start, stop = spans
    window, rate, share = setting.window, setting.rate, np.float32(setting.negatives / SHARED)
    width, band, shift = np.int64(pitch(lanes)), band_of(window), first - start + window + 1
    lay_windows(text, spans, window, plan, real)
    pairs = weight_negatives(text.words, spans, drawn, share, space)
    for c in range(0, stop - start, 2):
        at = c * (band - 1) + shift
        for j in range(plan[c, 2], plan[c, 2] + plan[c, 3], 4):
            score_2x4(lanes, y, c * width, x, j * width, scores, at + j, band - 1)
    loss = gradients(scores, 1, rate, real, (stop - start + 1) * band)
    loss += descend_negatives(lanes, x, last - first, rate, space, deltas.x, deltas.z)
    for c in range(0, stop - start, 2):
        begin, length = plan[c, 2], plan[c, 3]
        combine_2(lanes, scores, c * (band - 1) + shift + begin, band - 1, 1, length, x, begin * width, deltas.y, c * width, False)
    for j in range(0, last - first, 2):
        near, past = reach(text, spans, first + j, window)
        at = (near - start) * (band - 1) + shift + j
        combine_2(lanes, scores, at, 1, band - 1, past - near, y, (near - start) * width, deltas.x, j * width, True)
    return loss, pairs


@inlined
def cbow_block(lanes, text, spans, drawn, setting, space, deltas):
    """Steps of the centres with the means of the inputs in their windows and the negatives drawn. Gives (loss, centres)."""
    x, y, mean, error = space.x, space.y, space.mean, space.error
    scores, real, weights, plan = space.scores, space.real, space.weights, space.plan
    first, last, start, stop = spans
    window, rate, share = setting.window, setting.rate, np.float32(setting.negatives / SHARED)
    width, band, shift, count = np.int64(pitch(lanes)), band_of(window), first - start + window + 1, stop - start
    lay_windows(text, spans, window, plan, real)
    for c in range(0, count, 2):  # sums of the windows
        begin, length = plan[c, 2], plan[c, 3]
        combine_2(lanes, real, c * (band - 1) + shift + begin, band - 1, 1, length, x, begin * width, mean, c * width, False)
    centres, ones = 0, scores[len(scores) // 2 :]
    for c in range(count):
        size = max(plan[c, 1] - plan[c, 0] - 1, 0)
        used = np.float32(size > 0)
        scores[c], ones[c] = average_and_score(lanes, mean, np.float32(1) / np.float32(max(size, 1)), y, c * width), used
        centres += np.int64(used)
        for k in range(SHARED):  # a negative that is the target itself is skipped
            weights[c * SHARED + k] = share * used * (drawn[k] != text.words[start + c])
    loss = gradients(scores, 1, rate, ones, count)
    loss += descend_negatives(lanes, mean, count, rate, space, error, deltas.z)
    for c in range(count):
        step_row(lanes, scores[c], mean, y, c * width, error, deltas.y)
    for j in range(0, last - first, 2):  # the error in full to each word of the window
        near, past = reach(text, spans, first + j, window)
        at = (near - start) * (band - 1) + shift + j
        combine_2(lanes, real, at, 1, band - 1, past - near, error, (near - start) * width, deltas.x, j * width, False)
    return loss, centres
