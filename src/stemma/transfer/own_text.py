"""The task's own text first: a run reads the texts of the training examples, without their labels, as it was pre-trained.

Howard & Ruder 2018, section 3.2; Gururangan 2020 (task-adaptive pre-training). It is `pretrain --continue-from` on those texts.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stemma.corpus.read import AS_KEPT, keep_texts
from stemma.errors import UsageError
from stemma.lineage.table import TABLE
from stemma.nouns import counted
from stemma.runs.run import Run
from stemma.tasks.task import Text
from stemma.training.facts import Note, Report
from stemma.training.pretrain import pretrain
from stemma.training.request import Request
from stemma.transfer.settings import Config

FOLDER = "own-text"  # of the run that has read the task's text, within the folder of the state


@contextmanager
def place_for(out: Path | None) -> Iterator[Path]:
    """The folder of the run that reads the task's text. It goes when all is done; in the run folder `out` a killed call leaves it."""
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / FOLDER
        return
    place = out / "state" / FOLDER
    yield place
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):  # not empty, or not there
        place.parent.rmdir()


def read_first(run: Run, texts: Sequence[Text], config: Config, place: Path, report: Report | None) -> tuple[Run, dict[str, Any]]:
    """The run after it read so many tokens of the texts (`transfer.first_on_text`), kept in `place`, and what that took.

    The same call again goes on where a killed one was. UsageError where the run cannot go on from what it has learnt.
    """
    _check(run, config)
    assert run.folder is not None
    if report:
        report(Note(f"first {counted(config.first_on_text, 'token')} of the texts of the training examples, without their labels"))
    settings = [*AS_KEPT, f"training.tokens={config.first_on_text}", f"training.seed={config.seeds[0]}"]
    settings += [f"training.threads={config.threads}"] if config.threads else []
    sides = (side for text in texts for side in (text.text, text.other, *text.candidates) if side.strip())
    kept = keep_texts(dict.fromkeys(sides), place / "store")  # each once: questions may share a passage
    request = Request.of(run.row.name, kept, settings=settings, continue_from=run.folder.path)
    folder = pretrain(request, out=place, progress=report)
    return Run.open(folder.path), _facts(folder.metrics(), config.first_on_text)


def in_words(facts: dict[str, Any]) -> str:
    """What reading the text took, for the card."""
    losses = " and ".join(f"{loss:.3f}" for loss in (facts["first_loss"], facts["loss"]))
    return (
        f"first it read {counted(facts['tokens'], 'token')} of the texts of the training examples ({facts['passes']:.3g} passes), without "
        f"their labels; the loss of its own objective was {losses} nats at first and at last"
    )


def _check(run: Run, config: Config) -> None:
    wrong = f"transfer.first_on_text = {config.first_on_text}"
    if not run.row.continues or run.row.teacher:
        can = ", ".join(row.name for row in TABLE if row.continues and not row.teacher)
        raise UsageError(f"{wrong}: {run.row.name} cannot go on from a finished run on new text", f"these can: {can}", "set it to 0")
    if run.folder is None:
        raise UsageError(f"{wrong} of a run that stands in no folder", "a run made by stemma pretrain", "open it from its folder")


def _facts(metrics: Sequence[dict[str, Any]], asked: int) -> dict[str, Any]:
    (done,) = (line for line in metrics if line["kind"] == "done")
    steps = [line["loss"] for line in metrics if line["kind"] == "step"]
    named = ("tokens", "steps", "passes", "seconds")
    return {"asked": asked, **{name: done[name] for name in named}, "first_loss": steps[0], "loss": steps[-1]}
