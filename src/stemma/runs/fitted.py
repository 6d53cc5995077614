"""A run that has learnt a task, in use: opened from its folder, it answers texts. Needs neither `training` nor `transfer`."""

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import resolve
from stemma.errors import DataError, RunError, UsageError
from stemma.lineage.table import find
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.opening import opening, unmoved
from stemma.runs.run import Run
from stemma.runs.settings import InUse
from stemma.tasks.table import make_task, task_config
from stemma.tokens.tokenizer import Tokenizer

_LINEAR, _NETWORK, _MOVED = "stemma.runs.fixed:Probed", "stemma.runs.fixed:Networked", "stemma.runs.moved:Moved"
FITTED: dict[str, dict[str, str]] = {  # how the generation learns, and the way it was carried over -> "module:Class" with `restore`
    "descend": {
        "frozen": _LINEAR,
        "frozen-network": _NETWORK,
        "random": _LINEAR,
        "random-network": _NETWORK,
        "finetune": _MOVED,
        "scratch": _MOVED,
    },
    "count": {"frozen": "stemma.runs.counted:Bagged", "finetune": "stemma.runs.counted:Adapted", "scratch": "stemma.runs.counted:Adapted"},
}


class FittedRun:
    """A fine-tuned run. `labels` are the names of the label space in order; `facts` is the transfer report."""

    def __init__(self, assignment: Assignment, model: Answers, facts: dict[str, Any]) -> None:
        self.assignment, self.model, self.facts = assignment, model, facts
        self.task, self.targets, self.row = assignment.task, assignment.targets, assignment.row
        self.labels: tuple[str, ...] = tuple(assignment.targets["labels"])

    @classmethod
    def load(cls, path: str | Path) -> "FittedRun":
        """The fine-tuned run of a folder, on the CPU, ready for use."""
        folder = RunFolder.open(Path(path))
        config = folder.config
        if "task" not in config:
            raise RunError(f"{path} was pre-trained, not fine-tuned", "a folder made by stemma finetune", "run stemma finetune on it first")
        if lacking := _lacking(config):
            made = f"by stemma {config['stemma']}, " if "stemma" in config else ""
            found = f"{path} was fine-tuned {made}in an older format: config.json has no {', '.join(lacking)}"
            raise RunError(
                found, "a folder that this version fine-tuned", "run stemma finetune again, or open it with the version that made it"
            )
        row, arrays = find(config["identity"]["generation"]), folder.tensors()
        with opening(folder):
            facts = config["task"]
            sections = _sections(row.sections()["model"], facts["task"], str(path), config["sections"])
            tokenizer = Tokenizer.load(folder.guarded("tokenizer.json"))
            network = unmoved(row, sections["model"], tokenizer, arrays)
            task = make_task(facts["task"], sections["task"])
            assignment = Assignment(row, tokenizer, network, task, facts["targets"], sections["transfer"])
            module, _, name = FITTED[row.learns][assignment.settings.way].partition(":")
            model = getattr(importlib.import_module(module), name).restore(assignment, arrays, facts)
            return cls(assignment, model, facts)

    def predict(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> tuple[list[Any], Any]:
        """What each text (or pair) is given, in names, and the numbers behind it: of labels, the probabilities of all (N K)."""
        return self.task.told(self.answers(self._examples(texts, texts_b)), self.targets)

    def vectors(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> np.ndarray:
        """The vector of each text that the head reads (N F)."""
        return self.model.vectors(self.model.prepare(self.task.texts(self._examples(texts, texts_b))))

    def answers(self, examples: Sequence[Any]) -> list[Any]:
        """The task's answer to each of its examples."""
        data = self.model.prepare(self.task.texts(examples))
        if data.unread:
            cause = "they stand after what is read of a text (transfer.max_length, the network's own length), or the tokenizer drops them"
            warnings.warn(f"{data.unread:,} units had no token to be read at, and their answers are guesses: {cause}", stacklevel=2)
        return self.model.answers(data)

    def answer_rows(self, lines: Sequence[str]) -> list[dict[str, Any]]:
        """One JSON row a line, whose parts have tabs between them."""
        examples = [self.task.example(parts, self.targets) for parts in self.parts_of(lines)]
        return self.task.answer_rows(examples, self.answers(examples), self.targets)

    def parts_of(self, lines: Sequence[str]) -> list[tuple[str, ...]]:
        """The parts of each line; DataError unless they are exactly those that the task asks for."""
        names = self.task.parts(self.targets)
        found = [tuple(line.split("\t")) for line in lines]
        for line, parts in zip(lines, found, strict=True):
            if len(parts) != len(names):
                shown = line if len(line) <= 60 else line[:57] + "..."
                asked = f"{len(names)} on a line: {', '.join(names)}"
                cure = "put one tab between the parts" if len(parts) < len(names) else "write a tab inside a text as a space"
                raise DataError(f"{shown!r} has {len(parts)} part{'s' * (len(parts) > 1)}", asked, cure)
        return found

    def _examples(self, texts: Sequence[str], texts_b: Sequence[str] | None) -> list[Any]:
        columns = [texts, texts_b] if texts_b is not None and any(texts_b) else [texts]
        names = self.task.parts(self.targets)
        if len(texts) and len(columns) != len(names):
            cure = "pass texts_b" if len(names) > 1 else "leave texts_b out"
            raise UsageError(f"this run answers for {' and '.join(names)}, not for {len(columns)} part(s)", "the same kind of input", cure)
        return [self.task.example(parts, self.targets) for parts in zip(*columns, strict=True)]


def load(path: str | Path) -> Run | FittedRun:
    """The run of a folder: a `Run` if it was pre-trained, a `FittedRun` if it was fine-tuned on a task."""
    return FittedRun.load(path) if "task" in RunFolder.open(Path(path)).config else Run.open(path)


def _lacking(config: dict[str, Any]) -> list[str]:
    """The keys without which no prediction can be made, as far as the config of a fine-tuned run lacks them."""
    sections = config["sections"]
    needed = {"task": ("task", "targets"), "sections": ("model", "transfer", "task")}
    lacking = [f"{part}.{key}" for part, keys in needed.items() for key in keys if key not in config[part]]
    used = (field.name for field in fields(InUse))
    return lacking + [f"sections.transfer.{name}" for name in used if name not in sections.get("transfer", {})]


def _sections(model: type, task: str, path: str, saved: dict[str, Any]) -> dict[str, Any]:
    """The sections that prediction needs; those of the run folder hold more."""
    known = {name: saved["transfer"][name] for name in (field.name for field in fields(InUse))}
    asked = {"model": model, "transfer": InUse, "task": task_config(task)}
    return resolve(asked, (path, {"model": saved["model"], "transfer": known, "task": saved["task"]}))
