"""Who else computes on the machine: times on a busy one are too long, and nobody sees it from the times alone."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

BUSY = 0.1  # share of the cores' time taken by others, above which times are not to be trusted
SHORTEST = 0.5  # seconds: the system counts in hundredths, and a shorter stretch tells nothing
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, steal


@dataclass(frozen=True)
class Reading:
    """The machine at one moment."""

    clock: float
    busy: float  # CPU seconds of everybody, all cores, since the start of the machine
    ours: float  # of our family
    cores: int  # of the machine


def read_load(root: int) -> Reading | None:
    """The machine now, where `root` is the process whose family is ours; None where the system does not tell (not Linux)."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        whole = [int(word) for word in lines[0].split()[1:]]
        busy = sum(whole[place] for place in _BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
        cores = sum(line.startswith("cpu") for line in lines) - 1
    except (OSError, ValueError, IndexError):
        return None
    return Reading(time.monotonic(), busy, family_seconds(root), cores)


def taken_by_others(before: Reading | None, after: Reading | None) -> float | None:
    """The share of all cores' time that went to other programs between two readings; None where that cannot be told."""
    if before is None or after is None or after.clock - before.clock < SHORTEST or not after.cores:
        return None
    others = (after.busy - before.busy) - (after.ours - before.ours)
    return min(1.0, max(0.0, others / (after.cores * (after.clock - before.clock))))


def family_seconds(root: int) -> float:
    """CPU seconds of the process `root` and all its descendants, those that have ended and been waited for included."""
    spent: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        spent[int(place.name)] = sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")  # its own, and its ended children's
        children.setdefault(int(words[1]), []).append(int(place.name))
    waiting, total = [root], 0.0
    while waiting:
        process = waiting.pop()
        total += spent.get(process, 0.0)
        waiting += children.get(process, [])
    return total


def mean_load() -> float | None:
    """Processes that ran or waited for a core, averaged over the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None
