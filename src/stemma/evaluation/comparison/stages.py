"""The stages of one generation in a comparison: pre-train, score, transfer, tell senses apart, judge minimal pairs, answer untaught.

A finished stage's result stands in `stages/NAME.json` with the key of what it was made from, so that
a killed comparison goes on with the first stage that is missing.
"""

import shlex
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import to_plain
from stemma.corpus.document import Document
from stemma.errors import DamagedError, DataError, Interrupted, StemmaError, UsageError
from stemma.evaluation.comparison.attempts import Attempt
from stemma.evaluation.comparison.curve_stages import CURVES
from stemma.evaluation.comparison.environment import Meter, parts
from stemma.evaluation.comparison.load import BUSY
from stemma.evaluation.comparison.plan import Comparison, content_of, key_of
from stemma.evaluation.comparison.results import (
    Failure,
    LabelCurves,
    LayerCurve,
    MinimalTests,
    Pretraining,
    ProbeTests,
    Scoring,
    SenseTests,
    TokenCurves,
    Transferred,
    UpdatesSaved,
    WordTests,
    ZeroShotTests,
    read,
)
from stemma.evaluation.measures import senses
from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.measures.minimal_files import read_minimal_pairs
from stemma.evaluation.measures.minimal_pairs import ability_for, minimal_pairs
from stemma.evaluation.measures.perplexity import perplexity
from stemma.evaluation.measures.probe_files import read_probe
from stemma.evaluation.measures.probes import probe
from stemma.evaluation.measures.similarity import analogies, similarity
from stemma.evaluation.measures.word_files import read_analogies, read_pairs
from stemma.evaluation.measures.zero_shot import zero_shot
from stemma.evaluation.report.wording import CONTROLS
from stemma.kernels.clocks import Spent
from stemma.layers.cores import named_threads
from stemma.layers.threads import computing_with
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.runs.framing import lengths
from stemma.runs.moved import new_tokens
from stemma.runs.run import Run
from stemma.runs.writing import side_lengths
from stemma.tokens.files import read_json, read_sealed, write_sealed
from stemma.training.facts import Note, Report, StageEnd
from stemma.training.pretrain import pretrain
from stemma.transfer.doubts import DevDoubt
from stemma.transfer.finetune import finetune
from stemma.transfer.recipe import ways
from stemma.transfer.selection import drawn
from stemma.transfer.settings import Config as Transfer

NOTHING = Spent()
HELD_OUT = "held-out.json"
PAID = ("reading", "tokenizing", "training", "measuring")  # the parts of `Costs.total`
CURVE = 60  # points of a learning curve in the report
T = TypeVar("T")
RESULTS: dict[str, type] = {
    "pretrain": Pretraining,
    "score": Scoring,
    "words": WordTests,
    "senses": SenseTests,
    "minimal-pairs": MinimalTests,
    "probes": ProbeTests,
    "labels": LabelCurves,
    "layers": LayerCurve,
    "updates": UpdatesSaved,
    "tokens": TokenCurves,
    "zero-shot": ZeroShotTests,
}  # of any other stage, a mode: Transferred


def stage_path(root: Path, name: str) -> Path:
    """Where the stage's result stands."""
    return root / "stages" / f"{name}.json"


def kept(root: Path, name: str, key: str, kind: type[T]) -> T | None:
    """The stage's result, if it was finished with this key."""
    path = stage_path(root, name)
    stage = read_json(path) or {}  # a damaged one is made again
    return read(kind, stage["result"], str(path)) if stage.get("key") == key and "result" in stage else None


def stage_result(root: Path, name: str, kind: type[T]) -> T | None:
    """The stage's result, whatever it was made from; None where there is none."""
    path = stage_path(root, name)
    stage = read_json(path) or {}
    return read(kind, stage["result"], str(path)) if "result" in stage else None


def staged(root: Path, name: str, key: str, kind: type[T], make: Callable[[], Mapping[str, Any]]) -> T:
    """The stage's result, kept from an earlier call or made now; a failure is kept too, and tried again next time."""
    found = kept(root, name, key, kind)
    if found is not None:
        return found
    path = stage_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = read(kind, make(), f"the stage {name}")
    except (Interrupted, KeyboardInterrupt):
        raise
    except Exception as error:
        code = error.exit_code if isinstance(error, StemmaError) else StemmaError.exit_code
        failure = {"stage": name, "error": type(error).__name__, "message": str(error), "exit_code": code}
        write_sealed(path, {"key": key, "failed": failure})
        raise
    write_sealed(path, {"key": key, "result": to_plain(result)})
    return result


class Stages:
    """One generation's stages, each a method; `names` is their order.

    `root` is the process at the head of the comparison (0: this one): what its family computes is not others' doing. So many `tokens`
    are the budget of pre-training instead of the comparison's (0), in a run folder of their own.
    """

    def __init__(self, comparison: Comparison, generation: str, corpus_key: str, progress: Report, root: int = 0, tokens: int = 0) -> None:
        self.comparison, self.name, self.row, self.progress = comparison, generation, find(generation), progress
        self._root, self._warned, self._corpus_key, self.tokens = root, False, corpus_key, tokens
        self.base = _base(comparison, generation, corpus_key)
        self.base = key_of("tokens", self.base, tokens) if tokens else self.base
        self.folder = comparison.run_folder(generation, f"tokens-{tokens}" if tokens else "")
        self._run: Run | None = None
        self._told: set[str] = set()  # of what is cut

    def names(self) -> list[str]:
        """The stages that this generation has."""
        config = self.comparison.config
        words = ["words"] if "nearest" in self.row.abilities and (config.similarity or config.analogies) else []
        probes = [*words, *(["senses"] if config.senses else []), *(["minimal-pairs"] if config.minimal_pairs else [])]
        probes += ["probes"] if config.probes and "embed" in self.row.abilities else []
        probes += ["zero-shot"] if config.zero_shot else []
        modes = self.modes()
        descends = "scratch" in ways(self.row, self.comparison.made_task()) and self.row.learns != "count"
        curves = ["labels"] if config.label_shares and modes else []
        curves += [name for name in ("layers", "updates") if name in config.curves and descends]
        curves += ["tokens"] if "tokens" in config.curves and set(modes) - set(CONTROLS.values()) else []
        return ["pretrain", "score", *modes, *curves, *probes]

    def modes(self) -> list[str]:
        """The ways of transfer that this generation has."""
        known = ways(self.row, self.comparison.made_task())
        return [mode for mode in self.comparison.config.modes if mode in known]  # counts have nothing to draw, and no states

    def key(self, stage: str) -> str:
        """Of all that the stage's result depends on."""
        config = self.comparison.config
        if stage == "pretrain":
            return self.base
        if stage == "score":
            return key_of(stage, self.base, content_of([str(self.comparison.root / HELD_OUT)]))
        if stage == "senses":
            return key_of(stage, self.base, content_of([path for path in (config.senses, config.senses_test) if path]), config.senses_limit)
        if stage == "minimal-pairs":
            return key_of(stage, self.base, content_of(config.minimal_pairs), config.minimal_limit)
        if stage == "zero-shot":
            posed = config.template, config.verbalise, config.normalise
            return key_of(stage, self.base, self.comparison.task, content_of([self.comparison.dev]), posed, self.comparison.task_settings)
        if stage == "words":
            return key_of(stage, self.base, content_of(config.similarity), content_of(config.analogies), config.restrict)
        if stage == "probes":
            return key_of(stage, self.base, content_of(config.probes), config.probe_limit)
        if stage in CURVES:  # its parts have keys of their own
            ways = dict.fromkeys([*config.modes, "finetune", "scratch"])
            return self._transfer_key(stage, [config.label_shares, *map(self.comparison.transfer, ways)])
        return self._transfer_key(stage, self.comparison.transfer(stage))

    def _transfer_key(self, stage: str, settings: Sequence[Any]) -> str:
        """Of what a transfer's result depends on."""
        data = content_of([self.comparison.train, self.comparison.dev])
        limit = self.comparison.config.train_limit
        return key_of(stage, self.base, self.comparison.task, data, limit, settings, self.comparison.task_settings)

    def make(self, stage: str) -> Mapping[str, Any]:
        """The result of one stage, computed now, as its class in `results` reads it."""
        self.progress(Note(stage))
        probes = {"words": self.words, "senses": self.senses, "minimal-pairs": self.minimal_pairs, "probes": self.probes}
        probes |= {"zero-shot": self.zero_shot}
        curves = {name: partial(curve, self) for name, curve in CURVES.items()}
        own: dict[str, Callable[[], Mapping[str, Any]]] = {"pretrain": self.pretrain, "score": self.score, **probes, **curves}
        return self._attempted(stage, self.key(stage), own.get(stage) or partial(self.transfer, stage))

    def _attempted(self, name: str, key: str, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What `make` gives; if it is killed, the next attempt knows what this one spent."""
        begun = stage_path(self.comparison.root, f"{self.name}.{name}").with_suffix(".begun")
        with Attempt(begun, key) as self._attempt:
            return make()

    def kept(self, stage: str) -> Any:
        """The stage's result, if it is finished; None otherwise."""
        return kept(self.comparison.root, f"{self.name}.{stage}", self.key(stage), RESULTS.get(stage, Transferred))

    def failure(self, stage: str) -> Failure | None:
        """How the stage broke when it was last tried, if it did."""
        path = stage_path(self.comparison.root, f"{self.name}.{stage}")
        kept = read_json(path) or {}
        broken = kept.get("failed") if kept.get("key") == self.key(stage) else None
        return read(Failure, broken, str(path)) if broken else None

    def pretrain(self) -> dict[str, Any]:
        """Pre-trains; what it cost and how the loss fell."""
        path, settings = self.folder, self.comparison.pretraining(self.name, self.tokens)
        resumed = (path / "manifest.json").exists()
        finished = resumed and RunFolder.open(path).finished
        with Meter(self._root) as meter:
            store = self.comparison.root / "store"
            folder = pretrain(self.comparison.request(self.name, self.tokens), out=path, store=store, progress=self.progress)
        metrics = folder.metrics()
        done = folder.done()
        ledger = folder.ledger
        sections = folder.config["sections"]
        costs = self._pretraining_costs(meter, done, finished, self._settled_threads(sections))
        read_in = [part["seconds"] for name, part in costs.items() if name in ("reading", "tokenizing")]
        return {
            "costs": costs,
            "seconds": done["seconds"],
            "reading_seconds": sum(read_in) if read_in else None,
            "cpu_seconds": sum(part["cpu_seconds"] for name, part in costs.items() if name in PAID),
            "peak_bytes": max(meter.costs["peak_bytes"], int(done["peak_memory_mib"] * 2**20) if resumed else 0),
            "bytes": (folder.path / "model.safetensors").stat().st_size,
            "parameters": done["parameters"],
            **{name: done.get(name) for name in ("reading_flops_per_token", "reading_ms", "reading_tokens")},
            "tokens": done["tokens"],
            "passes": done["passes"],
            "most_passes": done.get("most_passes"),
            "kept_step": done.get("kept_step"),
            "drawn": ledger.get("drawn"),
            "baseline_loss": done.get("baseline_loss"),
            "left_baseline": done.get("left_baseline"),
            "held_out_loss": done.get("held_out_loss"),
            "tokenizer": {"kind": sections["tokenizer"]["kind"], "vocab_size": Run.open(folder.path).tokenizer.vocab_size},
            "curve": _curve(metrics),
            "ledger": ledger["characters"],
            "model": sections["model"],
            "command": self._pretrain_command(folder, settings),
            "notes": done.get("notes") or [],
            **self._taught(done),
        }

    def _taught(self, done: Mapping[str, Any]) -> dict[str, Any]:
        """What is imitated, and what pre-training the teacher took; nothing where there is none."""
        if not self.row.teacher:
            return {}
        theirs = stage_result(self.comparison.root, f"{self.row.teacher}.pretrain", Pretraining)
        assert theirs is not None, "a student before its teacher"
        return {"teacher": {"generation": self.row.teacher, "imitates": done["imitates"], "cost": to_plain(theirs.costs.total)}}

    def pretrained(self) -> Pretraining:
        """What pre-training cost; on fewer tokens than the comparison's, part of a stage and made now unless it is there."""
        name = f"tokens.{self.tokens}.pretrain" if self.tokens else "pretrain"
        make = partial(self._attempted, name, self.base, self.pretrain)
        return staged(self.comparison.root, f"{self.name}.{name}", self.base, Pretraining, make)

    def on_tokens(self, tokens: int) -> "Stages":
        """The same generation, pre-trained on so many tokens."""
        return Stages(self.comparison, self.name, self._corpus_key, self.progress, self._root, tokens)

    def score(self) -> dict[str, Any]:
        """Predicts the held-out text, where the generation can."""
        if "score" not in self.row.abilities:
            return {"why_not": f"it asks the text for {self.row.predicts}, and gives no probability to a whole one"}
        texts = read_held_out(self.comparison.root)
        with self.measured() as meter:
            found = perplexity(self.run(), texts)
        return {"found": found | meter.spent() | {"costs": self.costs(meter, measuring=meter.working)}}

    def transfer(self, mode: str) -> dict[str, Any]:
        """Carries the run over to the task in one mode, and measures it on the dev file."""
        out = self.comparison.run_folder(self.name, mode) if mode not in CONTROLS.values() else None
        if out and out.exists():
            shutil.rmtree(out)  # of a comparison killed while it was written
        return self._carried(mode, (), out)

    @cached_property
    def examples(self) -> tuple[list[Any], list[Any]]:
        """The labelled examples to learn from, and those to judge by."""
        return task_examples(self.comparison)

    def quality(self, result: Transferred) -> Interval:
        """The primary metric of a transfer."""
        return next(iter(result.measures.values()))

    def part(self, name: str, settings: Sequence[Any], kind: type[T], make: Callable[[], Mapping[str, Any]]) -> T:
        """One of the results that a stage is made of, kept by itself: a killed stage goes on with the first that is missing."""
        key = self._transfer_key(name, settings)
        return staged(self.comparison.root, f"{self.name}.{name}", key, kind, partial(self._attempted, name, key, make))

    def carried(self, name: str, way: str, *more: str) -> Transferred:
        """What a way of transfer gives with further settings, as part of a stage."""
        return self.part(name, self.comparison.transfer(way, more), Transferred, partial(self._carried, way, more))

    def _carried(self, mode: str, more: Sequence[str] = (), out: Path | None = None) -> dict[str, Any]:
        """The run carried over to the task in one mode with further settings, measured on the dev file."""
        train, dev = self.examples
        config = self.comparison.transfer_config(mode, more)
        judge = judge_of(self.comparison)
        labels = judge.targets if judge.targets["labels"] else None  # a part of the examples may lack one
        with Meter(self._root) as meter, warnings.catch_warnings():
            warnings.simplefilter("ignore", DevDoubt)  # the comparison says the one once, and has the majority in its report
            task, report = self.comparison.made_task(), self.progress
            fitted = finetune(self.run(), train=train, dev=dev, task=task, config=config, out=out, progress=report, targets=labels)
        facts = fitted.facts
        return {
            **judged(judge, [seed["predictions"] for seed in facts["seeds"]]),
            **meter.spent(),
            "head": facts["head"],
            "layers": facts.get("layer_weights", []),
            "settings": facts["chosen"],
            "trials": len(facts["trials"]),
            "deterministic": facts["deterministic"],
            "trained_parameters": facts["parameters"]["trained"],
            "parameters": facts["parameters"]["total"],
            "examples": facts["examples"],
            "cut": self._cut(facts["cut"], config),
            "command": self._finetune_command(mode, facts["threads"], more),
            "costs": self.costs(meter, facts["threads"], training=meter.working),
        }

    @cached_property
    def _lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of each training and of each dev text, were they read whole."""
        run, task = self.run(), self.comparison.made_task()
        if task.per == "target":
            train, dev = (side_lengths(run.tokenizer, task.texts(examples)) for examples in task_examples(self.comparison))
            return train, dev
        frames = run.network.task_input() if new_tokens(run.network, task) else run.network  # the longer of its frames
        train, dev = (lengths(frames, run.tokenizer, task.texts(examples)) for examples in task_examples(self.comparison))
        return train, dev

    def _cut(self, found: dict[str, int], config: Transfer) -> dict[str, Any]:
        """What was cut, how much of the task that is, and the settings under which 99 of 100 texts fit; reported as progress too."""
        if not found["examples"]:
            return found
        train, dev = self._lengths
        sides = 2 if self.row.reshapes and self.comparison.made_task().per == "target" else 1  # that share the window
        window = (self.run().network.max_length or config.max_length * sides) // sides
        reads = min(window, config.max_length)
        fits = max(reads, -8 * int(-np.percentile(np.concatenate([train, dev]), 99) // 8))  # in eights, as kernels like it
        settings = [f"{self.name}.model.max_length={fits * sides}"] * (window < fits) + [f"transfer.max_length={fits}"] * (
            config.max_length < fits
        )
        shares = {"share": found["examples"] / len(train), "dev_share": float(np.mean(dev > reads))}
        note = f"{self.row.short} reads {counted(reads, 'token')} of a text: "
        note += f"{shares['dev_share']:.1%} of the dev texts are longer and were cut"
        note += f"; 99 of 100 fit with {' '.join(_sets(settings))}" if settings else ""
        if note not in self._told:  # as true of the next stage
            self._told.add(note)
            self.progress(Note(note))
        return {**found, **shares, "reads": reads, "fits": fits, "settings": settings}

    def words(self) -> dict[str, Any]:
        """Holds the word vectors against people's scores and against analogies, file by file."""
        config = self.comparison.config
        with self.measured() as meter:
            judged = [_agreement(self.run(), path) for path in config.similarity]
            answered = [
                {"file": path, **analogies(self.run().words, read_analogies(path), config.restrict).as_dict()} for path in config.analogies
            ]
        costs = self.costs(meter, measuring=meter.working)
        return {"similarity": judged, "analogies": answered, **meter.spent(), "costs": costs}

    def senses(self) -> dict[str, Any]:
        """Tells the senses of words apart by their vectors, where the generation has any."""
        if "embed" not in self.row.abilities:
            return {"why_not": "it has no vectors"}
        train, test = sense_examples(self.comparison)
        with self.measured() as meter:
            found = senses.probe(self.run(), train, test, in_context=self.row.in_context)
        return found | meter.spent() | {"costs": self.costs(meter, measuring=meter.working)}

    def probes(self) -> dict[str, Any]:
        """Asks every layer what the files ask."""
        config = self.comparison.config
        with self.measured() as meter:
            found = [probe(self.run(), read_probe(path, config.probe_limit)) for path in config.probes]
        return {"files": found, **meter.spent(), "costs": self.costs(meter, measuring=meter.working)}

    @contextmanager
    def measured(self) -> Iterator[Meter]:
        """Measures what is computed with the run, with as many threads as were faster for its network."""
        with Meter(self._root) as meter, computing_with(self._settled_threads(self.run().config)):
            yield meter

    def _settled_threads(self, sections: Mapping[str, Any]) -> int:
        """The threads that the run settled for; what counts has as many as readers."""
        return sections["training"].get("threads") or self.comparison.config.workers

    def costs(self, meter: Meter, threads: int = 0, kept: Spent = NOTHING, **spent: Spent) -> dict[str, Any]:
        """The parts of a stage's cost; `kept` is what of earlier attempts stands among them."""
        config = self.comparison.config
        made = meter.circumstances(threads or self._settled_threads(self.run().config), config.threads or named_threads())
        if not self._warned and (meter.others or 0.0) > BUSY:
            self._warned = True
            self.progress(Note(f"other programs took {meter.others:.0%} of the cores meanwhile: the times are those of a busy machine"))
        return {**parts(compiling=meter.compiling, lost=self._attempt.lost(kept), **spent), "made": made}

    def _pretraining_costs(self, meter: Meter, done: Mapping[str, Any], finished: bool, threads: int) -> dict[str, Any]:
        """The parts of what pre-training cost over all its sessions; what earlier ones left in vain is lost."""
        training = Spent(done["seconds"], done["cpu_seconds"])
        ingested = done["ingested"]
        read_in = {name: Spent(**ingested[name]) for name in ("reading", "tokenizing") if name in ingested}
        reading = _together(read_in.values())
        earlier = training if finished else Spent(**done.get("earlier", {}))
        now = training.minus(earlier) if ingested["found"] else training.minus(earlier).plus(reading)
        kept = earlier.plus(reading) if ingested["found"] and self._attempt.holds(ingested.get("made", 0.0)) else earlier
        spent = {**read_in, "training": training, "measuring": meter.working.minus(now)}
        return {**self.costs(meter, threads, kept, **spent), "found": ingested["found"]}

    def minimal_pairs(self) -> dict[str, Any]:
        """Judges which sentence of each minimal pair is likelier, where the generation gives sentences a likelihood."""
        if ability_for(self.row) is None:
            return {"why_not": f"it asks the text for {self.row.predicts}, and gives no likelihood to a sentence"}
        if ability_for(self.row) == "fill":
            try:
                self.run().network.check_fills()
            except UsageError as error:
                return {"why_not": error.wrong.rstrip(".")}
        config = self.comparison.config
        with self.measured() as meter:
            found = minimal_pairs(self.run(), read_minimal_pairs(config.minimal_pairs), config.minimal_limit)
        return {"found": found.as_dict(), **meter.spent(), "costs": self.costs(meter, measuring=meter.working)}

    def zero_shot(self) -> dict[str, Any]:
        """Puts the dev file to the run before it has learnt the task, where the generation can answer so."""
        task, (_, dev) = self.comparison.made_task(), task_examples(self.comparison)
        with self.measured() as meter:
            try:
                found = zero_shot(self.run(), task, dev, self.comparison.posed())
            except UsageError as error:  # how the task is posed was checked before: it is the run that cannot
                return {"why_not": error.wrong.rstrip(".")}
        kept = {name: value for name, value in found.items() if name not in ("classes", "seen")}
        return {"found": kept, **meter.spent(), "costs": self.costs(meter, measuring=meter.working)}

    def run(self) -> Run:
        """The pre-trained run, opened once."""
        if self._run is None:
            self._run = Run.open(self.folder)
        return self._run

    def _pretrain_command(self, folder: RunFolder, settings: list[str]) -> str:
        """The command that makes this run again; seconds are given as the steps they bought."""
        steps, threads = (folder.config["sections"]["training"].get(name) for name in ("steps", "threads"))
        lasting = (  # tokens say which part of the text is read: they stay
            [s for s in settings if not s.startswith("training.seconds")] + [f"training.steps={steps}"]
            if steps and any(s.startswith("training.seconds") for s in settings)
            else list(settings)
        )
        lasting += [f"training.threads={threads}"] if threads else []  # another number may round otherwise
        dev = [word for path in self.comparison.config.dev_text for word in ("--dev", path)]
        teacher = str(self.comparison.run_folder(self.row.teacher))
        words = [
            "stemma",
            *(["distill", teacher, "--corpus"] if self.row.teacher else ["pretrain", self.name]),
            *self.comparison.corpus,
            "--out",
            str(folder.path),
            "--preset",
            self.comparison.config.preset,
            *dev,
        ]
        return shlex.join([*words, *_sets(lasting)])

    def _finetune_command(self, mode: str, threads: int, more: Sequence[str]) -> str:
        files = ["--train", self.comparison.train, "--dev", self.comparison.dev]
        out = str(self.comparison.run_folder(self.name, mode))
        words = ["stemma", "finetune", str(self.folder), "--task", self.comparison.task, *files, "--out", out]
        return shlex.join(
            [*words, *_sets([*self.comparison.transfer(mode, more), f"transfer.threads={threads}", *self.comparison.task_settings])]
        )


def _base(comparison: Comparison, generation: str, corpus_key: str) -> str:
    """The key of the stage `pretrain`, on which all others rest; a student's rests on its teacher's."""
    teacher = find(generation).teacher
    theirs = [_base(comparison, teacher, corpus_key)] if teacher else []
    return key_of("pretrain", corpus_key, generation, comparison.config.preset, comparison.pretraining(generation), *theirs)


def run_stages(stages: Stages, root: Path) -> Iterator[tuple[str, str]]:
    """Makes what is missing, stage by stage, yielding (stage, "kept", "made" or "failed") and reporting the same.

    After a failed pre-training nothing else is tried; any other failure leaves the later stages alone.
    """
    for stage in stages.names():
        name, key = f"{stages.name}.{stage}", stages.key(stage)
        if stages.kept(stage) is not None:
            stages.progress(StageEnd(stage, "kept"))
            yield stage, "kept"
            continue
        began = time.perf_counter()
        try:
            staged(root, name, key, RESULTS.get(stage, Transferred), partial(stages.make, stage))
        except (Interrupted, KeyboardInterrupt):
            raise
        except Exception:  # kept in the stage's file, and shown in the report
            stages.progress(StageEnd(stage, "failed", time.perf_counter() - began))
            yield stage, "failed"
            if stage == "pretrain":
                return
        else:
            stages.progress(StageEnd(stage, "made", time.perf_counter() - began))
            yield stage, "made"


def task_examples(comparison: Comparison) -> tuple[list[Any], list[Any]]:
    """The labelled examples: all of dev, and of train as many as the comparison allows, drawn by lot."""
    task = comparison.made_task()
    return drawn(task.read(comparison.train), comparison.config.train_limit), task.read(comparison.dev, learning=False)


def write_held_out(root: Path, documents: Sequence[Document]) -> None:
    """Keeps the text that generations are judged by in `held-out.json`."""
    write_sealed(root / HELD_OUT, {"documents": [[text.sentences, text.source, text.joins, text.lead] for text in documents]})


def read_held_out(root: Path) -> list[Document]:
    """What `write_held_out` kept; DamagedError where it is not that any more."""
    place = root / HELD_OUT
    mend = f"delete it and {stage_path(root, 'ingest')}; the same command makes both again"
    rows: Any = read_sealed(place, mend).get("documents")
    try:
        return [Document(tuple(sentences), source, joins=tuple(joins), lead=lead) for sentences, source, joins, lead in rows]
    except (TypeError, ValueError) as error:
        raise DamagedError(f"{place} is damaged: {error}", "the held-out text", mend) from error


def judge_of(comparison: Comparison) -> Judge:
    """What measures answers to the dev file; DataError where a label there cannot be learnt."""
    task = comparison.made_task()
    train, dev = task_examples(comparison)
    targets = task.targets(train)
    return Judge(task, targets, task.gold(dev, targets))


def judged(judge: Judge, answers: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The metrics of each seed's answers with their intervals, and the answers they come from."""
    measures = {name: found.as_dict() for name, found in judge.intervals(answers).items()}
    return {"measures": measures, "answers": answers, "seeds": judge.values(answers)}


def sense_examples(comparison: Comparison) -> tuple[list[senses.Occurrence], list[senses.Occurrence]]:
    """The occurrences to learn from and those to judge by."""
    config = comparison.config
    found = senses.read_senses(Path(config.senses))
    train, test = (found, senses.read_senses(Path(config.senses_test))) if config.senses_test else senses.split_half(found)
    return senses.thinned(train, config.senses_limit), senses.thinned(test, config.senses_limit)


def _agreement(run: Run, path: str) -> dict[str, Any]:
    """The similarity of a file's pairs, or why there is none: a corpus may lack the words of one file and have another's."""
    try:
        return {"file": path, "found": similarity(run.words, read_pairs(path)).as_dict()}
    except DataError as error:
        return {"file": path, "why_not": str(error)}


def _together(parts: Iterable[Spent]) -> Spent:
    return reduce(Spent.plus, parts, NOTHING)


def _curve(metrics: list[dict[str, Any]]) -> list[dict[str, float]]:
    steps = [line for line in metrics if line["kind"] == "step" and np.isfinite(line.get("loss", np.nan))]
    chosen = sorted({round(place) for place in np.linspace(0, len(steps) - 1, CURVE)}) if steps else []
    return [{name: steps[k][name] for name in ("step", "tokens", "seconds", "loss")} for k in chosen]


def _sets(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
