"""What word2vec's fast kernels do with rows: to and from small contiguous buffers, and the gradients of their scores.

Buffers and `lanes` are those of `word2vec_registers`. Places are unsigned in loops over d, which a sign would keep scalar.

D width, P pairs.
"""

import numpy as np

from stemma.kernels.compiling import inlined
from stemma.kernels.exponential import exp2
from stemma.kernels.fetching import prefetch
from stemma.kernels.word2vec_registers import FLOATS, LANES, pitch


@inlined
def gather(lanes, rows, words, into):
    """Copies `rows[words[n]]` into row n of the buffer `into`."""
    width, whole, size = pitch(lanes), np.uint64(FLOATS * len(lanes)), np.uint64(rows.shape[1])
    for n in range(len(words)):
        word, p = np.uint64(words[n]), np.uint64(n) * width
        if size == whole:
            for d in range(whole):
                into[p + d] = rows[word, d]
        else:
            for d in range(size):
                into[p + d] = rows[word, d]


@inlined
def scatter(lanes, rows, words, deltas, me, threads):
    """Adds row n of `deltas` to `rows[words[n]]`, for the rows that thread `me` of `threads` owns.

    No `row = rows[word]`: Numba would count that reference, in one place of memory for all threads, and they would wait for it.
    """
    width, whole, size = pitch(lanes), np.uint64(FLOATS * len(lanes)), np.uint64(rows.shape[1])
    for n in range(len(words)):
        word, p = np.uint64(words[n]), np.uint64(n) * width
        if threads == 1 or np.uint32(words[n]) % np.uint32(threads) == np.uint32(me):
            if size == whole:
                for d in range(whole):
                    rows[word, d] += deltas[p + d]
            else:
                for d in range(size):
                    rows[word, d] += deltas[p + d]


@inlined
def average_and_score(lanes, a, share, b, first):
    """Scales a row of `a` by `share`, then gives its score with the row of `b` at the same place."""
    width, p, score = pitch(lanes), np.uint64(first), np.float32(0)
    for d in range(width):
        a[p + d] *= share
        score += a[p + d] * b[p + d]
    return score


@inlined
def step_row(lanes, step, a, b, first, da, db):
    """Adds step x b to `da` and sets `db` to step x a, at the same place in all four."""
    width, p = pitch(lanes), np.uint64(first)
    for d in range(width):
        da[p + d] += step * b[p + d]
        db[p + d] = step * a[p + d]


@inlined
def foresee(rows, words):
    """Prefetches the rows of `words`, which the next block will gather."""
    size = np.uint64(rows.shape[1])
    for n in range(len(words)):
        start = np.uint64(words[n]) * size
        for d in range(np.uint64(0), size, np.uint64(LANES)):
            prefetch(rows, start + d)


@inlined
def gradients(scores, sign, rate, weights, count):
    """Turns `scores` into step sizes in place and gives the weighted loss: sign +1 positives, -1 negatives.

    exp and log1p are polynomials in float32 (errors 2e-9 and 3e-8) so that the loop is vectorised.
    """
    loss = np.float32(0)
    for p in range(count):
        score = scores[p] * np.float32(sign)
        t = max(abs(score) * np.float32(-1.442695041), np.float32(-126))
        e = exp2(t)  # exp(-|score|)
        log = np.float32(0.00525346)
        log = log * e + np.float32(-0.02958851)
        log = log * e + np.float32(0.07836167)
        log = log * e + np.float32(-0.1367477)
        log = log * e + np.float32(0.19111431)
        log = log * e + np.float32(-0.2484437)
        log = log * e + np.float32(0.33319271)
        log = log * e + np.float32(-0.49999502)
        log = log * e + np.float32(0.99999997)
        loss += weights[p] * (log * e + max(-score, np.float32(0)))
        scores[p] = np.float32(sign) * rate * weights[p] * (e if score > 0 else np.float32(1)) / (np.float32(1) + e)
    return loss
