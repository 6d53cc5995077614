"""A network's weights in layers, and as named arrays and back; a batch's arrays as tensors."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from stemma.errors import RunError


class Layer(NamedTuple):
    """Parameters that are frozen, drawn anew, loaded or given a rate together, by their names in the network."""

    name: str  # "embeddings", "block 1", ..., "top"
    parameters: dict[str, nn.Parameter]


def layer(network: nn.Module, name: str, *parts: str) -> Layer:
    """The layer of the network's parameters whose names are `parts` or stand under them."""
    chosen = {key: value for key, value in network.named_parameters() if any(f"{key}.".startswith(f"{part}.") for part in parts)}
    return Layer(name, chosen)


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
