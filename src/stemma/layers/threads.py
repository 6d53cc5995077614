"""How many threads compute a network, and what they do while they wait.

On a machine that others use too, two threads can be twenty times slower than one: each parallel region ends when the slower one
has had its turn, and the faster one spins meanwhile on a core that somebody else wants.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from stemma.errors import UsageError

TRIES = 3  # timed calls with each number of threads, in turn
LONG = 2.0  # seconds of a call that is timed only once with each
GAIN = 1.05  # all threads are taken when they are so much faster: they cost the CPU of all


def cores_free() -> int:
    """The cores that this process may compute on: those it is bound to, and no more than a container's share of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(bound, _quota())))


def check_cores(option: str, threads: int) -> None:
    """UsageError where `option` names more threads than there are cores: none of them would be faster.

    For what begins: what was begun on a bigger machine goes on as it was begun, since another number may round otherwise.
    """
    cores = cores_free()
    if threads > cores:
        here = "only 1 core is free for it" if cores == 1 else f"only {cores} cores are free for it"
        raise UsageError(f"{option} = {threads}, and {here} here", f"1 to {cores}, or 0 for what is faster", f"set {option} to 0")


def named_threads() -> int:
    """How many threads the environment asks for; 0 where it asks for no number."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is one number a nested level
    return int(first) if first.isdecimal() else 0


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


def _quota() -> float:
    """Cores' worth of time that the control group allows, of either version; infinite where it sets no limit."""
    try:
        allowed, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return math.inf if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        pass
    try:
        allowed, period = (Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return int(allowed) / int(period) if int(allowed) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
