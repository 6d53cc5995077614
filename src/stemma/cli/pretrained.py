"""The run folder that a verb stands on, when it is for pre-trained runs alone."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemma.runs.run import Run


def open_pretrained(path: str) -> "Run":
    """The run of a folder that stemma pretrain made; a fine-tuned one is a UsageError."""
    from stemma.runs.run import Run

    return Run.open(path)
