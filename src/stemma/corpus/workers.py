"""Runs a function over a stream of jobs in several processes; results come back in the order of the jobs."""

import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from stemma.errors import BudgetError, RunError

Job = TypeVar("Job")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """`map(function, jobs)`, with at most two jobs a worker under way; no process is started for a single job.

    BudgetError when a worker is killed.
    """
    stream = iter(jobs)
    first = list(islice(stream, 2))
    if workers <= 1 or len(first) < 2:
        yield from map(function, chain(first, stream))
        return
    waiting: deque[Future[Result]] = deque()
    with Team(function, workers, fork=sys.platform == "linux") as team:
        for job in chain(first, stream):
            waiting.append(team.submit(job))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Connection


class Team(Generic[Job, Result]):
    """Worker processes, each behind a pipe of its own, which ends at once when its worker is killed.

    (Behind one pipe for all, as in a ProcessPoolExecutor, the answer that a killed worker began is waited for without end.)
    Forked, workers start at once and need no `if __name__ == "__main__"` in the user's script; they may run nothing that
    minds the threads which the parent has. Otherwise they are spawned, as they are needed.
    """

    def __init__(
        self, function: Callable[[Job], Result], workers: int, fork: bool, prepare: Callable[..., None] | None = None, *arguments: Any
    ) -> None:
        """`prepare(*arguments)` is called first in each worker."""
        self._context: Any = get_context("fork" if fork else "spawn")
        self._serving = (function, prepare, arguments)
        self._workers: list[_Worker] = []
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._most, self._under_way = workers, 0
        while fork and len(self._workers) < workers:  # before there are threads that speak to them
            self._begin()
        self._threads = ThreadPoolExecutor(workers)

    def submit(self, job: Job) -> "Future[Result]":
        """The future result of the job; BudgetError in it when the worker was killed."""
        if self._under_way >= len(self._workers) < self._most:
            self._begin()
        self._under_way += 1
        future = self._threads.submit(self._run, job)
        future.add_done_callback(self._done)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.process.terminate()  # whoever waits for it hears the end of its pipe
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _begin(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, *self._serving), daemon=True)
        with warnings.catch_warnings(), _main_hidden():
            warnings.simplefilter("ignore", DeprecationWarning)  # "multi-threaded, use of fork()"
            process.start()
        theirs.close()  # so that the worker's own is the only one
        self._workers.append(_Worker(process, ours))
        self._free.put(self._workers[-1])

    def _run(self, job: Job) -> Result:
        worker = self._free.get()
        try:
            worker.pipe.send(job)
            result, error = worker.pipe.recv()
        except (EOFError, OSError) as error:
            wrong = f"one of {self._most} worker processes was killed"
            raise BudgetError(wrong, "memory for all of them", "set workers lower; the same command goes on") from error
        finally:
            self._free.put(worker)
        if error is not None:
            raise error
        return result

    def _done(self, _: "Future[Result]") -> None:
        self._under_way -= 1


def _serve(pipe: Connection, function: Callable[[Any], Any], prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Answers each job with its result and None, or with None and the error, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with_parent()
    if prepare is not None:
        prepare(*arguments)
    with suppress(EOFError, OSError):
        while True:
            job, result, failed = pipe.recv(), None, None
            try:
                result = function(job)
            except Exception as error:
                failed = _sent(error)
            pipe.send((result, failed))


def _sent(error: Exception) -> Exception:
    """The error, or one that says the same, where it cannot be handed to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RunError(f"{type(error).__name__}: {error}", "a worker process that does its work", "report it with the lines above")
    return error


def _end_with_parent() -> None:
    """Ends this worker process when its parent is gone: one whose parent was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None, "called in a worker process"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _main_hidden() -> Iterator[None]:
    """A spawned process runs the caller's script again to find its names; ours needs none of them. Hidden, a script
    without `if __name__ == "__main__"` may build too.
    """
    main = sys.modules["__main__"].__dict__
    kept = {name: main[name] for name in main if name in ("__file__", "__spec__")}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)
