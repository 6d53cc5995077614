"""What Python and the command line call: pre-train, open and fine-tune runs, from paths and settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemma.checkpoint import RunFolder
from stemma.config import parse_settings, read_toml, resolve
from stemma.corpus.task import Example
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain as _pretrain
from stemma.training.request import Report, Request
from stemma.transfer.finetune import finetune as _finetune
from stemma.transfer.result import Classifier
from stemma.transfer.settings import Config


def pretrain(
    generation: str,
    corpus: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Sequence[str] = (),
    dev: str | Path | Sequence[str | Path] = (),
    workers: int = 1,
    continue_from: str | Path | None = None,
    progress: Report | None = None,
) -> Run:
    """The run of `generation` pre-trained on `corpus`, in the folder `out`, ready for use.

    The same call again goes on where a killed one was. `config` is a TOML file and `settings` are
    `section.key=value` texts; both win over the preset, the settings over the file. `dev` is held-out
    text; without it a share of the corpus is held out. The preset is `small` unless another is named, or the settings of
    the finished run to `continue_from`, whose words keep their vectors (word2vec).
    """
    asked: dict[str, Any] = {"preset": preset, "config": config, "settings": settings, "dev": dev, "workers": workers}
    request = Request.of(generation, corpus, continue_from=continue_from, **asked)
    return Run.open(_pretrain(request, out=out, progress=progress).path)


def load(path: str | Path) -> Run | Classifier:
    """The run of a folder: a `Run` if it was pre-trained, a `Classifier` if it was fine-tuned on a task."""
    return Classifier.load(path) if "task" in RunFolder.open(Path(path)).config else Run.open(path)


def finetune(
    run: Run | str | Path,
    *,
    train: str | Path | Sequence[Example],
    dev: str | Path | Sequence[Example] | None = None,
    task: str = "classify",
    frozen: bool = False,
    config: str | Path | None = None,
    settings: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Report | None = None,
) -> Classifier:
    """The run carried over to the task: its network fixed when `frozen`, else all of it moving.

    `train` and `dev` are TSV files with a header or lists of examples; `dev` is read for reporting alone.
    `config` and `settings` set keys of the section `transfer`.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    chosen = transfer_config(config, settings, frozen)
    return _finetune(opened, train=train, dev=dev, task=task, config=chosen, out=out, progress=progress)


def transfer_config(config: str | Path | None, settings: Sequence[str], frozen: bool) -> Config:
    """The section `transfer` from its sources; `frozen` is `mode = "frozen"` said shortly."""
    sources: list[tuple[str, Mapping[str, Any]]] = [(str(config), read_toml(Path(config)))] if config else []
    sources += [("--set", parse_settings(settings))]
    sources += [("--frozen", {"transfer": {"mode": "frozen"}})] if frozen else []
    return resolve({"transfer": Config}, *sources)["transfer"]
