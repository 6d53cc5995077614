"""The engine that a verb's `--engine` names."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stemma.errors import UsageError

if TYPE_CHECKING:
    from stemma.runs.fitted import FittedRun
    from stemma.runs.run import Run
    from stemma.serving.engines import Work

AnyRun = TypeVar("AnyRun", "Run", "FittedRun", "Run | FittedRun")
USUAL = "torch"


def by_engine(run: AnyRun, engine: str, work: "Work", dev: Path | None, max_drop: float | None) -> AnyRun:
    """The run as the engine computes it; on standard error, which one was chosen, or what it costs (`serving.choice`)."""
    if engine == USUAL:
        for option, value in (("--dev", dev), ("--max-drop", max_drop)):
            if value is not None:
                raise UsageError(f"{option} without --engine", "an engine that it is for", f"name one, or drop {option}")
        return run
    from stemma.serving.choice import chosen

    found = chosen(run, engine, work, dev, max_drop)
    if found.told:
        print(found.told, file=sys.stderr)
    return found.run  # type: ignore[return-value]  # an engine makes of a run one of its kind
