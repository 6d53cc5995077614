"""From steps to epochs and rows: sample order depends on the seed and the step, and on nothing else."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Plan(Protocol):
    """One epoch laid out: how many rows it has."""

    @property
    def rows(self) -> int:
        """Rows in the epoch."""


P = TypeVar("P", bound=Plan)


class Epochs(Generic[P]):
    """Numbers the steps of all epochs. A step never spans two epochs; an epoch's last step may be short."""

    def __init__(self, plan: Callable[[int], P], rows_per_step: int) -> None:
        self._plan = plan
        self._rows_per_step = rows_per_step
        self._first_steps = [0]  # first step of each epoch seen so far
        self._current: tuple[int, P] | None = None

    def plan(self, epoch: int) -> P:
        """The epoch's plan; the latest one is kept."""
        if self._current is None or self._current[0] != epoch:
            self._current = (epoch, self._plan(epoch))
            if epoch == len(self._first_steps) - 1:
                self._first_steps.append(self._first_steps[epoch] + self.steps(epoch))
        return self._current[1]

    def steps(self, epoch: int) -> int:
        """How many steps the epoch has."""
        return -(-self.plan(epoch).rows // self._rows_per_step)

    def locate(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        while step >= self._first_steps[-1]:
            self.plan(len(self._first_steps) - 1)
        epoch = next(e for e in range(len(self._first_steps) - 1, -1, -1) if self._first_steps[e] <= step)
        return epoch, step - self._first_steps[epoch]

    def rows(self, step: int, rank: int, ranks: int) -> tuple[P, int, range]:
        """(plan, epoch, the rows of it that `rank` takes at `step`)."""
        epoch, within = self.locate(step)
        plan = self.plan(epoch)
        first = within * self._rows_per_step
        return plan, epoch, range(first + rank, min(first + self._rows_per_step, plan.rows), ranks)
