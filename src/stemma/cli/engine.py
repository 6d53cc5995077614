"""The engine that a verb's `--engine` names."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemma.serving.engines import AnyRun

USUAL = "torch"
AUTO = "auto"


def by_engine(run: "AnyRun", engine: str) -> "AnyRun":
    """The run as the engine computes it; `auto` measures which exact one is the fastest here, and says so."""
    if engine == USUAL:
        return run
    if engine == AUTO:
        from stemma.serving.bench import fastest

        name, chosen = fastest(run)
        print(f"the fastest engine here: {name}", file=sys.stderr)
        return chosen
    from stemma.serving.engines import through

    return through(run, engine)
