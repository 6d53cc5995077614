"""The type that matrix products are computed in: the one choice of precision, made by measuring and then recorded."""

import time
from functools import cache
from typing import Literal

import torch

from stemma.layers.allocator import forget_old_shapes


def choose_precision(setting: Literal["auto", "fp32", "bf16"], device: torch.device) -> Literal["fp32", "bf16"]:
    """fp32, or bf16 autocast where this machine multiplies faster in it (some CPUs are 20x slower)."""
    forget_old_shapes()
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _faster_in_bf16() else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of the precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@cache
def _faster_in_bf16() -> bool:
    """Whether one thread of this CPU is; small products tell at once where bfloat16 is but imitated, a hundred times slower."""
    imitated = _product_seconds(torch.bfloat16, 128) > 3 * _product_seconds(torch.float32, 128)
    return not imitated and _product_seconds(torch.bfloat16, 512) < 0.7 * _product_seconds(torch.float32, 512)


def _product_seconds(dtype: torch.dtype, size: int) -> float:
    """The fastest of a few products of square matrices on one thread, so that a busy machine decides alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    a, times = torch.ones(size, size, dtype=dtype), []
    for _ in range(12):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return min(times)
