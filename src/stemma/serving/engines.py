"""The engines that compute a run: each makes of a run one that answers through it, and every verb takes that as it takes any other.

`torch` is the run itself. `torch-bf16` has its weights in bfloat16, half the memory and faster where the processor multiplies them.
`onnx` is the run's graph in ONNX Runtime (`stemma.export.onnx`), `openvino` and `openvino-bf16` the same graph in OpenVINO, made on the
spot. `ctranslate2` writes: translations, and what follows a prompt. Files that `stemma convert` wrote are engines as well: FILE.onnx in
ONNX Runtime, openvino:FILE.onnx in OpenVINO, and a folder in CTranslate2.

How close they come is their tier: `exact` within 1e-4 in float32, `close` at a cosine of 0.9999 or more; files in 8 bits are `int8`, and
what they cost is to be measured (`stemma.serving.drops`). `stemma.serving.choice` takes the fastest of a tier.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from stemma.config import nearest
from stemma.errors import UsageError
from stemma.export.formats import TRANSLATED
from stemma.lineage.table import Generation
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run

AnyRun = Run | FittedRun
Tier = Literal["exact", "close", "int8"]
Work = Literal["read", "write"]  # gives vectors and answers; translates and writes on
OPENVINO = "openvino:"  # stands before a file that OpenVINO is to open


@dataclass(frozen=True)
class Engine:
    """One way of computing runs."""

    name: str
    tier: Tier
    requires: str  # of what runs
    fits: Callable[[Generation], bool]
    put: Callable[[AnyRun], AnyRun]  # the run as this engine computes it
    works: tuple[Work, ...] = ("read",)
    draws: bool = True  # by lot, where it writes


def engines_for(run: AnyRun, work: Work = "read") -> list[Engine]:
    """The engines that can compute the run at this work, `torch` first."""
    return [engine for engine in ENGINES if engine.fits(run.row) and work in engine.works]


def works_of(run: AnyRun, engine: str) -> list[Work]:
    """What an engine can do for the run; of a file or folder, what the one that opens it can."""
    opens = "ctranslate2" if is_folder(engine) else engine
    if engine.endswith(".onnx"):
        opens = "openvino" if engine.startswith(OPENVINO) else "onnx"
    return [work for work in BOTH if any(known.name == opens for known in engines_for(run, work))]


def work_of(run: AnyRun) -> Work:
    """What a run does when it answers."""
    return "write" if isinstance(run, FittedRun) and run.task.per == "target" else "read"


@overload
def through(run: Run, engine: str, work: Work | None = None) -> Run: ...
@overload
def through(run: FittedRun, engine: str, work: Work | None = None) -> FittedRun: ...
def through(run: AnyRun, engine: str, work: Work | None = None) -> AnyRun:
    """The run as an engine computes it; `engine` is the name of one, or a file or folder that was made of the run.

    UsageError where there is no such engine, or it cannot compute this run at this work; MissingExtra where its library is not installed.
    """
    work = work or work_of(run)
    if engine.endswith(".onnx"):
        file = Path(engine.removeprefix(OPENVINO))
        return _openvino(run, "f32", file) if engine.startswith(OPENVINO) else _onnx(run, file)
    if is_folder(engine):
        return _ctranslate2(run, Path(engine))
    for known in ENGINES:
        if known.name == engine:
            if known not in engines_for(run, work):
                wrong = f"{run.row.name} by the engine {engine}, to {work}"
                able = ", ".join(other.name for other in engines_for(run, work))
                raise UsageError(wrong, f"a run {known.requires}, to {' or '.join(known.works)}", f"choose one of {able}")
            return known.put(run)
    cure = nearest(engine, [known.name for known in ENGINES])
    expected = "the name of an engine, an .onnx file, or a folder of CTranslate2"
    raise UsageError(f"there is no engine {engine!r}", expected, cure)


def tier_of(engine: str) -> Tier:
    """How close an engine comes, by its name or by what its file says of itself."""
    if engine.endswith(".onnx"):
        from stemma.export.onnx import open_file
        from stemma.export.onnx_int8 import INT8

        return "int8" if open_file(Path(engine.removeprefix(OPENVINO)))[1].get(INT8) else "exact"
    if is_folder(engine):
        from stemma.export.ctranslate2 import facts_of

        return "int8" if facts_of(Path(engine))["int8"] else "exact"
    return next((known.tier for known in ENGINES if known.name == engine), "exact")


def is_folder(engine: str) -> bool:
    """True where the engine is no name but a folder."""
    return all(known.name != engine for known in ENGINES) and Path(engine).is_dir()


def _shorter(run: AnyRun) -> AnyRun:
    import torch

    from stemma.runs.fixed import Networked, Probed
    from stemma.runs.moved import Moved

    if isinstance(run, Run):
        return Run(run.folder, run.row, run.tokenizer, copy.deepcopy(run.network).to(torch.bfloat16), run.pooling)
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


def _openvino(run: AnyRun, precision: Literal["f32", "bf16"], file: Path | None = None) -> AnyRun:
    from stemma.serving.onnx_runs import onnx_run
    from stemma.serving.openvino_sessions import OpenVinoSession

    return onnx_run(run, file, partial(OpenVinoSession, precision=precision))


def _ctranslate2(run: AnyRun, folder: Path | None = None) -> AnyRun:
    from stemma.serving.ctranslate2_runs import ctranslate2_run

    return ctranslate2_run(run, folder)


def _always(row: Generation) -> bool:
    return True


def _has_blocks(row: Generation) -> bool:
    return row.blocks


def _is_network(row: Generation) -> bool:
    return row.learns == "descend"


def _is_translated(row: Generation) -> bool:
    return row.name in TRANSLATED


BOTH: tuple[Work, ...] = ("read", "write")
ENGINES: Sequence[Engine] = (
    Engine("torch", "exact", "of any generation", _always, lambda run: run, BOTH),
    Engine("torch-bf16", "close", "of a Transformer", _has_blocks, _shorter),
    Engine("onnx", "exact", "that is a network", _is_network, _onnx, BOTH),
    Engine("openvino", "exact", "that is a network", _is_network, partial(_openvino, precision="f32"), BOTH),
    Engine("openvino-bf16", "close", "of a Transformer", _has_blocks, partial(_openvino, precision="bf16")),
    Engine("ctranslate2", "exact", "of " + ", ".join(TRANSLATED), _is_translated, _ctranslate2, ("write",), draws=False),
)
