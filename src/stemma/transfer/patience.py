"""Early stopping: what learns is measured on the way, the best of its weights are kept, and it ends when none better come."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stemma.layers.weights import load_weights, weights
from stemma.training.backprop import Backprop
from stemma.training.learners import Arrays
from stemma.training.loop import Reached
from stemma.transfer.recipe import Rank

BEST, RANK = "best", "rank"  # the group of a learner's state that holds the best weights, and its array that tells how good they are


class Patient(Backprop):
    """A learner that keeps the best of its weights, in its state too; `measure` says how good they are as they stand.

    It is measured after `marks` evenly spaced ones of all `steps` updates, and ends after `patience` measurements without a better one.
    """

    def __init__(self, measure: Callable[[], Rank], steps: int, marks: int, patience: int, *backprop: Any) -> None:
        """`backprop` is what a `Backprop` is made of."""
        super().__init__(*backprop)
        self._measure, self._patience = measure, patience
        self._marks = {max(1, round(steps * (k + 1) / marks)) for k in range(marks)}
        self._best: dict[str, np.ndarray] = {}

    def state(self) -> Arrays:
        """The learner's, and the best weights with their rank."""
        return super().state() | ({BEST: self._best} if self._best else {})

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up what `state` gave."""
        self._best = {name: np.array(array) for name, array in arrays.get(BEST, {}).items()}
        super().restore(arrays)

    def measure(self, reached: Reached) -> None:
        """Where it is time to: keeps the weights if they are the best so far, and else loses patience, at whose end it is `stopped`."""
        if reached.step not in self._marks:
            return
        rank = self._measure()
        if not self._best or rank > tuple(self._best[RANK].tolist()):
            self._best = {name: array.copy() for name, array in weights(self.network).items()} | {RANK: np.array(rank)}
            reached.best_step, reached.waited = reached.step, 0
        else:
            reached.waited += 1
            reached.stopped = reached.waited >= self._patience

    def take_best(self) -> None:
        """Puts the best weights into the network."""
        load_weights(self.network, {name: array for name, array in self._best.items() if name != RANK})
