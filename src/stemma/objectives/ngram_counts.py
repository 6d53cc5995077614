"""Counting kernels: a flat stream of word ids -> its distinct n-grams, sorted, with their counts.

An n-gram is held last word first: `columns[0]` is its last word, `columns[1]` the one before, and so
on; beyond the start of its sentence every word is `<s>`. Sorted by `columns[0]`, then `columns[1]`, ...
("suffix order"), all n-grams with a common ending stand together, so that one list of the highest
order holds the counts of all lower ones. Axes: E events (words and sentence ends), G distinct n-grams.
"""

import numpy as np
from numba import njit

UNKNOWN, START, END = 0, 1, 2  # KenLM's ids of <unk>, <s>, </s>
ABSENT = 0xFFFFFFFF  # a token that is no word of the model: padding, mask, ...


@njit(cache=True, nogil=True)
def first_appearances(ids, absent_from, words, next_word):
    """Gives each token of `ids` that has no word yet (`words[id] == absent_from`) the next free one."""
    for i in range(len(ids)):
        token = ids[i]
        if words[token] == absent_from:
            words[token] = next_word
            next_word += 1
    return next_word


@njit(cache=True, nogil=True)
def event_stream(ids, starts, words):
    """The words of the sentences `starts` borders, each sentence closed by END; and how many ids were left out.

    Specials inside a sentence (START, END, ABSENT) are no words: they are skipped, as lmplz's --skip_symbols does.
    """
    stream = np.empty(len(ids) + len(starts) - 1, np.uint32)
    filled = 0
    skipped = 0
    for sentence in range(len(starts) - 1):
        for i in range(starts[sentence] - starts[0], starts[sentence + 1] - starts[0]):
            word = words[ids[i]]
            if word == START or word == END or word == ABSENT:  # noqa: SIM109 (Numba compiles no `in` over mixed integers)
                skipped += 1
            else:
                stream[filled] = word
                filled += 1
        stream[filled] = END
        filled += 1
    return stream[:filled], skipped


@njit(cache=True, nogil=True)
def sort_events(stream, order, vocabulary):
    """The positions of `stream` in suffix order of the n-grams that end there.

    If the positions are sorted by their last n words, then their successors, dealt stably into one pile per word, are
    sorted by their last n + 1: a counting sort an order, whatever the order. The stream is read as a ring: before its
    first word stands the END of its last sentence, which is what a sentence's start looks like from the right.
    """
    events = len(stream)
    piles = np.zeros(vocabulary + 1, np.int64)
    for i in range(events):
        piles[stream[i] + 1] += 1
    for word in range(vocabulary):
        piles[word + 1] += piles[word]
    positions = np.arange(events).astype(np.uint32)
    dealt = np.empty(events, np.uint32)
    for n in range(order):
        top = piles[:-1].copy()
        for k in range(events):
            i = positions[k] + 1 if n else positions[k]
            if i == events:
                i = 0
            word = stream[i]
            dealt[top[word]] = i
            top[word] += 1
        positions, dealt = dealt, positions
    return positions


@njit(cache=True, nogil=True)
def mark_distinct(stream, positions, order):
    """True where the n-gram of `order` words at a sorted position differs from the one before it, and how many do."""
    events = len(positions)
    fresh = np.ones(events, np.bool_)
    distinct = min(events, 1)
    for k in range(1, events):
        i, j = np.int64(positions[k]), np.int64(positions[k - 1])
        same = stream[i] == stream[j]
        n = 1
        while same and n < order:
            i, j = i - 1, j - 1  # -1 is the ring's last event, as it should be
            same = stream[i] == stream[j]
            if stream[i] == END:
                break  # both sentences start here: <s> as far as one looks
            n += 1
        fresh[k] = not same
        distinct += not same
    return fresh, distinct


@njit(cache=True, nogil=True)
def gather_grams(stream, positions, fresh, columns, counts):
    """Writes the distinct n-grams into `columns` (order G) and how often each occurred into `counts` (G)."""
    order = len(columns)
    g = -1
    for k in range(len(positions)):
        if fresh[k]:
            g += 1
            counts[g] = 0
            i = np.int64(positions[k])
            columns[0, g] = stream[i]
            started = False
            for n in range(1, order):
                i -= 1
                started = started or stream[i] == END
                columns[n, g] = START if started else stream[i]
        counts[g] += 1


@njit(cache=True, nogil=True)
def merge_grams(columns_a, counts_a, columns_b, counts_b, columns, counts):
    """Merges two sorted lists of n-grams, adding the counts of equal ones; gives the length of the result."""
    order = len(columns)
    a, b, g = 0, 0, 0
    while a < len(counts_a) or b < len(counts_b):
        side = 0  # -1: a stands first, 1: b does, 0: they are equal
        if b == len(counts_b):
            side = -1
        elif a == len(counts_a):
            side = 1
        else:
            for n in range(order):
                if columns_a[n, a] != columns_b[n, b]:
                    side = -1 if columns_a[n, a] < columns_b[n, b] else 1
                    break
        if side <= 0:
            for n in range(order):
                columns[n, g] = columns_a[n, a]
            counts[g] = counts_a[a] + (counts_b[b] if side == 0 else 0)
            a += 1
            b += side == 0
        else:
            for n in range(order):
                columns[n, g] = columns_b[n, b]
            counts[g] = counts_b[b]
            b += 1
        g += 1
    return g
