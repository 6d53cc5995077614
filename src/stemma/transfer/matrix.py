"""Which generation can be carried over to which task, frozen and fine-tuned, and why not where it cannot: read from the code."""

from dataclasses import dataclass

from stemma.lineage.table import TABLE
from stemma.tasks.table import TASKS, make_task
from stemma.transfer.recipe import why_not

MODES = {"frozen": "frozen", "fine-tuned": "finetune"}  # in words -> the way of transfer; `random` and `scratch` are their controls


@dataclass(frozen=True, slots=True)
class Cell:
    """One generation, one task, one mode; `reason` is why that has no meaning, empty where it has one."""

    generation: str
    task: str
    mode: str
    reason: str


def matrix() -> list[Cell]:
    """Every cell, generation by generation, task by task."""
    tasks = {name: make_task(name) for name in TASKS}
    return [
        Cell(row.name, name, mode, why_not(row, task, way) if row.ready else f"{row.name} is in the plan, not in this version")
        for row in TABLE
        for name, task in tasks.items()
        for mode, way in MODES.items()
    ]
