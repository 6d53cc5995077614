"""Worker processes that read the corpus."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from stemma.corpus.workers import Team
from stemma.errors import BudgetError, DataError, RunError

SCRIPT = """
import os, time
from stemma.corpus.workers import ordered_map

def work(job):
    os.write(1, b"%d\\n" % os.getpid())  # one write, so that two readers' lines do not mix
    time.sleep(0.2)

list(ordered_map(work, range(10_000), 2))
"""


def gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # ended, and nobody has asked for its exit code yet


def test_readers_end_with_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        readers = set()
        while len(readers) < 2:
            readers.add(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 30
        while not all(map(gone, readers)):
            assert time.monotonic() < deadline, "the readers outlive their parent"
            time.sleep(0.05)


@pytest.mark.parametrize("fork", [True, False])
def test_a_worker_that_is_killed_is_reported_at_once(fork: bool) -> None:
    with Team(die_at_seven, 2, fork=fork) as team:
        answers = [team.submit(number) for number in range(20)]
        with pytest.raises(BudgetError, match=r"one of 2 worker processes was killed.*set workers lower") as raised:
            for number, answer in enumerate(answers):
                assert len(answer.result(timeout=60)) == 1_000_000 + number
    assert raised.value.exit_code == 4


def test_a_worker_killed_within_its_answer_is_reported_at_once() -> None:
    """What it had sent of the answer stands in the pipe, and the rest never comes."""
    with Team(long_answer, 2, fork=True) as team:
        first, second = (team.submit(number) for number in range(2))
        deadline = time.monotonic() + 60
        for worker in team._workers:
            while worker.pipe.poll(0) is False and time.monotonic() < deadline:
                pass
            os.kill(worker.process.pid, signal.SIGKILL)
        for answer in (first, second):
            with suppress(BudgetError):
                answer.result(timeout=60)


def test_errors_of_workers_come_back_as_they_are() -> None:
    with Team(fail, 2, fork=True) as team:
        with pytest.raises(DataError, match="mend it") as raised:
            team.submit(True).result()
        assert raised.value.wrong == "a line."
        with pytest.raises(RunError, match="Unsendable: no"):
            team.submit(False).result()


def test_a_parent_that_is_stopped_ends_its_workers() -> None:
    script = "from stemma.cli.main import _terminated; import signal; signal.signal(signal.SIGTERM, _terminated)\n" + SCRIPT
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        readers = set()
        while len(readers) < 2:
            readers.add(int(process.stdout.readline()))
        os.kill(min(readers), signal.SIGKILL)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) != 0 and all(map(gone, readers))


def die_at_seven(number: int) -> str:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return "x" * (1_000_000 + number)


def long_answer(number: int) -> bytes:
    return bytes(50_000_000)


class Unsendable(Exception):
    def __init__(self) -> None:
        super().__init__("no", lambda: None)

    def __str__(self) -> str:
        return "no"


def fail(known: bool) -> None:
    raise DataError("a line", "another", "mend it") if known else Unsendable
