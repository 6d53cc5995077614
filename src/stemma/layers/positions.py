# ruff: noqa: F722 (axis names stand in annotations)
"""Where a token stands, as waves of many lengths (Vaswani 2017, section 3.5). Axes: T positions, D width."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Order = Literal["interleaved", "halves"]


def sinusoids(length: int, width: int, order: Order = "interleaved") -> Float[Tensor, "T D"]:
    """Row p holds the sine and the cosine of p / 10000^(2i / width) for every i; positions are numbered from 0.

    `interleaved`: sine and cosine side by side, as the paper writes it. `halves`: all sines, then all cosines, with rates
    that end at 1/10000 exactly, as tensor2tensor and fairseq compute it: a network learns either, published weights need their own.
    On the device `meta`, for which PyTorch would load its compiler, the table has no numbers.
    """
    if torch.get_default_device().type == "meta":
        return torch.empty(length, width)
    half = (width + 1) // 2
    if order == "interleaved":
        rates = torch.exp(torch.arange(half, dtype=torch.float64) * (-2 * math.log(10000.0) / width))
    else:
        rates = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000.0) / max(1, half - 1)))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    waves = [angles.sin(), angles.cos()]
    table = torch.stack(waves, 2).flatten(1) if order == "interleaved" else torch.cat(waves, 1)
    return table[:, :width].float()
