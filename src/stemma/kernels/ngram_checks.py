"""Whether the links of an n-gram model lead anywhere else than to its own rows: checked once, before other kernels follow them."""

import numpy as np

from stemma.kernels.compiling import compiled


@compiled
def first_wrong_row(last_words, successors, suffixes, log10_probs, log10_backoffs, offsets, n, begin, end):
    """The first of the rows from `begin` to `end`, of order `n` + 1, that no n-gram model has; -1 if there is none.

    A row's last word is a word, single words being their own; its suffix is a row of the order below; its successors are
    rows of the order above, after those of the row before, and sorted by word; its logarithms are numbers, none above 0.
    `offsets` (order + 1) are the borders of the orders. Reads from front to back.
    """
    words, highest = offsets[1], len(offsets) - 2
    for row in range(begin, end):
        word, suffix = np.int64(last_words[row]), np.int64(suffixes[row])
        if word >= words or (n == 0 and word != row) or (n > 0 and not offsets[n - 1] <= suffix < offsets[n]):
            return row
        if not log10_probs[row] <= 1e-3:  # false of NaN too
            return row
        if n < highest:
            first, last = np.int64(successors[row]), np.int64(successors[row + 1])
            if not offsets[n + 1] <= first <= last <= offsets[n + 2] or not log10_backoffs[row] < np.inf:
                return row
            for successor in range(first + 1, last):
                if last_words[successor - 1] >= last_words[successor]:
                    return successor
    return -1
