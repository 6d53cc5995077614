"""`stemma.load`: a run of ours, or another program's folder, ready for use."""

from pathlib import Path
from typing import Any, overload

from stemma.errors import UsageError
from stemma.export.huggingface_in.folder import is_huggingface, read_huggingface
from stemma.export.huggingface_in.heads import NO_TASK
from stemma.runs import fitted
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run


@overload
def load(path: str | Path) -> Any: ...


@overload
def load(path: str | Path, kind: type[Run]) -> Run: ...


@overload
def load(path: str | Path, kind: type[FittedRun]) -> FittedRun: ...


def load(path: str | Path, kind: type[Run] | type[FittedRun] | None = None) -> Run | FittedRun:
    """The run of a folder: a `Run` if it was pre-trained, a `FittedRun` (`stemma.Classifier`) if it was fine-tuned on a task.

    Only the folder knows which, so type checkers know it by `kind`: UsageError where the folder holds the other one.
    A Hugging Face folder of `bert`, `albert`, `gpt2`, `openai-gpt` or `xlnet` is a run kept in memory, with the head of a task a
    `FittedRun` unless `kind` is `Run`; DataError where it cannot be read as one.
    """
    if kind not in (None, Run, FittedRun):
        raise UsageError(f"kind = {kind!r}", "stemma.Run or stemma.Classifier", "leave kind out, and the folder decides")
    found = _of_huggingface(Path(path), kind) if is_huggingface(Path(path)) else fitted.load(path)
    if kind is not None and not isinstance(found, kind):
        other = ("pre-trained", "Run") if isinstance(found, Run) else ("fine-tuned on a task", "Classifier")
        raise UsageError(f"{path} was {other[0]}", f"what {kind.__name__} opens", f"ask for stemma.{other[1]}, or leave kind out")
    return found


def _of_huggingface(path: Path, kind: type[Run] | type[FittedRun] | None) -> Run | FittedRun:
    return read_huggingface(path, NO_TASK if kind is Run else "").run()
