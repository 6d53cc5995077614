"""Uniform numbers as PyTorch's generator on the CPU draws them, without PyTorch: importing it takes longer than a small training.

Both are Mersenne twisters (Matsumoto & Nishimura 1998) that 32 bits seed; a float32 takes the low 24 bits of one draw, a float64
the low 53 of two, the first above the second.
"""

from collections.abc import Callable, Iterator

import numpy as np

PART = 1 << 15  # numbers worked on at once: they stay in the cache, and no more memory is allocated
Uniform = Callable[[np.ndarray], None]  # fills an array of float32 or float64 with numbers in [0, 1)


def uniform(seed: int) -> Uniform:
    """A generator that fills array after array with what `torch.rand` gives after `torch.manual_seed(seed)`."""
    twister = np.random.RandomState(seed & 0xFFFFFFFF)

    def draw(array: np.ndarray) -> None:
        for part in _parts(array):
            if array.dtype == np.float32:
                bits = twister.randint(0, 1 << 32, len(part), np.uint32) & np.uint32((1 << 24) - 1)
                part[:] = bits.astype(np.float32) * np.float32(2.0**-24)
            else:
                pairs = twister.randint(0, 1 << 32, (len(part), 2), np.uint32).astype(np.uint64)
                part[:] = ((pairs[:, 0] << np.uint64(32) | pairs[:, 1]) & np.uint64((1 << 53) - 1)) * 2.0**-53

    return draw


def spread(array: np.ndarray, bound: float) -> None:
    """Makes float32 in [0, 1) numbers in [-bound, bound), rounded once, as `torch.Tensor.uniform_` rounds."""
    low, high = np.float32(-bound), np.float32(bound)
    for part in _parts(array):
        part[:] = part.astype(np.float64) * np.float64(high - low) + np.float64(low)


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    flat = array.view()
    flat.shape = (array.size,)  # an error where it would need a copy
    for first in range(0, len(flat), PART):
        yield flat[first : first + PART]
