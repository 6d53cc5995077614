"""How much memory this process has held."""

import resource
import sys


def peak_memory_mib() -> float:
    """The most memory this process has held at once, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on macOS bytes
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
