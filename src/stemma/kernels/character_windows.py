"""The largest sum that a filter finds in the windows of a word's characters (`layers.spelling`), and the slopes of that.

A convolution over characters is a sum over the window's places of a number that depends on the character there alone: these
numbers stand in a table (places, characters, F), so that nothing is multiplied. The slope reaches one window a filter: all
others cost nothing on the way back. W words, L characters, F filters; float32.
"""

import numpy as np

from stemma.kernels.compiling import compiled


@compiled(fastmath=True)
def largest(spelled, ends, table, found, places):
    """Writes each filter's largest sum over the windows, and where it begins (W F).

    Windows that begin after the word's end (W), where all is padding, see the same as the one there.
    """
    width, _, filters = table.shape
    sums = np.empty(filters, np.float32)
    for w in range(len(spelled)):
        best, where = found[w], places[w]
        best[:], where[:] = -np.inf, 0
        for place in range(min(ends[w], spelled.shape[1] - width) + 1):
            row = table[0, spelled[w, place]]
            for f in range(filters):
                sums[f] = row[f]
            for j in range(1, width):
                row = table[j, spelled[w, place + j]]
                for f in range(filters):
                    sums[f] += row[f]
            for f in range(filters):
                where[f] = place if sums[f] > best[f] else where[f]
                best[f] = max(sums[f], best[f])


@compiled
def largest_back(spelled, places, d_found, d_table):
    """Adds to the slopes of the table those of the largest sums."""
    for w in range(len(spelled)):
        for f in range(d_found.shape[1]):
            for j in range(len(d_table)):
                d_table[j, spelled[w, places[w, f] + j], f] += d_found[w, f]
