"""How much memory this process has held."""

import os
import resource
import sys
from pathlib import Path


def peak_memory_mib() -> float:
    """The most memory this process has held at once, in MiB.

    On Linux not getrusage's figure, which begins with what the parent process held.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 2**10
    except (OSError, StopIteration):  # not Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on macOS bytes
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def memory_mib() -> float:
    """The memory that this process holds now, in MiB; where the system does not tell, the most it has held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux
        return peak_memory_mib()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
