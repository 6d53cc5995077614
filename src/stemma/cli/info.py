"""`stemma info`: what a folder is, in a few lines: how a run was made, how good it is, what it can do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.cli.aligned import named, number
from stemma.cli.answer import Answer, Printable
from stemma.cli.progress import duration
from stemma.cli.verb import RunPath, Verb
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.tasks.table import make_task
from stemma.tokens.files import read_json

if TYPE_CHECKING:
    from stemma.checkpoint import RunFolder


@dataclass(frozen=True)
class Info(Verb):
    """Tells what a folder is: a pre-trained run, a fine-tuned one, or a comparison; of what text and task, how good, and how big.

    Example: stemma info runs/bert
    """

    run_folder: RunPath  # a folder made by stemma pretrain, finetune or compare

    def run(self) -> Printable:
        """What is known of the folder."""
        from stemma.checkpoint import RunFolder

        path = Path(self.run_folder)
        report = read_json(path / "report.json")
        if report is not None:
            facts = _of_comparison(report)
        else:
            folder = RunFolder.open(path)
            facts = _of_task(folder) if "task" in folder.config else _of_run(folder)
        facts |= {"on disk": _size(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))}
        return Answer({"folder": self.run_folder, **facts}, _lines(self.run_folder, facts))


def _of_run(folder: "RunFolder") -> dict[str, Any]:
    from stemma.tokens.tokenizer import Tokenizer

    identity = folder.config["identity"]
    done = folder.done()
    row, tokenizer = find(identity["generation"]), Tokenizer.load(folder.tokenizer_path)
    ledger = read_json(folder.path / "ledger.json") or {}
    characters = ledger.get("characters", {}).get("characters_used")
    held_out = done.get("held_out_loss")
    return {
        "what": f"{row.title} ({row.paper}), pre-trained",
        "made by": f"stemma {folder.config['stemma']}",
        "text": ", ".join(identity["corpus"]) if "corpus" in identity else identity.get("source", "another program's file"),
        "characters": f"{characters:,}" if characters else None,
        "vocabulary": f"{counted(tokenizer.vocab_size, 'token')}, {tokenizer.config.kind}",
        "read": f"{counted(done['tokens'], 'token')}, {number(done.get('passes'))} passes" if "tokens" in done else None,
        "took": duration(done["cpu_seconds"]) + " of computing" if "cpu_seconds" in done else None,
        "loss": number(done["loss"]) if "loss" in done else None,
        "held-out loss": number(held_out) if held_out is not None else None,
        "imitates": f"{done['teacher']}: {done['imitates']}" if "imitates" in done else None,
        "parameters": f"{done['parameters']:,}" if "parameters" in done else None,
        "reading": _reading(done) if "reading_ms" in done else None,
        "notes": "; ".join(done.get("notes") or ()) or None,
        "can": ", ".join(row.abilities),
    }


def _reading(done: dict[str, Any]) -> str:
    """What it costs to read a text."""
    text = counted(done["reading_tokens"], "token")
    return f"{done['reading_flops_per_token']:,.0f} operations a token, {number(done['reading_ms'])} ms for a text of {text}"


def _of_task(folder: "RunFolder") -> dict[str, Any]:
    from stemma.runs.doubts import floor_warning
    from stemma.transfer.saving import measured

    identity, facts = folder.config["identity"], folder.config["task"]
    row = find(identity["generation"])
    return {
        "what": f"{row.title} ({row.paper}), carried over to the task {identity['task']} ({identity['mode']})",
        "made by": f"stemma {folder.config['stemma']}",
        "head": facts.get("head"),
        "imitates": facts["taught"]["run"] if "taught" in facts else None,
        "labels": ", ".join(facts.get("targets", {}).get("labels", ())) or None,
        "learnt from": f"{counted(facts['examples']['learning'], 'example')}" if "learning" in facts.get("examples", {}) else None,
        "measured": ", ".join(measured(facts)) or None,
        "doubt": floor_warning(facts) or None,
        "can": "predict, translate, embed" if make_task(identity["task"]).per == "target" else "predict, embed",
    }


def _of_comparison(report: Mapping[str, Any]) -> dict[str, Any]:
    head = report.get("headline") or {}
    names = [generation["short"] for generation in report["generations"]]
    return {
        "what": f"a comparison of {', '.join(names)}",
        "title": report["title"],
        "it says": head.get("title"),
        "and": head.get("second"),
    }


def _lines(folder: str, facts: Mapping[str, Any]) -> Iterator[str]:
    yield folder
    yield from named((name, str(value)) for name, value in facts.items() if value is not None)


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"
