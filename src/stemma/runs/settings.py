"""What of the section `transfer` must be known again to use what it made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from stemma.bounds import Natural, Positive
from stemma.config import ReadIf
from stemma.errors import UsageError

Mode = Literal["frozen", "finetune", "scratch", "random"]
Precision = Literal["auto", "fp32", "bf16"]
Layers = Annotated[tuple[int, ...], ReadIf("mode", "frozen", "random"), ReadIf("head", "linear")]
Way = Literal["frozen", "frozen-network", "random", "random-network", "finetune", "scratch"]
WAYS: dict[str, tuple[str, str]] = {  # to carry a run over: its mode and head; what moves has the paper's own small head
    "frozen": ("frozen", "linear"),
    "frozen-network": ("frozen", "network"),
    "random": ("random", "linear"),
    "random-network": ("random", "network"),
    "finetune": ("finetune", "linear"),
    "scratch": ("scratch", "linear"),
}


@dataclass(frozen=True)
class InUse:
    """How a run stands to its task, and how texts are read.

    `frozen`: the network is fixed, a head learns on its states. `finetune`: everything moves. `scratch`: as `finetune`, from a
    newly drawn network. `random`: as `frozen`, from a newly drawn one.
    """

    mode: Mode = "finetune"
    head: Literal["linear", "network"] = "linear"  # frozen: a linear model, or one small network of the same size for every generation
    batch_tokens: Positive = 8192  # positions computed at once; longer batches are split and their gradients added
    max_length: Positive = 128  # tokens of an example, specials included; the rest is cut and counted
    stride: Natural = 0  # tokens from window to window of a text whose words are answered for, a window's at most; 0: three fourths of one
    layers: Layers = ()  # linear head: whose states are read, 0 = embeddings, -1 = last; empty: the last four
    order: Annotated[int, Ge(1), Le(5)] = 2  # n-grams of the task text, for counting generations
    precision: Precision = "auto"  # of descending; auto: bf16 where this machine is faster in it

    @property
    def way(self) -> str:
        """Mode and head by one name; UsageError where the mode has no such head."""
        for way, pair in WAYS.items():
            if pair == (self.mode, self.head):
                return way
        raise UsageError(f"transfer.head = {self.head!r} with transfer.mode = {self.mode!r}", "linear", "drop transfer.head")


def chosen_layers(layers: Sequence[int], available: int) -> tuple[int, ...]:
    """The given layers (negative ones counted from the end), or of none given the last four (Devlin 2018, table 7)."""
    if not layers:
        return tuple(range(max(available - 4, 1 if available > 1 else 0), available))
    for layer in layers:
        if not -available <= layer < available:
            raise UsageError(f"transfer.layers has {layer}", f"layers 0 to {available - 1}, or -{available} to -1", "mend transfer.layers")
    return tuple(sorted({layer % available for layer in layers}))
