"""How many threads compute a network, and what they do while they wait.

On a machine that others use too, two threads can be twenty times slower than one: each parallel region ends when the slower one
has had its turn, and the faster one spins meanwhile on a core that somebody else needs.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from stemma.layers.cores import cores_free, named_threads

TRIES = 3  # timed calls with each number of threads, in turn
LONG = 2.0  # seconds of a call that is timed only once with each
GAIN = 1.05  # all threads are taken when they are so much faster: they cost the CPU of all


def faster_threads(call: Callable[[], object]) -> int:
    """One thread or all, whichever makes the call sooner here and now; the calls are made for their time alone.

    All threads are those of torch, no more than cores are free. Where the environment names their number nothing is tried.
    """
    most = torch.get_num_threads()
    if named_threads():
        return most
    most = min(most, cores_free())
    if most == 1:
        return 1
    times: dict[int, list[float]] = {1: [], most: []}
    before = torch.get_num_threads()
    try:
        first = _seconds(call, 1)  # sets things up, and counts for nothing
        for _ in range(TRIES if first < LONG else 1):
            for threads, taken in times.items():
                taken.append(_seconds(call, threads))
    finally:
        torch.set_num_threads(before)
    return most if GAIN * statistics.median(times[most]) < statistics.median(times[1]) else 1


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Computes with so many threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(call: Callable[[], object], threads: int) -> float:
    torch.set_num_threads(threads)
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
