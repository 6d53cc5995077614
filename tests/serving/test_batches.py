"""How jobs are put together: by kind, within a budget, in their order; and what becomes of those that nobody waits for."""

import asyncio
import threading
import time
from dataclasses import dataclass, field, replace

import pytest
from tests.serving.conftest import pretrained, run_async

from stemma.errors import DataError
from stemma.runs.decoding import Decoding, always
from stemma.runs.run import Run
from stemma.serving.batches import Lane
from stemma.serving.limits import Limits
from stemma.serving.measured import Measured


@dataclass
class Fake:
    """Texts of given sizes, whose rows are their names; each call of `rows` is noted."""

    names: list[str]
    tokens: list[int]
    calls: list[list[str]]
    faulty: str = ""
    rows_each: int = 1
    held: threading.Event = field(default_factory=threading.Event)
    fault: Exception = field(default_factory=lambda: DataError("wrong", "right", "mend"))

    def together(self, several):
        joined = replace(self, names=[], tokens=[])
        for one in several:
            joined.names += one.names
            joined.tokens += one.tokens
        return [joined]

    def rows(self, wanted=always):
        self.held.wait(10)
        self.calls.append(self.names)
        if self.faulty in self.names:
            raise self.fault
        return [{"name": name} for name in self.names]


def lane(**limits):
    return Lane("fake", Limits(wait_ms=0, **limits), Measured())


def test_jobs_of_a_kind_are_computed_together_within_the_budget_in_their_order():
    calls, held = [], threading.Event()

    async def tried():
        one = lane(batch_tokens=10)
        sizes = [("a", "x", 4), ("b", "x", 4), ("c", "y", 1), ("d", "x", 4), ("e", "x", 2), ("f", "x", 50), ("g", "y", 9)]
        first = asyncio.create_task(one.rows("x", Fake(["first"], [1], calls, held=held)))
        await asyncio.sleep(0.05)
        jobs = [asyncio.create_task(one.rows(kind, Fake([name], [size], calls, held=held))) for name, kind, size in sizes]
        await asyncio.sleep(0.05)
        held.set()
        assert await first == [{"name": "first"}]
        assert [rows[0]["name"] for rows in await asyncio.gather(*jobs)] == list("abcdefg")

    run_async(tried)
    assert calls == [["first"], ["a", "b", "e"], ["c", "g"], ["d"], ["f"]]


@pytest.mark.parametrize("fault", [DataError("wrong", "right", "mend"), MemoryError(), RuntimeError("a mistake of ours")])
def test_one_s_fault_is_not_another_s(fault):
    calls, held = [], threading.Event()

    async def tried():
        one = lane()
        jobs = [asyncio.create_task(one.rows("x", Fake([name], [1], calls, "b", held=held, fault=fault))) for name in "abc"]
        await asyncio.sleep(0.05)
        held.set()
        return await asyncio.gather(*jobs, return_exceptions=True)

    first, second, third = run_async(tried)
    assert (first, third) == ([{"name": "a"}], [{"name": "c"}]) and second is fault


def test_whoever_is_gone_is_left_out():
    calls, held = [], threading.Event()

    async def tried():
        one = lane()
        jobs = [asyncio.create_task(one.rows(name, Fake([name], [1], calls, held=held))) for name in "abc"]
        await asyncio.sleep(0.05)
        jobs[1].cancel()
        held.set()
        await asyncio.gather(*jobs, return_exceptions=True)

    run_async(tried)
    assert calls == [["a"], ["c"]]


def test_a_lane_waits_for_company_no_longer_than_it_may():
    calls, held = [], threading.Event()
    held.set()

    async def tried():
        one = Lane("fake", Limits(wait_ms=5000, batch_tokens=10), Measured())
        first = asyncio.create_task(one.rows("x", Fake(["a"], [1], calls, held=held)))
        await asyncio.sleep(0.05)
        assert not calls
        await asyncio.wait_for(asyncio.gather(first, one.rows("x", Fake(["b"], [9], calls, held=held))), 4)  # a batch's worth is there

    run_async(tried)
    assert calls == [["a", "b"]]


@pytest.mark.parametrize("options", [Decoding(temperature=50.0), Decoding(beams=4)])
def test_writing_ends_where_it_is_once_nobody_waits(home, options):
    run = Run.open(pretrained("gpt", home))
    asked = []

    def wanted():
        asked.append(True)
        return len(asked) < 8

    begun = time.perf_counter()
    ((written, *_),) = run.write(["the sea"], length=100_000, options=options, wanted=wanted)
    assert len(written.ids) < 10 and time.perf_counter() - begun < 30
