"""The kernels of word2vec: each model plain, pair by pair as in the paper, then fast, in blocks.

Both descend the same objective. For every centre c and every word in its window, with K negatives
drawn from unigram^power and those equal to the target skipped (word2vec.c):

    -log s(x·y) - sum over negatives of log s(-x·y_n)

*Plain* updates after each pair. *Fast* takes BLOCK tokens at once: their rows are gathered into
small contiguous buffers, all scores come from the values at the start of the round, SHARED negatives
serve the whole block with weight pairs·K/SHARED (so that the expected gradient is the plain one), and
rows are written once. A block owns the pairs of its inputs and reads the centres around its edges,
so no pair is lost. SLOTS blocks make a round, whatever the number of threads: results don't depend on it.

Random draws are a function of (seed, place in the text) alone. Axes: V vocabulary, D width,
N tokens of the chunk, P pairs of a block, K negatives a pair.
"""

from collections.abc import Callable

import numba
import numpy as np

BLOCK = 64  # tokens whose rows are updated together
SHARED = 16  # negatives drawn once for a block: one AVX-512 register of float32 scores
SLOTS = 4  # blocks computed from the same start; at most so many threads share a round
LANES = 16  # buffer widths are multiples of this many float32, so that loops are whole registers

_OPTIONS = {"nogil": True, "fastmath": True, "error_model": "numpy"}


def _jit(function: Callable) -> Callable:
    """Compile to native code, kept on disk where Numba finds a writable place."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # "no locator available": read-only install and no cache folder
        return numba.njit(**_OPTIONS)(function)


# --- draws ---------------------------------------------------------------------------------------


@_jit
def mix(state):
    """SplitMix64's output for a counter `state` (Steele 2014): 64 well-mixed bits."""
    z = (np.uint64(state) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_jit
def below(bits, bound):
    """An integer in 0..bound-1 from the upper 32 of 64 random bits."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@_jit
def draw_word(bits, threshold, other):
    """A word drawn with Walker's alias method from the tables of `alias_tables`."""
    slot = below(bits, len(threshold))
    return slot if (bits & np.uint64(0xFFFFFFFF)) < threshold[slot] else np.int64(other[slot])


@_jit
def alias_tables(weights):
    """Walker's alias tables (V,) of unnormalised `weights`: slot -> threshold of 2^32, other word."""
    share = weights * (len(weights) / weights.sum())
    threshold, other = np.full(len(weights), 0xFFFFFFFF, np.uint32), np.arange(len(weights)).astype(np.int32)
    small, large = list(np.nonzero(share < 1)[0]), list(np.nonzero(share >= 1)[0])
    while len(small) and len(large):
        low, high = small.pop(), large[-1]
        threshold[low], other[low] = np.uint32(min(share[low] * 4294967296.0, 4294967295.0)), high
        share[high] -= 1 - share[low]
        if share[high] < 1:
            small.append(large.pop())
    return threshold, other


@_jit
def windows(starts, window, seed):
    """First and last place (N,) inside the window of each centre: radius uniform in 1..window, cut at sentences."""
    low, high = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            radius = 1 + below(mix(seed ^ np.uint64(i)), window)
            low[i], high[i] = max(i - radius, starts[s]), min(i + radius, starts[s + 1] - 1)
    return low, high


# --- plain ---------------------------------------------------------------------------------------


@_jit
def descend_pair(x, output, target, negatives, rate, error):
    """One pair: adds the gradient with respect to x to `error`, updates output rows in turn, gives the loss."""
    loss = 0.0
    for k in range(-1, len(negatives)):
        word = target if k < 0 else negatives[k]
        if k >= 0 and word == target:
            continue
        y = output[word]
        score = 0.0
        for d in range(len(x)):
            score += x[d] * y[d]
        sign = 1.0 if k < 0 else -1.0
        loss += np.log1p(np.exp(-abs(score))) + max(-sign * score, 0.0)
        step = rate * sign / (1 + np.exp(sign * score))
        for d in range(len(x)):
            error[d] += step * y[d]
            y[d] += step * x[d]
    return loss


@_jit
def skipgram_plain(input, output, words, low, high, threshold, other, negatives, rate, seed):
    """Skip-gram, pair by pair: each word in the window predicts the centre. Gives (loss, pairs)."""
    drawn, error = np.empty(negatives, np.int64), np.empty(input.shape[1], input.dtype)
    loss, pairs = 0.0, 0
    for i in range(len(words)):
        for j in range(low[i], high[i] + 1):
            if j == i:
                continue
            for k in range(negatives):
                drawn[k] = draw_word(mix(seed + np.uint64(pairs * negatives + k)), threshold, other)
            error[:] = 0
            loss += descend_pair(input[words[j]], output, words[i], drawn, rate, error)
            input[words[j]] += error
            pairs += 1
    return loss, pairs


@_jit
def cbow_plain(input, output, words, low, high, threshold, other, negatives, rate, seed):
    """CBOW, centre by centre: the mean of the window predicts the centre. Gives (loss, centres)."""
    drawn, error, mean = np.empty(negatives, np.int64), np.empty(input.shape[1], input.dtype), np.empty(input.shape[1], input.dtype)
    loss, centres = 0.0, 0
    for i in range(len(words)):
        if high[i] == low[i]:
            continue
        mean[:] = 0
        for j in range(low[i], high[i] + 1):
            if j != i:
                mean += input[words[j]]
        mean /= high[i] - low[i]
        for k in range(negatives):
            drawn[k] = draw_word(mix(seed + np.uint64(centres * negatives + k)), threshold, other)
        error[:] = 0
        loss += descend_pair(mean, output, words[i], drawn, rate, error)
        for j in range(low[i], high[i] + 1):
            if j != i:
                input[words[j]] += error  # the full error, not divided by the window: word2vec.c and gensim
        centres += 1
    return loss, centres


# --- fast ----------------------------------------------------------------------------------------


@_jit
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


@_jit
def gather(rows, words, first, count, into):
    """Copies `rows[words[first + n]]` into row n of a padded buffer."""
    for n in range(count):
        row, copy = rows[words[first + n]], into[n]
        for d in range(len(row)):
            copy[d] = row[d]


@_jit
def scatter(rows, words, first, count, deltas, me, threads):
    """Adds row n of `deltas` to `rows[words[first + n]]`, for the rows that thread `me` of `threads` owns."""
    for n in range(count):
        word = words[first + n]
        if threads == 1 or word % threads == me:
            row, delta = rows[word], deltas[n]
            for d in range(len(row)):
                row[d] += delta[d]


@_jit
def score_positives(lanes, low, high, first, last, start, stop, x, y, scores, real):
    """Scores of the pairs (input in [first, last), centre in [start, stop)), centre by centre, in fours.

    `real` is 1 for a pair and 0 for the centre itself and for what fills up a four. Gives their number.
    """
    width, filled = LANES * len(lanes), 0
    for i in range(start, stop):
        yi, begin, end = y[i - start], max(low[i], first) - first, min(high[i] + 1, last) - first
        for j in range(begin, end, 4):
            x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
            s0 = s1 = s2 = s3 = np.float32(0)
            for d in range(width):
                s0 += x0[d] * yi[d]
                s1 += x1[d] * yi[d]
                s2 += x2[d] * yi[d]
                s3 += x3[d] * yi[d]
            scores[filled], scores[filled + 1], scores[filled + 2], scores[filled + 3] = s0, s1, s2, s3
            for m in range(4):
                real[filled + m] = np.float32(j + m < end and j + m + first != i)
            filled += 4
    return filled


@_jit
def spread_positives(lanes, low, high, first, last, start, stop, x, y, steps, dx, dy):
    """Adds each pair's step times the other side's row to `dx` and `dy`, in the order of `score_positives`."""
    width, filled = LANES * len(lanes), 0
    for i in range(start, stop):
        yi, di, begin, end = y[i - start], dy[i - start], max(low[i], first) - first, min(high[i] + 1, last) - first
        for j in range(begin, end, 4):
            x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
            d0, d1, d2, d3 = dx[j], dx[j + 1], dx[j + 2], dx[j + 3]
            s0, s1, s2, s3 = steps[filled], steps[filled + 1], steps[filled + 2], steps[filled + 3]
            for d in range(width):
                di[d] += s0 * x0[d] + s1 * x1[d] + s2 * x2[d] + s3 * x3[d]
                d0[d] += s0 * yi[d]
                d1[d] += s1 * yi[d]
                d2[d] += s2 * yi[d]
                d3[d] += s3 * yi[d]
            filled += 4


@_jit
def weigh_negatives(words, low, high, first, last, start, stop, drawn, share, weights):
    """Weight of each (input, shared negative): share x the input's pairs whose target is another word. Gives the pairs."""
    pairs = np.zeros(BLOCK, np.float32)
    for i in range(start, stop):
        for j in range(max(low[i], first), min(high[i] + 1, last)):
            pairs[j - first] += np.float32(i != j)
    for j in range(last - first):
        for k in range(SHARED):
            weights[j * SHARED + k] = share * pairs[j]
    for i in range(start, stop):
        hits = 0
        for k in range(SHARED):
            hits += drawn[k] == words[i]
        if hits:
            for k in range(SHARED):
                if drawn[k] == words[i]:
                    for j in range(max(low[i], first), min(high[i] + 1, last)):
                        weights[(j - first) * SHARED + k] -= share * np.float32(i != j)
    return pairs.sum()


@_jit
def score_negatives(lanes, x, z, count, scores):
    """Scores (count x SHARED) of all inputs with all shared negatives."""
    width = LANES * len(lanes)
    for j in range(count):
        xj = x[j]
        for k in range(0, SHARED, 4):
            z0, z1, z2, z3 = z[k], z[k + 1], z[k + 2], z[k + 3]
            s0 = s1 = s2 = s3 = np.float32(0)
            for d in range(width):
                s0 += xj[d] * z0[d]
                s1 += xj[d] * z1[d]
                s2 += xj[d] * z2[d]
                s3 += xj[d] * z3[d]
            at = j * SHARED + k
            scores[at], scores[at + 1], scores[at + 2], scores[at + 3] = s0, s1, s2, s3


@_jit
def spread_negatives(lanes, x, z, count, steps, dx, dz):
    """Adds all steps (count x SHARED) times the other side's row to `dx` and `dz`."""
    width = LANES * len(lanes)
    for j in range(count):
        s, dj = steps[j * SHARED :], dx[j]
        for d in range(width):
            dj[d] += (
                s[0] * z[0, d] + s[1] * z[1, d] + s[2] * z[2, d] + s[3] * z[3, d]
                + s[4] * z[4, d] + s[5] * z[5, d] + s[6] * z[6, d] + s[7] * z[7, d]
                + s[8] * z[8, d] + s[9] * z[9, d] + s[10] * z[10, d] + s[11] * z[11, d]
                + s[12] * z[12, d] + s[13] * z[13, d] + s[14] * z[14, d] + s[15] * z[15, d]
            )  # fmt: skip
    for j in range(0, count, 8):
        for k in range(SHARED):
            dk = dz[k]
            s0, s1, s2, s3 = steps[j * SHARED + k], steps[(j + 1) * SHARED + k], steps[(j + 2) * SHARED + k], steps[(j + 3) * SHARED + k]
            s4, s5, s6, s7 = steps[(j + 4) * SHARED + k], steps[(j + 5) * SHARED + k], steps[(j + 6) * SHARED + k], steps[(j + 7) * SHARED + k]
            for d in range(width):
                dk[d] += (
                    s0 * x[j, d] + s1 * x[j + 1, d] + s2 * x[j + 2, d] + s3 * x[j + 3, d]
                    + s4 * x[j + 4, d] + s5 * x[j + 5, d] + s6 * x[j + 6, d] + s7 * x[j + 7, d]
                )  # fmt: skip


@_jit
def skipgram_block(lanes, input, output, words, low, high, threshold, other, negatives, window, rate, seed, from_block, to_block):
    """Skip-gram over blocks [from_block, to_block) of the chunk, one round after the other. Gives (loss, pairs)."""
    width, halo = LANES * len(lanes), BLOCK + 2 * window
    x, y, z = np.zeros((BLOCK + 8, width), np.float32), np.zeros((halo, width), np.float32), np.zeros((SHARED, width), np.float32)
    dx, dy, dz = np.zeros((BLOCK + 8, width), np.float32), np.zeros((halo, width), np.float32), np.zeros((SHARED, width), np.float32)
    most = halo * (4 * (window // 2) + 8)
    scores, real = np.zeros(most, np.float32), np.zeros(most, np.float32)
    steps, weights = np.zeros((BLOCK + 8) * SHARED, np.float32), np.zeros((BLOCK + 8) * SHARED, np.float32)
    drawn = np.zeros(SHARED, np.int32)
    share = np.float32(negatives / SHARED)
    rate = np.float32(rate)
    loss, pairs = 0.0, 0.0
    for block in range(from_block, to_block):
        first, last = block * BLOCK, min((block + 1) * BLOCK, len(words))
        start, stop = first, last
        while start > 0 and first - start < window and high[start - 1] >= first:
            start -= 1
        start, stop = max(first - window, 0), min(last + window, len(words))
        for k in range(SHARED):
            drawn[k] = draw_word(mix(seed + np.uint64(block * SHARED + k)), threshold, other)
        gather(input, words, first, last - first, x)
        gather(output, words, start, stop - start, y)
        gather(output, drawn, 0, SHARED, z)
        dx[:] = 0
        dy[:] = 0
        dz[:] = 0
        if last - first < BLOCK:
            x[last - first :] = 0
        filled = score_positives(lanes, low, high, first, last, start, stop, x, y, scores, real)
        loss += gradients(scores, 1, rate, real, filled)
        spread_positives(lanes, low, high, first, last, start, stop, x, y, scores, dx, dy)
        pairs += weigh_negatives(words, low, high, first, last, start, stop, drawn, share, weights)
        score_negatives(lanes, x, z, last - first, steps)
        steps[(last - first) * SHARED :] = 0
        loss += gradients(steps, -1, rate, weights, (last - first) * SHARED)
        spread_negatives(lanes, x, z, last - first, steps, dx, dz)
        scatter(input, words, first, last - first, dx, 0, 1)
        scatter(output, words, start, stop - start, dy, 0, 1)
        scatter(output, drawn, 0, SHARED, dz, 0, 1)
    return loss, pairs


# --- the way in ----------------------------------------------------------------------------------

PLAIN = {"skipgram": skipgram_plain, "cbow": cbow_plain}
BLOCKS = {"skipgram": skipgram_block}


def descend_blocks(architecture, chunk, window, threads, racing):
    """Runs the fast kernel of `architecture` over all blocks of the chunk. Gives (loss, predictions)."""
    input, output, words, low, high, threshold, other, negatives, rate, seed = chunk
    blocks = -(-len(words) // BLOCK)
    lanes = (0,) * -(-input.shape[1] // LANES)
    return BLOCKS[architecture](lanes, input, output, words, low, high, threshold, other, negatives, window, rate, seed, 0, blocks)
