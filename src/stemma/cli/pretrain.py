"""`stemma pretrain`: a corpus into a run folder. The same command again goes on where a killed one was."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stemma.cli.aligned import named, number
from stemma.cli.answer import Answer, Form, Printable
from stemma.cli.progress import Progress, duration
from stemma.cli.verb import Corpus, EarlierRun, Flag, GenerationName, Gibibytes, Preset, Repeated, Settings, TextSize, TomlFile, Verb
from stemma.errors import UsageError
from stemma.lineage.table import find
from stemma.nouns import counted

if TYPE_CHECKING:
    from stemma.checkpoint import RunFolder
    from stemma.training.rehearse import Plan
    from stemma.training.request import Request


@dataclass(frozen=True)
class Pretrain(Verb):
    """Pre-trains a generation on a corpus: text to tokenizer to token store to a run folder.

    Repeat the command to go on after a stop. Settings are those of the run folder's config.json.

    Example: stemma pretrain bert corpus.txt --out runs/bert --preset tiny --set training.epochs=2
    """

    several_processes: ClassVar[bool] = True

    generation: GenerationName  # a name that stemma lineage prints
    corpus: Corpus  # files, folders, globs or URLs; - is standard input
    out: Path  # the run folder
    preset: Preset = None  # tiny, small or base; small if none is named
    config: TomlFile = None  # a TOML file of settings
    settings: Settings = ()  # one setting, as model.width=64; wins over preset and file
    source: Repeated = ()  # in place of a corpus: a file whose lines are translated by those of the file --target
    target: Repeated = ()  # the lines beside those of --source
    dev: Repeated = ()  # held-out text; without it a share of the corpus is held out
    workers: int = 1  # processes that read; the result does not depend on it
    memory: Gibibytes = None  # GiB for counting, program included; the rest goes to disk. Judging the model takes some tens of MiB more
    continue_from: EarlierRun = None  # a finished run of the same generation: its weights and words, and the new text's words
    ranks_changed: Flag = False  # goes on with another number of processes (torchrun) than before: same samples, rounded otherwise
    dry_run: Flag = False  # tells sizes, memory, disk and expected time, and trains nothing
    scale: TextSize = None  # with --dry-run: tells them of so much text of this kind, as 100GB

    def run(self) -> Printable:
        """Trains, or plans."""
        if self.scale and not self.dry_run:
            raise UsageError(f"--scale {self.scale} without --dry-run", "both", "add --dry-run, or drop --scale")
        return planned(self._request(), self.out, self.scale or "") if self.dry_run else trained(self._request(), self.out)

    def _request(self) -> "Request":
        from stemma.training.request import Request

        options = (self.preset, self.config, self._settings(), self.dev, self.workers, self.continue_from, self.source, self.target)
        return Request(self.generation, self.corpus, *options, ranks_changed=self.ranks_changed)

    def _settings(self) -> tuple[str, ...]:
        if self.memory is None:
            return self.settings
        if "memory" not in {field.name for field in fields(find(self.generation).sections()["objective"])}:
            raise UsageError(f"--memory with {self.generation}", "a generation that counts, such as ngram", "drop --memory")
        return (*self.settings, f"objective.memory={self.memory!r}")


def trained(request: "Request", out: Path) -> Printable:
    """What the finished run of the request is; it goes on where it was stopped."""
    from stemma.training.request import check_threads, job_of

    check_threads(job_of(request), out)
    from stemma.training.pretrain import pretrain

    with Progress() as progress:
        folder = pretrain(request, out=out, progress=progress)
    return _pretrained(folder) if os.environ.get("RANK", "0") == "0" else _Nothing()


def planned(request: "Request", out: Path, scale: str = "") -> Printable:
    """What the run of the request would take."""
    from stemma.training.request import check_threads, job_of

    check_threads(job_of(request), out)
    from stemma.training.rehearse import rehearse

    if "-" in request.corpus:
        raise UsageError("--dry-run with standard input", "files, which can be read again", "keep the text in a file first")
    plan = rehearse(request, scale=scale)
    return Answer(plan, plan_lines(plan))


class _Nothing:
    """What every rank but the first prints."""

    exit_code = 0

    def pieces(self, form: Form) -> Iterator[str]:
        """Nothing."""
        return iter(())


def _pretrained(folder: "RunFolder") -> Answer:
    unsaid = ("kind", "message", "earlier", "ingested")
    known = {key: value for key, value in folder.done().items() if key not in unsaid and value is not None}
    document = {"run": str(folder.path), "generation": folder.config["identity"]["generation"], **known}
    facts = [(key.replace("_", " "), _shown(key, value)) for key, value in known.items()]
    return Answer(document, [f"{folder.path}: ready", *named([*facts, ("model card", str(folder.path / "README.md"))])])


def _shown(key: str, value: Any) -> str:
    if key in ("seconds", "cpu_seconds") and value >= 1:
        return duration(value)
    if isinstance(value, list):
        return " · ".join(_shown("", item) for item in (value if len(value) <= 10 else [*value[:5], "…", *value[-5:]]))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else number(value) if isinstance(value, float) else str(value)


def plan_lines(plan: "Plan") -> Iterator[str]:
    """The plan for a reader; what was reckoned from a part of the text is marked so."""
    about = "" if plan.exact else "about "
    yield f"{plan.generation}: a rehearsal on {counted(plan.sample_characters, 'character')}; nothing was kept"
    yield f"  corpus      {about}{counted(plan.corpus_characters, 'character')}, {counted(plan.corpus_tokens, 'token')} to learn from"
    yield f"  vocabulary  {plan.vocab_size:,}{'' if plan.exact else ' on the sample'}"
    yield f"  parameters  {plan.parameters:,}{'' if plan.exact else ' with that vocabulary'}"
    steps = f"{counted(plan.steps, 'step')}, " if plan.steps else ""
    read = f"{steps}{counted(plan.tokens, 'token')} ({plan.passes:,.3g} passes over the text)"
    yield f"  training    {read} in about {duration(plan.training_seconds)} on this machine as busy as it is now"
    yield f"  reading     about {duration(plan.reading_seconds)} before that, tokenizer and token store included"
    yield f"  memory      about {plan.memory_mib:,.0f} MiB at most"
    yield f"  disk        about {plan.disk_mib:,.1f} MiB"
