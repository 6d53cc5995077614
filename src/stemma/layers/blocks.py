# ruff: noqa: F722 (axis names stand in annotations)
"""What networks of blocks are made of beside attention: the position-wise network, and layers by name. Axes: D width."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from stemma.layers.fast import Activation, Dense, activate


class FeedForward(nn.Module):
    """down(gelu(up(x))), at every position alike (Vaswani 2017, section 3.3); `inner` is the paper's d_ff."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.up = Dense(width, inner)
        self.down = Dense(inner, width)

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """The network at every position."""
        return self.down(activate(self.up(x), self.activation))


class Called(NamedTuple):
    """The module of a layer whose parameters a network's `loss` reads in no other way than by calling these methods of it."""

    module: nn.Module
    methods: tuple[str, ...] = ()  # beside `forward`


class Layer(NamedTuple):
    """Parameters that are frozen, drawn anew, loaded or given a rate together, by their names in the network."""

    name: str  # "embeddings", "block 1", ..., "top"
    parameters: dict[str, nn.Parameter]
    block: bool = False  # one of a tower of equal ones, whose matrices map states to states
    called: Called | None = None  # None: its parameters are read here and there
    modules: tuple[nn.Module, ...] = ()  # where its parameters stand, and the dropout on what it gives


def layer(network: nn.Module, name: str, *parts: str, block: bool = False, called: Called | None = None) -> Layer:
    """The layer of the network's parameters whose names are `parts` or stand under them; `block` says whether it is one.

    A part may be a module without parameters: dropout that belongs to the layer.
    """
    chosen = {key: value for key, value in network.named_parameters() if any(f"{key}.".startswith(f"{part}.") for part in parts)}
    modules = dict(network.named_modules())
    return Layer(name, chosen, block, called, tuple(modules[part] for part in parts if part in modules))
