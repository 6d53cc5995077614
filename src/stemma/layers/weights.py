"""A network's weights as named arrays and back; a batch's arrays as tensors."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from stemma.errors import BudgetError
from stemma.layers.shapes import check_shapes


def torch_uniform(array: np.ndarray) -> None:
    """Fills the array with numbers in [0, 1) from PyTorch's own generator; `layers.uniform` gives the same without PyTorch."""
    torch.from_numpy(array).uniform_()


def weights(network: nn.Module) -> dict[str, np.ndarray]:
    """The network's parameters and buffers as arrays (views, where they are on the CPU)."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}


def load_weights(network: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copies arrays into the network's parameters and buffers of the same names."""
    places = network.state_dict()
    check_shapes({name: array.shape for name, array in arrays.items()}, {name: tuple(place.shape) for name, place in places.items()})
    with torch.no_grad():
        for name, array in arrays.items():
            places[name].copy_(torch.tensor(array))


def take_over(network: nn.Module, arrays: Mapping[str, np.ndarray], by_token: Sequence[str]) -> None:
    """Copies an earlier run's arrays; those of `by_token` have a row a token, and may have fewer here: they become the first rows."""
    places = network.state_dict()
    for name in set(by_token) & places.keys() & arrays.keys():
        places[name] = places[name][: len(arrays[name])]
    check_shapes({name: array.shape for name, array in arrays.items()}, {name: tuple(place.shape) for name, place in places.items()})
    with torch.no_grad():
        for name, array in arrays.items():
            places[name].copy_(torch.tensor(array))


def check_memory(make: Callable[[], nn.Module], copies: int, arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """BudgetError where the network that `make` makes has more weights, `copies` of them, than this machine has memory.

    So it is, as in `load_weights`, where the `arrays` that it is to have are not its own. The network is made without any: a slip of the
    pen in a size, or a stranger's, would otherwise end the process, not the call.
    """
    with torch.device("meta"), _Undrawn():
        network = make()
    sizes = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    if arrays is not None:
        own = {name: tuple(place.shape) for name, place in network.state_dict().items()}
        check_shapes({name: array.shape for name, array in arrays.items()}, own)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if copies * sizes > memory:
        wrong = f"a network of {sizes / 2**30:,.1f} GiB, of which {copies} are held"
        raise BudgetError(wrong, f"less than the {memory / 2**30:,.1f} GiB of memory here", "choose a smaller model.width, depth or preset")


class _Undrawn(TorchFunctionMode):
    """Leaves weights without numbers as they are: PyTorch would load its compiler, in two seconds, to draw none."""

    _DRAWING: frozenset[Any] = frozenset[Any]((torch.Tensor.normal_, torch.Tensor.uniform_, nn.init.normal_, nn.init.uniform_))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The call itself, but for those that draw."""
        if function in self._DRAWING:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def to_tensors(batch: Mapping[str, np.ndarray], device: torch.device) -> dict[str, torch.Tensor]:
    """The batch's arrays as tensors on the device."""
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in batch.items()}
