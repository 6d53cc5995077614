"""What a number was made on and what it cost: the machine's facts, and a meter of time and memory."""

import contextlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import stemma
from stemma.evaluation.comparison.load import mean_load, read_load, taken_by_others
from stemma.kernels.clocks import Spent, compiling, working
from stemma.training.peak import peak_memory_mib


def environment() -> dict[str, Any]:
    """The machine and the software, as JSON-able values."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
    }


def commit() -> str | None:
    """The commit of the checkout this package runs from, `+` behind it when files were changed; None for an installed one."""
    root = Path(stemma.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


class Meter:
    """Measures a block of code: wall and CPU seconds (child processes included), this process's peak memory, and who else computed.

    The peak is of the block alone where the system can start it anew (Linux), else of the process so far. Compiling kernels is
    counted apart: `compiling`. `root` is the process whose family the block belongs to; others are outside it.
    """

    def __init__(self, root: int = 0) -> None:
        self._root = root or os.getpid()

    def __enter__(self) -> Self:
        _forget_peak()
        self._began, self._compiled, self._load = working(), compiling(), read_load(self._root)
        return self

    def __exit__(self, *_: object) -> None:
        self.working, self.compiling = working().minus(self._began), compiling().minus(self._compiled)
        self.others = taken_by_others(self._load, read_load(self._root))
        self.costs = {
            "wall_seconds": self.working.seconds,
            "cpu_seconds": self.working.cpu_seconds,
            "peak_bytes": int(peak_memory_mib() * 2**20),
        }

    def spent(self) -> dict[str, float]:
        """The costs by the names that a stage's result has for them."""
        return {"seconds": self.costs["wall_seconds"], "cpu_seconds": self.costs["cpu_seconds"], "peak_bytes": self.costs["peak_bytes"]}

    def circumstances(self, threads: int, asked_threads: int) -> dict[str, Any]:
        """What it was measured under, as `results.Circumstances` reads it."""
        found = environment()
        made = {"threads": threads, "asked_threads": asked_threads, "cores": found["cores"], "cpu": found["cpu"]}
        return {**made, "others": self.others, "load": mean_load()}


def parts(**spent: Spent) -> dict[str, Any]:
    """The parts of a cost, as `results.Costs` reads them."""
    return {name: part._asdict() for name, part in spent.items()}


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # 5: the peak starts anew (proc(5))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
