"""The stages of one generation in a comparison: pre-train, score, transfer, tell senses apart.

A finished stage's result stands in `stages/NAME.json` with the key of what it was made from, so that
a killed comparison goes on with the first stage that is missing.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder, write_json
from stemma.config import parse_settings, resolve
from stemma.corpus.task import Example, read_examples
from stemma.errors import DataError, Interrupted
from stemma.evaluation.comparison.environment import Meter
from stemma.evaluation.comparison.plan import Plan, content_of, key_of
from stemma.evaluation.measures import senses
from stemma.evaluation.measures.bootstrap import interval
from stemma.evaluation.measures.perplexity import perplexity
from stemma.evaluation.measures.similarity import analogies, similarity
from stemma.evaluation.measures.word_files import read_analogies, read_pairs
from stemma.evaluation.report.wording import CONTROLS
from stemma.lineage.table import find
from stemma.objectives.batch import generator
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Report
from stemma.training.settings import Fact
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config as Transfer

CURVE = 60  # points of a learning curve in the report
Result = dict[str, Any]


def stage_path(root: Path, name: str) -> Path:
    """Where the stage's result stands."""
    return root / "stages" / f"{name}.json"


def kept(root: Path, name: str, key: str) -> Result | None:
    """The stage's result, if it was finished with this key."""
    path = stage_path(root, name)
    if not path.exists():
        return None
    stage = json.loads(path.read_text(encoding="utf-8"))
    return stage["result"] if stage["key"] == key and "result" in stage else None


def staged(root: Path, name: str, key: str, make: Callable[[], Result]) -> Result:
    """The stage's result, kept from an earlier call or made now; a failure is kept too, and tried again next time."""
    found = kept(root, name, key)
    if found is not None:
        return found
    path = stage_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = make()
    except (Interrupted, KeyboardInterrupt):
        raise
    except Exception as error:
        write_json(path, {"key": key, "failed": {"stage": name, "error": type(error).__name__, "message": str(error)}})
        raise
    write_json(path, {"key": key, "result": result})
    return result


class Stages:
    """One generation's stages, each a method; `names` is their order."""

    def __init__(self, plan: Plan, generation: str, corpus_key: str, report: Report) -> None:
        self.plan, self.name, self.row, self.report = plan, generation, find(generation), report
        self.base = key_of("pretrain", corpus_key, generation, plan.config.preset, plan.pretraining(generation))
        self._run: Run | None = None

    def names(self) -> list[str]:
        """The stages that this generation has."""
        config = self.plan.config
        words = ["words"] if "nearest" in self.row.abilities and (config.similarity or config.analogies) else []
        probes = [*words, *(["senses"] if config.senses else [])]
        modes = [mode for mode in config.modes if mode != "random" or self.row.learns != "count"]  # counts have nothing to draw
        return ["pretrain", "score", *modes, *probes]

    def key(self, stage: str) -> str:
        """Of all that the stage's result depends on."""
        config = self.plan.config
        if stage == "pretrain":
            return self.base
        if stage == "score":
            return key_of(stage, self.base, content_of([str(self.plan.root / "held-out.json")]))
        if stage == "senses":
            return key_of(stage, self.base, content_of([path for path in (config.senses, config.senses_test) if path]), config.senses_limit)
        if stage == "words":
            return key_of(stage, self.base, content_of(config.similarity), content_of(config.analogies), config.restrict)
        return key_of(
            stage, self.base, self.plan.task, content_of([self.plan.train, self.plan.dev]), config.train_limit, self.plan.transfer(stage)
        )

    def make(self, stage: str) -> Result:
        """The result of one stage, computed now."""
        self.report(Fact("note", 0, 0, message=stage))
        if stage in ("pretrain", "score", "words", "senses"):
            return getattr(self, stage)()
        return self.transfer(stage)

    def pretrain(self) -> Result:
        """Pre-trains; what it cost and how the loss fell."""
        path = self.plan.run_folder(self.name)
        settings = self.plan.pretraining(self.name)
        resumed = (path / "manifest.json").exists()
        with Meter() as meter:
            store = self.plan.root / "store"
            folder = pretrain(self.plan.request(self.name), out=path, store=store, progress=self.report)
        metrics = folder.metrics()
        done = next(line for line in reversed(metrics) if line["kind"] == "done")
        ledger = json.loads((folder.path / "ledger.json").read_text(encoding="utf-8"))
        sections = folder.config["sections"]
        return {
            "seconds": done["seconds"],
            "reading_seconds": max(0.0, meter.costs["wall_seconds"] - done["seconds"]) if not resumed else None,
            "cpu_seconds": meter.costs["cpu_seconds"] if not resumed else done.get("cpu_seconds"),
            "peak_bytes": max(meter.costs["peak_bytes"], int(done["peak_memory_mib"] * 2**20) if resumed else 0),
            "bytes": (folder.path / "model.safetensors").stat().st_size,
            "parameters": done["parameters"],
            "tokens": done["tokens"],
            "passes": done["tokens"] / max(1, ledger["tokens"]["tokens"]),
            "held_out_loss": done.get("held_out_loss"),
            "tokenizer": {"kind": sections["tokenizer"]["kind"], "vocab_size": Run.open(folder.path).tokenizer.vocab_size},
            "curve": _curve(metrics),
            "ledger": ledger["characters"],
            "model": sections["model"],
            "command": self._pretrain_command(folder, settings),
            "notes": done.get("notes", []),
        }

    def score(self) -> Result:
        """Predicts the held-out text, where the generation can."""
        if "score" not in self.row.abilities:
            return {"why_not": f"it asks the text for {self.row.asks}, and gives no probability to a whole one"}
        texts = json.loads((self.plan.root / "held-out.json").read_text(encoding="utf-8"))
        with Meter() as meter:
            found = perplexity(self.run(), texts)
        return found | {
            "seconds": meter.costs["wall_seconds"],
            "cpu_seconds": meter.costs["cpu_seconds"],
            "peak_bytes": meter.costs["peak_bytes"],
        }

    def transfer(self, mode: str) -> Result:
        """Carries the run over to the task in one mode, and measures it on the dev file."""
        train, dev = task_examples(self.plan)
        config = resolve({"transfer": Transfer}, ("compare", parse_settings(self.plan.transfer(mode))))["transfer"]
        out = self.plan.run_folder(self.name, mode) if mode not in CONTROLS.values() else None
        if out and out.exists():
            shutil.rmtree(out)  # of a comparison killed while it was written
        with Meter() as meter:
            fitted = finetune(self.run(), train=train, dev=dev, task=self.plan.task, config=config, out=out, progress=self.report)
        facts = fitted.facts
        return judged(facts, dev) | {
            "seconds": meter.costs["wall_seconds"],
            "cpu_seconds": meter.costs["cpu_seconds"],
            "peak_bytes": meter.costs["peak_bytes"],
            "head": facts["head"],
            "settings": facts["chosen"],
            "trials": len(facts["trials"]),
            "deterministic": facts["deterministic"],
            "seeds": [seed["accuracy"] for seed in facts["seeds"]],
            "trained_parameters": facts["parameters"]["trained"],
            "parameters": facts["parameters"]["total"],
            "examples": facts["examples"],
            "cut": facts["cut"],
            "command": self._finetune_command(mode),
        }

    def words(self) -> Result:
        """Holds the word vectors against people's scores and against analogies, file by file."""
        config = self.plan.config
        with Meter() as meter:
            judged = [_judged(self.run(), path) for path in config.similarity]
            answered = [
                {"file": path, **analogies(self.run().words, read_analogies(path), config.restrict).as_dict()} for path in config.analogies
            ]
        return {
            "similarity": judged,
            "analogies": answered,
            "seconds": meter.costs["wall_seconds"],
            "cpu_seconds": meter.costs["cpu_seconds"],
        }

    def senses(self) -> Result:
        """Tells the senses of words apart by their vectors, where the generation has any."""
        if "embed" not in self.row.abilities:
            return {"why_not": "it has no vectors", "probes": [], "layers": []}
        train, test = sense_examples(self.plan)
        with Meter() as meter:
            found = senses.probe(self.run(), train, test, in_context="nearest" not in self.row.abilities)
        return found | {"seconds": meter.costs["wall_seconds"], "cpu_seconds": meter.costs["cpu_seconds"]}

    def run(self) -> Run:
        """The pre-trained run, opened once."""
        if self._run is None:
            self._run = Run.open(self.plan.run_folder(self.name))
        return self._run

    def _pretrain_command(self, folder: RunFolder, settings: list[str]) -> str:
        """The command that makes this run again; seconds are told as the steps they bought."""
        steps = folder.config["sections"]["training"].get("steps")
        lasting = (
            [s for s in settings if not s.startswith(("training.seconds", "training.tokens"))] + [f"training.steps={steps}"]
            if steps
            else settings
        )
        dev = [word for path in self.plan.config.dev_text for word in ("--dev", path)]
        words = ["stemma", "pretrain", self.name, *self.plan.corpus, "--out", str(folder.path), "--preset", self.plan.config.preset, *dev]
        return shlex.join([*words, *_sets(lasting)])

    def _finetune_command(self, mode: str) -> str:
        files = ["--train", self.plan.train, "--dev", self.plan.dev]
        out = str(self.plan.run_folder(self.name, mode))
        words = ["stemma", "finetune", str(self.plan.run_folder(self.name)), "--task", self.plan.task, *files, "--out", out]
        return shlex.join([*words, *_sets(self.plan.transfer(mode))])


def run_stages(stages: Any, root: Path) -> Iterator[tuple[str, str]]:
    """Makes what is missing, stage by stage, yielding (stage, "kept", "made" or "failed").

    After a failed pre-training nothing else is tried; any other failure leaves the later stages alone.
    """
    for stage in stages.names():
        name, key = f"{stages.name}.{stage}", stages.key(stage)
        if kept(root, name, key) is not None:
            yield stage, "kept"
            continue
        try:
            staged(root, name, key, partial(stages.make, stage))
        except (Interrupted, KeyboardInterrupt):
            raise
        except Exception:  # kept in the stage's file, and told in the report
            yield stage, "failed"
            if stage == "pretrain":
                return
        else:
            yield stage, "made"


def task_examples(plan: Plan) -> tuple[list[Example], list[Example]]:
    """The labelled examples: all of dev, and of train as many as the plan allows, drawn by lot."""
    train, dev = read_examples(Path(plan.train)), read_examples(Path(plan.dev))
    most = plan.config.train_limit
    if most and most < len(train):
        train = [train[k] for k in sorted(generator("train limit").permutation(len(train))[:most])]
    return train, dev


def sense_examples(plan: Plan) -> tuple[list[senses.Occurrence], list[senses.Occurrence]]:
    """The occurrences to learn from and those to judge by."""
    config = plan.config
    found = senses.read_senses(Path(config.senses))
    train, test = (found, senses.read_senses(Path(config.senses_test))) if config.senses_test else senses.split_half(found)
    return senses.thinned(train, config.senses_limit), senses.thinned(test, config.senses_limit)


def judged(facts: Mapping[str, Any], dev: list[Example]) -> Result:
    """Accuracy and macro-F1 with their intervals, and the predictions they come from."""
    place = {label: k for k, label in enumerate(facts["labels"])}
    gold = np.array([place[example.label] for example in dev])
    predictions = np.array([seed["predictions"] for seed in facts["seeds"]])
    found: Result = {
        metric: interval(gold, predictions, len(place), metric).as_dict()
        for metric in ("accuracy", "macro_f1")  # type: ignore[arg-type]
    }
    return found | {"predictions": [" ".join(map(str, row)) for row in predictions.tolist()]}


def _judged(run: Run, path: str) -> Result:
    """The similarity of a file's pairs, or why there is none: a corpus may lack the words of one file and have another's."""
    try:
        return {"file": path, **similarity(run.words, read_pairs(path)).as_dict()}
    except DataError as error:
        return {"file": path, "why_not": str(error)}


def _curve(metrics: list[dict[str, Any]]) -> list[dict[str, float]]:
    steps = [line for line in metrics if line["kind"] == "step" and np.isfinite(line.get("loss", np.nan))]
    chosen = sorted({round(place) for place in np.linspace(0, len(steps) - 1, CURVE)}) if steps else []
    return [{name: steps[k][name] for name in ("step", "tokens", "seconds", "loss")} for k in chosen]


def _sets(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
