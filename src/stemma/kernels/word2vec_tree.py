"""word2vec's hierarchical softmax: a word is told from all others by the turns on its path through a Huffman tree.

With z_n the rows of the inner nodes on the target's path and b_n the turns it takes there (Mikolov 2013b,
section 2.1; word2vec.c has code 1 - b_n as its label):

    loss = - sum over the path of log s((1 - 2 b_n) x·z_n)

With negative sampling beside it, the two losses are added up. Plain: pair by pair, as published. Fast, for
skip-gram: the pairs of a window share their path, so all their scores come from the rows at its start.

D width, N tokens of the chunk, C inputs of a window, L nodes of a path, K negatives a pair. Numba keeps machine
code by this file's date alone: after a change to the kernels imported here, touch this file too.
"""

import numpy as np

from stemma.kernels.compiling import compiled, inlined
from stemma.kernels.draws import draw_word, mix
from stemma.kernels.word2vec_pairs import descend_pair
from stemma.kernels.word2vec_registers import FLOATS, aligned, combine_2, combine_4, pitch, score_2x4
from stemma.kernels.word2vec_rows import gather, gradients, scatter

MOST = 64  # nodes of a path; word2vec.c stops at 40, which takes a text of 300 million words


# --- plain ---------------------------------------------------------------------------------------


@inlined
def descend_path(x, table, nodes, bits, rate, error):
    """One pair: adds the gradient with respect to x to `error`, updates the path's nodes. Gives the loss."""
    loss = 0.0
    for n in range(len(nodes)):
        z = table[nodes[n]]
        sign = np.float32(1) - np.float32(2) * np.float32(bits[n])
        score = np.float32(0)
        for d in range(len(x)):
            score += x[d] * z[d]
        score *= sign
        small = np.exp(-abs(score))
        loss += np.log1p(small) + max(-score, np.float32(0))
        step = rate * sign * (small if score > 0 else np.float32(1)) / (np.float32(1) + small)
        for d in range(len(x)):
            error[d] += step * z[d]
            z[d] += step * x[d]
    return loss


@inlined
def descend_target(x, tables, target, paths, alias, drawn, draws, rate, error):
    """One pair of x with `target`: along its path and, where `drawn` has room for negatives, against those too. Gives the loss."""
    _, output, nodes = tables
    first, last = paths[0][target], paths[0][target + 1]
    loss = descend_path(x, nodes, paths[1][first:last], paths[2][first:last], rate, error)
    if len(drawn):
        for k in range(len(drawn)):
            drawn[k] = draw_word(mix(draws + np.uint64(k)), alias[0], alias[1])
        loss += descend_pair(x, output, target, drawn, rate, error)
    return loss


@compiled(fastmath=True, error_model="numpy")
def skipgram_plain(lanes, tables, text, paths, alias, negatives, rate, seed):
    """Skip-gram, pair by pair: each word in the window predicts the centre. Gives (loss, pairs).

    `tables` = (input, output, nodes), `text` = (words, low, high), `paths` = (starts, nodes, bits) of the tree.
    """
    words, low, high = text
    input, drawn = tables[0], np.empty(negatives, np.int64)
    error, loss, pairs = np.empty(input.shape[1], np.float32), 0.0, 0
    for i in range(len(words)):
        for j in range(low[i], high[i] + 1):
            if j != i:
                error[:] = 0
                draws = seed + np.uint64(pairs * negatives)
                loss += descend_target(input[words[j]], tables, words[i], paths, alias, drawn, draws, rate, error)
                input[words[j]] += error
                pairs += 1
    return loss, pairs


@compiled(fastmath=True, error_model="numpy")
def cbow_plain(lanes, tables, text, paths, alias, negatives, rate, seed):
    """CBOW, centre by centre: the mean of the window predicts the centre. Gives (loss, centres). As `skipgram_plain`."""
    words, low, high = text
    input, drawn = tables[0], np.empty(negatives, np.int64)
    mean, error = np.empty(input.shape[1], np.float32), np.empty(input.shape[1], np.float32)
    loss, centres = 0.0, 0
    for i in range(len(words)):
        if high[i] == low[i]:
            continue
        mean[:], error[:] = 0, 0
        for j in range(low[i], high[i] + 1):
            if j != i:
                mean += input[words[j]]
        mean /= np.float32(high[i] - low[i])
        loss += descend_target(mean, tables, words[i], paths, alias, drawn, seed + np.uint64(centres * negatives), rate, error)
        for j in range(low[i], high[i] + 1):
            if j != i:
                input[words[j]] += error  # the full error, not divided by the window: word2vec.c and gensim
        centres += 1
    return loss, centres


# --- fast ----------------------------------------------------------------------------------------


@inlined
def turn_rows(lanes, bits, rows):
    """Turns round, in the buffer `rows`, each node where the path goes to the second child: every label is then 1."""
    width = pitch(lanes)
    for n in range(len(bits)):
        sign, p = np.float32(1) - np.float32(2) * np.float32(bits[n]), np.uint64(n) * width
        for d in range(width):
            rows[p + d] *= sign


@inlined
def descend_window(lanes, x, count, z, length, steps, real, rate, dx, dz):
    """Steps of the inputs x (C) and the nodes z (L), all pairs at once. Gives the loss."""
    width, columns = np.int64(pitch(lanes)), (count + 3) // 4 * 4
    for n in range(0, length, 2):
        for c in range(0, columns, 4):
            score_2x4(lanes, z, n * width, x, c * width, steps, n * columns + c, columns)
        for c in range(columns):
            real[n * columns + c] = np.float32(c < count)
            real[(n + 1) * columns + c] = np.float32(c < count and n + 1 < length)
    loss = gradients(steps, 1, rate, real, (length + 1) // 2 * 2 * columns)
    for n in range(0, length, 2):
        combine_2(lanes, steps, n * columns, columns, 1, count, x, 0, dz, n * width, False)
    for c in range(0, columns, 4):
        combine_4(lanes, steps, c, 1, columns, length, z, 0, dx, c * width, False)
    return loss


@compiled(fastmath=True, error_model="numpy")
def skipgram_windows(lanes, tables, text, paths, alias, negatives, rate, seed):
    """Skip-gram, window by window; as `skipgram_plain` in expectation. `lanes` are those of `word2vec_registers`."""
    (words, low, high), (starts, path, bits) = text, paths
    input, output, nodes = tables
    width = np.int64(pitch(lanes))
    most = 4 + (high - low).max() if len(words) else 4
    x, dx = aligned(most * width), aligned(most * width)
    z, dz = aligned(MOST * width), aligned(MOST * width)
    steps, real = np.zeros(MOST * most, np.float32), np.zeros(MOST * most, np.float32)
    drawn, near = np.empty(negatives, np.int64), np.empty(most, np.int64)
    loss, pairs = 0.0, 0
    for i in range(len(words)):
        count = 0
        for j in range(low[i], high[i] + 1):
            if j != i:
                near[count] = words[j]
                count += 1
        first, last = starts[words[i]], starts[words[i] + 1]
        gather(lanes, input, near[:count], x)
        gather(lanes, nodes, path[first:last], z)
        z[(last - first) * width : (last - first + 1) * width] = 0  # rows are read two at a time
        turn_rows(lanes, bits[first:last], z)
        loss += descend_window(lanes, x, count, z, last - first, steps, real, rate, dx, dz)
        for c in range(count if negatives else 0):
            for k in range(negatives):
                drawn[k] = draw_word(mix(seed + np.uint64((pairs + c) * negatives + k)), alias[0], alias[1])
            row = slice(c * width, c * width + input.shape[1])
            loss += descend_pair(x[row], output, words[i], drawn, rate, dx[row])
        turn_rows(lanes, bits[first:last], dz)
        scatter(lanes, nodes, path[first:last], dz, 0, 1)
        scatter(lanes, input, near[:count], dx, 0, 1)
        pairs += count
    return loss, pairs


PLAIN = {"skipgram": skipgram_plain, "cbow": cbow_plain}
FAST = {"skipgram": skipgram_windows, "cbow": cbow_plain}  # one input a path: nothing to share


def descend_tree(architecture, kernel, tables, text, paths, alias, negatives, rate, seed):
    """Runs a kernel over a chunk, in place. Gives (loss, predictions). `tables` = (input, output, nodes)."""
    lanes = (0,) * -(-tables[0].shape[1] // FLOATS)
    run = (PLAIN if kernel == "plain" else FAST)[architecture]
    return run(lanes, tables, text, paths, alias, negatives, np.float32(rate), seed)
