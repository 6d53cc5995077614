"""A network's weights as named arrays and back; a batch's arrays as tensors."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from stemma.errors import RunError


def weights(network: nn.Module) -> dict[str, np.ndarray]:
    """The network's parameters and buffers as arrays (views, where they are on the CPU)."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}


def load_weights(network: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copies arrays into the network's parameters and buffers of the same names."""
    places = network.state_dict()
    for name, array in arrays.items():
        if name not in places or tuple(places[name].shape) != array.shape:
            there = tuple(places[name].shape) if name in places else "no such tensor"
            raise RunError(
                f"the weights hold {name} {array.shape}, the network {there}",
                "weights of this network",
                "check that config.json belongs to them",
            )
    if missing := places.keys() - arrays.keys():
        raise RunError(
            f"the weights lack {', '.join(sorted(missing))}", "weights of this network", "check that config.json belongs to them"
        )
    with torch.no_grad():
        for name, array in arrays.items():
            places[name].copy_(torch.tensor(array))


def to_tensors(batch: Mapping[str, np.ndarray], device: torch.device) -> dict[str, torch.Tensor]:
    """The batch's arrays as tensors on the device."""
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in batch.items()}
