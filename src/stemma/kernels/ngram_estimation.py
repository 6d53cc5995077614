"""The inner loops of estimation: from sorted counts to probabilities, a block at a time.

Two orders of the same n-grams meet here. In *suffix* order they stand by their last word, then the one before: n-grams
with a common ending, the *tail* whose lower-order probability they share, are neighbours. In *context* order they stand by
first word, second, ...: the successors of a context are neighbours, as scoring needs them. The way from one to the other is
short: the n-grams of order n stand in context order if they are sorted by first word, and those with the same first word
by where their tails stand in the context order of n - 1.

A listed n-gram (`first`, `count`) stands in suffix order; `first` is its first word with the flags NEW and DROPPED.
A tail tells an order what it must know of the order below; a record is a listed n-gram that has met its tail.
Axes: R rows of the highest order, S n-grams of one order, B buckets.
"""

import math
from typing import NamedTuple

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.ngram_counts import count_of
from stemma.kernels.numbers import END, START, UNKNOWN

NEW, DROPPED, WORD = np.uint32(1 << 31), np.uint32(1 << 30), np.uint32((1 << 30) - 1)
KEPT, ENDS = np.uint8(1), np.uint8(2)
DIGIT, DIGITS = np.uint64(11), 1 << 11  # bits that one pass of a sort looks at
OPEN = np.dtype([("raw", "<i8"), ("adjusted", "<i8"), ("first", "<u4"), ("known", "?"), ("fresh", "?")])  # an n-gram being read


class Rules(NamedTuple):
    """What becomes of the counts of an n-gram model up to `order` words."""

    order: int
    continued: bool  # lower orders count the different words to the left
    drops_unknown: bool  # n-grams with an unknown word are dropped
    thresholds: np.ndarray  # (order + 1) the highest raw count of each order that is dropped


class Lists(NamedTuple):
    """The n-grams of each order, listed in suffix order as rows of the highest order go by; `order` + 1 of each thing."""

    opened: np.ndarray  # of OPEN: the n-gram that is not listed yet; none if its raw count is 0
    entries: np.ndarray  # (order + 1, block) first word and adjusted count of what is listed
    filled: np.ndarray  # entries in use
    sizes: np.ndarray  # n-grams
    kept: np.ndarray  # n-grams that are not dropped
    statistics: np.ndarray  # (order + 1, counts) n-grams by adjusted count
    firsts: np.ndarray  # (order + 1, V) n-grams by first word


class Words(NamedTuple):
    """What the rows say of single words."""

    raw: np.ndarray  # (V) how often each occurred
    contexts: np.ndarray  # (V) different words to its left


@compiled(inline="always")  # a call with so many arrays would cost more than its work
def put(n, thresholds, lists):
    """Lists the n-gram of order n that is open: no more rows with this ending will come."""
    gram = lists.opened[n]
    entry = lists.entries[n, lists.filled[n]]
    lists.filled[n] += 1
    entry.first, entry.count = gram.first, gram.adjusted
    if gram.raw <= thresholds[n] or not gram.known:
        entry.first |= DROPPED
    else:
        lists.kept[n] += 1
    lists.sizes[n] += 1
    lists.statistics[n, min(gram.adjusted, lists.statistics.shape[1] - 1)] += 1
    lists.firsts[n, gram.first & WORD] += 1


@compiled
def adjust(rows, before, rules, words, lists):
    """Reads rows of the highest order and lists the n-grams of the orders 2 to `order`, each when its last row has gone by.

    The adjusted count is the raw one at the highest order, for n-grams that start with <s>, or unless `continued`; else
    the number of different words to the left. NEW marks the first n-gram with its tail. Between two calls `before` keeps the
    last row.
    """
    order, opened = rules.order, lists.opened
    for r in range(len(rows)):
        count = count_of(rows[r], order)
        common = 0
        while common < order and rows[r, common] == before[common]:
            common += 1
        words.raw[rows[r, 0]] += count
        if common < 2:
            words.contexts[rows[r, 0]] += 1
        unknown = rows[r, 0] == UNKNOWN
        for n in range(2, order + 1):
            gram = opened[n]
            if common < n - 1 and (n <= 3 or rows[r, n - 3] != START):
                gram.fresh = True
            if n > 2 and rows[r, n - 2] == START:
                break  # <s> would stand at its second place or later: no n-gram, nor is a longer one
            word = rows[r, n - 1]
            unknown = unknown or word == UNKNOWN
            if common < n:
                if gram.raw > 0:
                    put(n, rules.thresholds, lists)
                gram.first = word | NEW if gram.fresh else word
                gram.raw, gram.adjusted, gram.known, gram.fresh = 0, 0, not (rules.drops_unknown and unknown), False
            gram.raw += count
            if n == order or not rules.continued or word == START:
                gram.adjusted += count
            elif common <= n:
                gram.adjusted += 1
        for n in range(order):
            before[n] = rows[r, n]


@compiled
def divide(counts, bucket_size, most, tails, starts, strides):
    """Divides the records of an order into buckets of about `bucket_size`, and of at most `most`; gives how many there are.

    A record goes to bucket `starts[w] + tail // strides[w]` for first word w, of which there are `counts[w]`. Words share a
    bucket while they fit; a word with too many has several, by tail: it has each of the `tails` once at most.
    """
    buckets, held = 0, bucket_size
    for word in range(len(counts)):
        strides[word] = tails + 1
        if counts[word] > bucket_size:
            starts[word], strides[word] = buckets, max(1, min(most, tails * bucket_size // counts[word]))
            buckets += (tails + strides[word] - 1) // strides[word]
            held = bucket_size
        elif held + counts[word] > bucket_size:
            starts[word], held = buckets, counts[word]
            buckets += 1
        else:
            starts[word] = buckets - 1
            held += counts[word]
    return buckets


@compiled
def meet_tails(listed, done, place, tails, at, starts, strides, tail_of, records, ends):
    """Joins listed n-grams, from `done` on, with their tails: `records` get them bucket by bucket, `ends` where each ends.

    Tail `at` of the block `tails` is at hand; the joining stops where the next one is not in the block. `place` numbers the
    records that do not begin with <s>: they are the tails of the next order. Gives how many n-grams are done, the next
    place and the tail at hand.
    """
    begun = done
    ends[:] = 0
    while done < len(listed):
        if listed[done].first & NEW:
            if at + 1 == len(tails):
                break
            at += 1
        word = listed[done].first & WORD
        tail_of[done - begun] = at
        ends[starts[word] + np.int64(tails[at].rank // strides[word])] += 1
        done += 1
    begin = 0
    for bucket in range(len(ends)):
        begin, ends[bucket] = begin + ends[bucket], begin
    for i in range(begun, done):
        word = listed[i].first & WORD
        tail = tails[tail_of[i - begun]]
        bucket = starts[word] + np.int64(tail.rank // strides[word])
        record = records[ends[bucket]]
        ends[bucket] += 1
        record.first = listed[i].first & ~NEW
        record.count = listed[i].count
        record.place = place
        record.tail, record.row, record.parent, record.last, record.lower = tail.rank, tail.row, tail.parent, tail.last, tail.lower
        place += word != START
    return done, place, at


@compiled
def sort_records(records):
    """The records by first word, then by tail: a radix sort of their places, a digit a pass."""
    size = len(records)
    low, high, tail_low, tail_high = WORD, np.uint32(0), np.uint32(0xFFFFFFFF), np.uint32(0)
    for i in range(size):
        word, tail = records[i].first & WORD, records[i].tail
        low, high = min(low, word), max(high, word)
        tail_low, tail_high = min(tail_low, tail), max(tail_high, tail)
    range_of_tails = np.uint64(tail_high - tail_low) + np.uint64(1)
    keys, places = np.empty(size, np.uint64), np.empty(size, np.uint32)
    for i in range(size):
        keys[i] = np.uint64((records[i].first & WORD) - low) * range_of_tails + np.uint64(records[i].tail - tail_low)
        places[i] = i
    most = np.uint64(high - low + np.uint32(1)) * range_of_tails
    keys_aside, places_aside = np.empty(size, np.uint64), np.empty(size, np.uint32)
    top = np.empty(DIGITS, np.int64)
    moved = np.uint64(0)
    while size > 0 and most >> moved > 0:
        top[:] = 0
        for i in range(size):
            top[(keys[i] >> moved) & np.uint64(DIGITS - 1)] += 1
        begin = 0
        for digit in range(DIGITS):
            begin, top[digit] = begin + top[digit], begin
        for i in range(size):
            digit = (keys[i] >> moved) & np.uint64(DIGITS - 1)
            keys_aside[top[digit]], places_aside[top[digit]] = keys[i], places[i]
            top[digit] += 1
        keys, keys_aside = keys_aside, keys
        places, places_aside = places_aside, places
        moved += DIGIT
    in_order = np.empty_like(records)
    for i in range(size):
        in_order[i] = records[places[i]]
    return in_order


@compiled
def spread(records, counts, stays, log10_probs, borders):
    """Lays the sorted records out as `smooth` needs them; gives the number of contexts. `stays` may be empty: all do."""
    contexts = 0
    word, parent = np.uint32(0), np.uint32(0)
    for i in range(len(records)):
        record = records[i]
        first = record.first & WORD
        if i == 0 or first != word or record.parent != parent:
            borders[contexts] = i
            contexts += 1
            word, parent = first, record.parent
        counts[i] = record.count
        log10_probs[i] = record.lower
        if len(stays):
            stays[i] = record.first & DROPPED == 0
    borders[contexts] = len(records)
    return contexts


@compiled
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


@compiled
def write_rows(records, log10_probs, base, row, last_words, suffixes, rows_probs, states):
    """Writes the records that stay to the model, from `row` on, and gives the row after the last.

    `base` is the first row of the order below. `states` gets, for each record, whether it is KEPT and whether it ENDS a
    sentence, which no n-gram goes on from.
    """
    for i in range(len(states)):
        record = records[i]
        states[i] = ENDS if record.last == END else 0
        if record.first & DROPPED == 0:
            states[i] |= KEPT
            last_words[row], suffixes[row], rows_probs[row] = record.last, base + record.row, log10_probs[i]
            row += 1
    return row


@compiled
def make_tails(records, probabilities, states, borders, rank, row, context, stride, tails, ends):
    """Makes the tails of the next order from the records, and puts them into buckets of `stride` places; `ends` ends these.

    `rank`, `row` and `context` number the first of the records: all, those kept, and the contexts.
    """
    ends[:] = 0
    for i in range(len(states)):
        record = records[i]
        if record.first & WORD != START:
            ends[record.place // stride] += 1
    begin = 0
    for bucket in range(len(ends)):
        begin, ends[bucket] = begin + ends[bucket], begin
    for c in range(len(borders) - 1):
        for i in range(borders[c], borders[c + 1]):
            record = records[i]
            if record.first & WORD != START:
                tail = tails[ends[record.place // stride]]
                ends[record.place // stride] += 1
                tail.place, tail.rank, tail.row, tail.parent = record.place, rank, row, context + c
                tail.last, tail.lower = record.last, probabilities[i]
            rank += 1
            row += states[i] & KEPT
    return begin


@compiled
def in_place(tails, low, sorted_tails):
    """Puts the tails of a bucket, whose places begin with `low`, where they belong."""
    for i in range(len(tails)):
        sorted_tails[tails[i].place - low] = tails[i]


@compiled
def link(states, contexts, unseen, row, first, successors, log10_backoffs):
    """Gives the n-grams of an order, in context order, their successors, whose next row is `first`, and their back-offs.

    `contexts` holds, for each n-gram that does not end a sentence, how many successors are kept and its back-off; the
    others back off by `unseen`. Rows are written from `row` on; gives the row and the successor after the last.
    """
    c = 0
    for i in range(len(states)):
        successor, log10_backoff = first, unseen
        if states[i] & ENDS == 0:
            log10_backoff = contexts[c].log10_backoff
            first += contexts[c].successors
            c += 1
        if states[i] & KEPT:
            successors[row], log10_backoffs[row] = successor, log10_backoff
            row += 1
    return row, first
