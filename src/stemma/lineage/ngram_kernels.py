"""The n-gram model's inner loops: from sorted counts to probabilities, and from ids to scores.

Two orders of the same n-grams meet here. In *suffix* order (index s) they stand by their last word, then the one
before: n-grams with a common ending, whose lower-order probability they share, are neighbours. In *context* order
(index c) they stand by first word, second, ...: the successors of a context are neighbours, as scoring wants them.
For single words both indices are the word's id. Borders of runs are given as in compressed sparse rows: the run of x
is `borders[x]` to `borders[x + 1]`. Axes: G distinct n-grams of the highest order, S n-grams of one order.
"""

import math

import numpy as np
from numba import njit

UNKNOWN, START, END = 0, 1, 2  # KenLM's ids of <unk>, <s>, </s>
ABSENT = 0xFFFFFFFF  # what `words` holds for a token that is no word of the model
WORD, SUCCESSORS, SUFFIX = 0, 1, 2  # columns of `nodes`; `leaves` has WORD and, as its column 1, SUFFIX


@njit(cache=True, nogil=True)
def common_endings(columns, common, sizes):
    """Fills `common` (G) with how many last words an n-gram shares with the one before it; `sizes` with n-grams an order."""
    order = len(columns)
    for g in range(len(common)):
        n = 0
        if g:
            while n < order and columns[n, g] == columns[n, g - 1]:
                n += 1
        common[g] = n
        for m in range(n, order):  # the ending of m + 1 words is a new one
            if m > 1 and columns[m - 1, g] == START:
                break  # <s> would stand at its second place: no n-gram
            sizes[m] += 1


@njit(cache=True, nogil=True)
def endings(columns, counts, common, n, continued, first, tail, raw, adjusted):
    """Lists the n-grams of order n > 1 in suffix order: first word, index of the tail without it, raw and adjusted count.

    The adjusted count is the raw one at the highest order, for n-grams that start with <s>, or unless `continued`; else
    the number of different words to the left. `raw` is left alone when empty. Returns the raw count of the n-gram that
    ends the very last of all, or 0 where that has <s> at its second place or later.
    """
    order = len(columns)
    s, t, last = -1, -1, 0
    for g in range(len(common)):
        if n == 2:
            t = columns[0, g]
        elif common[g] < n - 1 and (n == 3 or columns[n - 3, g] != START):
            t += 1
        last = 0 if common[g] < n else last
        if n > 2 and columns[n - 2, g] == START:
            continue
        word = columns[n - 1, g]
        if common[g] < n:
            s += 1
            first[s] = word
            tail[s] = t
            if len(raw):
                raw[s] = 0
            adjusted[s] = 0
        last += counts[g]
        if len(raw):
            raw[s] += counts[g]
        if n == order or not continued or word == START:
            adjusted[s] += counts[g]
        elif common[g] <= n:
            adjusted[s] += 1
    return last


@njit(cache=True, nogil=True)
def borders_of(keys, size):
    """Where the runs of the keys 0 .. size - 1 begin and end when sorted: size + 1 borders."""
    borders = np.zeros(size + 1, np.uint32)
    for s in range(len(keys)):
        borders[keys[s] + 1] += 1
    for key in range(size):
        borders[key + 1] += borders[key]
    return borders


@njit(cache=True, nogil=True)
def find_contexts(context, first, longer_tails, tail_first, shorter_tails, tail_at, shorter_at, successors, vocabulary):
    """Fills `context` (S) with the suffix index of each n-gram's context, the n-gram without its last word, for n > 2.

    The tail t of an n-gram (v, t) has a context m of order n - 2, and the context sought is (v, m): among the n-grams
    whose tail is m, the one that starts with v. So for each m these are laid out by first word, once for all its t.
    `longer_tails` borders the n-grams by tail t, `shorter_tails` the t by their own tails; `tail_at` and `shorter_at`
    give suffix indices from context indices, and `successors` borders the t by context.
    """
    place = np.empty(vocabulary, np.uint32)
    for c in range(len(successors) - 1):
        if successors[c] == successors[c + 1]:
            continue
        m = shorter_at[c]
        for s in range(shorter_tails[m], shorter_tails[m + 1]):
            place[tail_first[s]] = s
        for successor in range(successors[c], successors[c + 1]):
            t = tail_at[successor]
            for s in range(longer_tails[t], longer_tails[t + 1]):
                context[s] = place[first[s]]


@njit(cache=True, nogil=True)
def sum_contexts(context, tail, adjusted, kept, discounts, lower, sums):
    """Adds up per context, in `sums` (contexts, 3): its counts, what is taken off them, the lower-order mass of what is kept.

    A kept n-gram gives its discount away, a pruned one its whole count.
    """
    most = len(discounts) - 1
    for s in range(len(context)):
        count = adjusted[s]
        row = context[s]
        sums[row, 0] += count
        if not kept[s]:
            sums[row, 1] += count
        elif count > 0:
            sums[row, 1] += discounts[min(count, most)]
            sums[row, 2] += lower[tail[s]]


@njit(cache=True, nogil=True)
def estimate(context, tail, adjusted, discounts, added, totals, weights, lower, probabilities):
    """Fills `probabilities` (S): (a - D(a) + added) / total of the context + weight of the context x lower order's."""
    most = len(discounts) - 1
    for s in range(len(context)):
        count = adjusted[s]
        c = context[s]
        share = (count - discounts[min(count, most)] + added) / totals[c] if totals[c] > 0 else 0.0
        probabilities[s] = share + weights[c] * lower[tail[s]]


@njit(cache=True, nogil=True)
def place(context, tail, probabilities, last_of_tail, index_below, base_below, top, last, index, at, words, suffixes, log10_probs):
    """Deals the n-grams from suffix order into context order, in which the model keeps them.

    `top` (contexts) starts as the first successor's place of each context; `index` and `at` become the two
    permutations, `last` the last word by suffix index; the rest are the model's columns.
    """
    for s in range(len(context)):
        pile = index_below[context[s]]
        c = top[pile]
        top[pile] += 1
        index[s] = c
        at[c] = s
        last[s] = last_of_tail[tail[s]]
        words[c] = last[s]
        suffixes[c] = base_below + index_below[tail[s]]
        log10_probs[c] = min(math.log10(probabilities[s]), 0.0) if probabilities[s] > 0 else -math.inf


@njit(cache=True, nogil=True)
def find(table, low, high, word):
    """The row of `table` from `low` up to `high` whose word is `word`, or -1. Rows are sorted by word."""
    while high - low > 8:
        middle = (low + high) >> 1
        if table[middle, WORD] <= word:
            low = middle
        else:
            high = middle
    for row in range(low, high):
        if table[row, WORD] == word:
            return row
    return -1


@njit(cache=True, nogil=True)
def step(nodes, leaves, log10_probs, log10_backoffs, order, state, length, word):
    """Scores one word after the context `state` of `length` words: (log10 probability, matched order, next state, its length).

    The longest n-gram that is stored counts, plus the back-off of every longer context.
    """
    below = len(nodes) - 1
    score = 0.0
    while length > 0:
        low, high = np.int64(nodes[state, SUCCESSORS]), np.int64(nodes[state + 1, SUCCESSORS])
        if length == order - 1:
            leaf = find(leaves, low - below, high - below, word)
            if leaf >= 0:
                return score + log10_probs[below + leaf], order, np.int64(leaves[leaf, 1]), length
        else:
            node = find(nodes, low, high, word)
            if node >= 0:
                return score + log10_probs[node], length + 1, np.int64(node), length + 1
        score += log10_backoffs[state]
        state = np.int64(nodes[state, SUFFIX])
        length -= 1
    return score + log10_probs[word], 1, np.int64(word), min(1, order - 1)


@njit(cache=True, nogil=True)
def score_sentences(nodes, leaves, log10_probs, log10_backoffs, order, uniform, words, ids, starts, closing, scores, orders, unknown):
    """Scores each token of the sentences that `starts` borders, and their ends if `closing`; gives the last state and its length.

    `uniform` is NaN, or log10 of one type's share where a model knows nothing of a history (additive smoothing: only
    whole histories count, there are no lower orders).
    """
    additive = not math.isnan(uniform)
    state, length = np.int64(START), min(1, order - 1)
    out = 0
    for sentence in range(len(starts) - 1):
        state, length, wanted = np.int64(START), min(1, order - 1), min(1, order - 1)
        for i in range(starts[sentence], starts[sentence + 1] + closing):
            word = np.int64(words[ids[i]]) if i < starts[sentence + 1] else np.int64(END)
            if word == ABSENT:
                word = np.int64(UNKNOWN)
            score, matched, after, longer = step(nodes, leaves, log10_probs, log10_backoffs, order, state, length, word)
            if additive and matched <= wanted:
                score = log10_backoffs[state] if length == wanted else uniform
            scores[out], orders[out], unknown[out] = score, matched, word == UNKNOWN
            state, length, wanted = after, longer, min(wanted + 1, order - 1)
            if word <= END and word != UNKNOWN:  # a sentence's end inside: the next word starts another
                state, length, wanted = np.int64(START), min(1, order - 1), min(1, order - 1)
            out += 1
    return state, length
