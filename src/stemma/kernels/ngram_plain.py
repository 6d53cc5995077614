"""The n-gram model's inner loops: from ids to scores.

N-grams stand in *context* order: by first word, second, ...; the successors of a context are neighbours.
"""

import math

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.numbers import ABSENT, BEGIN, END, START, UNKNOWN, WORD_BITS


@compiled
def find(last_words, low, high, word):
    """The row from `low` up to `high` whose last word is `word`, or -1. Successors of a context are sorted by word."""
    count = high - low
    while count > 1:
        half = count >> 1
        low = low + half if last_words[low + half] <= word else low
        count -= half
    return low if count == 1 and last_words[low] == word else -1


@compiled
def step(last_words, successors, suffixes, log10_probs, log10_backoffs, order, state, length, word):
    """Scores one word after the context `state` of `length` words: (log10 probability, matched order, next state, its length).

    The longest n-gram that is stored counts, plus the back-off of every longer context.
    """
    score = 0.0
    while length > 0:
        row = np.int64(find(last_words, np.int64(successors[state]), np.int64(successors[state + 1]), word))
        if row >= 0:
            score += log10_probs[row]
            return (score, order, np.int64(suffixes[row]), length) if length == order - 1 else (score, length + 1, row, length + 1)
        score += log10_backoffs[state]
        state = np.int64(suffixes[state])
        length -= 1
    return score + log10_probs[word], 1, np.int64(word), min(1, order - 1)


@compiled
def events_of(words, ids, starts, closing, events):
    """Fills `events` with the words of the sentences' tokens, and of their ends if `closing`; BEGIN marks a sentence's first.

    A sentence's end inside a sentence is the end of one: the next word begins another.
    """
    e = 0
    for sentence in range(len(starts) - 1):
        begins = True
        for i in range(starts[sentence], starts[sentence + 1] + closing):
            word = np.int64(words[ids[i]]) if i < starts[sentence + 1] else END
            word = UNKNOWN if word == ABSENT else word
            events[e] = np.uint32(word) | BEGIN if begins else np.uint32(word)
            begins = word in (START, END)
            e += 1


@compiled
def score_events(last_words, successors, suffixes, log10_probs, log10_backoffs, order, uniform, events, scores, orders):
    """Scores the events one by one: the plain form of `ngram_scoring`, and the one for additive smoothing.

    `uniform` is NaN, or log10 of one type's share where a model knows nothing of a history (additive smoothing: only
    whole histories count, there are no lower orders).
    """
    state, length, expected = np.int64(START), 0, 0
    for e in range(len(events)):
        if events[e] >= BEGIN:
            state, length, expected = np.int64(START), min(1, order - 1), min(1, order - 1)
        word = np.int64(events[e] & WORD_BITS)
        score, matched, after, longer = step(last_words, successors, suffixes, log10_probs, log10_backoffs, order, state, length, word)
        if not math.isnan(uniform) and matched <= expected:
            score = log10_backoffs[state] if length == expected else uniform
        scores[e], orders[e] = score, matched
        state, length, expected = after, longer, min(expected + 1, order - 1)
