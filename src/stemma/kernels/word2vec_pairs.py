"""word2vec's plain kernels, pair by pair as published, and the windows that all its kernels share.

For every centre c and every word in its window, with K negatives drawn from unigram^power and those equal
to the target skipped (word2vec.c):

    -log s(x·y) - sum over negatives of log s(-x·y_n)

The rows of a pair are updated before the next pair is looked at. `word2vec_rounds` descends the same
objective ten times faster. Random draws are a function of (seed, place in the text) alone.

V vocabulary, D width, N tokens of the chunk, K negatives a pair.
"""

from typing import NamedTuple

import numpy as np

from stemma.kernels.compiling import compiled, inlined
from stemma.kernels.draws import below, draw_word, mix


class Text(NamedTuple):
    """The words of a chunk (N), and the first and last place inside the window of each."""

    words: np.ndarray
    low: np.ndarray
    high: np.ndarray


@compiled(fastmath=True, error_model="numpy")
def windows(starts, window, seed):
    """First and last place (N,) inside the window of each centre: radius uniform in 1..window, cut at sentences."""
    low, high = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            radius = 1 + below(mix(seed ^ np.uint64(i)), window)
            low[i], high[i] = max(i - radius, starts[s]), min(i + radius, starts[s + 1] - 1)
    return low, high


@inlined
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


@compiled(fastmath=True, error_model="numpy")
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


@compiled(fastmath=True, error_model="numpy")
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


PLAIN = {"skipgram": skipgram_plain, "cbow": cbow_plain}
