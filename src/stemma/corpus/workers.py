"""Runs a function over a stream of jobs in several processes; results come back in the order of the jobs."""

import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

from stemma.errors import BudgetError

Job = TypeVar("Job")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """`map(function, jobs)`, with at most two jobs a worker under way; no process is started for a single job."""
    stream = iter(jobs)
    first = list(islice(stream, 2))
    if workers <= 1 or len(first) < 2:
        yield from map(function, chain(first, stream))
        return
    waiting: deque[Future[Result]] = deque()
    pool = _pool(workers)
    try:
        for job in chain(first, stream):
            waiting.append(pool.submit(function, job))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise BudgetError("a worker process was killed", "enough memory for every worker", "use fewer workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forked children start at once and need no `if __name__ == "__main__"` in the user's script; they run
    # nothing but reading code, so the threads that the parent may have do not matter to them.
    pool = ProcessPoolExecutor(workers, get_context("fork" if sys.platform == "linux" else None), initializer=_start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "multi-threaded, use of fork()"
        pool.submit(int).result()
    return pool


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    end_with_parent()


def end_with_parent() -> None:
    """Ends this worker process when its parent is gone: one whose parent was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None, "called in a worker process"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
