"""What stands between the products of an LSTM's step (`layers.projected`), in one pass over the numbers.

N rows, C cells. Gates stand side by side in the order i, f, g, o: (N, 4C), float32, as everything here.
"""

import numpy as np

from stemma.kernels.compiling import compiled, inlined
from stemma.kernels.exponential import exp2

LOG2_E = np.float32(1.442695041)


@inlined
def logistic(x):
    """1 / (1 + exp(-x)), within 1e-7."""
    e = exp2(max(abs(x) * -LOG2_E, np.float32(-126)))
    return (np.float32(1) if x > 0 else e) / (np.float32(1) + e)


@inlined
def tanh(x):
    """The hyperbolic tangent, within 2e-7."""
    e = exp2(max(abs(x) * (np.float32(-2) * LOG2_E), np.float32(-126)))
    size = (np.float32(1) - e) / (np.float32(1) + e)
    return size if x > 0 else -size


@compiled(fastmath=True, error_model="numpy")
def step(gates, before, cells, squashed, read, clip):
    """From the gates' sums to the gates, in place; writes the clipped cells, their tanh, and what the projection reads, all (N C)."""
    (rows, size), clip = cells.shape, np.float32(clip)
    for n in range(rows):
        i_row, f_row, g_row, o_row = gates[n, :size], gates[n, size : 2 * size], gates[n, 2 * size : 3 * size], gates[n, 3 * size :]
        was, cell, tan, out = before[n], cells[n], squashed[n], read[n]
        for k in range(size):
            i, f, g, o = logistic(i_row[k]), logistic(f_row[k]), tanh(g_row[k]), logistic(o_row[k])
            c = min(max(f * was[k] + i * g, -clip), clip)
            t = tanh(c)
            i_row[k], f_row[k], g_row[k], o_row[k] = i, f, g, o
            cell[k], tan[k], out[k] = c, t, o * t


@compiled(fastmath=True, error_model="numpy")
def step_back(gates, before, cells, squashed, d_read, d_cells, d_gates, clip):
    """Slopes of the gates' sums from those of what the projection reads; `d_cells` of the step's cells become those of the step before."""
    rows, size = cells.shape
    one, clip = np.float32(1), np.float32(clip)
    for n in range(rows):
        i_row, f_row, g_row, o_row = gates[n, :size], gates[n, size : 2 * size], gates[n, 2 * size : 3 * size], gates[n, 3 * size :]
        d_i, d_f, d_g, d_o = d_gates[n, :size], d_gates[n, size : 2 * size], d_gates[n, 2 * size : 3 * size], d_gates[n, 3 * size :]
        was, cell, tan, d_out, d_cell = before[n], cells[n], squashed[n], d_read[n], d_cells[n]
        for k in range(size):
            i, f, g, o, t = i_row[k], f_row[k], g_row[k], o_row[k], tan[k]
            d_c = d_cell[k] + d_out[k] * o * (one - t * t)
            d_c = d_c if abs(cell[k]) < clip else np.float32(0)
            d_i[k], d_f[k] = d_c * g * i * (one - i), d_c * was[k] * f * (one - f)
            d_g[k], d_o[k] = d_c * i * (one - g * g), d_out[k] * t * o * (one - o)
            d_cell[k] = d_c * f
