"""The n-gram model's inner loops: from sorted counts to probabilities, and from ids to scores.

Two orders of the same n-grams meet here. In *suffix* order (index s) they stand by their last word, then the one
before: n-grams with a common ending, whose lower-order probability they share, are neighbours. In *context* order
(index c) they stand by first word, second, ...: the successors of a context are neighbours, as scoring wants them.
For single words both indices are the word's id. Borders of runs are given as in compressed sparse rows: the run of x
is `borders[x]` to `borders[x + 1]`. Axes: G distinct n-grams of the highest order, S n-grams of one order.
"""

import math

import numpy as np
from numba import njit

UNKNOWN, START, END = 0, 1, 2  # KenLM's ids of <unk>, <s>, </s>
ABSENT = 0xFFFFFFFF  # what `words` holds for a token that is no word of the model
BEGIN, WORD = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)  # an event is a word, flagged where it begins a sentence
NONE, ONE = np.uintp(0), np.uintp(1)
LANES = 32  # sentences scored side by side


@njit(cache=True, nogil=True)
def common_endings(columns, common, sizes):
    """Fills `common` (G) with how many last words an n-gram shares with the one before it; `sizes` with n-grams an order."""
    order = len(columns)
    for g in range(len(common)):
        n = 0
        if g:
            while n < order and columns[n, g] == columns[n, g - 1]:
                n += 1
        common[g] = n
        for m in range(n, order):  # the ending of m + 1 words is a new one
            if m > 1 and columns[m - 1, g] == START:
                break  # <s> would stand at its second place: no n-gram
            sizes[m] += 1


@njit(cache=True, nogil=True)
def endings(columns, counts, common, n, continued, first, tail, raw, adjusted):
    """Lists the n-grams of order n > 1 in suffix order: first word, index of the tail without it, raw and adjusted count.

    The adjusted count is the raw one at the highest order, for n-grams that start with <s>, or unless `continued`; else
    the number of different words to the left. `raw` is left alone when empty. Returns the raw count of the n-gram that
    ends the very last of all, or 0 where that has <s> at its second place or later.
    """
    order = len(columns)
    s, t, last = -1, -1, 0
    for g in range(len(common)):
        if n == 2:
            t = columns[0, g]
        elif common[g] < n - 1 and (n == 3 or columns[n - 3, g] != START):
            t += 1
        last = 0 if common[g] < n else last
        if n > 2 and columns[n - 2, g] == START:
            continue
        word = columns[n - 1, g]
        if common[g] < n:
            s += 1
            first[s] = word
            tail[s] = t
            if len(raw):
                raw[s] = 0
            adjusted[s] = 0
        last += counts[g]
        if len(raw):
            raw[s] += counts[g]
        if n == order or not continued or word == START:
            adjusted[s] += counts[g]
        elif common[g] <= n:
            adjusted[s] += 1
    return last


@njit(cache=True, nogil=True)
def borders_of(keys, size):
    """Where the runs of the keys 0 .. size - 1 begin and end when sorted: size + 1 borders."""
    borders = np.zeros(size + 1, np.uint32)
    for s in range(len(keys)):
        borders[keys[s] + 1] += 1
    for key in range(size):
        borders[key + 1] += borders[key]
    return borders


@njit(cache=True, nogil=True)
def find_contexts(context, first, longer_tails, tail_first, tail_index, tail_at, shorter_tails, shorter_at, successors, vocabulary):
    """Fills `context` (S) with the context index of each n-gram's context, the n-gram without its last word, for n > 2.

    The tail t of an n-gram (v, t) has a context m of order n - 2, and the context sought is (v, m): among the n-grams
    whose tail is m, the one that starts with v. So for each m these are laid out by first word, once for all its t.
    `longer_tails` borders the n-grams by tail t, `shorter_tails` the t by their own tails, `successors` the t by context;
    `tail_at` and `shorter_at` give suffix indices from context indices, `tail_index` the reverse.
    """
    place = np.empty(vocabulary, np.uint32)
    for c in range(len(successors) - 1):
        if successors[c] == successors[c + 1]:
            continue
        m = shorter_at[c]
        for s in range(shorter_tails[m], shorter_tails[m + 1]):
            place[tail_first[s]] = tail_index[s]
        for successor in range(successors[c], successors[c + 1]):
            t = tail_at[successor]
            for s in range(longer_tails[t], longer_tails[t + 1]):
                context[s] = place[first[s]]


@njit(cache=True, nogil=True)
def place_ngrams(context, tail, adjusted, kept, below, base, borders, index, at, last_words, suffixes, counts, stays, log10_probs):
    """Deals the n-grams from suffix order into context order, in which the model keeps them.

    `below` = (last words, context indices, probabilities) of the order below, whose rows start at `base`; `borders`
    borders the n-grams by context. `index` and `at` (unless empty) become the two permutations, `last_words` and
    `suffixes` the n-grams themselves, `counts` their adjusted counts, `stays` (unless empty) whether they are kept, and
    `log10_probs`, for the moment, the lower order's probability.
    """
    words_below, index_below, probabilities = below
    top = borders[:-1].copy()
    for s in range(len(context)):
        c = top[context[s]]
        top[context[s]] += 1
        if len(index):
            index[s] = c
            at[c] = s
        if len(stays):
            stays[c] = kept[s]
        tail_index = index_below[tail[s]]
        last_words[c] = words_below[tail_index]
        suffixes[c] = base + tail_index
        counts[c] = adjusted[s]
        log10_probs[c] = probabilities[tail_index]


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def find(last_words, low, high, word):
    """The row from `low` up to `high` whose last word is `word`, or -1. Successors of a context are sorted by word."""
    count = high - low
    while count > 1:
        half = count >> 1
        low = low + half if last_words[low + half] <= word else low
        count -= half
    return low if count == 1 and last_words[low] == word else -1


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def score_events(last_words, successors, suffixes, log10_probs, log10_backoffs, order, uniform, events, scores, orders):
    """Scores the events one by one: the plain form of `score_in_lanes`, and the one for additive smoothing.

    `uniform` is NaN, or log10 of one type's share where a model knows nothing of a history (additive smoothing: only
    whole histories count, there are no lower orders).
    """
    state, length, wanted = np.int64(START), 0, 0
    for e in range(len(events)):
        if events[e] >= BEGIN:
            state, length, wanted = np.int64(START), min(1, order - 1), min(1, order - 1)
        word = np.int64(events[e] & WORD)
        score, matched, after, longer = step(
            last_words, successors, suffixes, log10_probs, log10_backoffs, order, state, length, word
        )
        if not math.isnan(uniform) and matched <= wanted:
            score = log10_backoffs[state] if length == wanted else uniform
        scores[e], orders[e] = score, matched
        state, length, wanted = after, longer, min(wanted + 1, order - 1)


@njit(cache=True, nogil=True)
def score_in_lanes(last_words, successors, suffixes, log10_probs, log10_backoffs, order, events, scores, orders):
    """Scores the events, many sentences side by side: while one lane waits for memory, the others go on.

    Every round looks up one n-gram a lane, by a search that all lanes take step by step together. Indices are unsigned
    because Numba then leaves out its test for negative ones, a quarter of the time.
    """
    at, stop = np.empty(LANES, np.uintp), np.empty(LANES, np.uintp)
    state, length, score = np.full(LANES, START, np.uintp), np.full(LANES, min(1, order - 1), np.int64), np.zeros(LANES)
    low, count, word = np.empty(LANES, np.uintp), np.empty(LANES, np.uintp), np.empty(LANES, np.uint32)
    lanes = share_out(events, at, stop)
    while lanes > 0:
        widest = NONE
        for lane in range(lanes):
            g = np.uintp(lane)
            word[g] = events[at[g]] & WORD
            first = np.uintp(successors[state[g]])
            number = np.uintp(successors[state[g] + ONE]) - first
            count[g] = number if length[g] > 0 else NONE
            low[g] = first if count[g] > NONE else NONE  # where there is nothing to find, the search must read somewhere
            widest = max(widest, count[g])
        while widest > ONE:
            for lane in range(lanes):
                g = np.uintp(lane)
                half = count[g] >> ONE
                middle = low[g] + half
                low[g] = middle if last_words[middle] <= word[g] else low[g]
                count[g] = count[g] - half
            widest = widest - (widest >> ONE)
        for lane in range(lanes - 1, -1, -1):
            g = np.uintp(lane)
            row, held = low[g], length[g]
            if held > 0 and (count[g] == NONE or last_words[row] != word[g]):
                score[g] += log10_backoffs[state[g]]
                state[g] = suffixes[state[g]]
                held = length[g] = held - 1
                if held > 0:
                    continue
            if held == 0:
                row = np.uintp(word[g])
            scores[at[g]] = score[g] + log10_probs[row]
            orders[at[g]] = held + 1
            score[g] = 0.0
            state[g] = np.uintp(suffixes[row]) if 0 < held == order - 1 else row
            length[g] = min(held + 1, order - 1)
            at[g] += ONE
            if at[g] == stop[g]:
                lanes -= 1
                last = np.uintp(lanes)
                at[g], stop[g], state[g], length[g], score[g] = at[last], stop[last], state[last], length[last], score[last]
            elif events[at[g]] >= BEGIN:
                state[g], length[g] = np.uintp(START), min(1, order - 1)


@njit(cache=True, nogil=True)
def share_out(events, first, stop):
    """Shares the events out to lanes in equal parts that begin with a sentence; gives the number of lanes."""
    lanes, begin = 0, 0
    for g in range(len(first)):
        end = max(begin, (g + 1) * len(events) // len(first))
        while end < len(events) and events[end] < BEGIN:
            end += 1
        if end > begin:
            first[lanes], stop[lanes] = begin, end
            lanes += 1
        begin = end
    return lanes
