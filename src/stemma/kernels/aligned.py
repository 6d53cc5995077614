"""Arrays that begin on a cache line, so that vector loads do not straddle two; NumPy's own begin 16 bytes behind one."""

import math

import numpy as np

LINE = 64  # bytes


def aligned_zeros(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Zeros on the border of a cache line, in huge pages where the system has them: NumPy asks for those when it need not clear."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    room.fill(0)
    first = -room.ctypes.data % LINE
    return room[first : first + size].view(dtype).reshape(shape)
