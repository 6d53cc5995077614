"""Scoring many sentences at once: the n-gram model's fast form, held equal to `score_events` of `ngram_plain`.

Events are scored in blocks, and a block order by order: first all its bigrams are looked up, then the trigrams, and so
on. An n-gram is sought among the successors of the (n-1)-gram that ends at the event before, and only where the
(n-1)-gram that ends here was found, since the endings of a stored n-gram are stored too. So no look-up waits for another
of its order, and memory is prefetched many places ahead.

Where among the successors a word stands is guessed: successors are sorted by word, and `places` tells which share of
all bigrams ends in a smaller word. 16 successors about the guess are compared at once; only where the word lies
outside of them it is searched for. What is likely to go either way is written without `if`: lists grow by 0 or 1.
Indices are unsigned because Numba then leaves out its test for negative ones. Axes: E events, B events of a block, V words.
"""

from typing import NamedTuple

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.fetching import count_below, prefetch
from stemma.kernels.numbers import BEGIN, START, WORD_BITS

BLOCK = 256  # events: what is kept of them stays in the nearest cache
MANY = 16  # successors of a word from which on signposts pay
BETWEEN = 8  # successors between two signposts, at most about
PLACES = 31  # bits of a place
WINDOW = np.uintp(16)  # successors compared at once
NOWHERE = np.uint32(0xFFFFFFFF)
ZERO, ONE, TWO = np.uintp(0), np.uintp(1), np.uintp(2)


class Tables(NamedTuple):
    """The rows of an n-gram model that scoring reads: see `lineage.ngram`."""

    last_words: np.ndarray
    successors: np.ndarray
    log10_probs: np.ndarray
    log10_backoffs: np.ndarray


class Signposts(NamedTuple):
    """Where to look among the successors of a word: see `put_signposts`."""

    places: np.ndarray  # (V) uint32
    signs: np.ndarray  # (V, 2) uint32
    posts: np.ndarray  # uint32


class Block(NamedTuple):
    """The events of a block (B), and what is known of them so far."""

    words: np.ndarray
    begins: np.ndarray  # True where a sentence begins
    matched: np.ndarray  # words of the longest n-gram found
    best: np.ndarray  # its row
    sums: np.ndarray  # back-offs on the way to it


class Sought(NamedTuple):
    """What is looked up next, side by side (B)."""

    events: np.ndarray  # whose word
    contexts: np.ndarray  # after which row
    lows: np.ndarray  # among the rows from here ...
    highs: np.ndarray  # ... up to here
    spots: np.ndarray  # in a window from here: about the guess; then the row where the word should stand


class Found(NamedTuple):
    """N-grams found (B + 1), the one that ended the block before first."""

    followers: np.ndarray  # the event after each
    rows: np.ndarray


@compiled
def put_signposts(last_words, successors, vocabulary):
    """Where to look among the successors of a word.

    `places[word]` is the share of all bigrams that end in a smaller word, in 2^-31. The places are cut into equal ranges
    of 2^shift, a word of many successors has a post for each: `posts[first + (place >> shift)]` is the row from which on
    the range's successors stand, and the next post is where they end. `signs` holds `first` and `shift` of each word.
    """
    places, signs = np.empty(vocabulary, np.uint32), np.empty((vocabulary, 2), np.uint32)
    ends = np.zeros(vocabulary, np.int64)  # bigrams that end in the word
    bigrams = range(np.int64(successors[0]), np.int64(successors[vocabulary]))
    for row in bigrams:
        ends[last_words[row]] += 1
    before, number = 0, vocabulary + 1
    for word in range(vocabulary):
        places[word] = before * (2.0**PLACES - 1) / max(len(bigrams), 1)
        before += ends[word]
        count = np.int64(successors[word + 1]) - np.int64(successors[word])
        signs[word, 0], signs[word, 1] = word, PLACES  # its successors are one range: the posts begin with `successors`
        if count >= MANY:
            bits = 1
            while BETWEEN << bits < count:
                bits += 1
            signs[word, 0], signs[word, 1] = number, PLACES - bits
            number += (1 << bits) + 1
    posts = np.empty(number, np.uint32)
    posts[: vocabulary + 1] = successors[: vocabulary + 1]
    for word in range(vocabulary):
        first, shift = np.int64(signs[word, 0]), np.int64(signs[word, 1])
        if shift < PLACES:
            post = first
            for row in range(np.int64(successors[word]), np.int64(successors[word + 1])):
                while post <= first + (np.int64(places[last_words[row]]) >> shift):
                    posts[post] = row
                    post += 1
            posts[post : first + (1 << (PLACES - shift)) + 1] = successors[word + 1]
    return Signposts(places, signs, posts)


@compiled
def score_in_blocks(tables, order, signposts, events, scores, orders):
    """Fills `scores` (E) with log10 probabilities and `orders` (E) with the words in the longest n-gram that matched."""
    words, begins, matched = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.bool_), np.empty(BLOCK, np.uint8)
    best, sums = np.empty(BLOCK, np.uintp), np.empty(BLOCK, np.float64)
    block = Block(words, begins, matched, best, sums)
    sought = Sought(
        np.empty(BLOCK, np.uintp),
        np.empty(BLOCK, np.uintp),
        np.empty(BLOCK, np.uintp),
        np.empty(BLOCK, np.uintp),
        np.empty(BLOCK, np.uintp),
    )
    outside = np.empty(BLOCK, np.uintp)
    found = Found(np.empty(BLOCK + 1, np.uintp), np.empty(BLOCK + 1, np.uintp))
    ending = np.full(order + 1, NOWHERE, np.uint32)  # [n]: the n-gram that ended the block before
    for start in range(0, len(events), BLOCK):
        size = np.uintp(min(BLOCK, len(events) - start))
        for e in range(size):
            event = events[start + e]
            words[e], begins[e], matched[e] = event & WORD_BITS, event >= BEGIN, 1
            best[e], sums[e] = event & WORD_BITS, 0.0
        number = _seek_bigrams(tables, signposts, block, size, ending, sought) if order > 1 else ZERO
        for n in range(2, order + 1):
            _look_up(tables.last_words, words, number, sought, outside)
            hits = _take(tables, block, number, sought, n, ending[n], found)
            if n < order:
                number = _seek_longer(tables, signposts.places, block, size, hits, found, n, ending, sought)
        for e in range(size):
            scores[start + e], orders[start + e] = sums[e] + tables.log10_probs[best[e]], matched[e]


@compiled
def _seek_bigrams(tables, signposts, block, size, ending, sought):
    """Lists where every event of the block is to be sought after the word before it; gives how many there are."""
    last_words, _, log10_probs, log10_backoffs = tables
    places, signs, posts = signposts
    words, begins = block.words, block.begins
    events, contexts, lows, highs, spots = sought
    before = ending[1]
    for e in range(size):
        contexts[e] = np.uintp(START) if begins[e] else np.uintp(before)
        before = words[e]
        prefetch(places, np.uintp(before))
        prefetch(signs, np.uintp(before) * TWO)
        prefetch(log10_backoffs, np.uintp(before))
        prefetch(log10_probs, np.uintp(before))
    ending[1] = before
    for e in range(size):
        first, shift = signs[contexts[e], ZERO], signs[contexts[e], ONE]
        lows[e] = np.uintp(first) + np.uintp(places[np.uintp(words[e])] >> shift)
        prefetch(posts, lows[e])
    for e in range(size):
        low, high = np.uintp(posts[lows[e]]), np.uintp(posts[lows[e] + ONE])
        events[e], lows[e], highs[e], spots[e] = e, low, high, low
        prefetch(last_words, low)
        prefetch(last_words, low + WINDOW)
    return size


@compiled
def _look_up(last_words, words, number, sought, outside):
    """Puts in each window's place the row of the first successor that is not smaller than the word sought."""
    events, _, lows, highs, spots = sought
    rest = ZERO
    for k in range(number):
        low, high, window = lows[k], highs[k], spots[k]
        whole = window + WINDOW <= np.uintp(len(last_words))
        smaller = count_below(last_words, window, min(high - window, WINDOW), words[events[k]]) if whole else ZERO
        row = window + smaller
        spots[k], outside[rest] = row, k
        rest += np.uintp((not whole) | ((smaller == WINDOW) & (row < high)) | ((smaller == ZERO) & (low < row)))
    for j in range(rest):
        k = outside[j]
        low, row, high, word = lows[k], spots[k], highs[k], words[events[k]]
        if row < high and last_words[row] < word:
            low = row + ONE
        else:
            high = row
        while low < high:
            middle = (low + high) >> ONE
            if last_words[middle] < word:
                low = middle + ONE
            else:
                high = middle
        spots[k] = low


@compiled
def _take(tables, block, number, sought, n, ended, found):
    """Takes the n-grams that are there; the others back off. Lists in `found` first the n-gram that ended the block
    before, if any, then those of this block; gives how many there are.
    """
    last_words, successors, log10_probs, log10_backoffs = tables
    words, _, matched, best, sums = block
    events, contexts, _, highs, spots = sought
    followers, rows = found
    last = np.uintp(len(last_words)) - ONE
    followers[0], rows[0] = ZERO, ended
    earlier = hits = np.uintp(ended != NOWHERE)
    for k in range(number):
        e, row = events[k], spots[k]
        hit = (row < highs[k]) & (last_words[min(row, last)] == words[e])
        backoff = np.float64(log10_backoffs[contexts[k]])
        sums[e] += 0.0 if hit else backoff
        followers[hits], rows[hits] = e + ONE, row
        hits += np.uintp(hit)
    for hit in range(earlier, hits):
        e, row = followers[hit] - ONE, rows[hit]
        best[e], matched[e] = row, n
        prefetch(log10_probs, row)
        prefetch(successors, row)
        prefetch(log10_backoffs, row)
    return hits


@compiled
def _seek_longer(tables, places, block, size, hits, found, n, ending, sought):
    """Lists where the events after the n-grams found are to be sought; those whose own n-gram was not found back off."""
    last_words, successors, _, log10_backoffs = tables
    words, begins, matched, _, sums = block
    events, contexts, lows, highs, spots = sought
    followers, rows = found
    number = ZERO
    ending[n] = NOWHERE
    if hits > ZERO and followers[hits - ONE] == size:
        hits -= ONE
        ending[n] = rows[hits]
    for hit in range(hits):
        e, row = followers[hit], rows[hit]
        longer, shorter = (not begins[e]) & (matched[e] == n), (not begins[e]) & (matched[e] < n)
        low, high = np.uintp(successors[row]), np.uintp(successors[row + ONE])
        before = ((high - low) * np.uintp(places[np.uintp(words[e])])) >> np.uintp(PLACES)  # about so many are smaller
        window = low + max(before, WINDOW >> ONE) - (WINDOW >> ONE)
        window = min(window, max(low + WINDOW, high) - WINDOW)
        events[number], contexts[number], lows[number], highs[number], spots[number] = e, row, low, high, window
        number += np.uintp(longer)
        prefetch(last_words, window)
        prefetch(last_words, window + WINDOW)
        backoff = np.float64(log10_backoffs[row])
        sums[e] += backoff if shorter else 0.0
    return number
