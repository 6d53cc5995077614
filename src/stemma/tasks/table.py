"""The table of tasks: one literal table, from which every other room learns what exists."""

import importlib
from typing import Any

from stemma.config import checked, nearest
from stemma.errors import UsageError
from stemma.tasks.task import Task

TASKS = {
    "classify": "stemma.tasks.classify:Classify",
    "pair": "stemma.tasks.pair:Pair",
    "regress": "stemma.tasks.regress:Regress",
    "choice": "stemma.tasks.choice:ChoiceTask",
    "span": "stemma.tasks.span:Span",
    "tag": "stemma.tasks.tag:Tag",
    "generate": "stemma.tasks.generate:Generate",
    "translate": "stemma.tasks.translate:Translate",
}  # name -> "module:Class"; the module also holds `Config`


def task_config(name: str) -> type:
    """The section `task` of the task."""
    return _module(name).Config


def make_task(name: str, config: Any = None) -> Task:
    """The task with this config, or with its defaults; UsageError names the nearest one where there is none of that name."""
    module = _module(name)
    config = module.Config() if config is None else checked("task", config, f"the task {name}")
    return getattr(module, TASKS[name].partition(":")[2])(config)


def _module(name: str) -> Any:
    if name not in TASKS:
        raise UsageError(f"there is no task {name!r}", "the name of a task", nearest(name, TASKS))
    return importlib.import_module(TASKS[name].partition(":")[0])
