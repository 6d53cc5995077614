"""Worker processes that read the corpus."""

import signal
import subprocess
import sys
import time
from pathlib import Path

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
