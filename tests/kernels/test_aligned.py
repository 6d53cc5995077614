"""Arrays on the border of a cache line."""

import numpy as np

from stemma.kernels.aligned import LINE, aligned_zeros


def test_arrays_begin_on_a_cache_line_and_hold_nothing():
    for shape in [(1,), (3, 5), (7, 300), (2, 3, 4)]:
        for dtype in (np.float32, np.float64):
            made = aligned_zeros(shape, dtype)
            assert made.shape == shape and made.dtype == dtype and made.ctypes.data % LINE == 0 and not made.any()
            made += 1  # writeable, and no view of what something else holds
