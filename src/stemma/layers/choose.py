"""Chooses, by measuring, between ways of computing the same thing on this machine.

The caller records what was chosen in the run's config: a resumed run must compute as it did before.
"""

import time

import torch

from stemma.layers.attention import Path, SelfAttention, block_mask

REPEATS = 5  # the fastest of these counts, so that a busy neighbour does not decide


def attention_path(
    width: int, heads: int, length: int, *, dropout: float, causal: bool, device: torch.device, dtype: torch.dtype, rows: int = 8
) -> Path:
    """The faster of the attention paths, forward and backward, for rows of `length` positions.

    `dtype` other than float32 means autocast to it. Takes well under a second; leaves the random state as it was.
    """
    if device.type != "cpu":
        return "sdpa"
    with torch.random.fork_rng(devices=[]):
        seconds = {path: _seconds(path, width, heads, length, dropout, causal, dtype, rows) for path in ("explicit", "sdpa")}
    return min(seconds, key=seconds.__getitem__)


def _seconds(path: Path, width: int, heads: int, length: int, dropout: float, causal: bool, dtype: torch.dtype, rows: int) -> float:
    """The fastest of a few passes through one layer, in seconds of this process."""
    layer = SelfAttention(width, heads, dropout, path)
    x = torch.randn(rows, length, width, requires_grad=True)
    segments = 1 + (torch.arange(length) * 4 // length).expand(rows, -1)
    best = float("inf")
    for _ in range(REPEATS + 1):
        start = time.process_time()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            y = layer(x, block_mask(None if causal else segments, causal))
        y.float().sum().backward()
        best = min(best, time.process_time() - start)
    return best
