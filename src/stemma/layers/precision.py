"""The type that matrix products are computed in."""

import torch


def product_type(x: torch.Tensor) -> torch.dtype:
    """Autocast's type on `x`'s device where autocast is on, else the type of `x`."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
