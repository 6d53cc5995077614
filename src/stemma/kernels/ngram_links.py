"""N-grams in whatever order -> rows that lead to one another: the inner loops of `export.ngram_links`."""

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.ngram_plain import find


@compiled
def locate(last_words, successors, words, first, rows):
    """Fills `rows` with the row of each n-gram's words from `first` on, all but the one too many; -1 where there is none.

    What an n-gram shares with the one before it is not sought again: lists are sorted, one way or the other.
    """
    count = words.shape[1] - 1
    found = np.full(count, -1, np.int64)
    for g in range(len(words)):
        n = 0
        if g > 0:
            while n < count and words[g, first + n] == words[g - 1, first + n]:
                n += 1
        while n < count:
            row = np.int64(words[g, first])
            if n > 0:
                row = found[n - 1]
                if row >= 0:
                    row = np.int64(find(last_words, np.int64(successors[row]), np.int64(successors[row + 1]), words[g, first + n]))
            found[n] = row
            n += 1
        rows[g] = found[count - 1]


@compiled
def sort_keys(keys, size):
    """The order (uint32) that sorts `keys`, all below `size`, equal ones as they stand, and where the run of each key ends."""
    ends = np.zeros(size + 1, np.int64)
    for key in keys:
        ends[key + 1] += 1
    for key in range(size):
        ends[key + 1] += ends[key]
    order = np.empty(len(keys), np.uint32)
    for row in range(len(keys)):
        order[ends[keys[row]]] = row
        ends[keys[row]] += 1
    return order, ends[:size]


@compiled
def deal(order, contexts, suffixes, section, last_words, dealt_suffixes, log10_probs, log10_backoffs):
    """Fills the last four with the rows of the section in `order`, the back-offs only if the section has some.

    Gives the row of an n-gram that stands there twice, or -1.
    """
    words, probs, backoffs = section
    last = words.shape[1] - 1
    for place in range(len(order)):
        row = order[place]
        last_words[place], dealt_suffixes[place] = words[row, last], suffixes[row]
        log10_probs[place] = probs[row]
        if len(backoffs):
            log10_backoffs[place] = backoffs[row]
        if place and contexts[order[place - 1]] == contexts[row] and last_words[place - 1] == last_words[place]:
            return np.int64(row)
    return -1
