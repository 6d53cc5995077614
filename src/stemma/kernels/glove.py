"""GloVe's kernels: AdaGrad on the weighted squared error of log X, pair by pair as in Stanford's glove.c.

For a pair with word row w, context row c, their biases and x = X_ij, with f(x) = min(1, (x / x_max)^alpha):

    diff = w·c + b_w + b_c - log x                  cost = f(x) diff^2 / 2
    t_w = eta clip(f diff c)                        w -= t_w / sqrt(s_w), then s_w += t_w^2;   c likewise
    u = f diff bias_eta                             b -= u / sqrt(s_b), then s_b += u^2        for both biases

Sums s begin at 1 and divide *before* the gradient of the step is added to them.

`exact` visits records in a given order in float64. `descend_tiles` visits the tiles of `objectives.cooccurrence`,
whose rows stay in the cache: sixteen times faster. No two tiles of a round share a row, so threads may divide a round
between them and the result does not depend on how.

V vocabulary, D width, P pairs, G tiles.
"""

import numpy as np

from stemma.kernels.aligned import aligned_zeros
from stemma.kernels.compiling import compiled, inlined

LANES = 16  # rows are padded to multiples of this many float32: one AVX-512 register


# --- exact ---------------------------------------------------------------------------------------


@compiled(error_model="numpy")
def exact(weights, sums, entries, order, rates):
    """Visits the entries `order` of X one after the other, as glove.c with one thread; gives their summed cost.

    `weights` and `sums` are (words (V D), contexts (V D), word biases (V), context biases (V)) in float64, updated in place ·
    `entries` = (rows, columns, values) · `rates` = (eta, bias_eta, clip, x_max, alpha). As in glove.c, what is not finite is left out.
    """
    words, contexts, word_biases, context_biases = weights
    rows, columns, values = entries
    eta, bias_eta, clip, x_max, alpha = rates
    cost, width = 0.0, words.shape[1]
    to_word, to_context = np.empty(width), np.empty(width)
    for n in order:
        i, j, x = rows[n], columns[n], values[n]
        w, c, s_w, s_c = words[i], contexts[j], sums[0][i], sums[1][j]
        diff = word_biases[i] + context_biases[j] - np.log(x)
        for d in range(width):
            diff += w[d] * c[d]
        step = diff if x > x_max else (x / x_max) ** alpha * diff
        if not np.isfinite(diff) or not np.isfinite(step):
            continue
        cost += 0.5 * step * diff
        moved = 0.0
        for d in range(width):
            t_w = min(max(step * c[d], -clip), clip) * eta
            t_c = min(max(step * w[d], -clip), clip) * eta
            to_word[d], to_context[d] = t_w / np.sqrt(s_w[d]), t_c / np.sqrt(s_c[d])
            s_w[d] += t_w * t_w
            s_c[d] += t_c * t_c
            moved += to_word[d] + to_context[d]
        if np.isfinite(moved):
            for d in range(width):
                w[d] -= to_word[d]
                c[d] -= to_context[d]
        u = step * bias_eta
        word_biases[i] -= u / np.sqrt(sums[2][i])
        context_biases[j] -= u / np.sqrt(sums[3][j])
        sums[2][i] += u * u
        sums[3][j] += u * u
    return cost


# --- tiles ---------------------------------------------------------------------------------------
# A row of a table is [weights | their sums | bias, its sum, unused], so that all that a pair needs of a word stands
# together. `lanes` is a tuple of length width / LANES: its type tells the compiler the width, and the loops
# over d become whole registers. Places are unsigned, as a sign would keep those loops scalar.


@inlined
def score(lanes, w, c):
    """The score w·c + biases of one pair of rows."""
    width = np.uint64(LANES * len(lanes))
    bias, total = width + width, np.float32(0)
    for d in range(width):
        total += w[d] * c[d]
    return total + w[bias] + c[bias]


@inlined
def scores(lanes, w, c, w2, c2):
    """The scores w·c + biases of two pairs of rows."""
    width = np.uint64(LANES * len(lanes))
    bias, one, two = width + width, np.float32(0), np.float32(0)
    for d in range(width):
        one += w[d] * c[d]
        two += w2[d] * c2[d]
    return one + w[bias] + c[bias], two + w2[bias] + c2[bias]


@inlined
def update(lanes, w, c, step, eta, bias_eta, clip):
    """AdaGrad on the rows of one pair; `step` is f diff."""
    width = np.uint64(LANES * len(lanes))
    bias = width + width
    for d in range(width):
        s = d + width
        t_w, t_c = min(max(step * c[d], -clip), clip) * eta, min(max(step * w[d], -clip), clip) * eta
        s_w, s_c = w[s], c[s]
        w[d] -= t_w / np.sqrt(s_w)
        c[d] -= t_c / np.sqrt(s_c)
        w[s] = s_w + t_w * t_w
        c[s] = s_c + t_c * t_c
    u, s = step * bias_eta, bias + np.uint64(1)
    s_w, s_c = w[s], c[s]
    w[bias] -= u / np.sqrt(s_w)
    c[bias] -= u / np.sqrt(s_c)
    w[s] = s_w + u * u
    c[s] = s_c + u * u


@compiled(fastmath=True, error_model="numpy")
def descend_tiles(lanes, table, ids, places, tiles, pairs, both, rates, totals, me, threads):
    """Visits thread `me`'s share of the tiles of a round, in place; `totals` (G 2) gets each tile's summed cost and entries.

    `table` (2 V stride) holds word and context rows · `ids` (blocks, words) of the members of blocks · `places` (G 2) the blocks of each
    tile · `tiles` (G+1) borders in `pairs` = (rows, columns, log x, f(x)) of this round · `both`: a pair stands for both of
    its orders · `rates` = (eta, bias_eta, clip).
    """
    rows, columns, logs, weights = pairs
    eta, bias_eta, clip = rates
    for t in range(me, len(places), threads):
        a, b = ids[places[t, 0]], ids[places[t, 1]]
        cost, alone = 0.0, 0
        for p in range(tiles[t], tiles[t + 1]):
            i, j, log, f = a[rows[p]], b[columns[p]], logs[p], weights[p]
            w, c = table[0, i], table[1, j]
            if both and i != j:  # two pairs at a time: with one, the loops would wait for its score
                w2, c2 = table[0, j], table[1, i]
                one, two = scores(lanes, w, c, w2, c2)
                one, two = one - log, two - log
                update(lanes, w, c, f * one, eta, bias_eta, clip)
                update(lanes, w2, c2, f * two, eta, bias_eta, clip)
                cost += 0.5 * f * (one * one + two * two)
            else:
                one = score(lanes, w, c) - log
                update(lanes, w, c, f * one, eta, bias_eta, clip)
                cost += 0.5 * f * one * one
                alone += 1
        totals[t, 0], totals[t, 1] = cost, 2 * (tiles[t + 1] - tiles[t]) - alone


def packed(lanes: int, weights: tuple[np.ndarray, ...], sums: tuple[np.ndarray, ...]) -> np.ndarray:
    """The table (2 V stride) of `descend_tiles` from (words, contexts, word biases, context biases) and their sums."""
    rows, width = weights[0].shape
    room = LANES * lanes
    table = aligned_zeros((2, rows, 2 * room + LANES))
    for side in range(2):
        table[side, :, :width], table[side, :, room : room + width] = weights[side], sums[side]
        table[side, :, room + width : 2 * room] = 1  # of the padding, whose weights stay 0
        table[side, :, 2 * room], table[side, :, 2 * room + 1] = weights[2 + side], sums[2 + side]
    return table


def unpack(lanes: int, table: np.ndarray, weights: tuple[np.ndarray, ...], sums: tuple[np.ndarray, ...]) -> None:
    """Copies what `packed` packed back to where it came from."""
    width, room = weights[0].shape[1], LANES * lanes
    for side in range(2):
        weights[side][:], sums[side][:] = table[side, :, :width], table[side, :, room : room + width]
        weights[2 + side][:], sums[2 + side][:] = table[side, :, 2 * room], table[side, :, 2 * room + 1]
