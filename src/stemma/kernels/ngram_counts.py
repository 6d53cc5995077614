"""Counting kernels: a flat stream of word ids -> its distinct n-grams, sorted, with their counts.

An n-gram is a row of numbers, last word first: column 0 is its last word, column 1 the one before, and so on; beyond the
start of its sentence every word is `<s>`. Behind the words stands how often it occurred, in one column or, low half first,
in two. Sorted by column 0, then column 1, ... ("suffix order"), all n-grams with a common ending stand together, so that
one list of the highest order holds the counts of all lower ones. Axes: E events (words and sentence ends), R rows.
"""

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.fetching import prefetch
from stemma.kernels.numbers import ABSENT, END, START

LOW = 0xFFFFFFFF  # the low half of a count
NEAR, FAR = np.uintp(16), np.uintp(64)  # events ahead of the present one whose memory is prefetched


@compiled
def first_appearances(ids, absent_from, words, next_word):
    """Gives each token of `ids` that has no word yet (`words[id] == absent_from`) the next free one."""
    for i in range(len(ids)):
        token = ids[i]
        if words[token] == absent_from:
            words[token] = next_word
            next_word += 1
    return next_word


@compiled
def event_stream(ids, starts, words, stream, filled):
    """Puts the words of the sentences that `starts` borders into `stream` from place `filled` on, each sentence closed by END.

    Gives the place after the last, and how many ids were left out: specials inside a sentence (START, END, ABSENT) are no
    words, they are skipped, as lmplz's --skip_symbols does. `ids` begins with the first sentence's.
    """
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
    return filled, skipped


@compiled
def sort_events(stream, order, vocabulary):
    """The positions of `stream` in suffix order of the n-grams that end there.

    If the positions are sorted by their last n words, then their successors, dealt stably into one pile per word, are
    sorted by their last n + 1: a counting sort an order, whatever the order. The stream is read as a ring: before its
    first word stands the END of its last sentence, which is what a sentence's start looks like from the right.
    """
    events = np.uintp(len(stream))
    piles = np.zeros(vocabulary + 1, np.uint32)
    for i in range(events):
        piles[stream[i] + 1] += np.uint32(1)
    for word in range(vocabulary):
        piles[word + 1] += piles[word]
    positions = np.arange(np.int64(events)).astype(np.uint32)
    dealt = np.empty(np.int64(events), np.uint32)
    for n in range(order):
        top, ahead = piles[:-1].copy(), np.uintp(n > 0)
        for k in range(events):
            if k + FAR < events:
                prefetch(stream, np.uintp(positions[k + FAR]) + ahead)
            if k + NEAR < events:
                near = stream[_in_ring(np.uintp(positions[k + NEAR]) + ahead, events)]
                prefetch(dealt, np.uintp(top[np.uintp(near)]))
            i = _in_ring(np.uintp(positions[k]) + ahead, events)
            word = np.uintp(stream[i])
            dealt[np.uintp(top[word])] = np.uint32(i)
            top[word] += np.uint32(1)
        positions, dealt = dealt, positions
    return positions


@compiled(inline="always")
def _in_ring(i, events):
    return np.uintp(0) if i == events else i


@compiled
def add_count(row, order, count):
    """Adds to the count that stands behind the n-gram's words."""
    total = count + row[order]
    row[order] = np.uint32(total & LOW)
    if len(row) > order + 1:
        row[order + 1] += np.uint32(total >> 32)


@compiled
def count_of(row, order):
    """How often the n-gram occurred."""
    count = np.int64(row[order])
    return count | np.int64(row[order + 1]) << 32 if len(row) > order + 1 else count


@compiled
def gather_rows(stream, positions, begin, order, rows):
    """Writes the distinct n-grams that end at the sorted positions from `begin` on into `rows`, while there is room.

    Gives the number of rows, and the first position that was not counted.
    """
    filled = 0
    for k in range(begin, len(positions)):
        if k + FAR < len(positions):
            prefetch(stream, np.uintp(positions[k + FAR]))
        i = np.int64(positions[k])
        place = min(filled, len(rows) - 1)
        same = filled > 0
        started = False
        if filled == len(rows):  # no room for a new one: compare with the last alone
            for n in range(order):
                started = started or (n > 0 and stream[i - n] == END)
                if rows[place, n] != (START if started else stream[i - n]):
                    return filled, k
        else:
            for n in range(order):
                started = started or (n > 0 and stream[i - n] == END)  # -1 is the ring's last event, as it should be
                word = START if started else stream[i - n]
                same = same and rows[place - 1, n] == word
                rows[place, n] = word
            if not same:
                for n in range(order, rows.shape[1]):
                    rows[place, n] = 0
                filled += 1
        add_count(rows[filled - 1], order, 1)
    return filled, len(positions)


@compiled
def precedes(a, b, order):
    """-1, 0 or 1: the n-gram `a` stands before `b`, is the same, or stands after it."""
    for n in range(order):
        if a[n] != b[n]:
            return -1 if a[n] < b[n] else 1
    return 0


@compiled
def sift(heap, size, place, blocks, at, order):
    """Moves the run at `place` of a binary heap down to where it belongs: the run with the first n-gram is on top."""
    run = heap[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and precedes(blocks[heap[child + 1], at[heap[child + 1]]], blocks[heap[child], at[heap[child]]], order) < 0:
            child += 1
        if precedes(blocks[heap[child], at[heap[child]]], blocks[run, at[run]], order) >= 0:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = run


@compiled
def merge_rows(blocks, at, stop, order, rows, filled):
    """Merges sorted runs into `rows`, adding the counts of equal n-grams, until a block is used up or the rows are full.

    Of run r, `blocks[r]` holds rows `at[r]` to `stop[r]`, none once it has ended. `filled` rows are there at the start.
    Gives the number of rows and the run that needs its next block; -1 where the rows are full, -2 where all runs ended.
    """
    heap, size = np.empty(len(at), np.int64), 0
    for run in range(len(at)):
        if at[run] < stop[run]:
            heap[size] = run
            size += 1
    for place in range(size // 2 - 1, -1, -1):
        sift(heap, size, place, blocks, at, order)
    while size > 0:
        run = heap[0]
        row = blocks[run, at[run]]
        if filled > 0 and precedes(row, rows[filled - 1], order) == 0:
            add_count(rows[filled - 1], order, count_of(row, order))
        elif filled == len(rows):
            return filled, -1
        else:
            rows[filled] = row
            filled += 1
        at[run] += 1
        if at[run] == stop[run]:
            return filled, run
        sift(heap, size, 0, blocks, at, order)
    return filled, -2
