"""Requests that wait for one model are computed together: in the order of their arrival, as many as keep to a budget of tokens.

Tokenising has a thread of its own, so that the model never waits for it. What is written token by token has another, so that a long text
holds nobody up who wants a vector. Whoever is gone when a batch is made is left out of it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from stemma.runs.alike import alike
from stemma.runs.answers import Asked, Row
from stemma.runs.reading import BATCH_POSITIONS
from stemma.serving.limits import Limits
from stemma.serving.measured import Measured

T = TypeVar("T")
STREAMS = 4  # texts of one model that are written at once piece by piece
Outcome = list[Row] | BaseException


@dataclass
class Job:
    """A request's texts, ready to be computed, and where the rows are awaited."""

    kind: Hashable  # jobs of one kind can be computed together
    asked: Asked
    future: "asyncio.Future[list[Row]]"
    arrived: float

    @property
    def size(self) -> int:
        """Its tokens."""
        return sum(self.asked.tokens)


class Lane:
    """One thread that computes what waits for it."""

    def __init__(self, name: str, limits: Limits, measured: Measured) -> None:
        self._name, self._limits, self._measured = name, limits, measured
        self._waiting: deque[Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._task: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()

    async def rows(self, kind: Hashable, asked: Asked) -> list[Row]:
        """The rows of what is asked, computed with what else of its kind is waiting."""
        future: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._waiting.append(Job(kind, asked, future, time.perf_counter()))
        if self._full:
            self._enough.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def alone(self, call: Callable[[], T]) -> T:
        """What the call gives on this lane's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    @property
    def _full(self) -> bool:
        """True when a batch's worth of tokens waits."""
        return sum(job.size for job in self._waiting) >= self._limits.batch_tokens

    async def _run(self) -> None:
        while self._waiting:
            await self._gathered()
            jobs = self._taken()
            if not jobs:
                continue
            began = time.perf_counter()
            outcomes = await self.alone(partial(computed, jobs))
            self._count(jobs, began)
            for job, outcome in zip(jobs, outcomes, strict=True):
                if not _waits(job):
                    continue
                if isinstance(outcome, BaseException):
                    job.future.set_exception(outcome)
                else:
                    job.future.set_result(outcome)

    async def _gathered(self) -> None:
        """Waits for company, as long as the one that came first may be kept waiting."""
        left = self._waiting[0].arrived + self._limits.wait_ms / 1000 - time.perf_counter()
        if left > 0 and not self._full:
            self._enough.clear()
            try:
                await asyncio.wait_for(self._enough.wait(), left)
            except TimeoutError:
                return

    def _taken(self) -> list[Job]:
        """The next jobs to compute together; those that nobody waits for any more are dropped."""
        there = [job for job in self._waiting if _waits(job)]
        taken: list[Job] = []
        left: deque[Job] = deque()
        size = 0
        for job in there:
            if not taken or (job.kind == taken[0].kind and size + job.size <= self._limits.batch_tokens):
                taken.append(job)
                size += job.size
            else:
                left.append(job)
        self._waiting = left
        return taken

    def _count(self, jobs: Sequence[Job], began: float) -> None:
        measured, name = self._measured, self._name
        tokens = [length for job in jobs for length in job.asked.tokens]
        for job in jobs:
            measured.waited.labels(name).observe(began - job.arrived)
        measured.computed.labels(name).observe(time.perf_counter() - began)
        measured.together.labels(name).observe(len(tokens))
        measured.tokens.labels(name).observe(sum(tokens))
        measured.read.labels(name).inc(sum(tokens))
        padded = sum(len(rows) * tokens[rows[-1]] for rows in alike(tokens, BATCH_POSITIONS))
        measured.padding.labels(name).inc(padded - sum(tokens))


def computed(jobs: Sequence[Job]) -> list[Outcome]:
    """The rows of each, or why there are none; they are computed together, but no one's fault is another's."""
    asked = [job.asked for job in jobs]
    if len(asked) > 1:
        try:
            return _split(asked, [row for joined in asked[0].together(asked) for row in joined.rows(lambda: any(map(_waits, jobs)))])
        except Exception:  # told to the one whose fault it is: each is computed by itself
            pass
    return list(map(_outcome, jobs))


def _waits(job: Job) -> bool:
    """True while somebody waits for the job's rows."""
    return not job.future.done()


def _split(asked: Sequence[Asked], rows: list[Row]) -> list[Outcome]:
    found: list[Outcome] = []
    first = 0
    for one in asked:
        last = first + len(one.tokens) * one.rows_each
        found.append(rows[first:last])
        first = last
    assert first == len(rows), f"{len(rows)} rows for {first}"
    return found


def _outcome(job: Job) -> Outcome:
    try:
        return job.asked.rows(lambda: _waits(job))
    except Exception as error:  # handed to the one who waits for it
        return error


class Lanes:
    """The threads of one model: one tokenises, one computes, one writes token by token, and some write for those who read along."""

    def __init__(self, name: str, limits: Limits, measured: Measured) -> None:
        self.streaming = ThreadPoolExecutor(STREAMS, thread_name_prefix=name)
        self.tokenising, self.computing, self.writing = (Lane(name, limits, measured) for _ in range(3))
