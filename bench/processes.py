"""What a command costs, measured from outside."""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import Popen
from typing import IO


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    cpu_seconds: float
    peak_mib: float


def cost(command: Sequence[str], out: IO | None = None) -> Cost:
    """Runs the command on one thread, its output to `out`; one that fails ends the measuring with what it said.

    Bytecode is kept between rounds, as it is for packages that pip installed. Its peak of memory begins with what this process holds:
    measure memory from a small one.
    """
    with tempfile.TemporaryFile() as errors:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
        process = Popen(command, stdout=out or errors, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read().decode(errors='replace')}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10)
