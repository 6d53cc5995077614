"""A request to pre-train, and the job it becomes: every setting checked before anything is begun."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

from stemma.bounds import whole
from stemma.checkpoint import RunFolder
from stemma.config import VERSION, Settings, as_texts, check_read, parse_settings, read_toml, resolve, restore, to_plain, unread
from stemma.corpus import read as corpus_read
from stemma.corpus.document import Ledger
from stemma.corpus.parallel import check_sides
from stemma.errors import UsageError
from stemma.layers.cores import check_cores
from stemma.lineage.table import TABLE, Generation, find, teachers
from stemma.tokens import tokenizer as tokens_tokenizer
from stemma.tokens.dictionary import dictionary_sum
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.facts import Fact, Note, Report
from stemma.training.ingest import Ingested, Source, ingest
from stemma.training.settings import BUDGETS, FEWEST_EVALUATIONS, OPTIONS, OWN, SETTINGS, Config, HandConfig, OptimiserName
from stemma.training.teachers import Teacher

CHINESE = 0.5  # the share of a text's letters from which on it is Chinese

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Request:
    """What is to be pre-trained, and how. `config` is a TOML file and `settings` are `section.key=value` texts; both win over the preset.

    `dev` is held-out text; without it a share of the corpus is held out. The preset is `small` unless another is named.
    `continue_from` is a finished run whose settings and weights this one begins with, `teacher` the finished run whose layers a student
    imitates, with its tokens.
    """

    generation: str
    corpus: tuple[str, ...]
    preset: str | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    workers: int = 1  # processes that read the corpus
    continue_from: Path | None = None
    source: tuple[str, ...] = ()  # in place of a corpus: files whose lines are translated by those of the files `target`
    target: tuple[str, ...] = ()
    teacher: Path | None = None
    ranks_changed: bool = False  # goes on with another number of processes than before

    @classmethod
    def of(
        cls,
        generation: str,
        corpus: Paths,
        *,
        preset: str | None = None,
        config: str | Path | None = None,
        settings: Settings = (),
        dev: Paths = (),
        workers: int = 1,
        continue_from: str | Path | None = None,
        source: Paths = (),
        target: Paths = (),
        teacher: str | Path | None = None,
        ranks_changed: bool = False,
    ) -> Self:
        """The request, with paths as people write them: one or several, text or `Path`."""
        toml, earlier, taught_by = (None if path is None else Path(path) for path in (config, continue_from, teacher))
        sides = _paths(source), _paths(target)
        options = _paths(dev), workers, earlier, *sides, taught_by, ranks_changed
        return cls(generation, _paths(corpus), preset, toml, as_texts(settings), *options)


@dataclass(frozen=True)
class Job:
    """A request with every setting resolved: the generation, its text, and the sections."""

    row: Generation
    source: Source
    sections: Mapping[str, Any]
    earlier: RunFolder | None = None  # the finished run that this one goes on from
    teacher: Teacher | None = None  # the finished run that this one imitates
    decided: str = ""  # what the text decided that no setting did
    ranks_changed: bool = False  # goes on with another number of processes than before

    @cached_property
    def given_tokenizer(self) -> Tokenizer | None:
        """What the text is cut by, grown by its words where it is of words: the teacher's, or the earlier run's."""
        if self.teacher:
            return self.teacher.tokenizer
        return Tokenizer.load(self.earlier.guarded("tokenizer.json")) if self.earlier else None

    @property
    def text_tokens(self) -> int:
        """Tokens of the text that the budget reads at most; 0: no such limit. A pass or more limits nothing."""
        return self.sections["objective" if self.row.reads_once else "training"].tokens

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on: all that its result depends on."""
        sections = to_plain(self.sections)
        sections["objective"].pop("memory", None)
        dictionary = self.sections["tokenizer"].dictionary
        return {
            "generation": self.row.name,
            "corpus": list(self.source.paths),
            "dev": list(self.source.dev),
            **({"targets": list(self.source.targets)} if self.source.targets else {}),
            **self.source.identity(),
            **({"dictionary": dictionary_sum(dictionary)} if dictionary else {}),
            "asked": sections,
            **(
                {"continued": {"run": str(self.earlier.path), **self.earlier.manifest["files"]["model.safetensors"]}}
                if self.earlier
                else {}
            ),
            **({"teacher": self.teacher.identity()} if self.teacher else {}),
        }

    def config(self, **settled: Any) -> dict[str, Any]:
        """What stands in config.json; `settled` sections replace those of the request."""
        return {"stemma": VERSION, "identity": self.identity(), "sections": to_plain({**self.sections, **settled})}


def section_types(row: Generation) -> dict[str, type]:
    """The config classes of all that a pre-training has settings for, by section."""
    return {"corpus": corpus_read.Config, "tokenizer": tokens_tokenizer.Config, **row.sections(), "training": SETTINGS[row.updates]}


def unread_by(generation: str, preset: str, settings: Sequence[str], shared: Sequence[str]) -> list[str]:
    """Those of the `shared` settings, meant for several generations, that this one does not read beside all of its `settings`."""
    row = find(generation)
    sections = section_types(row)
    if row.teacher:
        del sections["tokenizer"]  # it has its teacher's
    base = {name: table for name, table in _preset(row, preset)[1].items() if name in sections}
    found = unread(sections, base, settings, shared)
    return list(dict.fromkeys([*found, *_without_use(row, base, settings, shared)]))


def job_of(request: Request) -> Job:
    """The job that the request spells; UsageError for a setting that is unknown, wrong, or not this generation's."""
    row = find(request.generation)
    if request.teacher and not row.teacher:
        students = ", ".join(other.name for other in TABLE if other.teacher)
        raise UsageError(f"{row.name} with a teacher, whom it does not imitate", f"one of {students}", "leave the teacher out")
    if row.teacher and not request.teacher:
        mend = "write stemma distill TEACHER --corpus CORPUS --out RUN"
        raise UsageError(f"{row.name} imitates a teacher, and none is named", f"a finished run of one of these: {teachers()}", mend)
    return _job_of(request, Teacher.open(request.teacher) if request.teacher else None)


def planned_job(request: Request) -> Job:
    """The job before its teacher is there: all of its settings that do not follow from the teacher's."""
    return _job_of(request, None)


def _job_of(request: Request, teacher: Teacher | None) -> Job:
    row = find(request.generation)
    whole("workers", request.workers, 1, default=1)
    earlier = _earlier(row, request.continue_from, request.preset) if request.continue_from else None
    overrides = [(str(request.config), read_toml(request.config))] if request.config else []
    overrides.append(("--set", parse_settings(request.settings)))
    where, base = (f"run {earlier.path}", earlier.config["identity"]["asked"]) if earlier else _preset(row, request.preset or "small")
    base = _taught(row, base, teacher) if teacher and not earlier else base
    if not earlier and _kind(base, overrides) == "whitespace":
        base = _spaced(base, row)
    if request.source or request.target:
        check_sides(request.corpus, request.source, request.target)
        base = {**base, "corpus": {**_table(base.get("corpus")), "format": "pairs"}}
    sections = section_types(row)
    base = _without_rivals(base, overrides)
    if _named(overrides) & set(BUDGETS):  # by the user: then it is not cut, unless `most_passes` is set too
        base = {**base, "training": {**_table(base.get("training")), "most_passes": 0}} if row.updates != "counts" else base
    resolved = resolve(sections, (where, base), *overrides)
    if earlier:
        _check_same_shape(row, earlier, resolved["model"])
    if teacher:
        _check_same_tokens(teacher, earlier, resolved["tokenizer"])
    training = resolved["training"]
    if request.dev and training.held_out and "held_out" in _named(overrides):
        wrong = f"training.held_out = {training.held_out} with --dev, which is the held-out text"
        raise UsageError(wrong, "one of the two", "drop training.held_out")
    if isinstance(training, Config):
        _check_optimiser(row, training, bool(request.dev))
    if isinstance(training, HandConfig):
        given = [name for name in BUDGETS if getattr(training, name)]
        if len(given) != 1:
            raise UsageError(
                f"training has {' and '.join(given)} as its budget" if given else "training has no budget",
                "one of steps, epochs, tokens, seconds",
                "for example --set training.epochs=3",
            )
        if row.reads_once and "most_passes" in _named(overrides):
            wrong = f"training.most_passes with {row.name}, which reads the text once, before its first step"
            raise UsageError(wrong, "steps, epochs or seconds of training", "drop training.most_passes")
        if training.tokens and row.reads_once:
            raise UsageError(
                f"training.tokens = {training.tokens}: {row.name} reads the text once, before its first step",
                "steps, epochs or seconds of training",
                "set training.epochs; how much of the text is read is objective.tokens",
            )
    if request.target and resolved["corpus"].format != "pairs":
        wrong = f'corpus.format = "{resolved["corpus"].format}" with files of sources and of targets'
        raise UsageError(wrong, "pairs", "drop corpus.format")
    read = (resolved["corpus"], training.held_out, training.seed, request.workers)
    source = Source(request.source or request.corpus, request.dev, *read, request.target)
    decided = "" if earlier or teacher or _names_kind(row, request, overrides) else _decided(row, source)
    if decided:
        resolved = {**resolved, "tokenizer": replace(resolved["tokenizer"], kind=row.chinese_tokenizer)}
    check_read(resolved, *overrides)
    return Job(row, source, resolved, earlier, teacher, decided, request.ranks_changed)


def check_threads(job: Job, path: Path) -> None:
    """UsageError where the run is still to be begun in `path`, with more threads than there are cores; one begun elsewhere goes on."""
    training = job.sections["training"]
    if isinstance(training, HandConfig) and not (path / "manifest.json").exists():
        check_cores("training.threads", training.threads)


Updates = tuple[Iterable[Fact], Report]  # a fact for each update as it is made, and what is to be called with each
Drive = Callable[[Job, Path, Path, Report], AbstractContextManager[Updates]]  # (job, run folder, folder of token stores, report)


def take_up(job: Job, path: Path, root: Path, report: Report) -> tuple[RunFolder | None, Ingested | None]:
    """The folder of an earlier call, if any, and the ingested text, as much of it as the budget reads, unless the run is finished."""
    folder = RunFolder.resume(path, job.identity())
    if folder and folder.finished:
        return folder, None

    def note(message: str) -> None:
        report(Note(message))

    if job.decided and folder is None:
        note(job.decided)
    text = ingest(job.source, job.sections["tokenizer"], root, note, job.given_tokenizer)
    seed = job.sections["training"].seed
    return folder, text.drawn(job.text_tokens, seed, lambda: job.source.documents("train", Ledger()), note)


def _preset(row: Generation, name: str) -> tuple[str, dict[str, Any]]:
    presets = row.presets()
    if name not in presets:
        raise UsageError(f"{row.name} has no preset {name!r}", f"one of {', '.join(presets)}", "choose one of these")
    return f"preset {name}", {**presets[name], "tokenizer": {"kind": row.tokenizer, **presets[name].get("tokenizer", {})}}


def _earlier(row: Generation, path: Path, preset: str | None) -> RunFolder:
    """The finished run to go on from; only networks with `take_over` can, and its settings are the preset."""
    if preset:
        raise UsageError(f"preset {preset} with a run to go on from", "that run's own settings, and --set for others", "drop the preset")
    if not row.continues:
        can = ", ".join(other.name for other in TABLE if other.continues)
        raise UsageError(f"{row.name} cannot go on from a finished run on new text", f"these can: {can}", "pre-train on both texts")
    folder = RunFolder.open(path)
    name = folder.config["identity"]["generation"]
    if name != row.name or not folder.finished:
        wrong = f"{path} is a run of {name}" if name != row.name else f"{path} is not finished"
        raise UsageError(wrong, f"a finished run of {row.name}", "name another run, or finish that one first")
    if "asked" not in folder.config["identity"]:
        raise UsageError(f"{path} was made from a file of vectors", "a run made by stemma pretrain", "pre-train on both texts")
    return folder


def _taught(row: Generation, base: dict[str, Any], teacher: Teacher) -> dict[str, Any]:
    """The preset with the teacher's tokenizer, and with those settings of the model that follow from the teacher's."""
    model = {**_table(base.get("model")), **row.load_network().taught_by(teacher.model)}
    return {**base, "model": model, "tokenizer": to_plain(teacher.tokenizer.config)}


def _check_same_tokens(teacher: Teacher, earlier: RunFolder | None, tokenizer: Any) -> None:
    """Teacher and student read the same tokens."""
    if tokenizer != teacher.tokenizer.config:
        raise UsageError("a tokenizer of the student's own", "the teacher's, whose states it imitates", "drop the settings of tokenizer")
    if earlier and Tokenizer.load(earlier.guarded("tokenizer.json")).fingerprint != teacher.tokenizer.fingerprint:
        wrong = f"{earlier.path} and {teacher.folder.path} have different tokens"
        raise UsageError(wrong, "a run to go on from that imitated this teacher, or one with its tokens", "name another run")


def _check_same_shape(row: Generation, earlier: RunFolder, model: Any) -> None:
    """What was learnt must fit: the network names the settings that may not change."""
    before = to_plain(restore(type(model), earlier.config["sections"]["model"], str(earlier.path)))
    after = to_plain(model)
    for key in row.load_network().shaped_by:
        if before[key] != after[key]:
            wrong = f"model.{key} = {after[key]}, but {before[key]} in {earlier.path}"
            raise UsageError(wrong, "the same, so that its vectors fit", f"drop model.{key}")


def _check_optimiser(row: Generation, training: Config, dev: bool) -> None:
    """Refuses an optimiser that would have nothing to do: muon without blocks, asgd that never comes to average."""
    if training.optimiser == "muon" and not row.blocks:
        wrong = f'training.optimiser = "muon": {row.name} has no blocks, whose matrices it moves'
        raise UsageError(wrong, "a generation built of blocks, such as gpt or bert", "set training.optimiser to adamw")
    if training.optimiser == "asgd" and training.evaluations < FEWEST_EVALUATIONS:
        wrong = f'training.optimiser = "asgd" with training.evaluations = {training.evaluations}, so few that no mean would ever begin'
        raise UsageError(wrong, f"{FEWEST_EVALUATIONS} held-out losses or more", f"set training.evaluations to {10 * FEWEST_EVALUATIONS}")
    if training.optimiser == "asgd" and not (training.held_out or dev):
        wrong = 'training.optimiser = "asgd" with training.held_out = 0 and no dev text'
        raise UsageError(wrong, "held-out text, whose loss says when to average", "set training.held_out to 0.01, or name dev text")


def _without_use(row: Generation, base: Mapping[str, Any], settings: Sequence[str], shared: Sequence[str]) -> list[str]:
    """Of the shared settings, muon for a row without blocks, and options that the optimiser which it has then cannot honour."""
    if row.updates != "backprop":
        return []
    blockless = [setting for setting in shared if not row.blocks and _of_training(setting) == ("optimiser", "muon")]
    named = [value for setting in settings if setting not in blockless for key, value in [_of_training(setting)] if key == "optimiser"]
    optimiser = named[-1] if named else _table(base.get("training")).get("optimiser", Config.optimiser)
    options = [
        setting
        for setting in shared
        if (key := _of_training(setting)[0]) in OPTIONS and key not in OWN.get(cast(OptimiserName, optimiser), OPTIONS)
    ]
    return blockless + options


def _of_training(setting: str) -> tuple[str, str]:
    """The key of a setting of training, with or without its section's name, and its value; nothing of any other."""
    name, _, value = (part.strip() for part in setting.partition("="))
    section, _, key = name.rpartition(".")
    return (key, value.strip("\"'")) if section in ("", "training") else ("", "")


def _names_kind(row: Generation, request: Request, overrides: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    """True where the preset or the user names the tokenizer's kind."""
    preset = row.presets()[request.preset or "small"].get("tokenizer", {})
    return bool(_kind({"tokenizer": {"kind": preset.get("kind", "")}}, overrides))


def _decided(row: Generation, source: Source) -> str:
    """Why the text has tokens of the row's kind for Chinese, in words; empty where it has those of its usual kind."""
    if not row.chinese_tokenizer or (share := source.chinese_share()) <= CHINESE:
        return ""
    usual = f"tokenizer.kind={row.tokenizer} takes the usual ones"
    return f"{share:.0%} of the text's letters are Chinese, so that its tokens are {row.chinese_tokenizer}'s, Chinese characters; {usual}"


def _kind(base: Mapping[str, Any], overrides: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    """The tokenizer's kind that will win: `tokenizer = "char"`, `tokenizer.kind = "char"` or `kind = "char"`."""
    kind = base["tokenizer"]["kind"]
    for _, tables in overrides:
        named = tables.get("tokenizer", tables)
        kind = named.get("kind", kind) if isinstance(named, Mapping) else named
    return kind


def _spaced(base: dict[str, Any], row: Generation) -> dict[str, Any]:
    """The preset for text whose tokens are spaced, read as lmplz reads it: a line of up to a million characters is a
    sentence, and every letter stands.

    A model of counts learns from all of it, unless a held-out share is set.
    """
    tables: dict[str, dict[str, Any]] = {
        "corpus": {"format": "sentences", "max_sentence": 1_000_000},
        "tokenizer": {"lowercase": False},
    }
    if row.learns == "count":
        tables["training"] = {"held_out": 0.0}
    return {**base, **{name: {**_table(base.get(name)), **table} for name, table in tables.items()}}


def _without_rivals(base: dict[str, Any], overrides: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The preset less its own budget when the user names another (`training.seconds` over `epochs`), and less the options of
    its own optimiser when the user names one.
    """
    named = _named(overrides)
    rivals = {*(BUDGETS if named & set(BUDGETS) else ()), *(OPTIONS if "optimiser" in named else ())}
    return {**base, "training": {k: v for k, v in _table(base.get("training")).items() if k not in rivals}} if rivals else base


def _named(overrides: Sequence[tuple[str, Mapping[str, Any]]]) -> set[str]:
    """The settings of training that are overridden, with or without their section's name."""
    return {key for _, tables in overrides for key in (*tables, *_table(tables.get("training")))}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _paths(given: Paths) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, (str, Path)) else tuple(map(str, given))
