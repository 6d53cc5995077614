"""Best-fit packing: the inner loop of `objectives.packing`."""

import numpy as np

from stemma.kernels.compiling import compiled


@compiled
def best_fit(pieces, lengths, row_length, rows, row_of):
    """Puts each piece into the fullest open row that has room; returns the number of rows so far."""
    # A row is known by its free room: heads[room] is a linked list of the rows with that room.
    heads = np.full(row_length + 1, -1, np.int64)
    following = np.full(len(pieces), -1, np.int64)
    opened = 0
    for piece in pieces:
        length = lengths[piece]
        room = length
        while room <= row_length and heads[room] < 0:
            room += 1
        if room > row_length:
            row, room = opened, row_length
            opened += 1
        else:
            row = heads[room]
            heads[room] = following[row]
        row_of[piece] = rows + row
        following[row] = heads[room - length]
        heads[room - length] = row
    return rows + opened
