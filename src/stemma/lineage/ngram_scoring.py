"""Scoring many sentences at once: the n-gram model's fast form, held equal to `score_events` of `ngram_kernels`.

Events are scored in blocks, and a block order by order: first all its bigrams are looked up, then the trigrams, and so
on. An n-gram is sought among the successors of the (n-1)-gram that ends at the event before, and only where the
(n-1)-gram that ends here was found, since the endings of a stored n-gram are stored too. So no look-up waits for another
of its order, and memory is asked for many places ahead. Indices are unsigned because Numba then leaves out its test for
negative ones. Axes: E events, B events of a block, V words.
"""

import numpy as np
from numba import njit

from stemma.lineage.ngram_kernels import BEGIN, START, WORD
from stemma.tokens.memory import prefetch

BLOCK = 256  # events: what is kept of them stays in the nearest cache
MANY = 32  # successors of a word from which on signposts pay
BETWEEN = 4  # successors between two signposts, about
NOWHERE = np.uint32(0xFFFFFFFF)
ZERO, ONE, TWO = np.uintp(0), np.uintp(1), np.uintp(2)


@njit(cache=True, nogil=True)
def put_signposts(last_words, successors, vocabulary):
    """Where to look among the many successors of a frequent word: (signs (V, 2), posts).

    The ids of all words are cut into equal ranges of 2^(shift) ids; `posts[first + (word >> shift)]` is the row from
    which on the word's range stands. `signs` holds `first` and `shift + 1` of each word; 0 where it has few successors.
    """
    signs = np.zeros((vocabulary, 2), np.uint32)
    number = 0
    for row in range(vocabulary):
        count = np.int64(successors[row + 1]) - np.int64(successors[row])
        if count >= MANY:
            shift = 0
            while vocabulary >> shift > count // BETWEEN:
                shift += 1
            signs[row, 0], signs[row, 1] = number, shift + 1
            number += (vocabulary >> shift) + 2
    posts = np.empty(number, np.uint32)
    for row in range(vocabulary):
        if signs[row, 1]:
            shift, first = np.int64(signs[row, 1]) - 1, np.int64(signs[row, 0])
            post, last = first, first + (vocabulary >> shift) + 1
            for successor in range(np.int64(successors[row]), np.int64(successors[row + 1])):
                while post <= first + (np.int64(last_words[successor]) >> shift):
                    posts[post] = successor
                    post += 1
            posts[post : last + 1] = successors[row + 1]
    return signs, posts


@njit(cache=True, nogil=True)
def score_in_blocks(tables, order, signs, posts, events, scores, orders):
    """Fills `scores` (E) with log10 probabilities and `orders` (E) with the words in the longest n-gram that matched.

    `tables` are the model's last words, successors, log10 probabilities and log10 back-offs.
    """
    words, begins, matched = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.bool_), np.empty(BLOCK, np.uint8)
    best, sums = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.float64)  # the longest match's row; back-offs on the way to it
    sought = np.empty(BLOCK, np.uintp), np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uintp), np.empty(BLOCK, np.uintp)
    found = np.empty(BLOCK + 1, np.uintp), np.empty(BLOCK + 1, np.uint32)
    ending = np.full(order + 1, NOWHERE, np.uint32)  # [n]: the n-gram that ended the block before
    for start in range(0, len(events), BLOCK):
        size = np.uintp(min(BLOCK, len(events) - start))
        for e in range(size):
            event = events[start + e]
            words[e], begins[e], matched[e] = event & WORD, event >= BEGIN, 1
            best[e], sums[e] = event & WORD, 0.0
        number = _seek_bigrams(tables, signs, posts, words, begins, size, ending, sought) if order > 1 else ZERO
        for n in range(2, order + 1):
            hits = _look_up(tables, words, number, sought, n, order, ending[n], best, matched, sums, found)
            if n < order:
                number = _seek_longer(tables, begins, size, hits, found, n, ending, matched, sums, sought)
        for e in range(size):
            scores[start + e], orders[start + e] = sums[e] + tables[2][np.uintp(best[e])], matched[e]


@njit(cache=True, nogil=True)
def _seek_bigrams(tables, signs, posts, words, begins, size, ending, sought):
    """Lists where every event of the block is to be sought after the word before it; gives how many there are."""
    last_words, successors, log10_probs, log10_backoffs = tables
    events, contexts, lows, counts = sought
    before = ending[1]
    for e in range(size):
        contexts[e] = np.uint32(START) if begins[e] else before
        before = words[e]
        prefetch(signs, np.uintp(before) * TWO)
        prefetch(successors, np.uintp(before))
        prefetch(log10_backoffs, np.uintp(before))
        prefetch(log10_probs, np.uintp(before))
    ending[1] = before
    for e in range(size):
        first, shift = signs[np.uintp(contexts[e]), ZERO], signs[np.uintp(contexts[e]), ONE]
        if shift:
            lows[e] = np.uintp(first) + np.uintp(words[e] >> (shift - np.uint32(1)))
            prefetch(posts, lows[e])
    for e in range(size):
        context = np.uintp(contexts[e])
        if signs[context, ONE]:
            low, high = np.uintp(posts[lows[e]]), np.uintp(posts[lows[e] + ONE])
        else:
            low, high = np.uintp(successors[context]), np.uintp(successors[context + ONE])
        events[e], lows[e], counts[e] = e, low, high - low
        prefetch(last_words, low + ((high - low) >> ONE))
    return size


@njit(cache=True, nogil=True)
def _look_up(tables, words, number, sought, n, order, ended, best, matched, sums, found):
    """Looks up the listed n-grams; what is not found backs off. Lists in `found` (the event that follows, row), first
    of all the n-gram that ended the block before; gives how many there are."""
    last_words, successors, log10_probs, log10_backoffs = tables
    events, contexts, lows, counts = sought
    followers, rows = found
    hits = ZERO
    if ended != NOWHERE:
        followers[hits], rows[hits] = ZERO, ended
        hits += ONE
    for k in range(number):
        e, low, count = events[k], lows[k], counts[k]
        word, some = words[e], count > ZERO
        while count > ONE:
            half = count >> ONE
            middle = low + half
            low = middle if last_words[middle] <= word else low
            count -= half
        if some and last_words[low] == word:
            best[e], matched[e] = low, n
            followers[hits], rows[hits] = e + ONE, low
            hits += ONE
            prefetch(log10_probs, low)
            if n < order:
                prefetch(successors, low)
                prefetch(log10_backoffs, low)
        else:
            sums[e] += log10_backoffs[np.uintp(contexts[k])]
    return hits


@njit(cache=True, nogil=True)
def _seek_longer(tables, begins, size, hits, found, n, ending, matched, sums, sought):
    """Lists where the events after the n-grams found are to be sought; those whose own n-gram was not found back off."""
    last_words, successors, _, log10_backoffs = tables
    events, contexts, lows, counts = sought
    followers, rows = found
    number = ZERO
    ending[n] = NOWHERE
    for hit in range(hits):
        e, row = followers[hit], np.uintp(rows[hit])
        if e == size:
            ending[n] = row
        elif not begins[e]:
            if matched[e] == n:
                low, high = np.uintp(successors[row]), np.uintp(successors[row + ONE])
                events[number], contexts[number], lows[number], counts[number] = e, row, low, high - low
                prefetch(last_words, low + ((high - low) >> ONE))
                number += ONE
            else:
                sums[e] += log10_backoffs[row]
    return number
