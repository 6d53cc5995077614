"""Task distillation (Jiao 2019, section 3.2): a student that imitated a pre-trained run learns a task from a fine-tuned one.

Two steps, as the authors' code takes them (task_distill.py). First the student's layers are to read the task's texts as the teacher's
do, at a constant rate; no label is read. Then all models begin from there: the student's head learns the answers of the teacher's own
head, by a rate chosen as in any fine-tuning. Both read the examples to learn from, and what `transfer.augment` makes of them.

Deviates: losses are nats an example, where the authors' are divided by the number of labels too; the teacher's own head is read, where
theirs is put behind a ReLU; what is kept was best on held-out training examples, not on dev.
"""

import copy
import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from stemma.checkpoint import RunFolder
from stemma.config import to_plain
from stemma.errors import UsageError
from stemma.layers.loss import Carried, Loss
from stemma.layers.weights import load_weights, weights
from stemma.lineage.table import Imitates, teachers
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.framing import Framed, joined
from stemma.runs.moved import HeadedNetwork, Moved, batch_of
from stemma.runs.run import Run
from stemma.tasks.task import Targets, Task, Text
from stemma.training.facts import Note, Report
from stemma.training.loop import Reached
from stemma.training.settings import Config as LoopConfig
from stemma.transfer.batches import TaskBatches
from stemma.transfer.descent import last_loss, learner_of, updates
from stemma.transfer.moving import Descent
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config as Transfer
from stemma.transfer.settings import Distilling

if TYPE_CHECKING:
    from stemma.transfer.augment import Augmenter
    from stemma.transfer.journal import Journal

WARM, TIMED = 3, 20  # batches before the clock runs, and those whose median time is given
AT_ONCE = 32  # texts in such a batch


class TaskTeacher:
    """A fine-tuned run whose layers and answers are imitated. `augmenter` makes further texts, where the config wants any."""

    def __init__(self, path: Path, config: Distilling, augmenter: "Augmenter | None" = None) -> None:
        self._path, self._config, self._augmenter = path, config, augmenter
        self._weights = RunFolder.open(path).manifest["files"]["model.safetensors"]
        self._fitted = _imitable(path)
        self.task: Task = self._fitted.task
        self.targets: Targets = self._fitted.targets

    @property
    def moved(self) -> Moved:
        """Its network and its head, in use."""
        model = self._fitted.model
        assert isinstance(model, Moved)
        return model

    def check(self, student: Run, transfer: Transfer, task: str) -> None:
        """UsageError for a student that cannot imitate this teacher, for another task, or settings that leave nothing to imitate."""
        if task and task != self.task.name:
            raise UsageError(f"the task {task}, and the teacher learnt {self.task.name}", "the teacher's task", f"drop the task {task}")
        if not student.row.teacher:
            wrong = f"the student is a run of {student.row.name}, which imitates nobody"
            raise UsageError(
                wrong, "a student that imitated a pre-trained run", "make one: stemma distill TEACHER --corpus CORPUS --out RUN"
            )
        if student.tokenizer.fingerprint != self._fitted.assignment.tokenizer.fingerprint:
            wrong = f"the student and its teacher {self._path} have different tokens"
            raise UsageError(wrong, "a student of the run that the teacher was made from", "name that student, or another teacher")
        if transfer.mode != "finetune" or transfer.load_layers or transfer.lora or transfer.first_on_text:
            settings = f'mode = "{transfer.mode}", load_layers = "{transfer.load_layers}", lora = {transfer.lora}'
            settings += f", first_on_text = {transfer.first_on_text}"
            raise UsageError(f"a student with {settings}", "one that moves, all of it, from what it had learnt", "drop them from transfer")
        self._imitation(student.row.load_network(), student.network.config)

    def identity(self) -> dict[str, Any]:
        """What a student's learning depends on beside its own."""
        augmenter = self._augmenter.identity() if self._augmenter else {}
        return {"teacher": {"run": str(self._path), **self._weights}, "distill": to_plain(self._config), **augmenter}

    def recipe(self, assignment: Assignment, texts: Sequence[Text], report: Report | None) -> "Distilled":
        """How a student learns the task from it, of these texts and those that are made of them."""
        more: list[tuple[int, Text]] = []
        if self._augmenter:
            if report:
                report(Note(f"making up to {self._config.augment:,} further texts of each example"))
            more = self._augmenter.all_of(texts)
        return Distilled(assignment, self._config, self.moved.model, more)

    def facts(self, assignment: Assignment, student: Answers, lesson: Lesson, examples: Sequence[Any], name: str) -> dict[str, Any]:
        """Who taught what, and both side by side: size, time and measures, on these examples."""
        texts = self.task.texts(examples)
        rows = []
        for who, row, model in (("teacher", self._fitted.row, self.moved), ("student", assignment.row, student)):
            data = model.prepare(texts)
            found = self.task.score(lesson.gold, model.answers(data), self.targets)
            size = sum(array.size for array in model.arrays().values())
            took = _milliseconds(model, model.prepare(texts[:AT_ONCE]))
            rows.append({"who": who, "generation": row.name, "parameters": size, "ms": took, **found})
        imitation = self._imitation(assignment.row.load_network(), assignment.network.config)
        named = {"run": str(self._path), "generation": self._fitted.row.name, "imitates": imitation}
        return {**named, "rows": rows, "examples": len(texts), "of": name, "texts_at_once": min(AT_ONCE, len(texts))}

    def _imitation(self, student: type[Imitates], model: Any) -> str:
        """What the student imitates, in words; UsageError where the two do not go together."""
        words: str = student.imitation(model, self.moved.model.backbone).words
        return words


def _imitable(path: Path) -> FittedRun:
    """The fine-tuned run of the folder, if it can be imitated: its network moved, and a student's can read as it does."""
    fitted = FittedRun.load(path)
    if not fitted.row.teaches:
        wrong = f"{path} is a run of {fitted.row.name}, whose layers no student imitates"
        raise UsageError(wrong, f"a fine-tuned run of one of these: {teachers()}", "name another run")
    if not isinstance(fitted.model, Moved):
        wrong = f"{path} has a head on a fixed network ({fitted.facts['mode']})"
        raise UsageError(wrong, "a teacher of which all moved", "fine-tune it without --frozen")
    fitted.model.model.eval()
    return fitted


def augmenter_of(student: Run, config: Distilling, seed: int, masked: Run | None, vectors: Run | None) -> "Augmenter | None":
    """What makes further texts, by the run that the student imitated unless another is named; None where none are wanted."""
    from stemma.transfer.augment import Augmenter  # compiled code: only where it is used

    if not config.augment:
        if masked or vectors:
            wrong = f"{'masked' if masked else 'vectors'} without distill.augment, which is what it is for"
            raise UsageError(wrong, "how many texts to make of each", "set distill.augment, or leave the run out")
        return None
    if masked is None:
        imitated = student.folder.config["identity"].get("teacher", {}).get("run", "") if student.folder else ""
        if not imitated or not (Path(imitated) / "manifest.json").exists():
            wrong = f"the run that the student imitated, {imitated or 'unknown'}, is not there to make further texts"
            raise UsageError(wrong, "a masked language model", "name one: --masked RUN, or masked=… in Python")
        masked = Run.open(imitated)
    return Augmenter(masked, vectors, copies=config.augment, share=config.share, candidates=config.candidates, seed=seed)


class Reader(nn.Module):
    """A student by itself, as the first step moves it: its loss is how far it reads otherwise than its teacher."""

    def __init__(self, backbone: Any, teacher: Any) -> None:
        super().__init__()
        backbone.follow(teacher)
        self.backbone = backbone

    def loss(self, batch: Mapping[str, Tensor], carried: Carried | None = None) -> Loss:
        """The network's imitation."""
        loss: Loss = self.backbone.imitate(batch)
        return loss

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Its differences."""
        found: dict[str, int] = self.backbone.differences(batch)
        return found


class Pupil(HeadedNetwork):
    """A student with a head, as the second step moves both: its loss is how far it answers otherwise than its teacher."""

    def __init__(self, backbone: nn.Module, assignment: Assignment, dropout: float, teacher: HeadedNetwork, temperature: float) -> None:
        super().__init__(backbone, assignment.task, assignment.targets, dropout)
        self._teacher, self._temperature = (teacher,), temperature  # in a tuple: no part of what is moved and saved

    def loss(self, batch: dict[str, Tensor], carried: Carried | None = None) -> Loss:
        """The head's, of the teacher's answers."""
        (teacher,) = self._teacher
        with torch.no_grad():
            shown, _ = teacher.read(batch)
        loss: Loss = self.head.imitate(self.read(batch)[0], batch, teacher.head, shown, self._temperature)
        return loss


class Distilled(Descent):
    """The recipe of a student: that of fine-tuning, after a first step that all its models share.

    `more` are further texts, each with the number of the example that it was made of, whose label it has.
    """

    def __init__(self, assignment: Assignment, config: Distilling, teacher: HeadedNetwork, more: Sequence[tuple[int, Text]]) -> None:
        settings = assignment.settings
        assert isinstance(settings, Transfer)
        super().__init__(assignment, settings)
        self._distill, self._teacher = config, teacher.to(self._device)
        self._more = self.prepare([text for _, text in more]) if more else None
        self._owners = np.array([owner for owner, _ in more], dtype=np.int64)
        self._framed: Framed | None = None
        self._start: Mapping[str, np.ndarray] | None = None  # the student's weights after the first step
        self._first: dict[str, Any] = {}  # and what is to be said of that

    def fit(
        self, lesson: Lesson, rows: np.ndarray, rate: float, seed: int, report: Report | None = None, journal: "Journal | None" = None
    ) -> Answers:
        """The first step, unless it is done, then descends on the teacher's answers at this peak rate."""
        if self._start is None:
            self._start, self._first = (journal.first_step if journal else None) or self._first_step(lesson, rows, report, journal)
        model = super().fit(lesson, rows, rate, seed, report, journal)
        model.facts |= {"first_step": self._first, "augmented": len(self._owners)}
        return model

    def batches(self, lesson: Lesson, rows: np.ndarray, seed: int) -> TaskBatches:
        """The rows of the lesson and the texts that were made of them, as the loop reads them."""
        return self._batches(lesson, rows, seed, self._config)

    def _batches(self, lesson: Lesson, rows: np.ndarray, seed: int, config: Transfer) -> TaskBatches:
        task, assignment = self._assignment.task, self._assignment
        if self._framed is None:
            self._framed = joined(lesson.data, self._more) if self._more else lesson.data
        framed, owners = self._framed, np.concatenate([np.arange(len(lesson.gold)), self._owners])
        chosen = np.flatnonzero(np.isin(owners, rows))
        return TaskBatches(
            framed.lengths,
            chosen,
            config,
            seed,
            lambda some: batch_of(framed, some, assignment) | {"labels": task.labels(lesson.gold[owners[some]])},
        )

    def _first_step(
        self, lesson: Lesson, rows: np.ndarray, report: Report | None, journal: "Journal | None"
    ) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
        """The student's weights once it reads the texts as its teacher does, and what is to be said of it."""
        config, how, began = self._config, self._distill, time.perf_counter()
        seed, rate = config.seeds[0], how.rate or self.grid[len(self.grid) // 2]
        if report:
            report(Note(f"the first step: the teacher's layers, at rate {rate:g}"))
        batches = self._batches(lesson, rows, seed, dataclasses.replace(config, epochs=how.epochs, updates=how.updates))
        loop = LoopConfig(
            steps=batches.updates, rate=rate, schedule="constant", warmup=0.0, weight_decay=config.weight_decay, clip=config.clip,
            seed=seed, accumulate=batches.parts,
        )  # fmt: skip
        reader = Reader(copy.deepcopy(self._assignment.network), self._teacher.backbone)
        learner = learner_of(reader, loop, self._device, self._precision)
        reached = journal.take_up(learner) if journal else Reached()
        for fact in updates(learner, batches, loop, reached, journal):
            if report:
                report(fact)
        losses = {"first_loss": reached.losses[0], "loss": last_loss(reached)}
        facts = {"steps": loop.steps, "rate": rate, **losses, "seconds": time.perf_counter() - began}
        found = {name: array.copy() for name, array in weights(reader.backbone).items()}
        if journal:
            journal.begin_from(found, facts)
        return found, facts

    def _model(self, seed: int) -> tuple[Any, dict[str, Any]]:
        model, transferred = super()._model(seed)
        assert self._start is not None
        load_weights(model.backbone, self._start)
        return model, transferred

    def _headed(self, backbone: Any) -> Pupil:
        return Pupil(backbone, self._assignment, self._config.dropout, self._teacher, self._distill.temperature)


def _milliseconds(model: Answers, data: Any) -> float:
    """Median milliseconds in which the model answers these texts, put through together."""
    took = []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        model.answers(data)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took[WARM:])
