"""Generations in processes of their own, several at once: each one's peak memory is its own, and a crash is its own."""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import stemma
from stemma.errors import Interrupted
from stemma.evaluation.comparison.plan import Comparison
from stemma.evaluation.report.wording import listed
from stemma.layers.waiting import ASLEEP
from stemma.lineage.table import find
from stemma.training.facts import Fact, Report, from_json


class Launch(Protocol):
    """Runs one generation's stages, and can be stopped."""

    def __call__(self, comparison: Comparison, generation: str, corpus_key: str, progress: Report) -> int:
        """The exit code."""

    def stop(self) -> None:
        """Lets whatever runs save and end."""


class Processes:
    """`Launch` by `stemma.evaluation.comparison.worker`."""

    def __init__(self) -> None:
        self._children: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def __call__(self, comparison: Comparison, generation: str, corpus_key: str, progress: Report) -> int:
        """The exit code of the generation's process, whose facts are passed on."""
        home = str(Path(stemma.__file__).resolve().parents[1])
        env = ASLEEP | dict(os.environ) | {"PYTHONPATH": os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])}
        if comparison.config.threads:
            env["OMP_NUM_THREADS"] = str(comparison.config.threads)
        words = [sys.executable, "-m", "stemma.evaluation.comparison.worker", str(comparison.root), generation, corpus_key]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", env=env) as child:
            self._children.add(child)
            if self._stopped:  # between this generation's turn and its process
                child.terminate()
            assert child.stdout is not None
            for line in child.stdout:
                progress(from_json(json.loads(line)))
            code = child.wait()
        self._children.discard(child)
        return code

    def stop(self) -> None:
        """A Ctrl-C reached the children as well, a SIGTERM the parent alone; either way they save first."""
        self._stopped = True
        for child in list(self._children):
            child.terminate()


def run_all(comparison: Comparison, corpus_key: str, progress: Report, launch: Launch) -> dict[str, int]:
    """Each generation's exit code, `comparison.config.parallel` generations at a time; Interrupted as soon as one was stopped.

    Students come last, each when its teacher has ended.

    Facts reach `progress` in the calling thread, marked with the generation they are `of`.
    """
    facts: queue.Queue[Fact | None] = queue.Queue()  # None: a generation has ended

    running: dict[str, Future[int]] = {}

    def one(generation: str) -> int:
        if (teacher := find(generation).teacher) in running:
            wait([running[teacher]])  # it was queued before, so it runs, or has ended
        return launch(comparison, generation, corpus_key, lambda fact: facts.put(replace(fact, of=generation)))

    with ThreadPoolExecutor(comparison.config.parallel) as pool:
        for generation in sorted(comparison.generations, key=lambda name: bool(find(name).teacher)):
            running[generation] = pool.submit(one, generation)
            running[generation].add_done_callback(lambda _: facts.put(None))
        try:
            _listen(facts, list(running.values()), progress)
        except BaseException:
            for future in running.values():
                future.cancel()
            launch.stop()
            raise
    stopped = [generation for generation, future in running.items() if future.cancelled() or future.result() == Interrupted.exit_code]
    if stopped:
        raise Interrupted(
            f"the comparison was stopped at {listed(stopped)}",
            "it to go on to its end",
            "repeat the same command: it goes on where it was",
        )
    return {generation: running[generation].result() for generation in comparison.generations}


def _listen(facts: "queue.Queue[Fact | None]", futures: Sequence[Future[int]], progress: Report) -> None:
    """Reports until every generation has ended; none begins after one was stopped."""
    while not all(future.done() for future in futures) or not facts.empty():
        fact = facts.get()
        if fact is not None:
            progress(fact)
        elif any(f.done() and not f.cancelled() and not f.exception() and f.result() == Interrupted.exit_code for f in futures):
            for future in futures:
                future.cancel()
