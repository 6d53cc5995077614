"""`stemma distill`: a small run that imitates a teacher's layers. The same command again goes on where a killed one was."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stemma.cli.answer import Printable
from stemma.cli.pretrain import planned, trained
from stemma.cli.verb import EarlierRun, Flag, Preset, Repeated, RunPath, Settings, Several, TomlFile, Verb


@dataclass(frozen=True)
class Distill(Verb):
    """Distils a finished run into a smaller one, which imitates its layers on plain text and reads its tokens.

    Repeat the command to go on after a stop. Settings are those of tinybert.

    Example: stemma distill runs/bert --corpus corpus.txt --out runs/small-bert --preset tiny
    """

    several_processes: ClassVar[bool] = True

    teacher: RunPath  # a finished run of bert, bert-wwm, albert or tinybert
    out: Path  # the folder of the student's run
    corpus: Several = ()  # files, folders or globs of the text that both read; - is standard input
    preset: Preset = None  # tiny, small or base; small if none is named
    config: TomlFile = None  # a TOML file of settings
    settings: Settings = ()  # one setting, as model.mapping=top; wins over preset and file
    dev: Repeated = ()  # held-out text; without it a share of the corpus is held out
    workers: int = 1  # processes that read; the result does not depend on it
    continue_from: EarlierRun = None  # a finished student of the same teacher's tokens, whose weights it begins with
    dry_run: Flag = False  # tells sizes, memory, disk and expected time, and trains nothing

    def run(self) -> Printable:
        """Distils, or plans."""
        from stemma.training.request import Request

        options = (self.preset, self.config, self.settings, self.dev, self.workers, self.continue_from)
        request = Request("tinybert", self.corpus, *options, teacher=Path(self.teacher))
        return planned(request) if self.dry_run else trained(request, self.out)
