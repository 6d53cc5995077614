"""Uniform numbers as PyTorch's generator on the CPU draws them, without PyTorch: importing it takes longer than a small training.

Both are Mersenne twisters (Matsumoto & Nishimura 1998) that 32 bits seed; a float32 takes the low 24 bits of one draw, a float64
the low 53 of two, the first above the second.
"""

from collections.abc import Callable

import numpy as np

Uniform = Callable[[int, type], np.ndarray]  # (how many, float32 or float64) -> numbers in [0, 1)


def uniform(seed: int) -> Uniform:
    """A generator that gives, call after call, what `torch.rand` gives after `torch.manual_seed(seed)`."""
    twister = np.random.RandomState(seed & 0xFFFFFFFF)

    def draw(count: int, dtype: type) -> np.ndarray:
        if dtype is np.float32:
            return (twister.randint(0, 1 << 32, count, np.uint32) & np.uint32((1 << 24) - 1)).astype(np.float32) * np.float32(2.0**-24)
        pairs = twister.randint(0, 1 << 32, (count, 2), np.uint32).astype(np.uint64)
        return ((pairs[:, 0] << np.uint64(32) | pairs[:, 1]) & np.uint64((1 << 53) - 1)) * 2.0**-53

    return draw


def spread(numbers: np.ndarray, bound: float) -> np.ndarray:
    """Numbers in [0, 1) as float32 in [-bound, bound), rounded once, as `torch.Tensor.uniform_` rounds."""
    low, high = np.float32(-bound), np.float32(bound)
    return (numbers.astype(np.float64) * np.float64(high - low) + np.float64(low)).astype(np.float32)
