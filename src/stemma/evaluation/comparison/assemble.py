"""The report's dictionary, put together from the stages' results."""

import dataclasses
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import stemma
from stemma.corpus.document import Ledger
from stemma.evaluation.comparison.environment import commit, environment
from stemma.evaluation.comparison.plan import GENERATIONS, Plan
from stemma.evaluation.comparison.stages import Stages, kept, sense_examples, stage_path, task_examples
from stemma.evaluation.measures import senses
from stemma.evaluation.report.headline import headline
from stemma.evaluation.report.page import SCHEMA
from stemma.evaluation.report.wording import title
from stemma.lineage.table import find
from stemma.training.settings import Fact

_ALWAYS = (
    "Settings of the heads were chosen on a part of the training examples; the dev file was used for the figures alone.",
    "Heads differ between modes and generations, so part of a difference may be the head's: the table below tells which was used.",
    "Intervals hold 95 % and come from drawing the dev examples, and the seeds where there are several, again with replacement; "
    "differences are judged on the same draws. One pre-training of each generation was run: its luck is not in the intervals.",
    "Time of pre-training is training alone; reading the text and cutting it into tokens is told apart, since generations with the "
    "same tokens share it; its CPU time stands with that of pre-training. "
    "Peak memory is that of the whole process, Python and its libraries included; helpers that only read the text are not in it.",
)
_NGRAM = (
    "The n-gram model counts the byte-level tokens of GPT: so nothing is out of its vocabulary and its bits per character can be compared."
)
_SECONDS = (
    "A budget of seconds is turned into steps by timing the first ones, so the time spent differs from it a little; "
    "counting reads the text once, whatever the budget."
)
_TOKENS = "The tokens of a budget are each generation's own, and a word is more text than a piece of one: see the passes over the text."


def assemble(
    plan: Plan, corpus: dict[str, Any], simple: list[dict], maps: dict[str, Any] | None, codes: dict[str, int], wall_seconds: float
) -> dict[str, Any]:
    """The report's dictionary from the stages' results."""
    train, dev = task_examples(plan)
    labels = sorted({example.label for example in train})
    sections = [_generation(plan, name, corpus["key"], codes.get(name, 0)) for name in plan.generations]
    finished = next((s["pretrain"] for s in sections if s.get("pretrain")), None)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "made": {"stemma": stemma.__version__, "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")},
        "title": ", ".join(Path(path).name for path in plan.corpus),
        "corpus": {"paths": list(plan.corpus), **_counted(corpus, finished), "held_out": corpus["held_out"]},
        "task": {
            "kind": plan.task,
            "train": plan.train,
            "dev": plan.dev,
            "labels": labels,
            "train_examples": len(train),
            "dev_examples": len(dev),
            "gold": " ".join(str(labels.index(example.label)) for example in dev),
        },
        "budget": {
            "preset": plan.config.preset,
            "tokens": plan.config.budget_tokens,
            "seconds": plan.config.budget_seconds,
            "seeds": list(range(1, plan.config.seeds + 1)),
            "modes": list(plan.config.modes),
        },
        "environment": environment() | {"threads": plan.config.threads or _threads(), "wall_seconds": wall_seconds},
        "generations": sections,
        "baselines": simple,
        "senses": _senses(plan),
        "words": maps,
        "notes": _notes(plan, sections),
        "command": _command(plan),
    }
    return report | {"headline": headline(report)}


def _generation(plan: Plan, name: str, corpus_key: str, code: int) -> dict[str, Any]:
    """One generation's part of the report: what it is, and the results or failures of its stages."""
    row = find(name)
    stages = Stages(plan, name, corpus_key, _silent)
    results, failures = {}, []
    for stage in stages.names():
        found = kept(plan.root, f"{name}.{stage}", stages.key(stage))
        if found is not None:
            results[stage] = found
        elif failure := _failure(plan.root, f"{name}.{stage}", stages.key(stage)):
            failures.append(failure)
    if code and not failures:
        died = f"its process ended with exit code {code}" + (", killed by a signal, perhaps for want of memory" if code < 0 else "")
        failures.append({"stage": f"{name}", "error": "RunError", "message": died})
    facts = {
        "name": name,
        "title": row.title,
        "year": row.year,
        "paper": row.paper,
        "learns": row.learns,
        "asks": row.asks,
        "abilities": list(row.abilities),
    }
    return facts | {
        "status": "failed" if failures else "done",
        "failures": failures,
        "pretrain": results.get("pretrain", {}),
        "score": results.get("score"),
        "modes": {mode: results[mode] for mode in plan.config.modes if mode in results},
        "words": results.get("words"),
        "senses": results.get("senses"),
    }


def _failure(root: Path, name: str, key: str) -> dict[str, Any] | None:
    path = stage_path(root, name)
    stage = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return stage.get("failed") if stage.get("key") == key else None


def _counted(corpus: dict[str, Any], finished: dict[str, Any] | None) -> dict[str, Any]:
    ledger = corpus["ledger"] or (finished or {}).get("ledger") or Ledger().as_dict()
    return {"documents": ledger["documents"], "sentences": ledger["sentences"], "characters": ledger["characters_used"], "ledger": ledger}


def _senses(plan: Plan) -> dict[str, Any] | None:
    if not plan.config.senses:
        return None
    train, test = sense_examples(plan)
    words = {o.word for o in train} & {o.word for o in test}
    files = " and ".join(filter(None, (plan.config.senses, plan.config.senses_test)))
    how = "the two files as they are" if plan.config.senses_test else "half of each sense to learn from, half to judge by"
    return {
        "file": files,
        "how": how,
        "words": len(words),
        "senses": len({(o.word, o.sense) for o in train if o.word in words}),
        "train": len(train),
        "test": len(test),
        "majority": senses.majority(train, test),
    }


def _notes(plan: Plan, sections: list[dict]) -> list[str]:
    """What a careful reader should know, computed from what was done."""
    config = plan.config
    notes = [
        *_ALWAYS,
        f"Every head had at most {config.trials} trials of its one knob, and {config.seeds} seeds unless nothing in it is left to chance.",
    ]
    if "ngram" in plan.generations:
        notes.append(_NGRAM)
    if config.budget_seconds:
        notes.append(_SECONDS)
    if config.budget_tokens:
        notes.append(_TOKENS)
    if config.parallel > 1:
        notes.append(f"Up to {config.parallel} generations were computed at once, so each one's times are those of a machine it shared.")
    if config.train_limit:
        notes.append(f"Of the training examples {config.train_limit:,} at most were used, drawn by lot.")
    notes += [f"{title(section['name'])}: {note}" for section in sections for note in section["pretrain"].get("notes", [])]
    cut = {
        section["name"]: mode["cut"]["examples"] for section in sections for mode in section["modes"].values() if mode["cut"]["examples"]
    }
    return notes + [f"{title(name)}: task examples longer than its window, and cut: {examples:,}." for name, examples in cut.items()]


def _command(plan: Plan) -> str:
    changed = [(f, getattr(plan.config, f.name)) for f in dataclasses.fields(plan.config) if getattr(plan.config, f.name) != f.default]
    words = ["stemma", "compare", *plan.corpus, "--task", plan.task, "--train", plan.train, "--dev", plan.dev, "--out", plan.out]
    if plan.generations != GENERATIONS:
        words += ["--generations", *plan.generations]
    for field, value in changed:
        if field.name == "settings":
            words += [word for setting in value for word in ("--set", setting)]
        else:
            words += ["--" + field.name.replace("_", "-"), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return shlex.join(words)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""
