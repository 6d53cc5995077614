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
def find_contexts(context, first, longer_tails, tail_first, tail_index, tail_at, shorter_tails, shorter_at, successors, vocabulary):
    """Fills `context` (S) with the context index of each n-gram's context, the n-gram without its last word, for n > 2.

    The tail t of an n-gram (v, t) has a context m of order n - 2, and the context sought is (v, m): among the n-grams
    whose tail is m, the one that starts with v. So for each m these are laid out by first word, once for all its t.
    `longer_tails` borders the n-grams by tail t, `shorter_tails` the t by their own tails, `successors` the t by context;
    `tail_at` and `shorter_at` give suffix indices from context indices, `tail_index` the reverse.
    """
    place = np.empty(vocabulary, np.uint32)
    for c in range(len(successors) - 1):
        if successors[c] == successors[c + 1]:
            continue
        m = shorter_at[c]
        for s in range(shorter_tails[m], shorter_tails[m + 1]):
            place[tail_first[s]] = tail_index[s]
        for successor in range(successors[c], successors[c + 1]):
            t = tail_at[successor]
            for s in range(longer_tails[t], longer_tails[t + 1]):
                context[s] = place[first[s]]


@njit(cache=True, nogil=True)
def place_ngrams(context, tail, adjusted, kept, below, base, borders, index, at, rows, suffix, counts, stays, log10_probs):
    """Deals the n-grams from suffix order into context order, in which the model keeps them.

    `below` = (its nodes, its context indices, its probabilities) are those of the order below, which starts at row
    `base`; `borders` borders the n-grams by context. `index` and `at` (unless empty) become the two permutations,
    the columns WORD and `suffix` of `rows` the n-grams themselves, `counts` their adjusted counts, `stays` (unless empty)
    whether they are kept, and `log10_probs`, for the moment, the lower order's probability.
    """
    nodes, index_below, probabilities = below
    top = borders[:-1].copy()
    for s in range(len(context)):
        c = top[context[s]]
        top[context[s]] += 1
        if len(index):
            index[s] = c
            at[c] = s
        if len(stays):
            stays[c] = kept[s]
        tail_index = index_below[tail[s]]
        rows[c, WORD] = nodes[base + tail_index, WORD]
        rows[c, suffix] = base + tail_index
        counts[c] = adjusted[s]
        log10_probs[c] = probabilities[tail_index]


@njit(cache=True, nogil=True)
def smooth(borders, counts, kept, discounts, added, types, interpolated, probabilities, log10_probs, log10_backoffs):
    """Works out the probabilities of an order's n-grams, context by context, and the back-off of each context.

    What is taken off the counts of a context (the discounts of what is kept, all of what is pruned; an empty `kept` keeps
    everything) goes to the lower order: added to every word's share if `interpolated`, else to the unseen words only.
    `added` > 0 is additive smoothing over `types` types. `log10_probs` holds the lower order's probabilities at first;
    `probabilities` (unless empty) gets the new ones for the order above.
    """
    most = len(discounts) - 1
    for c in range(len(borders) - 1):
        total, left, reached = 0.0, 0.0, 0.0
        for row in range(borders[c], borders[c + 1]):
            count = counts[row]
            total += count
            if len(kept) and not kept[row]:
                left += count
            elif count > 0:
                left += discounts[min(count, most)]
                reached += log10_probs[row]
        if total == 0 and added == 0:
            continue
        if added > 0:
            total += added * types
            weight = added / total
        elif interpolated:
            weight = left / total
        elif reached > 1 - 1e-6:  # every type was seen here: there is nothing to back off to
            total -= left
            weight = 0.0
        else:
            weight = left / total / (1 - reached)
        log10_backoffs[c] = math.log10(weight) if weight > 0 else -math.inf
        for row in range(borders[c], borders[c + 1]):
            count = counts[row]
            lower, share = log10_probs[row], 0.0
            if added > 0 or (count > 0 and (len(kept) == 0 or kept[row])):
                share = (count - discounts[min(count, most)] + added) / total
            if added == 0 and (interpolated or count == 0):
                share += weight * lower
            if len(probabilities):
                probabilities[row] = share
            log10_probs[row] = min(math.log10(share), 0.0) if share > 0 else -math.inf


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
def locate(nodes, words, rows):
    """Fills `rows` with the row of each n-gram of `words` (n-grams, n) among `nodes`; the row past the last where there is none."""
    for g in range(len(words)):
        row: int = np.int64(words[g, 0])
        for n in range(1, words.shape[1]):
            row = find(nodes, np.int64(nodes[row, SUCCESSORS]), np.int64(nodes[row + 1, SUCCESSORS]), words[g, n])
            if row < 0:
                row = len(nodes) - 1
                break
        rows[g] = row


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
