"""How fast each engine computes a run on this machine: latency text by text, throughput batch by batch, and how close its answers come.

A pre-trained run gives vectors, one that has learnt a task answers; tokens are cut within the time measured, as in use. Engines take
turns call by call, so that what else the machine does meets all of them alike, and the same texts are read by all.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from stemma.bounds import real, whole
from stemma.errors import DataError, MissingExtra, UsageError
from stemma.objectives.batch import generator
from stemma.runs.decoding import Decoding
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run, unit
from stemma.serving.engines import AnyRun, Tier, Work, engines_for, through, tier_of, work_of

LEAST = 5  # calls of each engine, however long they take
EQUAL = 1e-3  # numbers that are answers count as the same up to here
GREEDY, WRITTEN = Decoding(temperature=0.0), 16  # how engines that write are measured, and how many tokens
TASK_PARTS = 3  # of a text whose task takes any number of parts


@dataclass
class Cell:
    """What one engine did with batches of one size and length."""

    engine: str
    tier: str
    length: int  # tokens of a text that were asked for
    batch: int
    tokens: float  # that a text has, on average, specials left out
    seconds: list[float] = field(default_factory=list)  # of each call
    cosine: float | None = None  # the lowest, of vectors with those of the first engine
    gap: float | None = None  # the greatest, between numbers of vectors and those of the first engine
    same: float | None = None  # share of answers, or of written texts, that are the first engine's

    @property
    def p50(self) -> float:
        """The median of a call, in milliseconds."""
        return float(np.percentile(self.seconds, 50) * 1000)

    @property
    def p95(self) -> float:
        """What 95 calls of 100 take at most, in milliseconds."""
        return float(np.percentile(self.seconds, 95) * 1000)

    @property
    def texts_a_second(self) -> float:
        """By the median call."""
        return self.batch * 1000 / self.p50

    def row(self) -> dict[str, Any]:
        """As JSON."""
        facts = {"engine": self.engine, "tier": self.tier, "length": self.length, "tokens": round(self.tokens, 1), "batch": self.batch}
        close = {name: value for name, value in (("lowest_cosine", self.cosine), ("same_answers", self.same)) if value is not None}
        return {**facts, "calls": len(self.seconds), "p50_ms": self.p50, "p95_ms": self.p95, "texts_a_second": self.texts_a_second, **close}


def bench(
    run: AnyRun, engines: Sequence[str] = (), lengths: Sequence[int] = (32, 128), batches: Sequence[int] = (1, 32), seconds: float = 1.0
) -> list[Cell]:
    """A cell for each length, batch size and engine, in this order; no `engines`: all that can compute the run here.

    Each cell is measured for `seconds`, and LEAST calls at least. UsageError for an engine that cannot compute the run.
    """
    real("seconds", seconds, above=True)
    for name, several in (("lengths", lengths), ("batches", batches)):
        for one in several:
            whole(f"one of the {name}", one, 1)
    work = work_of(run)
    chosen = list(opened(run, engines or [engine.name for engine in engines_for(run, work)], work, strict=bool(engines)))
    return [cell for length in lengths for batch in batches for cell in measured(run, chosen, work, length, batch, seconds)]


def measured(run: AnyRun, chosen: Sequence[tuple[str, Tier, AnyRun]], work: Work, length: int, batch: int, seconds: float) -> list[Cell]:
    """A cell for each of these engines, at one length and batch size."""
    lines, tokens = texts(run, batch, length)
    cells = [Cell(name, tier, length, batch, tokens) for name, tier, _ in chosen]
    answers = [answered(own, lines, work) for _, _, own in chosen]  # the first call is slower than all that follow
    for cell, given in zip(cells, answers, strict=True):
        compare(cell, answers[0], given)
    end = time.perf_counter() + seconds * len(cells)
    while len(cells[0].seconds) < LEAST or time.perf_counter() < end:
        for cell, (_, _, own) in zip(cells, chosen, strict=True):
            start = time.perf_counter()
            answered(own, lines, work)
            cell.seconds.append(time.perf_counter() - start)
    return cells


def texts(run: AnyRun, count: int, length: int) -> tuple[list[str], float]:
    """So many lines of random tokens of the run's own, of about `length` each, and the mean number that they have.

    A line of a task whose examples have parts has these parts. DataError where no token of the vocabulary can be written.
    """
    tokenizer = run.assignment.tokenizer if isinstance(run, FittedRun) else run.tokenizer
    draws, specials = generator("bench", length), set(tokenizer.specials.values())
    written = [index for index in range(tokenizer.vocab_size) if index not in specials and tokenizer.text(index).strip().isalnum()]
    if not written:
        raise DataError("the vocabulary has no token that is a word", "a tokenizer of text", "choose another run")
    lines = []
    for _ in range(count):
        text = tokenizer.decode(draws.choice(written, 2 * length).tolist())
        _, spans = tokenizer.encode_offsets(text)
        lines.append(text[: spans[min(length, len(spans)) - 1][1]])
    tokens = float(np.mean([len(ids) for ids in tokenizer.encode_batch(lines)]))
    if isinstance(run, FittedRun):
        names = run.task.parts(run.targets)
        lines = [_parted(line, TASK_PARTS if run.task.more_parts else len(names)) for line in lines]
    return lines, tokens


def _parted(line: str, parts: int) -> str:
    """The line with tabs that cut it into so many parts of like length."""
    borders = [len(line) * part // parts for part in range(parts + 1)]
    return "\t".join(line[start:end].strip() or "x" for start, end in pairwise(borders))


def opened(run: AnyRun, engines: Sequence[str], work: Work, strict: bool) -> Iterator[tuple[str, Tier, AnyRun]]:
    """Name and tier of each engine, and the run as it computes it; one that cannot be had is left out with a warning, unless `strict`."""
    for name in engines:
        try:
            yield name, tier_of(name), through(run, name, work)
        except (MissingExtra, UsageError) as error:
            if strict:
                raise
            warnings.warn(f"the engine {name} is not measured: {error.wrong} {error.mend}", stacklevel=3)


def answered(run: AnyRun, lines: Sequence[str], work: Work) -> Any:
    """Vectors (N D), the answers in names, or the ids of what was written."""
    if work == "write":
        writes = "translate" if isinstance(run, FittedRun) or "translate" in run.row.abilities else "generate"
        found: Any = run.translations(lines, options=GREEDY) if writes == "translate" else run.write(lines, length=WRITTEN, options=GREEDY)  # type: ignore[union-attr]
        return [best.ids for best, *_ in found]
    if isinstance(run, Run):
        return run.embed(lines)
    examples = [run.task.example(parts, run.targets) for parts in run.parts_of(lines)]
    return run.task.readable(run.answers(examples), run.targets)[0]


def compare(cell: Cell, first: Any, given: Any) -> None:
    """Puts into the cell how near what was given comes to what the first engine gave."""
    if isinstance(given, np.ndarray):
        cell.cosine, cell.gap = float((unit(first) * unit(given)).sum(1).min()), float(np.abs(first - given).max())
    else:
        pairs = zip(first, given, strict=True)
        cell.same = float(np.mean([abs(a - b) <= EQUAL if isinstance(a, float) else a == b for a, b in pairs]))
