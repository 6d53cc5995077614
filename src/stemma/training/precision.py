"""The one choice of device; that of precision stands in `layers.precision`."""

import torch

from stemma.errors import UsageError
from stemma.layers.precision import autocast, choose_precision
from stemma.training.settings import Device

__all__ = ["autocast", "choose_device", "choose_precision"]


def choose_device(setting: Device, local: int = 0) -> torch.device:
    """The device to train on; `auto` takes a GPU when there is one."""
    if setting == "auto":
        setting = "cuda" if torch.cuda.is_available() else "cpu"
    if setting == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device = 'cuda', but torch sees no GPU", "a machine with one", "set training.device to cpu or auto")
    return torch.device(setting, local) if setting == "cuda" else torch.device(setting)
