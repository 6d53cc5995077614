"""Which engine computes a run: the one that is named, or the fastest that holds a bound, measured here and now.

`exact` allows 1e-4 between numbers of vectors, `close` a cosine of 0.9999; answers have to be the same, and so what is written. An engine
in 8 bits is never chosen: it is named, with a file that tells what it costs, and how much that may be.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from stemma.errors import RunError, UsageError
from stemma.runs.fitted import FittedRun
from stemma.serving.bench import Cell, answered, compare, measured, opened
from stemma.serving.engines import AnyRun, Tier, Work, engines_for, through, tier_of, work_of, works_of

Bound = Literal["exact", "close"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
GAP, COSINE = 1e-4, 0.9999
LENGTH, BATCH, SECONDS = 32, 16, 0.3  # tokens, texts, and how long each engine is measured
PLAIN = "torch"  # the run itself
WORKS: dict[str, Work] = {"embed": "read", "predict": "read", "generate": "write", "translate": "write"}  # abilities that engines know


@dataclass(frozen=True)
class Wish:
    """What is asked for: an engine or a bound, a file to compare on, and how much worse 8 bits may be there."""

    engine: str = PLAIN
    dev: Path | None = None
    most_drop: float | None = None


class Chosen(NamedTuple):
    """An engine that was found."""

    run: AnyRun  # as the engine computes it
    name: str
    told: str = ""  # what is to be said of it


def chosen_for(run: AnyRun, abilities: Collection[str], wish: Wish) -> dict[str, Chosen]:
    """Who computes each of the run's abilities that engines know; all else is the run's own.

    A bound is held for reading and for writing by itself; what an engine that is named does not do, the run does.
    """
    works = WORKS
    if isinstance(run, FittedRun):  # its vectors are what its head reads, which no graph gives
        works = dict.fromkeys(("predict", "translate"), work_of(run))
    works = {ability: work for ability, work in works.items() if ability in abilities}
    asked = list(dict.fromkeys(works.values()))
    if wish.engine in BOUNDS:
        found = {work: chosen(run, wish.engine, work, wish.dev, wish.most_drop, draws="generate" in abilities) for work in asked}
    else:
        able = [work for work in asked if work in works_of(run, wish.engine)] or asked[:1]  # of none, the one that is refused
        named = chosen(run, wish.engine, able[0], wish.dev, wish.most_drop)
        found = dict.fromkeys(asked, Chosen(run, PLAIN)) | dict.fromkeys(able, named)
    return {ability: found[work] for ability, work in works.items()}


def chosen(run: AnyRun, engine: str, work: Work, dev: Path | None = None, most_drop: float | None = None, *, draws: bool = False) -> Chosen:
    """The engine that is named, or the fastest within a bound; with `draws` one that also writes by lot.

    `dev` is a file that `exact` and `close` have to say the same on, or one that tells what an engine in 8 bits costs: `most_drop` at most,
    or RunError. UsageError where one of them is missing or has no meaning.
    """
    if engine in BOUNDS:
        _without(engine, "--max-drop", most_drop)
        name, found = fastest(run, BOUNDS[BOUNDS.index(engine)], work, dev, draws=draws)  # type: ignore[arg-type]
        return Chosen(found, name, f"the fastest {engine} engine here: {name}")
    made = through(run, engine, work)
    if tier_of(engine) != "int8":
        _without(engine, "--max-drop", most_drop)
        _without(engine, "--dev", dev)
        return Chosen(made, engine)
    if dev is None or most_drop is None:
        raise UsageError(f"{engine} computes in 8 bits", "how much worse it may be, and a file to tell", "add --dev FILE --max-drop 0.01")
    from stemma.serving.drops import drop  # loads PyTorch, which a server of word vectors does without

    cost = drop(run, made, dev, work)
    if not cost.worse <= most_drop:
        wrong = f"{engine} loses too much on {dev}: {cost}"
        raise RunError(wrong, f"{most_drop:g} at most (--max-drop)", "allow more, calibrate on other text, or use the engine exact")
    return Chosen(made, engine, f"{engine} on {dev}: {cost}")


def fastest(
    run: AnyRun, bound: Bound, work: Work, dev: Path | None = None, seconds: float = SECONDS, *, draws: bool = False
) -> tuple[str, AnyRun]:
    """The name of the engine within the bound whose median call is the shortest here, and the run as it computes it."""
    able = [engine for engine in engines_for(run, work) if engine.draws or not draws]
    allowed = [engine.name for engine in able if engine.tier in BOUNDS[: BOUNDS.index(bound) + 1]]
    engines = list(opened(run, allowed, work, strict=False))
    if len(engines) == 1:
        return engines[0][0], engines[0][2]
    cells = measured(run, engines, work, LENGTH, BATCH, seconds)
    agreeing = _agreeing(engines, bound, work, dev) if dev is not None else [True] * len(engines)
    pairs = zip(cells, engines, agreeing, strict=True)
    best, (name, _, own) = min(
        ((cell, engine) for cell, engine, agrees in pairs if agrees and holds(cell, bound)), key=lambda pair: pair[0].p50
    )
    assert best.engine == name, "cells stand in the order of their engines"
    return name, own


def holds(cell: Cell, bound: Bound) -> bool:
    """Whether what an engine gave is as near as the bound says; the first engine's is."""
    if cell.cosine is None or cell.gap is None:
        return cell.same == 1
    return cell.cosine >= COSINE and (bound == "close" or cell.gap <= GAP)


def _agreeing(engines: Sequence[tuple[str, Tier, AnyRun]], bound: Bound, work: Work, dev: Path) -> list[bool]:
    """Of each engine whether it says on the file what the first one says."""
    from stemma.export.onnx_int8 import texts_of
    from stemma.serving.drops import READ

    (_, _, run), found, first = engines[0], [], None
    if isinstance(run, FittedRun):
        examples = run.task.read(dev, learning=False)[:READ]
    else:
        sentences = texts_of(dev)[: READ if work == "read" else BATCH]
    for name, tier, own in engines:
        if isinstance(own, FittedRun):
            given = own.task.named(own.task.decode(own.answers(examples), own.targets), own.targets)
        else:
            given = answered(own, sentences, work)
        first = given if first is None else first
        cell = Cell(name, tier, 0, len(given), 0.0)
        compare(cell, np.asarray(first) if isinstance(given, np.ndarray) else first, given)
        found.append(holds(cell, bound))
    return found


def _without(engine: str, option: str, value: object) -> None:
    """UsageError for an option that would be ignored."""
    if value is not None:
        raise UsageError(f"{option} with the engine {engine}", "an engine that it is for", f"drop {option}")
