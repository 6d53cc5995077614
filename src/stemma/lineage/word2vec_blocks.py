"""word2vec's fast kernels: the objective of `word2vec_kernels`, many tokens at a time.

A block's rows are gathered into small contiguous buffers, all scores come from the values at the start
of the round, SHARED negatives serve the whole block with weight pairs·K/SHARED, so that the expected
gradient is the plain one, and rows are written once. A block owns the pairs of its inputs and reads the centres
around its edges, so no pair is lost. A round of up to BLOCK x SLOTS tokens is cut without regard to
threads: results don't depend on them.

N tokens of the chunk, D width, P pairs of a block, K negatives a pair. Numba keeps machine code by this file's
date alone: after a change to `word2vec_kernels`, touch this file too.
"""

import sys
from threading import Thread

import numpy as np
from numba import types
from numba.extending import intrinsic

from stemma.lineage.word2vec_kernels import compiled, draw_word, inlined, mix

BLOCK = 64  # tokens whose rows are updated together
SHARED = 16  # negatives drawn once for a block: one AVX-512 register of float32 scores
SLOTS = 4  # blocks of full length that may be computed from the same start
LANES = 4  # buffer widths are multiples of this many float32; 16 would waste 12 % at width 100
HEAT = 2.0  # most steps of size 1 that a round may take on one row: see `tokens_a_round`
ROOM = 8  # rows past the end of a buffer that loops over two, four or eight rows may touch with weight 0


# --- fast: rows ----------------------------------------------------------------------------------
# Buffers are flat, row after row of `width` floats, and a row is named by the place of its first float.
# `lanes` is a tuple of length width / LANES: its type tells the compiler the width, so that the loops
# over d are unrolled into whole registers. Places are unsigned, as a sign would keep those loops scalar.
# Two rows at a time: with one, the loops would wait for loads.


@inlined
def gather(lanes, rows, words, into):
    """Copies `rows[words[n]]` into row n of the buffer `into`."""
    width, size = np.uint64(LANES * len(lanes)), np.uint64(rows.shape[1])
    for n in range(len(words)):
        row, p = rows[words[n]], np.uint64(n) * width
        if size == width:
            for d in range(width):
                into[p + d] = row[d]
        else:
            for d in range(size):
                into[p + d] = row[d]


@inlined
def scatter(lanes, rows, words, deltas, me, threads):
    """Adds row n of `deltas` to `rows[words[n]]`, for the rows that thread `me` of `threads` owns."""
    width, size = np.uint64(LANES * len(lanes)), np.uint64(rows.shape[1])
    for n in range(len(words)):
        if threads == 1 or words[n] % threads == me:
            row, p = rows[words[n]], np.uint64(n) * width
            if size == width:
                for d in range(width):
                    row[d] += deltas[p + d]
            else:
                for d in range(size):
                    row[d] += deltas[p + d]


@inlined
def score_2x4(lanes, ones, first, rows, start, scores, at, stride):
    """Scores of two rows of `ones` with four of `rows`: scores[at..at+3], and of the second row `stride` further."""
    width, p, r = np.uint64(LANES * len(lanes)), np.uint64(first), np.uint64(start)
    q, r1, r2, r3 = p + width, r + width, r + width + width, r + width + width + width
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = np.float32(0)
    for d in range(width):
        s0 += ones[p + d] * rows[r + d]
        s1 += ones[p + d] * rows[r1 + d]
        s2 += ones[p + d] * rows[r2 + d]
        s3 += ones[p + d] * rows[r3 + d]
        t0 += ones[q + d] * rows[r + d]
        t1 += ones[q + d] * rows[r1 + d]
        t2 += ones[q + d] * rows[r2 + d]
        t3 += ones[q + d] * rows[r3 + d]
    scores[at], scores[at + 1], scores[at + 2], scores[at + 3] = s0, s1, s2, s3
    scores[at + stride], scores[at + stride + 1], scores[at + stride + 2], scores[at + stride + 3] = t0, t1, t2, t3


@inlined
def score_row(lanes, a, b, first):
    """Score of the rows of `a` and `b` at the same place."""
    width, p, score = np.uint64(LANES * len(lanes)), np.uint64(first), np.float32(0)
    for d in range(width):
        score += a[p + d] * b[p + d]
    return score


@inlined
def step_row(lanes, step, a, b, first, da, db):
    """Adds step x b to `da` and sets `db` to step x a, at the same place in all four."""
    width, p = np.uint64(LANES * len(lanes)), np.uint64(first)
    for d in range(width):
        da[p + d] += step * b[p + d]
        db[p + d] = step * a[p + d]


@inlined
def add_4_to_2(lanes, s, at, stride, rows, start, into, first):
    """Adds s[at..at+3] x four rows of `rows` to one row of `into`, and those `stride` further to the next."""
    width, p, r = np.uint64(LANES * len(lanes)), np.uint64(first), np.uint64(start)
    q, r1, r2, r3 = p + width, r + width, r + width + width, r + width + width + width
    s0, s1, s2, s3 = s[at], s[at + 1], s[at + 2], s[at + 3]
    t0, t1, t2, t3 = s[at + stride], s[at + stride + 1], s[at + stride + 2], s[at + stride + 3]
    for d in range(width):
        into[p + d] += s0 * rows[r + d] + s1 * rows[r1 + d] + s2 * rows[r2 + d] + s3 * rows[r3 + d]
        into[q + d] += t0 * rows[r + d] + t1 * rows[r1 + d] + t2 * rows[r2 + d] + t3 * rows[r3 + d]


@inlined
def add_2_to_4(lanes, s, at, stride, rows, start, into, first):
    """Adds to each of four rows of `into`: s[at + m] x one row of `rows` + s[at + stride + m] x the next."""
    width, p, r = np.uint64(LANES * len(lanes)), np.uint64(first), np.uint64(start)
    q, p1, p2, p3 = r + width, p + width, p + width + width, p + width + width + width
    s0, s1, s2, s3 = s[at], s[at + 1], s[at + 2], s[at + 3]
    t0, t1, t2, t3 = s[at + stride], s[at + stride + 1], s[at + stride + 2], s[at + stride + 3]
    for d in range(width):
        into[p + d] += s0 * rows[r + d] + t0 * rows[q + d]
        into[p1 + d] += s1 * rows[r + d] + t1 * rows[q + d]
        into[p2 + d] += s2 * rows[r + d] + t2 * rows[q + d]
        into[p3 + d] += s3 * rows[r + d] + t3 * rows[q + d]


@inlined
def add_8_to_2(lanes, s, at, step, stride, rows, start, into, first):
    """Adds s[at], s[at + step], ... x eight rows of `rows` to a row of `into`, and those `stride` further to the next."""
    width, p, r = np.uint64(LANES * len(lanes)), np.uint64(first), np.uint64(start)
    q, r1, r2, r3 = p + width, r + width, r + width + width, r + width + width + width
    r4, r5, r6, r7 = r3 + width, r3 + width + width, r3 + width + width + width, r3 + width + width + width + width
    s0, s1, s2, s3 = s[at], s[at + step], s[at + 2 * step], s[at + 3 * step]
    s4, s5, s6, s7 = s[at + 4 * step], s[at + 5 * step], s[at + 6 * step], s[at + 7 * step]
    at += stride
    t0, t1, t2, t3 = s[at], s[at + step], s[at + 2 * step], s[at + 3 * step]
    t4, t5, t6, t7 = s[at + 4 * step], s[at + 5 * step], s[at + 6 * step], s[at + 7 * step]
    for d in range(width):
        into[p + d] += (
            s0 * rows[r + d] + s1 * rows[r1 + d] + s2 * rows[r2 + d] + s3 * rows[r3 + d]
            + s4 * rows[r4 + d] + s5 * rows[r5 + d] + s6 * rows[r6 + d] + s7 * rows[r7 + d]
        )  # fmt: skip
        into[q + d] += (
            t0 * rows[r + d] + t1 * rows[r1 + d] + t2 * rows[r2 + d] + t3 * rows[r3 + d]
            + t4 * rows[r4 + d] + t5 * rows[r5 + d] + t6 * rows[r6 + d] + t7 * rows[r7 + d]
        )  # fmt: skip


@inlined
def gradients(scores, sign, rate, weights, count):
    """Turns `scores` into step sizes in place and gives the weighted loss: sign +1 positives, -1 negatives.

    exp and log1p are polynomials in float32 (errors 2e-9 and 3e-8) so that the loop is vectorised.
    """
    loss = np.float32(0)
    for p in range(count):
        score = scores[p] * np.float32(sign)
        t = max(abs(score) * np.float32(-1.442695041), np.float32(-126))
        whole = np.int32(t - np.float32(0.5))
        f = t - np.float32(whole)
        power = np.float32(1.54697320e-04)
        power = power * f + np.float32(1.34004322e-03)
        power = power * f + np.float32(9.61802560e-03)
        power = power * f + np.float32(5.55032721e-02)
        power = power * f + np.float32(2.40226512e-01)
        power = power * f + np.float32(6.93147207e-01)
        power = power * f + np.float32(1)
        e = power * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)  # exp(-|score|)
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


# --- fast: one block -----------------------------------------------------------------------------


@inlined
def lay_windows(low, high, start, stop, first, last, plan, real):
    """Lays the windows of centres [start, stop) over inputs [first, last), two centres to a strip.

    plan[c] = (begin, end) of centre c's own window, then (begin, length) of the strip that covers both
    and is a multiple of four inputs, all counted from `first`. `real` gets, strip after strip and centre
    after centre, 1 where an input makes a pair. Gives the length of `real`.
    """
    for c in range(stop - start):
        begin, end = max(low[start + c] - first, 0), min(high[start + c] + 1, last) - first
        plan[c, 0], plan[c, 1] = (begin, end) if begin < end else (last - first, 0)
    plan[stop - start, 0], plan[stop - start, 1] = last - first, 0  # a centre without a window evens the number
    real[:] = 0
    filled = 0
    for c in range(0, stop - start, 2):
        begin, end = min(plan[c, 0], plan[c + 1, 0]), max(plan[c, 1], plan[c + 1, 1])
        length = max(end - begin + 3, 0) // 4 * 4
        plan[c, 2], plan[c, 3] = begin, length
        for n in range(2):
            own = start + c + n - first
            for j in range(plan[c + n, 0], plan[c + n, 1]):
                real[filled + j - begin] = 1
            if plan[c + n, 0] <= own < plan[c + n, 1]:
                real[filled + own - begin] = 0
            filled += length
    return filled


@inlined
def descend_negatives(lanes, x, count, z, rate, weights, steps, dx, dz):
    """Steps of `count` inputs against the SHARED negatives: *sets* dx and dz, gives the loss."""
    width = LANES * len(lanes)
    for j in range(0, count, 2):
        for k in range(0, SHARED, 4):
            score_2x4(lanes, x, j * width, z, k * width, steps, j * SHARED + k, SHARED)
    steps[count * SHARED :] = 0
    loss = gradients(steps, -1, rate, weights, count * SHARED)
    dx[: count * width] = 0
    dz[:] = 0
    for j in range(0, count, 2):
        for k in range(0, SHARED, 8):
            add_8_to_2(lanes, steps, j * SHARED + k, 1, SHARED, z, k * width, dx, j * width)
    for j in range(0, count, 8):
        for k in range(0, SHARED, 2):
            add_8_to_2(lanes, steps, j * SHARED + k, SHARED, 1, x, j * width, dz, k * width)
    return loss


@inlined
def weigh_negatives(targets, plan, count, shift, drawn, share, edges, weights):
    """Weights of the shared negatives: `share` x an input's pairs whose target is another word. Gives all pairs.

    Target c is the input c + `shift` of the block, if that is one of its `count`, and no pair with itself.
    """
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
def skipgram_block(lanes, words, low, high, place, drawn, share, rate, space, dx, dy, dz):
    """Steps of inputs [first, last) = x with the centres [start, stop) = y and the negatives z. Gives (loss, pairs)."""
    x, y, z, _, _, scores, real, steps, weights, edges, plan = space
    first, last, start, stop = place
    width = LANES * len(lanes)
    filled = lay_windows(low, high, start, stop, first, last, plan, real)
    pairs = weigh_negatives(words[start:stop], plan, last - first, start - first, drawn, share, edges, weights)
    at = 0
    for c in range(0, stop - start, 2):
        begin, length = plan[c, 2], plan[c, 3]
        for j in range(0, length, 4):
            score_2x4(lanes, y, c * width, x, (begin + j) * width, scores, at + j, length)
        at += 2 * length
    loss = gradients(scores, 1, rate, real, filled)
    loss += descend_negatives(lanes, x, last - first, z, rate, weights, steps, dx, dz)
    dy[:] = 0
    at = 0
    for c in range(0, stop - start, 2):
        begin, length = plan[c, 2], plan[c, 3]
        for j in range(0, length, 4):
            add_4_to_2(lanes, scores, at + j, length, x, (begin + j) * width, dy, c * width)
            add_2_to_4(lanes, scores, at + j, length, y, c * width, dx, (begin + j) * width)
        at += 2 * length
    return loss, pairs


@inlined
def cbow_block(lanes, words, low, high, place, drawn, share, rate, space, dx, dy, dz):
    """Steps of centres [first, last) = y, the words [start, stop) = x around them and the negatives z. Gives (loss, centres)."""
    x, y, z, mean, error, scores, real, steps, weights, _, plan = space
    first, last, start, stop = place
    width, count = LANES * len(lanes), last - first
    lay_windows(low, high, first, last, start, stop, plan, real)
    at, centres = 0, 0
    mean[:] = 0
    for c in range(0, count, 2):  # means of the windows
        begin, length = plan[c, 2], plan[c, 3]
        for n in range(2):
            size = np.float32(max(plan[c + n, 1] - plan[c + n, 0] - 1, 1))
            for j in range(at + n * length, at + (n + 1) * length):
                scores[j] = real[j] / size
        for j in range(0, length, 4):
            add_4_to_2(lanes, scores, at + j, length, x, (begin + j) * width, mean, c * width)
        at += 2 * length
    ones = scores[len(scores) // 2 :]
    for c in range(count):
        used = np.float32(plan[c, 1] - plan[c, 0] > 1)
        scores[c], ones[c] = score_row(lanes, mean, y, c * width), used
        centres += np.int64(used)
        for k in range(SHARED):  # a negative that is the target itself is skipped
            weights[c * SHARED + k] = share * used * (drawn[k] != words[first + c])
    loss = gradients(scores, 1, rate, ones, count)
    loss += descend_negatives(lanes, mean, count, z, rate, weights, steps, error, dz)
    for c in range(count):
        step_row(lanes, scores[c], mean, y, c * width, error, dy)
    dx[:] = 0
    at = 0
    for c in range(0, count, 2):  # the error in full to each word of the window
        begin, length = plan[c, 2], plan[c, 3]
        for j in range(0, length, 4):
            add_2_to_4(lanes, real, at + j, length, error, c * width, dx, (begin + j) * width)
        at += 2 * length
    return loss, centres


# --- fast: rounds and threads --------------------------------------------------------------------


@intrinsic
def _add_atomically(typing, counter, value):
    """counter[0] += value, seen by all threads at once; gives the new value."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        old = builder.atomic_rmw("add", array.data, arguments[1], "seq_cst")
        return builder.add(old, arguments[1])

    return types.int64(counter, types.int64), generate


_give_way = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


@inlined
def wait(arrived, goal):
    """Returns when `arrived` has been raised to `goal`, counting this thread in."""
    spins = 0
    reached = _add_atomically(arrived, 1)
    while reached < goal:
        spins += 1
        if spins % 256 == 0:
            _give_way()
        reached = _add_atomically(arrived, 0)


@inlined
def make_space(lanes, window):
    """Buffers of one thread: rows x, y, z, mean, error; scores, real, steps, weights; edges and plan of windows."""
    width, rows = LANES * len(lanes), BLOCK + 2 * window + ROOM
    pairs = rows * (2 * window + 8)
    x, y, z = np.zeros(rows * width, np.float32), np.zeros(rows * width, np.float32), np.zeros(SHARED * width, np.float32)
    mean, error = np.zeros(rows * width, np.float32), np.zeros(rows * width, np.float32)
    scores, real = np.zeros(pairs, np.float32), np.zeros(pairs, np.float32)
    steps, weights = np.zeros(rows * SHARED, np.float32), np.zeros(rows * SHARED, np.float32)
    edges, plan = np.zeros(rows, np.int64), np.zeros((rows, 4), np.int64)
    return x, y, z, mean, error, scores, real, steps, weights, edges, plan


@inlined
def open_block(lanes, tables, words, inputs, targets, drawn, alias, draws, space):
    """Draws a block's negatives and gathers the rows of its inputs, targets and negatives."""
    for k in range(SHARED):
        drawn[k] = draw_word(mix(draws + np.uint64(k)), alias[0], alias[1])
    gather(lanes, tables[0], words[inputs[0] : inputs[1]], space[0])
    gather(lanes, tables[1], words[targets[0] : targets[1]], space[1])
    gather(lanes, tables[1], drawn, space[2])


@inlined
def close_round(lanes, tables, words, size, me, threads, deltas, drawn, spans, arrived, goal):
    """Waits for the round's blocks, then adds them up in the rows that thread `me` owns. Gives the next goal."""
    part = (deltas.shape[1] - SHARED * LANES * len(lanes)) // 2
    if threads > 1:
        wait(arrived, goal + threads)
    for n in range(size):
        delta, span = deltas[n], spans[n]
        scatter(lanes, tables[0], words[span[0] : span[1]], delta[:part], me, threads)
        scatter(lanes, tables[1], words[span[2] : span[3]], delta[part : 2 * part], me, threads)
        scatter(lanes, tables[1], drawn[n], delta[2 * part :], me, threads)
    if threads > 1:
        wait(arrived, goal + 2 * threads)
    return goal + 2 * threads


@compiled
def skipgram_rounds(lanes, tables, text, alias, negatives, window, rate, seed, cut, blocks, me, threads, shared):
    """What thread `me` of `threads` does: its blocks of each round, then its rows of the tables.

    `cut` = (tokens a block, blocks a round); `blocks` = (first, end). Losses and counts go to `shared`, block
    by block, so that their sum has one order.
    """
    words, low, high = text
    deltas, drawn, spans, losses, counts, arrived = shared
    space, share = make_space(lanes, window), np.float32(negatives / SHARED)
    part, goal = len(space[0]), 0
    for base in range(blocks[0], blocks[1], cut[1]):
        size = min(cut[1], blocks[1] - base)
        for n in range(me, size, threads):
            block, delta = base + n, deltas[n]
            first, last = block * cut[0], min((block + 1) * cut[0], len(words))
            start, stop = max(first - window, 0), min(last + window, len(words))
            spans[n, 0], spans[n, 1], spans[n, 2], spans[n, 3] = first, last, start, stop
            draws = seed + np.uint64(block * SHARED)
            open_block(lanes, tables, words, spans[n, :2], spans[n, 2:], drawn[n], alias, draws, space)
            dx, dy, dz = delta[:part], delta[part : 2 * part], delta[2 * part :]
            place = (first, last, start, stop)
            losses[block], counts[block] = skipgram_block(lanes, words, low, high, place, drawn[n], share, rate, space, dx, dy, dz)
        goal = close_round(lanes, tables, words, size, me, threads, deltas, drawn, spans, arrived, goal)


@compiled
def cbow_rounds(lanes, tables, text, alias, negatives, window, rate, seed, cut, blocks, me, threads, shared):
    """As `skipgram_rounds`; a block's targets are its own tokens, its inputs those and the ones around."""
    words, low, high = text
    deltas, drawn, spans, losses, counts, arrived = shared
    space, share = make_space(lanes, window), np.float32(negatives / SHARED)
    part, goal = len(space[0]), 0
    for base in range(blocks[0], blocks[1], cut[1]):
        size = min(cut[1], blocks[1] - base)
        for n in range(me, size, threads):
            block, delta = base + n, deltas[n]
            first, last = block * cut[0], min((block + 1) * cut[0], len(words))
            start, stop = max(first - window, 0), min(last + window, len(words))
            spans[n, 0], spans[n, 1], spans[n, 2], spans[n, 3] = start, stop, first, last
            draws = seed + np.uint64(block * SHARED)
            open_block(lanes, tables, words, spans[n, :2], spans[n, 2:], drawn[n], alias, draws, space)
            dx, dy, dz = delta[:part], delta[part : 2 * part], delta[2 * part :]
            place = (first, last, start, stop)
            losses[block], counts[block] = cbow_block(lanes, words, low, high, place, drawn[n], share, rate, space, dx, dy, dz)
        goal = close_round(lanes, tables, words, size, me, threads, deltas, drawn, spans, arrived, goal)


# --- the way in ----------------------------------------------------------------------------------

ROUNDS = {"skipgram": skipgram_rounds, "cbow": cbow_rounds}
LENGTHS = {"skipgram": BLOCK, "cbow": 16}  # CBOW has a fifth of the negatives to share: longer blocks cost it 1 % of analogies
LEAST = 32  # tokens a round below which blocks gain nothing over the plain kernel


def tokens_a_round(rate, negatives, window, hottest_word, hottest_negative):
    """Tokens that may be computed from the same start without overshooting on one row.

    The hottest rows (by their shares of the text and of the draws) get about `heat` steps a token. In natural text
    a round holds hundreds; in a vocabulary of thirty words only a few, and full rounds end in NaN.
    """
    heat = rate * (window + 1) * max((1 + negatives) * hottest_word, negatives * hottest_negative)
    return int(min(max(HEAT / max(heat, 1e-9), 1), BLOCK * SLOTS))


class Pace:
    """Chooses between one thread and several by the clock; the vectors are the same either way.

    Threads that share rounds wait for each other every few hundred tokens: on cores that other work
    keeps busy, one alone may be several times faster.
    """

    AGAIN = 64  # chunks after which the slower way is tried anew

    def __init__(self) -> None:
        self.turn = 0
        self.seconds: dict[int, float] = {}  # threads -> seconds a token when last tried

    def choose(self, threads: int) -> int:
        """The number of threads for the next chunk: `threads` or 1."""
        self.turn += 1
        if self.turn == 1:
            return threads  # compiles or loads: not recorded
        for way in (threads, 1):
            if way not in self.seconds:
                return way
        fast, slow = sorted((threads, 1), key=self.seconds.__getitem__)
        return slow if self.turn % self.AGAIN == 0 else fast

    def record(self, threads: int, seconds: float, tokens: int) -> None:
        """Remembers how long a chunk took."""
        if self.turn > 1 and tokens:
            self.seconds[threads] = seconds / tokens


def descend_blocks(architecture, tables, text, alias, negatives, window, rate, seed, tokens, threads=1, racing=False):
    """Runs the fast kernel over a chunk in rounds of at most `tokens`, in place. Gives (loss, predictions).

    `tables` = (input, output), `text` = (words, low, high), `alias` = `alias_tables(...)`. Threads share each
    round and wait for each other; when `racing`, each has its own part of the chunk and none waits.
    """
    length = min(tokens, LENGTHS[architecture])
    cut = (length, tokens // length)
    lanes = (0,) * -(-tables[0].shape[1] // LANES)
    blocks = -(-len(text[0]) // cut[0])
    losses, counts = np.zeros(blocks), np.zeros(blocks, np.int64)
    threads = min(threads, max(blocks, 1) if racing else cut[1])
    size = (2 * (BLOCK + 2 * window + ROOM) + SHARED) * LANES * len(lanes)

    def space():
        return np.zeros((cut[1], size), np.float32), np.zeros((cut[1], SHARED), np.int32), np.zeros((cut[1], 4), np.int64)

    together, arrived = space(), np.zeros(1, np.int64)

    def work(me, first, end, members):
        shared = (*(space() if racing else together), losses, counts, arrived)
        rounds = ROUNDS[architecture]
        rounds(lanes, tables, text, alias, negatives, window, np.float32(rate), seed, cut, (first, end), me, members, shared)

    if threads == 1:
        work(0, 0, blocks, 1)
        return losses.sum(), int(counts.sum())
    work(0, 0, 0, 1)  # compiled before the threads start: none may fail while others wait
    borders = np.linspace(0, blocks, threads + 1).astype(int).tolist()
    parts = [(0, borders[n], borders[n + 1], 1) if racing else (n, 0, blocks, threads) for n in range(threads)]
    others = [Thread(target=work, args=part) for part in parts[1:]]
    for thread in others:
        thread.start()
    work(*parts[0])
    for thread in others:
        thread.join()
    return losses.sum(), int(counts.sum())
