"""What Python and the command line call: pre-train, open and fine-tune runs, from paths and settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemma.config import parse_settings, read_toml, resolve
from stemma.layers.threads import check_cores
from stemma.runs.fitted import FittedRun, load
from stemma.runs.run import Run
from stemma.tasks.table import make_task, task_config
from stemma.training.pretrain import pretrain as _pretrain
from stemma.training.request import Report, Request, check_threads, job_of
from stemma.transfer.finetune import finetune as _finetune
from stemma.transfer.settings import Config

__all__ = ["finetune", "load", "pretrain"]


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
    check_threads(job_of(request), Path(out))
    return Run.open(_pretrain(request, out=out, progress=progress).path)


def finetune(
    run: Run | str | Path,
    *,
    train: str | Path | Sequence[Any],
    dev: str | Path | Sequence[Any] | None = None,
    task: str = "classify",
    frozen: bool = False,
    config: str | Path | None = None,
    settings: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Report | None = None,
) -> FittedRun:
    """The run carried over to the task: its network fixed when `frozen`, else all of it moving.

    `train` and `dev` are files of the task's format or lists of its examples; `dev` is read for reporting alone.
    `config` and `settings` set keys of the sections `transfer` and `task`.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    transfer, kind = transfer_sections(task, config, settings, frozen)
    check_cores("transfer.threads", transfer.threads)
    return _finetune(opened, train=train, dev=dev, task=make_task(task, kind), config=transfer, out=out, progress=progress)


def transfer_sections(task: str, config: str | Path | None, settings: Sequence[str], frozen: bool) -> tuple[Config, Any]:
    """The sections `transfer` and `task` from their sources; `frozen` is `mode = "frozen"` said shortly."""
    sources: list[tuple[str, Mapping[str, Any]]] = [(str(config), read_toml(Path(config)))] if config else []
    sources += [("--set", parse_settings(settings))]
    sources += [("--frozen", {"transfer": {"mode": "frozen"}})] if frozen else []
    found = resolve({"transfer": Config, "task": task_config(task)}, *sources)
    return found["transfer"], found["task"]
