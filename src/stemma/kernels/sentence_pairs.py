"""Which stretches of a corpus become sentence pairs and single segments: the inner loops of `objectives.pairs`.

`sentences` (S+1) holds the token places where sentences begin, with the end, `documents` (D+1) which sentence each document
begins with, `order` (D) the documents in the order of the pass. A span is four token places: A from, A to, B from, B to. I instances.
"""

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.draws import next_below, next_share


@compiled
def covered(spans, tokens):
    """Which tokens lie in one of the spans (I, 4), as A or as B: a byte each (one byte, for a corpus has many)."""
    seen = np.zeros(tokens, np.bool_)
    for i in range(len(spans)):
        seen[spans[i, 0] : spans[i, 1]] = True
        seen[spans[i, 2] : spans[i, 3]] = True
    return seen


@compiled
def gather_pairs(sentences, documents, order, room, short_share, seed):
    """One pass over all documents: (spans (I, 4), random (I,))."""
    state = np.array([seed], np.uint64)
    most = len(sentences)
    spans, random, count = np.empty((most, 4), np.int64), np.empty(most, np.int64), 0
    for document in order:
        first, last = documents[document], documents[document + 1]
        target = room
        if next_share(state) < short_share:
            target = 2 + next_below(state, room - 1)
        i = first
        while i < last:
            chunk = i  # sentences i..end-1
            end = i + 1
            while end < last and sentences[end] - sentences[chunk] < target:
                end += 1
            border = end if end - chunk == 1 else chunk + 1 + next_below(state, end - chunk - 1)
            a_from, a_to = sentences[chunk], sentences[border]
            is_random = end - chunk == 1 or next_share(state) < 0.5
            if is_random:
                other = document
                for _ in range(10):
                    other = next_below(state, len(documents) - 1)
                    if other != document:
                        break
                b_first, b_last = documents[other], documents[other + 1]
                if b_first == b_last:  # an empty document has nothing to lend
                    b_first, b_last = first, last
                start = b_first + next_below(state, b_last - b_first)
                stop = start + 1
                while stop < b_last and sentences[stop] - sentences[start] < target - (a_to - a_from):
                    stop += 1
                b_from, b_to = sentences[start], sentences[stop]
                i = border  # the displaced sentences are used again
            else:
                b_from, b_to = sentences[border], sentences[end]
                i = end
            spans[count] = _cut_to(room, a_from, a_to, b_from, b_to, state)
            random[count] = is_random
            count += 1
    return spans[:count], random[:count]


@compiled
def gather_ordered(sentences, documents, order, room, short_share, seed):
    """One pass over all documents: (spans (I, 4), swapped (I,)): B follows A in its document, or where they are swapped A follows B.

    A document's last sentence may be left alone: B is then empty, and its end is A's.
    """
    state = np.array([seed], np.uint64)
    most = len(sentences)
    spans, swapped, count = np.empty((most, 4), np.int64), np.zeros(most, np.int64), 0
    for document in order:
        first, last = documents[document], documents[document + 1]
        target = room
        if next_share(state) < short_share:
            target = 2 + next_below(state, room - 1)
        i = first
        while i < last:
            end = i + 1
            while end < last and (end == i + 1 or sentences[end] - sentences[i] < target):
                end += 1
            border = end if end == i + 1 else i + 1 + next_below(state, end - i - 1)
            spans[count] = _cut_to(room, sentences[i], sentences[border], sentences[border], sentences[end], state)
            if border < end and next_share(state) < 0.5:
                a_from, a_to, b_from, b_to = spans[count]
                spans[count] = b_from, b_to, a_from, a_to
                swapped[count] = 1
            i, count = end, count + 1
    return spans[:count], swapped[:count]


@compiled
def _cut_to(room, a_from, a_to, b_from, b_to, state):
    """The span of a pair that has lost tokens, each at a drawn end of its longer part, until no more than `room` are left."""
    while a_to - a_from + b_to - b_from > room:
        front = next_share(state) < 0.5
        if a_to - a_from > b_to - b_from:
            a_from, a_to = (a_from + 1, a_to) if front else (a_from, a_to - 1)
        else:
            b_from, b_to = (b_from + 1, b_to) if front else (b_from, b_to - 1)
    return a_from, a_to, b_from, b_to


@compiled
def gather_singles(sentences, documents, order, room, short_share, seed):
    """Every document cut into segments of `room` tokens, the first cut at a drawn place; nothing is dropped."""
    state = np.array([seed], np.uint64)
    most = (sentences[-1] - sentences[0]) // room + 2 * len(documents)
    spans, count = np.zeros((most, 4), np.int64), 0
    for document in order:
        at, last = sentences[documents[document]], sentences[documents[document + 1]]
        size = room if last - at <= room else 1 + next_below(state, room)
        while at < last:
            spans[count, 0], spans[count, 1] = at, min(at + size, last)
            at, size, count = spans[count, 1], room, count + 1
    return spans[:count], np.zeros(count, np.int64)
