"""What Python and the command line call: pre-train, open and fine-tune runs, from paths and settings."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.checkpoint import left_as_found
from stemma.config import Settings, as_texts, check_read, parse_settings, read_toml, resolve
from stemma.corpus.given import listed
from stemma.corpus.read import AS_KEPT, keep_texts
from stemma.errors import UsageError
from stemma.export.opened import load
from stemma.layers.cores import check_cores
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tasks.table import make_task, task_config
from stemma.training.facts import Report
from stemma.training.pretrain import pretrain as _pretrain
from stemma.training.request import Request, check_threads, job_of
from stemma.transfer.settings import Config, Distilling

if TYPE_CHECKING:
    from stemma.evaluation.measures.choosing import Normalise

__all__ = ["distill", "distill_task", "finetune", "load", "pretrain", "zero_shot"]


def pretrain(
    generation: str,
    corpus: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path,
    source: str | Path | Sequence[str | Path] = (),
    target: str | Path | Sequence[str | Path] = (),
    texts: Iterable[str] | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Settings = (),
    dev: str | Path | Sequence[str | Path] = (),
    workers: int = 1,
    continue_from: str | Path | None = None,
    progress: Report | None = None,
) -> Run:
    """The run of `generation` pre-trained on `corpus`, in the folder `out`, ready for use.

    The same call again goes on where a killed one was. `texts` stand in for a corpus in files: each is a document, and they are
    kept in `out`. So do the files `source` and `target`: line i of the one is translated by line i of the other. `config` is a TOML
    file and `settings` are a mapping, or `section.key=value` texts; both win over the preset, the settings over the file. `dev` is
    held-out text; without it a share of the corpus is held out. The preset is `small` unless another is named, or the settings of
    the finished run to `continue_from`, with whose weights and words it begins.
    """
    corpus = corpus if isinstance(corpus, (str, Path)) else listed(corpus, "corpus")
    named = {"a corpus": bool(corpus), "texts": texts is not None, "source and target": bool(source or target)}
    if sum(named.values()) != 1:
        several = " and ".join(name for name, there in named.items() if there)
        given = f"both {several}" if several else "neither a corpus nor texts"
        raise UsageError(f"{given} to learn from", "files, source=… and target=…, or texts=…", "name one of the three")
    reading = AS_KEPT if texts is not None else ()  # whatever files an earlier run was made of
    options: dict[str, Any] = {"preset": preset, "config": config, "dev": dev, "workers": workers}
    options["settings"] = [*reading, *as_texts(settings)]
    with nullcontext() if texts is None else left_as_found(Path(out)):  # the texts that were kept go too
        text = corpus if texts is None else keep_texts(texts, Path(out) / "store")
        request = Request.of(generation, text, continue_from=continue_from, source=source, target=target, **options)
        check_threads(job_of(request), Path(out))
        return Run.open(_pretrain(request, out=out, progress=progress).path)


def distill(
    teacher: str | Path,
    corpus: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    student: str = "tinybert",
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Settings = (),
    dev: str | Path | Sequence[str | Path] = (),
    workers: int = 1,
    continue_from: str | Path | None = None,
    progress: Report | None = None,
) -> Run:
    """The small run, in the folder `out`, that reads `corpus` as the finished run `teacher` does: its layers are imitated, with its tokens.

    The rest is as in `pretrain`. To be used the run needs its teacher no more.
    """
    options: dict[str, Any] = {"preset": preset, "config": config, "settings": settings, "dev": dev, "workers": workers}
    request = Request.of(student, corpus, teacher=teacher, continue_from=continue_from, **options)
    check_threads(job_of(request), Path(out))
    return Run.open(_pretrain(request, out=out, progress=progress).path)


def distill_task(
    teacher: str | Path,
    student: Run | str | Path,
    *,
    train: str | Path | Sequence[Any],
    dev: str | Path | Sequence[Any] | None = None,
    task: str = "",
    masked: Run | str | Path | None = None,
    vectors: Run | str | Path | None = None,
    config: str | Path | None = None,
    settings: Settings = (),
    out: str | Path | None = None,
    progress: Report | None = None,
) -> FittedRun:
    """The student, a run that `distill` made, carried over to the task that the fine-tuned run `teacher` has learnt, by imitating it.

    `train` and `dev` are as in `finetune`; `task` may name the teacher's, and no other. `config` and `settings` set keys of the
    sections `transfer` and `distill`. With `distill.augment` new examples are made by the masked language model `masked` (the run
    that the student imitated, unless another is named) and the word vectors of the run `vectors`, if any.
    """
    from stemma.transfer.distill import TaskTeacher, augmenter_of
    from stemma.transfer.finetune import finetune as _finetune

    opened, others = _run(student), {"masked": masked, "vectors": vectors}
    sources: list[tuple[str, Mapping[str, Any]]] = [(str(config), read_toml(Path(config)))] if config else []
    sections = resolve({"transfer": Config, "distill": Distilling}, *sources, ("--set", parse_settings(as_texts(settings))))
    transfer, how = sections["transfer"], sections["distill"]
    check_cores("transfer.threads", transfer.threads)
    named = {name: None if run is None else _run(run) for name, run in others.items()}
    taught = TaskTeacher(Path(teacher), how, augmenter_of(opened, how, transfer.seeds[0], **named))
    taught.check(opened, transfer, task)
    return _finetune(opened, train=train, dev=dev, task=taught.task, config=transfer, out=out, progress=progress, teacher=taught)


def finetune(
    run: Run | FittedRun | str | Path,
    *,
    train: str | Path | Sequence[Any],
    dev: str | Path | Sequence[Any] | None = None,
    task: str = "classify",
    frozen: bool = False,
    config: str | Path | None = None,
    settings: Settings = (),
    out: str | Path | None = None,
    progress: Report | None = None,
) -> FittedRun:
    """The run carried over to the task: its network fixed when `frozen`, else all of it moving, or what the settings say.

    `train` and `dev` are files of the task's format, or its examples: for `classify` pairs (label, text), triples with a second text,
    mappings, or a data frame. `dev` is read for reporting alone.
    `config` and `settings` set keys of the sections `transfer` and `task`, the options of the command line among them
    (`"transfer.lora": 8`, `"transfer.load_layers": "0-3"`).
    """
    from stemma.transfer.finetune import finetune as _finetune  # torch: not for those who only use a run

    opened = _run(run.as_run() if isinstance(run, FittedRun) else run)  # one that has learnt to translate goes on from there
    transfer, kind = transfer_sections(task, config, settings, frozen)
    check_cores("transfer.threads", transfer.threads)
    return _finetune(opened, train=train, dev=dev, task=make_task(task, kind), config=transfer, out=out, progress=progress)


def zero_shot(
    run: Run | str | Path,
    data: str | Path | Sequence[Any],
    *,
    task: str = "classify",
    template: str = "",
    verbalise: Mapping[str, str] | None = None,
    normalise: "Normalise" = "length",
    limit: int = 0,
) -> dict[str, Any]:
    """What a pre-trained run gets on a task that it has not learnt, posed as text, beside what needs no language model.

    `data` is a file of the task's format, or its examples as in `finetune`. `template` puts text and answer together, as
    `{text} This is about {label}.`; `verbalise` gives labels their words. `normalise` says what answers' log-probabilities are made
    up for: `length`, `pmi` (less those without the text) or `none`. `limit` draws so many examples by lot; 0: all.
    """
    from stemma.evaluation.measures.evaluate import evaluate_zero_shot
    from stemma.evaluation.measures.posed import Posed

    posed = Posed(template, verbalise or {}, normalise, limit)
    found: dict[str, Any] = evaluate_zero_shot(_run(run), data, task, posed)["zero_shot"]
    return found


def transfer_sections(task: str, config: str | Path | None, settings: Settings, frozen: bool) -> tuple[Config, Any]:
    """The sections `transfer` and `task` from their sources; `frozen` is `mode = "frozen"` said shortly."""
    sources: list[tuple[str, Mapping[str, Any]]] = [(str(config), read_toml(Path(config)))] if config else []
    sources += [("--set", parse_settings(as_texts(settings)))]
    if not isinstance(frozen, bool):
        raise UsageError(f"frozen = {frozen!r}", "true or false", "leave it out to let everything move")
    sources += [("--frozen", {"transfer": {"mode": "frozen"}})] if frozen else []
    found = resolve({"transfer": Config, "task": task_config(task)}, *sources)
    check_read(found, *sources)
    return found["transfer"], found["task"]


def _run(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.open(run)
