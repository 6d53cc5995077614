"""Where time goes: work, by the clock and by the processors, and apart from it the compiling of kernels.

Kernels are compiled once a machine and kept (`compiling`), so their seconds must not stand among those of whichever run came first.
"""

import os
import time
from typing import Any, NamedTuple, Self

from numba.core import event


class Spent(NamedTuple):
    """Seconds of work; only differences of two readings of a clock mean anything."""

    seconds: float = 0.0  # by the clock
    cpu_seconds: float = 0.0  # of all threads, and of child processes that have ended

    def plus(self, other: Self) -> Self:
        """Both together."""
        return type(self)(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def minus(self, other: Self) -> Self:
        """What is left without the other; never less than nothing."""
        return type(self)(max(0.0, self.seconds - other.seconds), max(0.0, self.cpu_seconds - other.cpu_seconds))


class _Compiling(event.Listener):
    """Adds up what Numba takes to compile. A kernel compiles those it calls: the outermost counts. Numba lets one thread in at a time."""

    def __init__(self) -> None:
        self.spent, self._depth, self._begun = Spent(), 0, Spent()

    def on_start(self, event: Any) -> None:
        """A compilation begins."""
        if self._depth == 0:
            self._begun = Spent(time.perf_counter(), time.thread_time())
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """It has ended, well or badly."""
        self._depth -= 1
        if self._depth == 0:
            self.spent = self.spent.plus(Spent(time.perf_counter(), time.thread_time()).minus(self._begun))


_compiling = _Compiling()
event.register("numba:compile", _compiling)


def compiling() -> Spent:
    """What this process has spent on compiling kernels so far."""
    return _compiling.spent


def working() -> Spent:
    """A clock that stands still while kernels are compiled."""
    times = os.times()
    cpu = time.process_time() + times.children_user + times.children_system
    return Spent(time.perf_counter(), cpu).minus(_compiling.spent)
