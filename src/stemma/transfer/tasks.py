"""The tasks: one literal table, one file each."""

import importlib
from typing import Any

from stemma.config import nearest
from stemma.errors import UsageError

TASKS = {"classify": "stemma.transfer.classify"}


def find_task(name: str) -> Any:
    """The module of the task; UsageError names the nearest one otherwise."""
    if name not in TASKS:
        raise UsageError(f"there is no task {name!r}", f"one of {', '.join(TASKS)}", nearest(name, TASKS))
    return importlib.import_module(TASKS[name])
