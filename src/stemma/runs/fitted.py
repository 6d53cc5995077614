"""A run that has learnt a task, in use: opened from its folder, it answers texts. Needs neither `training` nor `transfer`."""

import importlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import resolve
from stemma.corpus.given import given_texts
from stemma.corpus.task import header_of, is_header
from stemma.errors import DataError, RunError, UsageError
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.runs.assignment import Answers, Assignment, learner
from stemma.runs.decoding import Decoding, Wanted, Written, always
from stemma.runs.doubts import Doubt, floor_warning
from stemma.runs.framing import cut_warning
from stemma.runs.opening import opening, unmoved
from stemma.runs.run import Run, warn_of_unknown
from stemma.runs.settings import InUse, Precision
from stemma.tasks.table import make_task, task_config
from stemma.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from stemma.runs.attention_heads import AttentionHead
    from stemma.runs.writing import Writer

_LINEAR, _NETWORK, _MOVED = "stemma.runs.fixed:Probed", "stemma.runs.fixed:Networked", "stemma.runs.moved:Moved"
_DESCENDED = {
    "frozen": _LINEAR,
    "frozen-network": _NETWORK,
    "random": _LINEAR,
    "random-network": _NETWORK,
    "finetune": _MOVED,
    "scratch": _MOVED,
}
_VECTORS, _BAGGED, _ADAPTED = "stemma.runs.fixed_vectors:ProbedVectors", "stemma.runs.counted:Bagged", "stemma.runs.counted:Adapted"
_WRITER = "stemma.runs.writing:Writer"
FITTED: dict[str, dict[str, str]] = {  # what learnt (`learner`), and the way it was carried over -> "module:Class" with `restore`
    "descend": _DESCENDED,
    "vectors": _DESCENDED | {"frozen": _VECTORS, "random": _VECTORS},
    "count": {"frozen": _BAGGED, "finetune": _ADAPTED, "scratch": _ADAPTED},
    "target": {"finetune": _WRITER, "scratch": _WRITER},
}
WITHOUT_PYTORCH = (_VECTORS, _BAGGED, _ADAPTED)

_GUESSED, SILENT = "their answers are those to an empty text", "their vectors say nothing of them"


@dataclass(frozen=True)
class Prepared:
    """Lines that a fine-tuned run is asked about, tokenised: `FittedRun.answered` and `FittedRun.with_vectors` do the rest."""

    lines: tuple[str, ...]
    examples: tuple[Any, ...]
    data: Any  # what the model made of them
    known: np.ndarray  # (N) True for each line with a known word

    @property
    def tokens(self) -> list[int]:
        """What is computed with of each line: tokens, specials included; of models of counts perhaps n-grams."""
        found: list[int] = self.data.lengths.tolist()
        return found


class FittedRun:
    """A fine-tuned run, which takes texts as a `Run` does.

    `labels` are the names of the label space in order; `facts` is the transfer report.
    """

    def __init__(self, assignment: Assignment, model: Answers, facts: dict[str, Any]) -> None:
        self.assignment, self.model, self.facts = assignment, model, facts
        self.task, self.targets, self.row = assignment.task, assignment.targets, assignment.row
        self.labels: tuple[str, ...] = tuple(assignment.targets["labels"])

    @classmethod
    def load(cls, path: str | Path, precision: Precision | None = None, held: bool = False) -> "FittedRun":
        """The fine-tuned run of a folder, on the CPU, ready for use; it computes in `precision`, or as its settings say.

        `held` in memory it does without the folder, and is not changed with it.
        """
        folder = RunFolder.open(Path(path))
        config = folder.config
        if "task" not in config:
            raise UsageError(
                f"{path} was pre-trained, not fine-tuned", "a folder made by stemma finetune", "run stemma finetune on it first"
            )
        if lacking := _lacking(config):
            made = f"by stemma {config['stemma']}, " if "stemma" in config else ""
            found = f"{path} was fine-tuned {made}in an older format: config.json has no {', '.join(lacking)}"
            raise RunError(
                found, "a folder that this version fine-tuned", "run stemma finetune again, or open it with the version that made it"
            )
        row, arrays = find(config["identity"]["generation"]), folder.tensors(held)
        with opening(folder):
            facts = config["task"]
            sections = _sections(row.model_config(), facts["task"], str(path), config["sections"])
            settings = replace(sections["transfer"], precision=precision) if precision else sections["transfer"]
            tokenizer = Tokenizer.load(folder.guarded("tokenizer.json"))
            task = make_task(facts["task"], sections["task"])
            as_arrays = FITTED[learner(row, task)][settings.way] in WITHOUT_PYTORCH
            network = unmoved(row, sections["model"], tokenizer, arrays, as_arrays)
            assignment = Assignment(row, tokenizer, network, task, facts["targets"], settings)
            return cls(assignment, restored(assignment, arrays, facts), facts)

    def predict(self, texts: Iterable[str], texts_b: Iterable[str] | None = None) -> tuple[list[Any], Any]:
        """What each text (or pair) is given, in names, and the numbers behind it: of labels, the probabilities of all (N K)."""
        return self.task.readable(self.answers(self._examples(texts, texts_b)), self.targets)

    @overload
    def translate(self, texts: str, *, options: Decoding | None = ...) -> str: ...
    @overload
    def translate(self, texts: list[str] | tuple[str, ...], *, options: Decoding | None = ...) -> list[str]: ...
    def translate(self, texts: str | list[str] | tuple[str, ...], *, options: Decoding | None = None) -> str | list[str]:
        """The target of each source, written as the task's settings say unless `options` say otherwise."""
        found = [best.text for best, *_ in self.translations([texts] if isinstance(texts, str) else texts, options=options)]
        return found[0] if isinstance(texts, str) else found

    def translations(
        self, texts: Iterable[str], *, options: Decoding | None = None, samples: int = 1, wanted: Wanted = always
    ) -> list[list[Written]]:
        """For each source the best `samples` targets with their probabilities; UsageError for a run that learnt another task."""
        writer = self.writer
        pairs, _ = self._prepared(self._examples(texts, None), _GUESSED)
        return writer.translations(pairs, options or writer.decoding, samples, wanted)

    @property
    def doubts(self) -> list[Doubt]:
        """Why not to trust its answers: they are no better, or not surely, than what needs no learning."""
        return [Doubt("floor", told)] if (told := floor_warning(self.facts)) else []

    def check_translates(self) -> None:
        """UsageError where the run learnt another task."""
        _ = self.writer

    def as_run(self) -> Run:
        """The run that has learnt to translate, to look into and to go on from; UsageError for one that learnt another task."""
        return Run(None, self.row, self.assignment.tokenizer, self.writer.network.eval())

    def attend(self, text: str, other: str) -> "list[AttentionHead]":
        """Where each head of each layer looks in a source and its target; UsageError for a run that learnt another task."""
        return self.as_run().attend(text, other)

    @property
    def writer(self) -> "Writer":
        """What writes the targets of a run that learnt to; UsageError for one that learnt another task."""
        if self.task.per != "target":
            wrong = f"the run is fine-tuned on the task {self.task.name}, and writes no targets"
            raise UsageError(wrong, "a run that learnt pairs of a source and its target", "finetune one with the task translate")
        return cast("Writer", self.model)

    def vectors(self, texts: Iterable[str], texts_b: Iterable[str] | None = None) -> np.ndarray:
        """The vector of each text that the head reads (N F)."""
        data, _ = self._prepared(self._examples(texts, texts_b), SILENT)
        return self.model.vectors(data)

    def answers(self, examples: Sequence[Any]) -> list[Any]:
        """The task's answer to each of its examples."""
        return self.model.answers(self._prepared(examples, _GUESSED)[0])

    def answer_rows(self, lines: Iterable[str]) -> list[dict[str, Any]]:
        """One JSON row a line, whose parts have tabs between them; `no_known_word` and `tokens_cut` where that is so."""
        return self.answered(self.prepared(lines))

    def vector_rows(self, lines: Iterable[str]) -> list[dict[str, Any]]:
        """As `answer_rows`, with the vector that the head reads of each line."""
        return self.with_vectors(self.prepared(lines, SILENT))

    def prepared(self, lines: Iterable[str], so: str = _GUESSED) -> Prepared:
        """The lines tokenised; DataError for one without the parts that the task reads."""
        lines = given_texts(lines, "lines")
        examples = [self.task.example(parts, self.targets) for parts in self.parts_of(lines)]
        data, known = self._prepared(examples, so)
        return Prepared(tuple(lines), tuple(examples), data, known)

    def answered(self, prepared: Prepared) -> list[dict[str, Any]]:
        """What `answer_rows` gives of the lines."""
        rows = self.task.answer_rows(prepared.examples, self.model.answers(prepared.data), self.targets)
        return [row | lacking for row, lacking in zip(rows, _not_read(prepared), strict=True)]

    def together(self, several: Sequence[Prepared]) -> list[Prepared]:
        """The lines of all in as few as can be answered at once, in the same order."""
        data = self.model.together([one.data for one in several])
        if len(data) == len(several):
            return list(several)
        lines, examples = (tuple(chain.from_iterable(parts)) for parts in zip(*((one.lines, one.examples) for one in several), strict=True))
        return [Prepared(lines, examples, data[0], np.concatenate([one.known for one in several]))]

    def with_vectors(self, prepared: Prepared) -> list[dict[str, Any]]:
        """What `vector_rows` gives of the lines."""
        rows = zip(prepared.lines, _not_read(prepared), self.model.vectors(prepared.data), strict=True)
        return [{"text": line, **lacking, "vector": vector.tolist()} for line, lacking, vector in rows]

    def parts_of(self, lines: Iterable[str]) -> list[tuple[str, ...]]:
        """The parts of each line; DataError unless they are exactly those that the task reads, UsageError for a header of columns."""
        names, lines = self.task.parts(self.targets), given_texts(lines, "lines")
        found = [tuple(part.strip() for part in line.split("\t")) for line in lines]
        for line, parts in zip(lines, found, strict=True):
            shown = line if len(line) <= 60 else line[:57] + "..."
            if header_of(line):
                cure = "hand over those columns alone, without the header; stemma evaluate reads labelled files"
                raise UsageError(f"{shown!r} is the header of a table", f"{', '.join(names)} on a line, and nothing else", cure)
            if line.startswith("{") and _is_record(line):
                cure = "hand over its text alone, `jq -r .text FILE | stemma predict RUN`; stemma evaluate reads labelled files"
                raise UsageError(f"{shown!r} is a JSON record", f"{', '.join(names)} on a line, and nothing else", cure)
            if len(parts) < len(names) or (len(parts) > len(names) and not self.task.more_parts):
                expected = f"{len(names)}{' or more' * self.task.more_parts} on a line: {', '.join(names)}"
                cure = "put one tab between the parts" if len(parts) < len(names) else "write a tab inside a text as a space"
                raise DataError(f"{shown!r} has {counted(len(parts), 'part')}", expected, cure)
        if len(names) > 1 and len(found) > 1 and all(parts[0] in self.labels for parts in found):
            warnings.warn(f"the first part of every line is a label of this run, and is read as its {names[0]}", stacklevel=3)
        return found

    def _examples(self, texts: Iterable[str], texts_b: Iterable[str] | None) -> list[Any]:
        if self.task.more_parts and texts_b is None:  # parted by tabs
            return [self.task.example(parts, self.targets) for parts in self.parts_of(texts)]
        first, second = given_texts(texts), None if texts_b is None else given_texts(texts_b, "texts_b")
        columns = [first, second] if second is not None and any(second) else [first]
        names = self.task.parts(self.targets)
        if first and len(columns) != len(names):
            cure = "pass texts_b" if len(names) > 1 else "leave texts_b out"
            raise UsageError(f"this run answers for {' and '.join(names)}, not for {len(columns)} part(s)", "the same kind of input", cure)
        if second is not None and len(first) != len(second):
            raise UsageError(f"{len(first)} texts and {len(second)} texts_b", "a second text for each", "pass both of the same length")
        return [self.task.example([part.strip() for part in parts], self.targets) for parts in zip(*columns, strict=True)]

    def _prepared(self, examples: Sequence[Any], so: str) -> tuple[Any, np.ndarray]:
        """What the model reads of the examples, and of each (N) whether it has a known word, or of a pair both halves have one.

        Warnings tell what is not read.
        """
        read = self.task.texts(examples)
        data = self.model.prepare(read)
        paired = len(self.task.parts(self.targets)) > 1
        known = data.known & np.array([bool(text.other or text.candidates) or not paired for text in read], bool)
        warn_of_unknown([text.text for text in read], known, so)
        if data.cut:
            warnings.warn(cut_warning(data, "texts"), stacklevel=3)
        if data.unread:
            cause = "they stand after what is read of a text (transfer.max_length, the network's own length), or the tokenizer drops them"
            warnings.warn(
                f"{counted(data.unread, 'unit')} had no token to be read at, and their answers are guesses: {cause}", stacklevel=3
            )
        return data, known


def restored(assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Answers:
    """The model whose `arrays()` these were, on the assignment's network, which gets its weights; `facts` hold its own and `chosen`."""
    module, _, name = FITTED[learner(assignment.row, assignment.task)][assignment.settings.way].partition(":")
    model: Answers = getattr(importlib.import_module(module), name).restore(assignment, arrays, facts)
    return model


def has_head(path: str | Path) -> bool:
    """True for the folder of a fine-tuned run that answers by a head; one that has learnt to write targets is a `Run` as well."""
    config = RunFolder.open(Path(path)).config
    return "task" in config and make_task(config["task"]["task"]).per != "target"


def load(path: str | Path, precision: Precision | None = None, held: bool = False) -> Run | FittedRun:
    """The run of a folder: a `Run` if it was pre-trained, a `FittedRun` if it was fine-tuned on a task, to compute in `precision`.

    `held` in memory it does without the folder, and is not changed with it.
    """
    fine = "task" in RunFolder.open(Path(path)).config
    return FittedRun.load(path, precision, held) if fine else Run.open(path, held)


def _is_record(line: str) -> bool:
    """True for a JSON object with columns of labelled examples."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and ("text" in record or is_header([*record]))


def _not_read(prepared: Prepared) -> list[dict[str, Any]]:
    """What a program should know of each row: that the text has no word the run knows, and how many tokens were cut off."""
    return [
        ({} if knows else {"no_known_word": True}) | ({"tokens_cut": lost} if lost else {})
        for knows, lost in zip(prepared.known.tolist(), prepared.data.lost, strict=True)
    ]


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
    types = {"model": model, "transfer": InUse, "task": task_config(task)}
    return resolve(types, (path, {"model": saved["model"], "transfer": known, "task": saved["task"]}))
