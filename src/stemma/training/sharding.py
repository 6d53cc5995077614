"""Weights in shards: each process keeps a part of every weight, of its slope and of what the optimiser keeps of it (FSDP2).

PyTorch's `fully_shard` (Zhao 2023, "PyTorch FSDP"; the idea is stage 3 of ZeRO, Rajbhandari 2020): the parts are put together for a
computation and let go of after it, and slopes are added up so that each process gets those of its own part. States are saved by
`torch.distributed.checkpoint`, each process its own parts, as safetensors files, and read again by any number of processes.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint import TensorStorageMetadata
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from stemma.layers.shapes import check_shapes
from stemma.lineage.table import Network
from stemma.training.optimisers import Optimiser

MODEL, OPTIMISER = "model/", "optimiser/"  # what the names of tensors begin with


def shard(network: nn.Module) -> None:
    """Parts the network's weights among the processes of the group; each of the blocks that are `called` whole is gathered by itself.

    `loss` gathers what it reads, so every process must call it as often as the others.
    """
    for layer in cast(Network, network).layers():
        if layer.called:
            fully_shard(layer.called.module)
            for method in layer.called.methods:
                register_fsdp_forward_method(layer.called.module, method)
    fully_shard(network)
    register_fsdp_forward_method(network, "loss")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor put together in every process, all of which call this; one that is in no parts as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def parted_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A tensor that every process has, in parts as those of `like`, where that is in parts and of the same shape."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


class Shards:
    """This process's part of a network's weights, which are in shards, and of what its optimiser keeps of them.

    Files hold the tensors as `model/NAME` and `optimiser/WHAT/NAME`. Every process calls each of the methods.
    """

    def __init__(self, network: nn.Module, optimiser: Optimiser) -> None:
        self._network, self._optimiser = network, optimiser

    @property
    def mib(self) -> float:
        """What this process holds of them."""
        return sum((tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes for tensor in self._tensors().values()) / 2**20

    def save(self, folder: Path) -> None:
        """Writes this process's part into the folder."""
        dcp.save(self._tensors(), storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))

    def load(self, folder: Path) -> None:
        """Takes up what any number of processes saved there, each process its own part."""
        tensors: dict[str, torch.Tensor] = {name: tensor for name, tensor in self._tensors().items() if name.startswith(MODEL)}
        parameters = dict(self._network.named_parameters())
        for name, stored in _stored(folder).items():
            if name.startswith(OPTIMISER):
                like = parameters[name.removeprefix(OPTIMISER).partition("/")[2]]
                alike = stored.size == like.shape
                tensors[name] = torch.zeros_like(like.detach()) if alike else torch.zeros(stored.size, dtype=stored.properties.dtype)
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))
        self._optimiser.restore({name.removeprefix(OPTIMISER): tensor for name, tensor in tensors.items() if name.startswith(OPTIMISER)})

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up the groups `model` and `optimiser` of whole arrays, of which every process has all and keeps its own part."""
        places, parameters = self._network.state_dict(), dict(self._network.named_parameters())
        shapes = {name: tuple(place.shape) for name, place in places.items()}
        check_shapes({name: array.shape for name, array in arrays["model"].items()}, shapes)
        with torch.no_grad():
            for name, array in arrays["model"].items():
                places[name].copy_(parted_like(torch.tensor(array), places[name]))
        kept = {name: parted_like(torch.tensor(array), parameters[name.partition("/")[2]]) for name, array in arrays["optimiser"].items()}
        self._optimiser.restore(kept)

    def _tensors(self) -> dict[str, torch.Tensor]:
        model = {f"{MODEL}{name}": tensor for name, tensor in self._network.state_dict().items()}
        return model | {f"{OPTIMISER}{name}": tensor for name, tensor in self._optimiser.tensors().items()}


def joined(folder: Path, *groups: str) -> dict[str, dict[str, np.ndarray]]:
    """The whole arrays of the groups (`model`, `optimiser`), put together from the folder's shards by this process alone."""
    chosen = {name: one for name, one in _stored(folder).items() if name.startswith(tuple(f"{group}/" for group in groups))}
    tensors = {name: torch.empty(one.size, dtype=one.properties.dtype) for name, one in chosen.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # as is meant
        dcp.load(dict(tensors), storage_reader=dcp.HuggingFaceStorageReader(str(folder)), no_dist=True)
    return {
        group: {name.removeprefix(f"{group}/"): one.numpy() for name, one in tensors.items() if name.startswith(f"{group}/")}
        for group in groups
    }


def _stored(folder: Path) -> dict[str, TensorStorageMetadata]:
    """What the folder's shards hold, by name: whole shapes and types."""
    metadata = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: cast(TensorStorageMetadata, one) for name, one in metadata.items() if name.startswith((MODEL, OPTIMISER))}
