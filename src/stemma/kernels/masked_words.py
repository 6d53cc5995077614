"""Which words of a segment are masked: the inner loop of `objectives.masked`.

B rows, T positions. A word is a run of tokens, of which the first begins it; what is no candidate (a special) parts words.
"""

import numpy as np

from stemma.kernels.compiling import compiled


@compiled
def choose_words(segments, candidates, begins, choice, length, share, most, longest):
    """(B T): 0 where a token is left alone, else the number of the words chosen together, counted from 1 in each row.

    `segments`, `candidates`, `begins` and the draws `choice` and `length` are (B T). In each segment words are gone through from
    the lowest choice on, until a share of its positions (`most` at most, where that is not 0) is chosen. With each come the words
    that follow it, `longest` in all at most, as many as its length draws. Of any share above 0 a segment has one word at least.
    """
    chosen = np.zeros(segments.shape, np.int64)
    for row in range(len(segments)):
        first, number = 0, 0
        while first < segments.shape[1]:
            end = first + 1
            while end < segments.shape[1] and segments[row, end] == segments[row, first]:
                end += 1
            if segments[row, first] and share > 0:
                quota = max(1, int(np.rint(share * (end - first))))
                quota = min(quota, most) if most else quota
                part = slice(first, end)
                starts, stops = _words(candidates[row, part], begins[row, part])
                order = np.argsort(choice[row, part][starts], kind="mergesort")
                number = _choose(starts, stops, order, length[row, part], quota, longest, chosen[row, part], number)
                if len(order) and not chosen[row, part].any():
                    _choose_smallest(starts, stops, order, most, chosen[row, part], number + 1)
                    number += 1
            first = end
    return chosen


@compiled
def _words(candidates, begins):
    """(where the words start, where they stop)."""
    starts, stops = np.empty(len(begins), np.int64), np.empty(len(begins), np.int64)
    count = 0
    for i in range(len(begins)):
        if not candidates[i]:
            continue
        if begins[i] or i == 0 or not candidates[i - 1]:
            starts[count] = i
            count += 1
        stops[count - 1] = i + 1
    return starts[:count], stops[:count]


@compiled
def _choose(starts, stops, order, length, quota, longest, chosen, number):
    """Marks the words that the quota has room for; what would go beyond it is shortened by whole words, or left out."""
    room = quota
    for word in order:
        if room == 0:
            break
        together = 1  # words without a special between them
        while together < longest and word + together < len(starts) and starts[word + together] == stops[word + together - 1]:
            together += 1
        count = _drawn_count(length[starts[word]], together)
        while count and stops[word + count - 1] - starts[word] > room:
            count -= 1
        if count and not chosen[starts[word] : stops[word + count - 1]].any():
            number += 1
            chosen[starts[word] : stops[word + count - 1]] = number
            room -= stops[word + count - 1] - starts[word]
    return number


@compiled
def _drawn_count(drawn, most):
    """A whole number n of 1..most, drawn with chances that go as 1/n."""
    total = 0.0
    for n in range(1, most + 1):
        total += 1 / n
    reached = 0.0
    for n in range(1, most):
        reached += 1 / n
        if drawn * total < reached:
            return n
    return most


@compiled
def _choose_smallest(starts, stops, order, most, chosen, number):
    """Marks the word of the fewest tokens, where all are larger than the quota: a segment asks for one word at least."""
    smallest = order[0]
    for word in order:
        if stops[word] - starts[word] < stops[smallest] - starts[smallest]:
            smallest = word
    if not most or stops[smallest] - starts[smallest] <= most:
        chosen[starts[smallest] : stops[smallest]] = number
