"""The engines that compute a run: each makes of a run one that answers through it, and every verb takes that as it takes any other.

`torch` is the run itself. `torch-bf16` has its weights in bfloat16, half the memory and faster where the processor multiplies them.
`onnx` is the run's graph in ONNX Runtime (`stemma.export.onnx`), made on the spot or read from a file that `stemma convert` wrote.

How close they come is their tier: `exact` within 1e-4 in float32, `close` at a cosine of 0.9999 or more.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

from stemma.config import nearest
from stemma.errors import UsageError
from stemma.lineage.table import Generation
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run

AnyRun = Run | FittedRun
Tier = Literal["exact", "close"]


@dataclass(frozen=True)
class Engine:
    """One way of computing runs."""

    name: str
    tier: Tier
    requires: str  # of what runs
    fits: Callable[[Generation], bool]
    put: Callable[[AnyRun], AnyRun]  # the run as this engine computes it


def engines_for(run: AnyRun) -> list[Engine]:
    """The engines that can compute the run, `torch` first."""
    return [engine for engine in ENGINES if engine.fits(run.row)]


@overload
def through(run: Run, engine: str) -> Run: ...
@overload
def through(run: FittedRun, engine: str) -> FittedRun: ...
def through(run: AnyRun, engine: str) -> AnyRun:
    """The run as an engine computes it; `engine` is the name of one, or an ONNX file that was made of the run.

    UsageError where there is no such engine, or it cannot compute this run; MissingExtra where its library is not installed.
    """
    if engine.endswith(".onnx"):
        return _onnx(run, Path(engine))
    for known in ENGINES:
        if known.name == engine:
            if not known.fits(run.row):
                wrong = f"{run.row.name} by the engine {engine}"
                able = ", ".join(other.name for other in engines_for(run))
                raise UsageError(wrong, f"a run {known.requires}", f"choose one of {able}")
            return known.put(run)
    cure = nearest(engine, [known.name for known in ENGINES])
    raise UsageError(f"there is no engine {engine!r}", "the name of an engine, or an .onnx file", cure)


def _shorter(run: AnyRun) -> AnyRun:
    import torch

    from stemma.runs.fixed import Networked, Probed
    from stemma.runs.moved import Moved

    if isinstance(run, Run):
        return Run(run.folder, run.row, run.tokenizer, copy.deepcopy(run.network).to(torch.bfloat16))
    model = run.model
    if isinstance(model, Moved):
        shorter: Any = replace(model, model=copy.deepcopy(model.model).to(torch.bfloat16), precision="fp32")  # nothing is cast on the way
    elif isinstance(model, Probed | Networked):
        fixed = copy.copy(model.fixed)
        fixed.network, fixed.precision = copy.deepcopy(fixed.network).to(torch.bfloat16), "fp32"
        shorter = replace(model, fixed=fixed)
    else:
        wrong = f"a run that has learnt the task {run.task.name} in bfloat16"
        raise UsageError(wrong, "a run that reads texts", "use the engine torch")
    return FittedRun(run.assignment, shorter, run.facts)


def _onnx(run: AnyRun, file: Path | None = None) -> AnyRun:
    from stemma.serving.onnx_runs import onnx_run

    return onnx_run(run, file)


def _always(row: Generation) -> bool:
    return True


def _has_blocks(row: Generation) -> bool:
    return row.blocks


def _is_network(row: Generation) -> bool:
    return row.learns == "descend"


ENGINES: Sequence[Engine] = (
    Engine("torch", "exact", "of any generation", _always, lambda run: run),
    Engine("torch-bf16", "close", "of a Transformer", _has_blocks, _shorter),
    Engine("onnx", "exact", "that is a network", _is_network, _onnx),
)
