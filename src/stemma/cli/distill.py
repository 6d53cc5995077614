"""`stemma distill`: a small run that imitates a teacher, on plain text or on a task; the same command again goes on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tyro.conf import arg

from stemma.cli.aligned import columns
from stemma.cli.answer import Answer, Printable
from stemma.cli.finetune import finetuned
from stemma.cli.pretrain import planned, trained
from stemma.cli.progress import Progress
from stemma.cli.verb import EarlierRun, File, Flag, Preset, Repeated, RunPath, Settings, Several, TomlFile, Verb
from stemma.errors import UsageError

STUDENT = "tinybert"
Student = Annotated[Path | None, arg(name="from", metavar="RUN", help_behavior_hint="(optional)")]


@dataclass(frozen=True)
class Distill(Verb):
    """Distils a run into a smaller one: a finished run on plain text (--corpus), or a fine-tuned one on its task (--from, --train).

    Repeat the command to go on after a stop. Settings are those of tinybert; with --from those of transfer and distill.

    Example: stemma distill runs/bert --corpus corpus.txt --out runs/small-bert --preset tiny
    """

    several_processes: ClassVar[bool] = True

    teacher: RunPath  # a finished run of bert, bert-wwm, albert or tinybert; with --from a fine-tuned one
    out: Path  # the folder of the student's run
    corpus: Several = ()  # files, folders, globs or URLs of the text that both read; - is standard input
    preset: Preset = None  # with --corpus: tiny, small or base; small if none is named
    config: TomlFile = None  # a TOML file of settings
    settings: Settings = ()  # one setting, as model.mapping=top or distill.epochs=5; wins over preset and file
    dev: Repeated = ()  # held-out text, or examples to measure on
    workers: int = 1  # with --corpus: processes that read; the result does not depend on it
    continue_from: EarlierRun = None  # with --corpus: a finished student of the same teacher's tokens, whose weights it begins with
    dry_run: Flag = False  # with --corpus: tells sizes, memory, disk and expected time, and trains nothing
    student: Student = None  # the run of tinybert that learns the teacher's task, made by `stemma distill TEACHER --corpus …`
    train: File = None  # with --from: the task's examples
    task: str = ""  # with --from: the kind of task, which is the teacher's
    augment: int = 0  # with --from: further texts made of each example
    masked: EarlierRun = None  # with --augment: the masked language model that makes them; none: the run that the student imitated
    vectors: EarlierRun = None  # with --augment: a run with word vectors, for words of several pieces

    def run(self) -> Printable:
        """Distils, or plans."""
        if bool(self.corpus) == bool(self.student):
            given = "both --corpus and --from" if self.corpus else "neither --corpus nor --from"
            raise UsageError(given, "plain text to imitate a pre-trained run on, or a student to learn a task", "give one of the two")
        return self._task() if self.student else self._text()

    def _text(self) -> Printable:
        from stemma.training.request import Request

        self._refuse("--corpus", ("train", "task", "augment", "masked", "vectors"))
        options = (self.preset, self.config, self.settings, self.dev, self.workers, self.continue_from)
        request = Request(STUDENT, self.corpus, *options, teacher=Path(self.teacher))
        return (planned if self.dry_run else trained)(request, self.out)

    def _task(self) -> Answer:
        from stemma.api import distill_task

        self._refuse("--from", ("preset", "continue_from", "dry_run"))
        if self.train is None or len(self.dev) > 1:
            wrong = "--from without --train" if self.train is None else f"{len(self.dev)} files of --dev"
            raise UsageError(wrong, "a file of examples to learn from, and one at most to measure on", "name one file of each")
        settings = (*self.settings, *([f"distill.augment={self.augment}"] if self.augment else []))
        others: dict[str, Any] = {"masked": self.masked, "vectors": self.vectors, "config": self.config, "settings": settings}
        assert self.student is not None
        with Progress() as progress:
            dev = self.dev[0] if self.dev else None
            result = distill_task(
                self.teacher, self.student, train=self.train, dev=dev, out=self.out, task=self.task, progress=progress, **others
            )
        return Answer({"run": str(self.out), **result.facts}, _distilled(str(self.out), result.facts))

    def _refuse(self, beside: str, names: tuple[str, ...]) -> None:
        """UsageError for an option that means nothing beside this one."""
        from stemma.cli.main import option_name

        given = [option_name(name) for name in names if getattr(self, name)]
        if given:
            raise UsageError(f"{given[0]} with {beside}", f"options that go with {beside}", f"drop {given[0]}")


def _distilled(out: str, facts: dict[str, Any]) -> Iterator[str]:
    from stemma.transfer.saving import side_by_side

    yield from finetuned(out, facts)
    named = ("", *(f"{row['who']}, {row['generation']}" for row in facts["taught"]["rows"]))
    yield from (f"  {line}" for line in columns([named, *side_by_side(facts)]))
