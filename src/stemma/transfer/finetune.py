"""Transfer of any run to any task: prepare, choose on held-out training examples, learn once a seed, report.

`mode` is the one switch. The dev file is read for reporting alone.
"""

import dataclasses
import hashlib
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from stemma.checkpoint import RunFolder
from stemma.config import as_read, checked
from stemma.layers.threads import computing_with
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.doubts import floor_warning
from stemma.runs.fitted import FittedRun
from stemma.tasks.table import make_task
from stemma.tasks.task import Targets, Task
from stemma.tokens.files import one_writer
from stemma.training.facts import Note, Report
from stemma.transfer import own_text
from stemma.transfer.distill import TaskTeacher
from stemma.transfer.doubts import DevDoubt, repeats_warning
from stemma.transfer.journal import Journal
from stemma.transfer.recipe import recipe_for
from stemma.transfer.saving import begin, finish, identity_of, settled_threads
from stemma.transfer.selection import drawn
from stemma.transfer.settings import Config, Mode
from stemma.transfer.trials import choose, left_out
from stemma.transfer.work import Work

Examples = str | Path | Sequence[Any]


def finetune(
    run: Any,
    *,
    train: Examples,
    dev: Examples | None = None,
    task: str | Task = "classify",
    mode: Mode | None = None,
    config: Config | None = None,
    out: str | Path | None = None,
    progress: Report | None = None,
    teacher: TaskTeacher | None = None,
    targets: Targets | None = None,
) -> FittedRun:
    """The run carried over to the task, with all that a report needs in `.facts`.

    A `teacher` that has learnt the task is imitated, and its labels are the label space; so are the `targets` of more examples
    than those that are learnt from.

    `task` is a name, for its default settings, or a task that was made. `mode` wins over `config.mode`. With `out`, the
    result is saved there as a run folder: the same call again goes on where a killed one was, to the same weights, and gives
    back what is finished. RunError when the folder was begun with other settings, or while another process writes into it.
    """
    config = Config() if config is None else config
    config = as_read(checked("transfer", config if mode is None else dataclasses.replace(config, mode=mode), "finetune"))
    kind = make_task(task) if isinstance(task, str) else task
    place = Path(out) if out is not None else None
    first_place = own_text.place_for(place) if config.first_on_text else nullcontext()
    with one_writer(place) if place else nullcontext(), first_place as reading:
        every, judged = _examples(kind, train), _examples(kind, dev) if dev is not None else []
        examples = drawn(every, config.train_limit)
        targets = teacher.targets if teacher else targets or _label_space(kind, every, examples)
        assignment = Assignment(run.row, run.tokenizer, run.module(), kind, targets, config)
        data = {"train": _fingerprint(kind, examples), "dev": _fingerprint(kind, judged) if judged else None}
        identity = identity_of(run, assignment, data) | (teacher.identity() if teacher else {})
        folder = RunFolder.resume(place, identity) if place else None
        if folder and folder.finished:
            return FittedRun.load(folder.path)
        if repeats := repeats_warning(kind, examples, judged):
            warnings.warn(repeats, DevDoubt, stacklevel=2)
        first: dict[str, Any] = {}
        if reading is not None:
            recipe_for(assignment, config)  # what cannot be learnt is refused before
            read, first = own_text.read_first(run, kind.texts(examples), config, reading, progress)
            assignment = dataclasses.replace(assignment, tokenizer=read.tokenizer, network=read.module())
        recipe = teacher.recipe(assignment, kind.texts(examples), progress) if teacher else recipe_for(assignment, config)
        work = Work(assignment, recipe, config, examples, judged)
        for doubt in run.doubts:
            whose = "learnt from its examples alone" if kind.per == "target" else "its head's doing"
            warnings.warn(f"{run.path}: {doubt.told}; what it learns of the task is {whose}", stacklevel=2)
        threads = config.threads or (settled_threads(folder) if folder else work.recipe.threads(work.train))
        if place and folder is None:
            folder = begin(place, assignment, identity, threads)
        journal = Journal(folder, assignment)
        if journal.summary and progress:
            progress(Note(f"going on: {journal.summary}"))
        with computing_with(threads), journal.interrupted():
            value, best, model = choose(work, journal, progress)
        settled = dataclasses.replace(assignment, targets=assignment.targets | best["settled"])
        facts = work.facts(data) | {"threads": threads, "chosen": {work.recipe.knob: value}, "saved_seed": best["seed"]}
        beside: dict[str, Any] = {"taught": teacher.facts(settled, model, *work.judging)} if teacher else {}
        beside |= {"first_on_text": first, "ways": [own_text.in_words(first), *facts["ways"]]} if first else {}
        fitted = FittedRun(settled, model, {**facts, "targets": settled.targets, **_found(work, journal, model), **beside})
        if doubt := floor_warning(fitted.facts):
            warnings.warn(f"what was learnt is {doubt}", DevDoubt, stacklevel=2)
        if folder is not None:
            finish(fitted, folder)
        return fitted


def _found(work: Work, journal: Journal, model: Answers) -> dict[str, Any]:
    """What the report says of the trials, the seeds and the model that is kept."""
    return {
        "trials": [{name: value for name, value in trial.items() if name != "row"} for trial in journal.done.trials],
        "crossed": work.config.crossed,
        "left_out": left_out(work, journal),
        "seeds": list(journal.done.rows),
        **work.means(journal.done.rows),
        "floor": work.floor(journal.done.rows),
        **{key: value for key, value in model.facts.items() if key not in ("seconds", "loss", "chosen")},
        "seconds": journal.seconds,
    }


def _examples(task: Task, given: Examples) -> list[Any]:
    return task.read(given) if isinstance(given, (str, Path)) else task.given(given)


def _label_space(task: Task, every: Sequence[Any], examples: Sequence[Any]) -> Targets:
    """The label space of the examples, with all the labels of those that they were drawn from: dev may have one that the draw lacks."""
    found = task.targets(every)
    return found if found["labels"] or len(examples) == len(every) else task.targets(examples)


def _fingerprint(task: Task, examples: Sequence[Any]) -> str:
    """Changes whenever an example's text or label does."""
    digest = hashlib.blake2b(digest_size=16)
    for example in examples:
        digest.update(task.written(example).encode())
    return digest.hexdigest()
