"""The run folder that a verb stands on, when it is for pre-trained runs alone."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemma.lineage.table import Ability
    from stemma.runs.run import Run


def open_pretrained(path: str, ability: "Ability") -> "Run":
    """The run of a folder that stemma pretrain made; UsageError for a fine-tuned one, and for one that lacks the ability."""
    from stemma.runs.run import Run

    run = Run.open(path)
    run.require(ability)
    return run
