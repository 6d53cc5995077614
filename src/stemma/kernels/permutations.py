"""Where rows are parted, which of their tokens are predicted, and in which order: the inner loops of `objectives.permutation`.

B rows, T positions of a row or of a stretch of it, R of its first half. `states` (B) are those of `kernels.draws`, one a row.
"""

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.draws import next_below, next_share


@compiled
def part_rows(borders, half, elsewhere, spare, states):
    """(tokens of each A (B), tokens passed over before each B (B), -1 where B goes on from A).

    B may begin where `borders` (B T) is true. A row without one after the first half is parted anywhere, and B stands elsewhere, as it
    does in a share `elsewhere` of the others: up to `spare` tokens further on.
    """
    rows, room = len(borders), borders.shape[1] - half
    lengths, skipped = np.full(rows, room), np.full(rows, -1)
    if room < 2:
        return lengths, skipped
    for row in range(rows):
        state = states[row : row + 1]
        away = next_share(state) < elsewhere
        count = borders[row, half + 1 :].sum()
        if count == 0:
            away, lengths[row] = True, 1 + next_below(state, room - 1)
        else:
            lengths[row] = 1 + np.nonzero(borders[row, half + 1 :])[0][next_below(state, count)]
        if away:
            skipped[row] = next_below(state, spare + 1)
    return lengths, skipped


@compiled
def choose_spans(starts, candidates, goal, longest, times, state):
    """(T) True for exactly `goal` of the tokens of a stretch, or for all candidates where they are fewer.

    Spans of n tokens, n from 1 to `longest` with a chance of 1/n, each with n `times` tokens of context, parted at random between
    its left and its right; a span's first token is moved on to where a word `starts`. What is lacking at the end is drawn singly.
    """
    chosen = np.zeros(len(starts), np.bool_)
    goal, taken, at, whole = min(goal, candidates.sum()), 0, 0, 0.0
    for n in range(1, longest + 1):
        whole += 1.0 / n
    while taken < goal:
        share, n = next_share(state) * whole, 1
        while n < longest and share >= 1.0 / n:
            share -= 1.0 / n
            n += 1
        n = min(n, goal - taken)
        left = next_below(state, n * times)
        first = at + left
        while first < len(starts) and not starts[first]:
            first += 1
        if first + n > len(starts):
            break
        for place in range(first, first + n):
            if candidates[place]:
                chosen[place] = True
                taken += 1
        at = first + n + n * times - left
    while taken < goal:
        place = next_below(state, len(starts))
        if candidates[place] and not chosen[place]:
            chosen[place] = True
            taken += 1
    return chosen


@compiled
def draw_order(ordered, block, first, state):
    """When each of the T tokens becomes visible: at `first` where it is not `ordered`, else at a drawn number above it, its own.

    The numbers are drawn over `block` tokens at a time, the same way for every block, and those of a block stand above those before.
    """
    drawn = np.arange(block)
    for place in range(block - 1, 0, -1):  # Fisher and Yates
        other = next_below(state, place + 1)
        drawn[place], drawn[other] = drawn[other], drawn[place]
    order = np.full(len(ordered), first, np.int64)
    for place in range(len(ordered)):
        if ordered[place]:
            order[place] += 1 + place // block * block + drawn[place % block]
    return order


@compiled
def draw_rows(starts, functional, backward, half, predictions, block, longest, times, states):
    """(which positions are predicted (B T), when each becomes visible (B T)); `functional` tokens are ordered, never predicted.

    The first half never sees the second, which sees all of it. Of rows that are read `backward` spans are drawn along the text.
    """
    chosen, order = np.zeros(starts.shape, np.bool_), np.zeros(starts.shape, np.int64)
    for row in range(len(starts)):
        state, first = states[row : row + 1], 0
        for a, b, goal in ((0, half, predictions - predictions // 2), (half, starts.shape[1], predictions // 2)):
            begins, candidates = starts[row, a:b].copy(), ~functional[row, a:b]
            if backward[row]:
                chosen[row, a:b] = choose_spans(begins[::-1].copy(), candidates[::-1].copy(), goal, longest, times, state)[::-1]
            else:
                chosen[row, a:b] = choose_spans(begins, candidates, goal, longest, times, state)
            order[row, a:b] = draw_order(chosen[row, a:b] | functional[row, a:b], block, first, state)
            first = order[row, a:b].max() + 1
    return chosen, order
