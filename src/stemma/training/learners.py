"""What learns, behind one call: `step(batches, rate, seed) -> Step`; and the two manners of making and settling it.

`training.backprop` differentiates the network's `loss` and updates by an optimiser of the table; `training.by_hand` lets tables that
write their own gradients (`descend`) update themselves, without PyTorch.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stemma.errors import RunError
from stemma.lineage.table import Generation, Teaches
from stemma.objectives.batch import Batch
from stemma.objectives.objective import Objective
from stemma.tokens.facts import TokenFacts
from stemma.training.ranks import Ranks
from stemma.training.settings import HandConfig

if TYPE_CHECKING:
    from stemma.training.sharding import Shards

Arrays = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Step:
    """What one update saw, in all processes: mean loss in nats, how many predictions, and the parts of the loss."""

    loss: float
    count: int
    parts: dict[str, float] = field(default_factory=dict)  # name -> mean


class Learner(Protocol):
    """A network with the state of its optimiser, and what one batch leaves to the next."""

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""

    @property
    def kept_mib(self) -> float:
        """MiB of weights, and of what the optimiser keeps of them, that this process holds between two steps."""

    @property
    def shards(self) -> "Shards | None":
        """Weights and optimiser of which this process holds a part; None where it holds all, and `state` gives them."""

    def reading_cost(self) -> dict[str, float]:
        """What it costs to read a text, for the card and the report; empty where vectors are but looked up."""

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """One update from the micro-batches, whose own `rate_scale`, if any, multiplies the rate."""

    def state(self) -> Arrays:
        """All that a resumed run needs, in named groups; `model` holds the weights to keep.

        Every rank calls it; the first gets all of it and the others nothing.
        """

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave; every rank calls it, with the same arrays."""

    def evaluating(self) -> AbstractContextManager[None]:
        """The weights to evaluate and keep stand in the network within this context."""

    def judge(self, loss: float) -> None:
        """Hears the held-out loss, in nats; every rank calls it, with the same loss."""


class NotFinite(RunError):
    """The loss or its gradient is NaN or infinite; `batch` is the one that showed it."""

    def __init__(self, batch: Batch) -> None:
        super().__init__("the loss is not finite", "a finite loss", "lower training.rate, or set training.precision to fp32")
        self.batch = batch


def rate_scale(batches: list[Batch]) -> float:
    """What the batches multiply the rate by, in the mean: of windows of drawn lengths, length / base (Merity 2017, section 5)."""
    scales = [float(batch["rate_scale"]) for batch in batches if "rate_scale" in batch]
    return sum(scales) / len(scales) if scales else 1.0


@dataclass(frozen=True)
class Others:
    """What a network learns from beside its text."""

    earlier: Mapping[str, np.ndarray] | None = None  # the weights of the run that it goes on from
    teacher: Teaches | None = None  # the network that it imitates


class Manner(Protocol):
    """How a generation descends: what `training.descend` calls where autograd and networks of their own gradients differ."""

    def computing(self, threads: int) -> AbstractContextManager[None]:
        """Computes with so many threads within this context; 0: as many as there are."""

    def use(self, threads: int) -> None:
        """From here on with so many, until that context ends."""

    def settled(self, row: Generation, model: Any, training: HandConfig, tokens: TokenFacts, ranks: Ranks) -> tuple[Any, HandConfig]:
        """The config of the model and that of training with every `auto` settled, but for threads."""

    def threads(self, training: HandConfig, ranks: Ranks, make: Callable[[], Learner], batch: Callable[[], Batch]) -> int:
        """How many threads to compute with; a learner from `make` may try."""

    def learner(self, row: Generation, model: Any, training: HandConfig, tokens: TokenFacts, ranks: Ranks, others: Others) -> Learner:
        """The network at its start, or going on from an earlier run's weights, and what moves it."""

    def evaluate(self, learner: Learner, objective: Objective, training: HandConfig, ranks: Ranks) -> tuple[float, dict[str, float]]:
        """The held-out loss and its parts, where the training config (`Config`) sets them."""
