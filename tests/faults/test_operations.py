"""A command that is killed at any of its file operations, or finds the disk full at any write, and is given again, ends as ever."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.operations import KINDS

PROGRAM = Path(__file__).with_name("operations.py")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_faults_change_nothing(kind: str) -> None:
    """In a process of its own, which it forks from."""
    done = subprocess.run([sys.executable, str(PROGRAM), "--kinds", kind, "--most", "3"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith(", 0 lost"), done.stdout
