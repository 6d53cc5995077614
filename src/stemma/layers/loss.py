"""The loss that crosses rooms: a mean in nats and the count it is a mean of."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, slots=True)
class Loss:
    """`mean` nats per prediction (a scalar tensor, with its graph), over `count` predictions.

    `parts` holds what a report shows separately: name -> (sum in nats, count), plain floats or
    detached scalar tensors.
    """

    mean: torch.Tensor
    count: int
    parts: dict[str, tuple[torch.Tensor | float, int]] = field(default_factory=dict)
