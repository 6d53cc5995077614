"""The one choice of device and precision, made by measuring and then recorded."""

import time
from typing import Literal

import torch

from stemma.errors import UsageError
from stemma.layers.allocator import forget_old_shapes
from stemma.training.settings import Device, Precision


def choose_device(asked: Device, local: int = 0) -> torch.device:
    """The device to train on; `auto` takes a GPU when there is one."""
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device = 'cuda', but torch sees no GPU", "a machine with one", "set training.device to cpu or auto")
    return torch.device(asked, local) if asked == "cuda" else torch.device(asked)


def choose_precision(asked: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """fp32, or bf16 autocast where this machine multiplies faster in it (some CPUs are 20x slower)."""
    forget_old_shapes()
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _product_seconds(torch.bfloat16) < 0.7 * _product_seconds(torch.float32) else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of the precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def _product_seconds(dtype: torch.dtype) -> float:
    """The fastest of a few 512 x 512 matrix products on one thread, so that a busy machine decides alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    a, times = torch.ones(512, 512, dtype=dtype), []
    for _ in range(12):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return min(times)
