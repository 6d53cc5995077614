"""Counting kernels: flat word ranks -> how near each two words stand to each other, summed over the text.

Weights are whole numbers, so that sums are exact and come out the same in whatever order they are made: a
pair at distance d adds `shares[d]`, which is lcm(1..window) / d, or 1 when distances are not weighted.

A *key* is a pair of places in the table of tiles, from the highest bits down: round, block of the first word, place of
the first in its block, place of the second. Sorted by key, pairs stand in the order in which they are
written: round after round, tile after tile. The second block is (round - first block) mod `blocks`.

N tokens, V words by rank (0 is the most frequent), C words of the corner.
"""

import numpy as np

from stemma.kernels.compiling import compiled

PLACE_BITS = 16  # of a word's place in its block: blocks have at most 65,536 words
BLOCK_BITS = 12  # of a block, and of a round: at most 4,096
DISTANCE_BITS = 5  # beside the key, while pairs wait to be sorted
ROUND_SHIFT = BLOCK_BITS + 2 * PLACE_BITS  # of a key: what is left is its round


@compiled(error_model="numpy")
def ranks_of(ids, starts, rank_of_id, ranks, borders, filled):
    """The ranks of the words among `ids`, specials (rank -1) left out, and the sentence borders among them.

    Fills `ranks` from place `filled` on, and `borders` (as long as `starts`); gives the new `filled`.
    """
    for s in range(len(starts) - 1):
        borders[s] = filled
        for i in range(starts[s] - starts[0], starts[s + 1] - starts[0]):
            rank = rank_of_id[ids[i]]
            if rank >= 0:
                ranks[filled] = rank
                filled += 1
    borders[len(starts) - 1] = filled
    return filled


@compiled(inline="always")
def key_of(first, second, blocks, symmetric):
    """The key of two ranks; a symmetric pair is put so that the smaller (block, place) comes first."""
    a, b = np.uint64(first % blocks), np.uint64(second % blocks)
    m, n = np.uint64(first // blocks), np.uint64(second // blocks)
    if symmetric and (b < a or (b == a and n < m)):
        a, b, m, n = b, a, n, m
    turn = a + b
    if turn >= np.uint64(blocks):
        turn -= np.uint64(blocks)
    key = (turn << np.uint64(BLOCK_BITS)) | a
    return (((key << np.uint64(PLACE_BITS)) | m) << np.uint64(PLACE_BITS)) | n


@compiled(error_model="numpy")
def count_pairs(ranks, borders, known, shares, blocks, symmetric, corner, table, waiting, filled, paired):
    """Adds the pairs of the sentences `borders` to the corner's `table`, and those outside it to `waiting`.

    The first `known` words have been counted with those before them; they are there as neighbours of what follows.

    `table` is the lower triangle of a C x C matrix, row after row (a whole matrix when not symmetric); `waiting` takes keys with
    the distance in the lowest bits, from place `filled` on, and has room for all. Marks in `paired` (V) the words of sentences of
    two words and more. Gives the new `filled`.
    """
    window, weighted = len(shares) - 1, shares[-1] != shares[1]
    for s in range(len(borders) - 1):
        if borders[s + 1] - borders[s] > 1:
            for i in range(borders[s], borders[s + 1]):
                paired[ranks[i]] = True
        for i in range(max(borders[s], known), borders[s + 1]):
            word = np.int64(ranks[i])
            for j in range(max(borders[s], i - window), i):
                other = np.int64(ranks[j])
                high, low = max(word, other), min(word, other)
                if high < corner:
                    if symmetric:
                        table[high * (high + 1) // 2 + low] += shares[i - j]
                    else:
                        table[other * corner + word] += shares[i - j]
                else:
                    key = key_of(other, word, blocks, symmetric)
                    waiting[filled] = (key << np.uint64(DISTANCE_BITS)) | np.uint64(i - j if weighted else 1)
                    filled += 1
    return filled


@compiled(error_model="numpy")
def sum_equal(waiting, shares, sums):
    """Sums the sorted pairs of `waiting`: their keys are left at its start, their weights in `sums`; gives how many differ."""
    last, filled = np.uint64(0), 0
    mask = np.uint64((1 << DISTANCE_BITS) - 1)
    for n in range(len(waiting)):
        key, weight = waiting[n] >> np.uint64(DISTANCE_BITS), shares[waiting[n] & mask]
        if filled and key == last:
            sums[filled - 1] += weight
        else:
            waiting[filled], sums[filled] = key, weight
            last, filled = key, filled + 1
    return filled


@compiled(error_model="numpy")
def corner_pairs(turn, first_block, last_block, table, corner, blocks, symmetric, keys, sums):
    """The pairs of the corner in round `turn` whose first block is `first_block` up to `last_block`, sorted by key.

    Fills `keys` and `sums`; gives how many there are.
    """
    filled = 0
    for a in range(first_block, last_block):
        b = (turn - a) % blocks
        if symmetric and b < a:
            continue
        for first in range(a, corner, blocks):
            for second in range(first if symmetric and a == b else b, corner, blocks):
                if symmetric:
                    high, low = max(first, second), min(first, second)
                    weight = table[high * (high + 1) // 2 + low]
                else:
                    weight = table[first * corner + second]
                if weight:
                    keys[filled], sums[filled] = key_of(first, second, blocks, symmetric), weight
                    filled += 1
    return filled


@compiled(error_model="numpy")
def merge_sums(keys_a, sums_a, keys_b, sums_b, keys, sums):
    """Two sorted lists of pairs as one, the weights of equal keys added; gives its length."""
    a, b, filled = 0, 0, 0
    while a < len(keys_a) or b < len(keys_b):
        if b == len(keys_b) or (a < len(keys_a) and keys_a[a] < keys_b[b]):
            keys[filled], sums[filled] = keys_a[a], sums_a[a]
            a += 1
        elif a == len(keys_a) or keys_b[b] < keys_a[a]:
            keys[filled], sums[filled] = keys_b[b], sums_b[b]
            b += 1
        else:
            keys[filled], sums[filled] = keys_a[a], sums_a[a] + sums_b[b]
            a, b = a + 1, b + 1
        filled += 1
    return filled
