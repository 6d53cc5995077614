"""The head of a folder as what learnt a task: read from its class in config.json, or from what a folder of ours says of it.

A folder of another program tells neither whether its texts are pairs nor, of a tagger, what its units are: texts stand alone unless
the task is named, and units are words, or characters where the vocabulary is mostly Chinese. Each of its tags is the likeliest by itself.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import restore
from stemma.errors import DataError, UsageError
from stemma.export.huggingface import COUNTERPART
from stemma.export.huggingface_heads import HEAD_CLASSES, KINDS, NAMED_TASK, HeadClass, head_from_huggingface
from stemma.export.huggingface_in.layout import CURE, Settings
from stemma.lineage.table import Generation
from stemma.runs.assignment import Assignment
from stemma.runs.fitted import FittedRun, restored
from stemma.runs.opening import unmoved
from stemma.runs.settings import InUse
from stemma.tasks.table import make_task, task_config
from stemma.tasks.task import PLACES, Targets
from stemma.tokens.scripts import is_han
from stemma.tokens.tokenizer import Tokenizer

NO_TASK = "none"  # asked for: the network without its head
_USUAL = {"text": "classify", "candidate": "choice", "unit": "tag"}  # the task of another program's head
_TASKS = tuple(KINDS)


@dataclass(frozen=True)
class Learnt:
    """What a folder's head has learnt: the task with its label space, and the head's tensors under our names."""

    task: str
    config: Any
    targets: Targets
    settings: InUse
    arrays: dict[str, np.ndarray]

    def facts(self, row: Generation) -> dict[str, Any]:
        """What a fine-tuned run tells of itself: nothing of how it learnt."""
        known = {"generation": row.name, "task": self.task, "mode": self.settings.mode, "targets": self.targets}
        nothing: dict[str, Any] = {"seeds": [], "metrics": [], "examples": {}, "deterministic": True}
        return known | {"labels": self.targets["labels"], **nothing}

    def fitted(self, row: Generation, model: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> FittedRun:
        """The run of the network's arrays and the head's."""
        network, facts = unmoved(row, model, tokenizer, arrays, False), self.facts(row)
        assignment = Assignment(row, tokenizer, network, make_task(self.task, self.config), self.targets, self.settings)
        return FittedRun(assignment, restored(assignment, {**arrays, **self.arrays}, facts), facts)


def head_class(settings: Settings) -> HeadClass | None:
    """The class that config.json names, if its head is one of ours."""
    named = settings.get("architectures")
    names = named if isinstance(named, list) else []
    return next((head for head in HEAD_CLASSES if head.name in names), None)


def learnt(
    path: Path, settings: Settings, theirs: Mapping[str, np.ndarray], row: Generation, tokenizer: Tokenizer, width: int, asked: str
) -> Learnt | None:
    """What the folder's head has learnt; None where it has no head, `asked` is `none`, or, with a warning, no head of ours does the same.

    `asked` is a task, or nothing: UsageError where the head is of another. DataError where the folder's parts do not fit together.
    """
    if asked not in ("", NO_TASK, *_TASKS):
        raise UsageError(f"the task {asked!r}", f"{NO_TASK}, or one of {', '.join(_TASKS)}", "name one of these")
    head = head_class(settings)
    if head is None or head.network != COUNTERPART[row.name] or asked == NO_TASK:
        if asked not in ("", NO_TASK):
            raise UsageError(f"{path} has no head of a task", "a folder of a class such as BertForSequenceClassification", "name no task")
        return None
    own = settings.get(NAMED_TASK)
    if own is None and (reason := _differs(head, settings)):
        if asked:
            raise UsageError(f"{path}: {head.name} {reason}", "a head that reads as ours do", f"leave it out: --task {NO_TASK}")
        warnings.warn(f"{path}: the head of {head.name} is left out: it {reason}", stacklevel=2)
        return None
    found = _ours(path, own) if own is not None else _foreign(path, settings, head, tokenizer, asked)
    if KINDS[found.task] != head.kind:
        fitting = ", ".join(name for name, kind in KINDS.items() if kind == head.kind)
        raise UsageError(f"{path}: the task {found.task} of a {head.name}", f"one of {fitting}", "name one of these, or none")
    if asked not in ("", found.task):
        raise UsageError(f"{path} has learnt the task {found.task}, not {asked}", "the task of its head", "name that, or none")
    return replace(found, arrays=_arrays(path, head, theirs, found.targets, width))


def _differs(head: HeadClass, settings: Settings) -> str:
    """Why another program's head of this class gives something else than ours would; empty where it gives the same."""
    if head.kind == "span":
        return "scores the end of an answer at its last token, ours at the first token of its last word"
    if head.network == "xlnet" and head.summarises and settings.get("summary_use_proj", True):
        return "reads the summary through one more layer"
    if not head.bias:
        return "reads texts without the tokens that GPT's input transformation sets round them"
    return ""


def _ours(path: Path, own: Any) -> Learnt:
    if not isinstance(own, dict) or own.get("task") not in KINDS or not isinstance(own.get("targets"), dict):
        raise DataError(f"{path / 'config.json'}: {NAMED_TASK} tells of no task", "what stemma convert wrote there", CURE)
    config: Any = restore(task_config(own["task"]), own.get("settings", {}), str(path / "config.json"))
    read: Any = restore(InUse, own.get("read", {}), str(path / "config.json"))
    return Learnt(own["task"], config, own["targets"], read, {})


def _foreign(path: Path, settings: Settings, head: HeadClass, tokenizer: Tokenizer, asked: str) -> Learnt:
    labels = [] if head.kind == "candidate" else _labels(path, settings)
    number = head.kind == "text" and (settings.get("problem_type") == "regression" or len(labels) == 1)
    name = asked or ("regress" if number else _USUAL[head.kind])
    read = InUse(max_length=min(int(settings.get("max_position_embeddings", 512)), 512), precision="fp32")  # to answer as there
    targets: Targets
    if name == "tag":
        bio = all(label == "O" or label[:2] in ("B-", "I-") for label in labels) and len(labels) > 1
        types = sorted({label[2:] for label in labels if label != "O"}) if bio else []
        targets = {"labels": labels, "types": types, "units": "characters" if _is_chinese(tokenizer) else "words"}
        return Learnt(name, task_config(name)(lawful=False), targets, read, {})
    targets = {"labels": labels, "several": settings.get("problem_type") == "multi_label_classification", "pairs": name == "pair"}
    if name == "regress":
        if len(labels) != 1:
            raise UsageError(f"{path}: the task regress of {len(labels)} outputs", "a head with one", "name another task, or none")
        targets = {"labels": [], "mean": 0.0, "scale": 1.0, "pairs": False}
    if name == "choice":
        targets = {"labels": []}
    return Learnt(name, task_config(name)(), targets, read, {})


def _labels(path: Path, settings: Settings) -> list[str]:
    """The names of the head's outputs in their order; transformers' own where config.json has none."""
    named = settings.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    found = {int(number): name for number, name in named.items()}
    labels = [found.get(number) for number in range(len(found))]
    if not labels or not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        raise DataError(f"{path / 'config.json'}: id2label = {named!r:.80}", "a name of its own for each output, from 0 on", CURE)
    return labels  # type: ignore[return-value]  # all are text


def _arrays(path: Path, head: HeadClass, theirs: Mapping[str, np.ndarray], targets: Targets, width: int) -> dict[str, np.ndarray]:
    """The head's tensors under our names; DataError where they are not of the labels and the network's width."""
    outputs = 2 if head.kind == "span" else len(targets["labels"]) or 1
    shapes = {"weight": (outputs, width)} | ({"bias": (outputs,)} if head.bias else {})
    arrays = {"bias": np.zeros(outputs, np.float32)}
    for name, shape in shapes.items():
        array = theirs.get(f"{head.layer}.{name}")
        if array is None or array.shape != shape:
            wrong = f"{path}: {head.layer}.{name} is {'missing' if array is None else array.shape}"
            raise DataError(wrong, f"{shape}, as config.json says", CURE)
        arrays[name] = array.astype(np.float32)
        if not np.isfinite(arrays[name]).all():
            raise DataError(f"{path}: {head.layer}.{name} holds numbers that are not finite", "weights that a float32 holds", CURE)
    return head_from_huggingface(head.kind, arrays["weight"], arrays["bias"], targets, PLACES)


def _is_chinese(tokenizer: Tokenizer) -> bool:
    """True where more than half of the vocabulary is single Chinese characters, those that go on with a word included."""
    bare = [token.removeprefix("##") for token in tokenizer.tokens]
    return sum(len(token) == 1 and is_han(token) for token in bare) > len(bare) / 2
