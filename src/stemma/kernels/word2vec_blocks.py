"""word2vec's fast kernels: the objective of `word2vec_kernels`, many tokens at a time.

A block's rows are gathered into small contiguous buffers, all scores come from the values at the start
of the round, SHARED negatives serve the whole block with weight pairs·K/SHARED, so that the expected
gradient is the plain one, and rows are written once. A block owns the pairs of its inputs and reads the centres
around its edges, so no pair is lost. A round of up to BLOCK x SLOTS tokens is cut without regard to
threads: results don't depend on them.

N tokens of the chunk, D width, P pairs of a block, K negatives a pair. Numba keeps machine code by this file's
date alone: after a change to `word2vec_kernels` or `word2vec_registers`, touch this file too.
"""

import platform
import sys
import time
from itertools import pairwise
from threading import Thread

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from stemma.kernels.compiling import compiled, inlined
from stemma.kernels.draws import draw_word, mix
from stemma.kernels.fetching import prefetch
from stemma.kernels.word2vec_registers import FLOATS, LANES, aligned, combine_2, combine_4, combine_8, pitch, score_2x4, turn

BLOCK = 64  # tokens whose rows are updated together
SHARED = 16  # negatives drawn once for a block: one AVX-512 register of float32 scores
SLOTS = 4  # blocks of full length that may be computed from the same start
HEAT = 2.0  # most steps of size 1 that a round may take on one row: see `tokens_a_round`
ONE = (0,) * (LANES // FLOATS)  # `lanes` of rows of one register
ROOM = 8  # rows past the end of a buffer that loops over two, four or eight rows may touch with weight 0


# --- fast: rows ----------------------------------------------------------------------------------
# Buffers and `lanes` are those of `word2vec_registers`. Places are unsigned in loops over d, which a sign would
# keep scalar.


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


@inlined
def foresee(rows, words):
    """Asks for the rows of `words`, which the next block will gather."""
    size = np.uint64(rows.shape[1])
    for n in range(len(words)):
        start = np.uint64(words[n]) * size
        for d in range(np.uint64(0), size, np.uint64(LANES)):
            prefetch(rows, start + d)


# --- fast: one block -----------------------------------------------------------------------------
# Centre c and input j of a block meet in the band at c * band + (j - own) + window + 1, where `own` is the place
# of the centre's own token among the inputs: a centre's inputs lie side by side, an input's centres band - 1 apart.


@inlined
def band_of(window):
    """Places in the band for a centre: its window, a neighbour's, what rounding strips up to four may touch; whole registers."""
    return (2 * window + 6 + LANES - 1) // LANES * LANES


@inlined
def lay_windows(low, high, start, stop, first, last, window, plan, real):
    """Lays the windows of centres [start, stop) over inputs [first, last), two centres to a strip.

    plan[c] = (begin, end) of centre c's own window, then (begin, length) of the strip that covers both and is a
    multiple of four inputs, all counted from `first`. The band `real` gets 1 where an input makes a pair, else 0.
    """
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
def reach(low, high, start, stop, place, window):
    """(First, past the last) of the centres [start, stop) with a window over the tokens `place` and `place` + 1."""
    near, past = place, place
    for c in range(max(place - window, start), min(place, stop)):
        near = min(near, c if high[c] >= place else place)
    for c in range(max(place, start), min(place + window + 2, stop)):
        past = max(past, c + 1 if low[c] <= place + 1 else place)
    return max(near, start), max(past, near, start)


@inlined
def descend_negatives(lanes, x, count, z, turned, rate, weights, steps, dx, dz):
    """Steps of `count` inputs against the SHARED negatives: *sets* dx and dz, gives the loss."""
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
def skipgram_block(lanes, words, low, high, window, place, drawn, share, rate, space, dx, dy, dz):
    """Steps of inputs [first, last) = x with the centres [start, stop) = y and the negatives z. Gives (loss, pairs)."""
    x, y, z, _, _, scores, real, steps, weights, turned, edges, plan = space
    first, last, start, stop = place
    width, band, shift = np.int64(pitch(lanes)), band_of(window), first - start + window + 1
    lay_windows(low, high, start, stop, first, last, window, plan, real)
    pairs = weigh_negatives(words[start:stop], plan, last - first, start - first, drawn, share, edges, weights)
    for c in range(0, stop - start, 2):
        at = c * (band - 1) + shift
        for j in range(plan[c, 2], plan[c, 2] + plan[c, 3], 4):
            score_2x4(lanes, y, c * width, x, j * width, scores, at + j, band - 1)
    loss = gradients(scores, 1, rate, real, (stop - start + 1) * band)
    loss += descend_negatives(lanes, x, last - first, z, turned, rate, weights, steps, dx, dz)
    for c in range(0, stop - start, 2):
        begin, length = plan[c, 2], plan[c, 3]
        combine_2(lanes, scores, c * (band - 1) + shift + begin, band - 1, 1, length, x, begin * width, dy, c * width, False)
    for j in range(0, last - first, 2):
        near, past = reach(low, high, start, stop, first + j, window)
        at = (near - start) * (band - 1) + shift + j
        combine_2(lanes, scores, at, 1, band - 1, past - near, y, (near - start) * width, dx, j * width, True)
    return loss, pairs


@inlined
def cbow_block(lanes, words, low, high, window, place, drawn, share, rate, space, dx, dy, dz):
    """Steps of centres [first, last) = y, the words [start, stop) = x around them and the negatives z. Gives (loss, centres)."""
    x, y, z, mean, error, scores, real, steps, weights, turned, _, plan = space
    first, last, start, stop = place
    width, band, shift, count = np.int64(pitch(lanes)), band_of(window), start - first + window + 1, last - first
    lay_windows(low, high, first, last, start, stop, window, plan, real)
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
            weights[c * SHARED + k] = share * used * (drawn[k] != words[first + c])
    loss = gradients(scores, 1, rate, ones, count)
    loss += descend_negatives(lanes, mean, count, z, turned, rate, weights, steps, error, dz)
    for c in range(count):
        step_row(lanes, scores[c], mean, y, c * width, error, dy)
    for j in range(0, stop - start, 2):  # the error in full to each word of the window
        near, past = reach(low, high, first, last, start + j, window)
        at = (near - first) * (band - 1) + shift + j
        combine_2(lanes, real, at, 1, band - 1, past - near, error, (near - first) * width, dx, j * width, False)
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


@intrinsic
def _look_up(typing, counter):
    """counter[0] as other threads have left it."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(array.data, "acquire", 8)

    return types.int64(counter), generate


@intrinsic
def _pause(typing):
    """Tells the processor that this thread only waits, so that one that shares its core gets on faster."""

    def generate(context, builder, signature, arguments):
        if platform.machine().lower() in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


_give_way = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


@inlined
def wait(arrived, goal):
    """Returns when `arrived` has been raised to `goal`, counting this thread in."""
    spins = 0
    reached = _add_atomically(arrived, 1)
    while reached < goal:
        spins += 1
        _pause()
        if spins % 1024 == 0:
            _give_way()
        reached = _look_up(arrived)


@inlined
def make_space(lanes, window):
    """Buffers of one thread: rows x, y, z, mean, error; scores, real, steps, weights, turned; edges and plan of windows."""
    width, rows = np.int64(pitch(lanes)), BLOCK + 2 * window + ROOM
    pairs = rows * band_of(window)
    x, y, z = aligned(rows * width), aligned(rows * width), aligned(SHARED * width)
    mean, error, scores, real = aligned(rows * width), aligned(rows * width), aligned(pairs), aligned(pairs)
    steps, weights = aligned(rows * SHARED), aligned(rows * SHARED)
    turned, edges, plan = aligned(SHARED * width), np.zeros(rows, np.int64), np.zeros((rows, 4), np.int64)
    return x, y, z, mean, error, scores, real, steps, weights, turned, edges, plan


@inlined
def open_block(lanes, tables, words, inputs, targets, ahead, drawn, alias, draws, space):
    """Draws a block's negatives and gathers the rows of its inputs, targets and negatives.

    Asks for the rows of the block `ahead` tokens further, which this thread will probably need next.
    """
    for k in range(SHARED):
        drawn[k] = draw_word(mix(draws + np.uint64(k)), alias[0], alias[1])
    gather(lanes, tables[0], words[inputs[0] : inputs[1]], space[0])
    gather(lanes, tables[1], words[targets[0] : targets[1]], space[1])
    gather(lanes, tables[1], drawn, space[2])
    foresee(tables[0], words[inputs[0] + ahead : inputs[1] + ahead])
    foresee(tables[1], words[targets[0] + ahead : targets[1] + ahead])


@inlined
def close_round(lanes, tables, words, size, me, threads, deltas, drawn, spans, arrived, goal):
    """Waits for the round's blocks, then adds them to the tables. Gives the next goal.

    The input table takes the even blocks first, the output table the odd ones. So two threads write the blocks they have
    computed, each to one table and then to the other, and seldom read what lies in the other's cache; of more threads,
    those of a side share its rows. The order in which a row takes its blocks is the same for any number of threads.
    """
    part = (deltas.shape[1] - SHARED * np.int64(pitch(lanes))) // 2
    for phase in range(2):
        if threads > 1:
            goal += threads
            wait(arrived, goal)
        for side in range(2):
            if threads > 1 and me % 2 != side:
                continue
            mine, members = (me // 2, (threads - side + 1) // 2) if threads > 1 else (0, 1)
            for n in range(side, size, 2):
                delta, span = deltas[n], spans[n]
                if side == phase:
                    scatter(lanes, tables[0], words[span[0] : span[1]], delta[:part], mine, members)
                else:
                    scatter(lanes, tables[1], words[span[2] : span[3]], delta[part : 2 * part], mine, members)
                    scatter(lanes, tables[1], drawn[n], delta[2 * part :], mine, members)
    if threads > 1:
        goal += threads
        wait(arrived, goal)
    return goal


@compiled(fastmath=True, error_model="numpy")
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
            open_block(lanes, tables, words, spans[n, :2], spans[n, 2:], threads * cut[0], drawn[n], alias, draws, space)
            dx, dy, dz = delta[:part], delta[part : 2 * part], delta[2 * part :]
            place = (first, last, start, stop)
            losses[block], counts[block] = skipgram_block(lanes, words, low, high, window, place, drawn[n], share, rate, space, dx, dy, dz)
        goal = close_round(lanes, tables, words, size, me, threads, deltas, drawn, spans, arrived, goal)


@compiled(fastmath=True, error_model="numpy")
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
            open_block(lanes, tables, words, spans[n, :2], spans[n, 2:], threads * cut[0], drawn[n], alias, draws, space)
            dx, dy, dz = delta[:part], delta[part : 2 * part], delta[2 * part :]
            place = (first, last, start, stop)
            losses[block], counts[block] = cbow_block(lanes, words, low, high, window, place, drawn[n], share, rate, space, dx, dy, dz)
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

    AGAIN, SHARE = 16, 8  # every so many chunks the slower way is tried on such a part of one

    def __init__(self) -> None:
        self.turn = 0
        self.seconds: dict[int, float] = {}  # threads -> seconds a round when last tried

    def plan(self, threads: int, rounds: int) -> list[tuple[int, int]]:
        """(Threads, rounds) of the parts of a chunk, one after the other."""
        fast, slow = sorted((threads, 1), key=lambda way: self.seconds.get(way, 0.0))
        trial = rounds // self.SHARE if threads > 1 and self.turn % self.AGAIN == 0 else 0
        self.turn += 1
        return [(way, part) for way, part in ((slow, trial), (fast, rounds - trial)) if part]

    def record(self, threads: int, seconds: float, rounds: int) -> None:
        """Remembers how long a part took."""
        self.seconds[threads] = seconds / rounds


def descend_blocks(architecture, tables, text, alias, negatives, window, rate, seed, tokens, threads=1, pace=None):
    """Runs the fast kernel over a chunk in rounds of at most `tokens`, in place. Gives (loss, predictions).

    `tables` = (input, output), `text` = (words, low, high), `alias` = `alias_tables(...)`. Threads share each
    round and wait for each other, as far as `pace` finds that worth it; without one they race: each has its own
    part of the chunk and none waits.
    """
    slots = tokens // min(tokens, LENGTHS[architecture])
    slots += slots % 2 if slots > 1 else 0  # an even number: two threads have as much to do
    cut = (min(tokens // slots, LENGTHS[architecture]), slots)
    lanes = (0,) * -(-tables[0].shape[1] // FLOATS)
    blocks = -(-len(text[0]) // cut[0])
    losses, counts = np.zeros(blocks), np.zeros(blocks, np.int64)
    threads = min(threads, cut[1] if pace else max(blocks, 1))
    size = (2 * (BLOCK + 2 * window + ROOM) + SHARED) * -(-tables[0].shape[1] // LANES) * LANES

    def space():
        deltas = aligned.py_func(cut[1] * size).reshape(cut[1], size)
        return deltas, np.zeros((cut[1], SHARED), np.int32), np.zeros((cut[1], 4), np.int64)

    def run(parts, spaces):
        arrived = np.zeros(1, np.int64)

        def work(space, first, end, me, members):
            rest = (seed, cut, (first, end), me, members, (*space, losses, counts, arrived))
            ROUNDS[architecture](lanes, tables, text, alias, negatives, window, np.float32(rate), *rest)

        jobs = [(space, *part) for space, part in zip(spaces, parts, strict=True)]
        others = [Thread(target=work, args=job) for job in jobs[1:]]
        for thread in others:
            thread.start()
        work(*jobs[0])
        for thread in others:
            thread.join()

    together = space()
    run([(0, 0, 0, 1)], [together])  # compiled before threads start: none may fail while others wait
    if pace is None:
        borders = np.linspace(0, blocks, threads + 1).astype(int).tolist()
        run([(*part, 0, 1) for part in pairwise(borders)], [together, *(space() for _ in range(threads - 1))])
        return losses.sum(), int(counts.sum())
    first = 0
    for members, rounds in pace.plan(threads, -(-blocks // cut[1])):
        end, began = min(first + rounds * cut[1], blocks), time.perf_counter()
        run([(first, end, me, members) for me in range(members)], [together] * members)
        pace.record(members, time.perf_counter() - began, rounds)
        first = end
    return losses.sum(), int(counts.sum())
