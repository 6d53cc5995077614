"""Subword n-grams for word2vec (Bojanowski, Grave, Joulin & Mikolov 2017, fastText): vectors for words never seen.

A word's vector is the mean of its own row and of its character n-grams' rows; those of `<where>` of three
characters are `<wh`, `whe`, `her`, `ere`, `re>`. N-grams share `buckets` rows by their hash. One table holds the
V words' rows and, after them, the buckets'.

Skip-gram: the centre's rows predict each word of the window. CBOW: the mean of all rows of the window's words
predicts the centre. As in fastText the gradient is added in full to each row.

Fast: a centre's pairs (skip-gram) or a block's means (CBOW) are computed from the rows at its start, so that a word's
n-grams are read and written once and not pair by pair. Plain: as published.

V vocabulary, D width, N tokens of the chunk, K negatives a pair, G rows of a word, M scores of a centre. Numba keeps
machine code by this file's date alone: after a change to the kernels imported here, touch this file too.
"""

import numpy as np

from stemma.kernels.compiling import compiled, inlined
from stemma.kernels.draws import draw_word, mix
from stemma.kernels.word2vec_rows import gradients

BLOCK = 32  # centres of CBOW computed from the same rows


# --- rows ----------------------------------------------------------------------------------------
# Loops over d are unsigned, as a sign would keep them scalar.


@inlined
def add_rows(table, rows, x):
    """Adds the rows (G) of the table to x (D)."""
    for g in range(len(rows)):
        row = table[rows[g]]
        for d in range(np.uint64(len(x))):
            x[d] += row[d]


@inlined
def move_rows(table, rows, error):
    """Adds `error` (D) to each of the rows."""
    for g in range(len(rows)):
        row = table[rows[g]]
        for d in range(np.uint64(len(error))):
            row[d] += error[d]


@inlined
def compose(table, rows, x):
    """Sets x (D) to the mean of the rows."""
    x[:] = 0
    add_rows(table, rows, x)
    x /= np.float32(len(rows))


@inlined
def draw_candidates(place, target, negatives, alias, draws, candidates, real):
    """Writes a pair's target to candidates[place] and its negatives behind; `real` is 0 for one that is the target itself."""
    candidates[place], real[place] = target, 1
    for k in range(negatives):
        word = draw_word(mix(draws + np.uint64(k)), alias[0], alias[1])
        candidates[place + 1 + k], real[place + 1 + k] = word, np.float32(word != target)


@inlined
def descend_candidates(x, output, candidates, real, pairs, negatives, rate, scores, error):
    """Steps of x with the candidates, `pairs` targets with their negatives; sets `error` to x's gradient. Gives the loss."""
    size = np.uint64(len(x))
    each = 1 + negatives
    for m in range(pairs * each):
        y, score = output[candidates[m]], np.float32(0)
        for d in range(size):
            score += x[d] * y[d]
        scores[m] = score if m % each == 0 else -score
    loss = gradients(scores, 1, rate, real, pairs * each)
    error[:] = 0
    for m in range(pairs * each):
        y, step = output[candidates[m]], scores[m] if m % each == 0 else -scores[m]
        for d in range(size):
            error[d] += step * y[d]
            y[d] += step * x[d]
    return loss


# --- kernels -------------------------------------------------------------------------------------


@compiled(fastmath=True, error_model="numpy")
def skipgram_subwords(table, output, text, grams, alias, negatives, rate, seed, plain):
    """Skip-gram: each centre's n-grams predict the words of its window. Gives (loss, pairs).

    `text` = (words, low, high), `grams` = (starts, rows) of `word_rows`.
    """
    (words, low, high), (starts, rows) = text, grams
    each, size = 1 + negatives, table.shape[1]
    most = each * max(1, (high - low).max() if len(words) else 1)
    candidates, real, scores = np.empty(most, np.int64), np.empty(most, np.float32), np.empty(most, np.float32)
    x, error = np.empty(size, np.float32), np.empty(size, np.float32)
    loss, pairs = 0.0, 0
    for i in range(len(words)):
        own = rows[starts[words[i]] : starts[words[i] + 1]]
        waiting = 0
        for j in range(low[i], high[i] + 1):
            if j != i:
                draw_candidates(waiting * each, words[j], negatives, alias, seed + np.uint64(pairs * negatives), candidates, real)
                waiting, pairs = waiting + 1, pairs + 1
            if waiting and (plain or j == high[i]):
                compose(table, own, x)
                loss += descend_candidates(x, output, candidates, real, waiting, negatives, rate, scores, error)
                move_rows(table, own, error)
                waiting = 0
    return loss, pairs


@compiled(fastmath=True, error_model="numpy")
def cbow_subwords(table, output, text, grams, alias, negatives, rate, seed, plain):
    """CBOW: the mean of all rows of the window's words predicts the centre. Gives (loss, centres). As `skipgram_subwords`."""
    (words, low, high), (starts, rows) = text, grams
    each, size, block = 1 + negatives, table.shape[1], 1 if plain else BLOCK
    reach = max((high - low).max(), 1) if len(words) else 1
    candidates, real, scores = np.empty(each, np.int64), np.empty(each, np.float32), np.empty(each, np.float32)
    sums, moves = np.empty((block + 2 * reach, size), np.float32), np.empty((block + 2 * reach, size), np.float32)
    x, error = np.empty(size, np.float32), np.empty(size, np.float32)
    loss, centres = 0.0, 0
    for first in range(0, len(words), block):
        last = min(first + block, len(words))
        start, stop = low[first:last].min(), high[first:last].max() + 1
        sums[: stop - start], moves[: stop - start] = 0, 0
        for j in range(start, stop):
            add_rows(table, rows[starts[words[j]] : starts[words[j] + 1]], sums[j - start])
        for i in range(first, last):
            if high[i] == low[i]:
                continue
            x[:] = 0
            count = 0
            for j in range(low[i], high[i] + 1):
                if j != i:
                    x += sums[j - start]
                    count += starts[words[j] + 1] - starts[words[j]]
            x /= np.float32(count)
            draw_candidates(0, words[i], negatives, alias, seed + np.uint64(centres * negatives), candidates, real)
            loss += descend_candidates(x, output, candidates, real, 1, negatives, rate, scores, error)
            for j in range(low[i], high[i] + 1):
                if j != i:
                    moves[j - start] += error
            centres += 1
        for j in range(start, stop):
            move_rows(table, rows[starts[words[j]] : starts[words[j] + 1]], moves[j - start])
    return loss, centres


@compiled(fastmath=True, error_model="numpy")
def compose_all(table, starts, rows, vectors):
    """Sets each word's vector (V D) to the mean of its rows; words without rows are left."""
    for w in range(len(starts) - 1):
        if starts[w] < starts[w + 1]:
            compose(table, rows[starts[w] : starts[w + 1]], vectors[w])


KERNELS = {"skipgram": skipgram_subwords, "cbow": cbow_subwords}
