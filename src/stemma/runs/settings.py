"""What of the section `transfer` must be known again to use what it made."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from stemma.config import Positive

Mode = Literal["frozen", "finetune", "scratch", "random"]
Manner = Literal["linear", "network", "moving"]
FIXED = ("frozen", "random")  # the modes whose network does not move


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
    layers: tuple[int, ...] = ()  # linear head: whose states are read, 0 = embeddings, -1 = last; empty: the last four
    order: Annotated[int, Ge(1), Le(5)] = 2  # n-grams of the task text, for counting generations
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of descending; auto: bf16 where this machine is faster in it

    @property
    def manner(self) -> Manner:
        """What learns: a linear model or the task network on fixed states, or all of the run, moving."""
        return self.head if self.mode in FIXED else "moving"
