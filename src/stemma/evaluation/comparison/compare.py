"""The main job: one text, one task, one budget; every generation pre-trained, transferred, judged, and told in one report."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.checkpoint import write_json
from stemma.corpus.document import Ledger
from stemma.corpus.task import read_examples
from stemma.errors import MissingExtra, RunError, UsageError
from stemma.evaluation.comparison import baselines
from stemma.evaluation.comparison.assemble import assemble
from stemma.evaluation.comparison.environment import Meter
from stemma.evaluation.comparison.launch import Launch, Processes, run_all
from stemma.evaluation.comparison.plan import GENERATIONS, Config, Plan, content_of, key_of
from stemma.evaluation.comparison.stages import Stages, judged, kept, sense_examples, stage_path, staged, task_examples
from stemma.evaluation.measures.perplexity import blocks, spread
from stemma.evaluation.measures.word_files import read_analogies, read_pairs
from stemma.evaluation.report.page import write
from stemma.evaluation.report.word_map import word_maps
from stemma.lineage.table import find
from stemma.training.request import Report, job_of
from stemma.training.settings import Fact


def compare(
    corpus: str | Path | Sequence[str | Path],
    *,
    train: str | Path,
    dev: str | Path,
    out: str | Path,
    task: str = "classify",
    generations: Sequence[str] = GENERATIONS,
    config: Config | None = None,
    progress: Report | None = None,
) -> dict[str, Any]:
    """The report of a comparison, also written as `report.html` and `report.json` in `out`, beside the run folders.

    The same call again goes on where a killed one was. A generation that fails is told in the report
    (its `status` is "failed") and stops no other one.
    """
    paths = (str(corpus),) if isinstance(corpus, str | Path) else tuple(map(str, corpus))
    plan = Plan(paths, task, str(train), str(dev), str(out), tuple(generations), config or Config())
    return run_plan(plan, progress or _silent, Processes())


def run_plan(plan: Plan, progress: Report, launch: Launch) -> dict[str, Any]:
    """Makes every stage of the plan that is missing, then the report."""
    _check(plan)
    began = time.perf_counter()
    plan.save()
    corpus = _ingest(plan, progress)
    simple = _baselines(plan, progress)
    codes = run_all(plan, corpus["key"], progress, launch)
    maps = _word_maps(plan, corpus["key"], progress)
    report = assemble(plan, corpus, simple, maps, codes, _spent(plan, time.perf_counter() - began))
    write(report, plan.root)
    progress(Fact("note", 0, 0, message=f"report: {plan.root / 'report.html'}"))
    return report


def _check(plan: Plan) -> None:
    """Everything that can be wrong before the first minute is spent."""
    if plan.config.budget_tokens and plan.config.budget_seconds:
        raise UsageError("both a budget of tokens and one of seconds are given", "one of the two", "drop budget_tokens or budget_seconds")
    if not plan.generations:
        raise UsageError("no generation is named", "one or more", f"for example --generations {' '.join(GENERATIONS)}")
    for generation in plan.generations:
        if "transfer" not in find(generation).abilities:
            raise UsageError(
                f"{generation} cannot be carried over to a task", "generations that can transfer", "leave it out of --generations"
            )
    known = {example.label for example in read_examples(Path(plan.train))}
    for example in read_examples(Path(plan.dev)):
        if example.label not in known:
            where = ", line ".join(example.source.rsplit(":", 1))
            raise UsageError(
                f"{where}: the label {example.label!r} is not in {plan.train}",
                "labels that can be learnt",
                "mend the label, or add training examples of it",
            )
    if plan.config.senses:
        sense_examples(plan)
    for path in plan.config.similarity:
        read_pairs(path)
    for path in plan.config.analogies:
        read_analogies(path)
    for generation in plan.generations:
        job_of(plan.request(generation))


def _ingest(plan: Plan, progress: Report) -> dict[str, Any]:
    """Reads the held-out text into `held-out.json`, the same blocks for every generation, and counts the text."""
    source = job_of(plan.request(plan.generations[0])).source
    identity = source.identity()
    key = key_of("ingest", identity, plan.config.held_out_characters)
    place = plan.root / "held-out.json"

    def make() -> dict[str, Any]:
        progress(Fact("note", 0, 0, message="reading the text"))
        ledger = Ledger()
        documents, characters = 0, 0
        found = []
        for document in source.documents("dev", ledger):
            documents, characters = documents + 1, characters + len(document.text)
            found += blocks([document])
        chosen = spread(found, plan.config.held_out_characters)
        write_json(place, chosen)
        how = (
            "the dev text given"
            if plan.config.dev_text
            else f"{plan.config.held_out:.1%} of the corpus, chosen by its content (seed {source.seed})"
        )
        scored = {"blocks": len(chosen), "characters": sum(len(" ".join(block)) for block in chosen)}
        held_out = {"how": how, "documents": documents, "characters": characters, "scored": scored}
        return {"key": key_of(identity), "held_out": held_out, "ledger": ledger.as_dict() if not plan.config.dev_text else None}

    if not place.exists():
        stage_path(plan.root, "ingest").unlink(missing_ok=True)
    return staged(plan.root, "ingest", key, make)


def _baselines(plan: Plan, progress: Report) -> list[dict[str, Any]]:
    """The majority class, and TF-IDF with logistic regression."""
    train, dev = task_examples(plan)
    key = key_of("baselines", content_of([plan.train, plan.dev]), plan.config.train_limit, plan.config.trials)

    def make() -> dict[str, Any]:
        progress(Fact("note", 0, 0, message="the plain baselines"))
        found: list[dict[str, Any]] = []
        for name, short, answer in (("majority", "majority class", baselines.majority), ("tfidf", "TF-IDF + LR", baselines.tfidf)):
            try:
                with Meter() as meter:
                    facts = answer(train, dev)
            except MissingExtra as error:
                found.append({"name": name, "short": short, "title": short, "missing": str(error)})
                continue
            row = {"name": name, "short": short, "title": facts["name"], "head": facts["head"], **judged(facts, dev)}
            found.append(row | {"seconds": meter.costs["wall_seconds"]})
        return {"rows": found}

    return staged(plan.root, "baselines", key, make)["rows"]


def _word_maps(plan: Plan, corpus_key: str, progress: Report) -> dict[str, Any] | None:
    """The same words in the space of every generation that has word vectors and finished; None where there is none."""
    able = [Stages(plan, name, corpus_key, progress) for name in plan.generations if "nearest" in find(name).abilities]
    done = [stages for stages in able if kept(plan.root, f"{stages.name}.pretrain", stages.key("pretrain"))]
    if not done:
        return None

    def make() -> dict[str, Any]:
        progress(Fact("note", 0, 0, message="the word maps"))
        return word_maps({stages.name: stages.run().words for stages in done}, plan.config.words)

    return staged(plan.root, "word-maps", key_of("word maps", [stages.base for stages in done], plan.config.words), make)


def _spent(plan: Plan, seconds: float) -> float:
    """Seconds of the comparison, earlier sessions included; kept in `stages/time.json`."""
    place = stage_path(plan.root, "time")
    before = json.loads(place.read_text(encoding="utf-8"))["seconds"] if place.exists() else 0.0
    total = before + (seconds if math.isfinite(seconds) else 0.0)
    write_json(place, {"seconds": total})
    return total


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""


def failed(report: dict[str, Any]) -> RunError | None:
    """The error to end with when a generation failed; None when all went well."""
    names = [section["name"] for section in report["generations"] if section["status"] == "failed"]
    if not names:
        return None
    return RunError(
        f"{' and '.join(names)} failed; the report tells why",
        "every generation to finish",
        "mend the cause and repeat the command: finished stages are kept",
    )
