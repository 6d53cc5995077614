"""The run folder that a verb stands on, when it is for pre-trained runs alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from stemma.errors import UsageError

if TYPE_CHECKING:
    from stemma.runs.run import Run


def open_pretrained(path: str) -> "Run":
    """The run of a folder that stemma pretrain made; a fine-tuned one is a UsageError."""
    from stemma.checkpoint import RunFolder
    from stemma.runs.run import Run

    if "task" in RunFolder.open(Path(path)).config:
        raise UsageError(f"{path} is fine-tuned on a task", "a folder made by stemma pretrain", "use stemma predict or embed on it")
    return Run.open(path)
