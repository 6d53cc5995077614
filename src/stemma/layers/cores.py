"""How many cores there are to compute on, and how many the user allows."""

import math
import os
from pathlib import Path

from stemma.errors import UsageError


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
    """How many threads the environment sets; 0 where it sets no number."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is one number a nested level
    return int(first) if first.isdecimal() else 0


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
