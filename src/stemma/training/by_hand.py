"""Descending by hand: tables that move themselves by compiled kernels, one process, threads of their own, no PyTorch."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from stemma.layers.cores import cores_free, named_threads
from stemma.layers.uniform import uniform
from stemma.lineage.table import DescendsByHand, Generation
from stemma.objectives.batch import Batch, seed_for
from stemma.objectives.objective import Objective
from stemma.tokens.facts import TokenFacts
from stemma.training.learners import Arrays, Learner, NotFinite, Others, Step, rate_scale
from stemma.training.ranks import Ranks
from stemma.training.settings import HandConfig


class Handmade:
    """The `Manner` of tables that write their own gradients."""

    def computing(self, threads: int) -> AbstractContextManager[None]:
        """Each kernel is given its threads."""
        return nullcontext()

    def use(self, threads: int) -> None:
        """Each kernel is given its threads."""

    def settled(self, row: Generation, model: Any, training: HandConfig, tokens: TokenFacts, ranks: Ranks) -> tuple[Any, HandConfig]:
        """As they are: there is nothing to settle."""
        return model, training

    def threads(self, training: HandConfig, ranks: Ranks, make: Callable[[], Learner], batch: Callable[[], Batch]) -> int:
        """All; kernels find out while they go how many are faster."""
        return named_threads() or cores_free()

    def learner(self, row: Generation, model: Any, training: HandConfig, tokens: TokenFacts, ranks: Ranks, others: Others) -> "ByHand":
        """Tables drawn anew, or going on from an earlier run's."""
        draw = uniform(seed_for(training.seed, "init"))
        tables = row.load_network().drawn(model, tokens, draw)
        if others.earlier is not None:
            tables.take_over(others.earlier, draw)
        return ByHand(tables, training.threads or named_threads() or cores_free())

    def evaluate(self, learner: Learner, objective: Objective, training: HandConfig, ranks: Ranks) -> tuple[float, dict[str, float]]:
        """Nothing is held out of what has no probabilities."""
        raise AssertionError("static vectors have no held-out loss")


class ByHand:
    """The learner of tables that write their own gradients and update in place."""

    def __init__(self, tables: DescendsByHand, threads: int) -> None:
        self.tables, self._threads = tables, threads

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""
        return self.tables.parameters

    @property
    def kept_mib(self) -> float:
        """The weights, and what the network keeps beside them."""
        return sum(array.nbytes for group in self.state().values() for array in group.values()) / 2**20

    @property
    def shards(self) -> None:
        """Nothing: the weights are whole."""
        return None

    def reading_cost(self) -> dict[str, float]:
        """Nothing: its vectors are looked up."""
        return {}

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """Descends along each batch in turn."""
        total, summed = 0, 0.0
        for number, batch in enumerate(batches):
            seen = self.tables.descend(batch, rate * rate_scale([batch]), seed + number, self._threads)
            if not np.isfinite(seen.mean):
                raise NotFinite(batch)
            total, summed = total + seen.count, summed + seen.mean * seen.count
        return Step(summed / max(1, total), total)

    def evaluating(self) -> AbstractContextManager[None]:
        """The weights as they are."""
        return nullcontext()

    def judge(self, loss: float) -> None:
        """The loss changes nothing."""

    def state(self) -> Arrays:
        """The weights, and what the network keeps beside them."""
        kept = self.tables.optimiser_state()
        return {"model": self.tables.arrays()} | ({"optimiser": kept} if kept else {})

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave."""
        self.tables.take_up(arrays["model"])
        self.tables.restore_optimiser(arrays.get("optimiser", {}))
