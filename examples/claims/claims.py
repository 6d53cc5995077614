"""What the experiments share: the text that they read, their runs, and the page that tells how a claim fared."""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import altair

import stemma
from stemma.corpus.docstrings import write_docstrings
from stemma.runs.run import Run

WORDS = {"tokenizer.kind": "word", "tokenizer.vocab_size": 8000, "tokenizer.lowercase": True}  # one vocabulary for all generations


@dataclass(frozen=True)
class Text:
    """What is learnt from, and what is held out."""

    train: Path
    dev: Path

    def documents(self) -> list[str]:
        """The held-out documents."""
        lines = self.dev.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["text"] if self.dev.suffix == ".jsonl" else line for line in lines if line.strip()]


@dataclass(frozen=True)
class Verdict:
    """A row of the table of claims."""

    letter: str  # the claim's place in the survey
    claim: str
    holds: str  # yes, no, in part
    by: str  # how much, in figures
    page: str
    command: str


def arguments(script: str, tokens: int, about: str) -> argparse.Namespace:
    """The options that all scripts take; `tokens` is the default budget of each run."""
    parser = argparse.ArgumentParser(prog=script, description=about)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/claims"), help="the folder of the runs, which are made once (default: %(default)s)"
    )
    parser.add_argument("--pages", type=Path, default=Path(__file__).parent / "pages", help="the folder of the page and its figure")
    parser.add_argument("--train", type=Path, help="text to learn from; none: docstrings of installed packages")
    parser.add_argument("--dev", type=Path, help="held-out text, one document a line")
    parser.add_argument("--tokens", type=int, default=tokens, help="of each run (default: %(default)s)")
    found = parser.parse_args()
    if (found.train is None) != (found.dev is None):
        parser.error("--train and --dev go together")
    found.out.mkdir(parents=True, exist_ok=True)
    found.pages.mkdir(parents=True, exist_ok=True)
    return found


def text_of(options: argparse.Namespace) -> Text:
    """The files that were named, or the embedded default."""
    if options.train:
        return Text(options.train, options.dev)
    folder = options.out / "text"
    if not (folder / "dev.jsonl").exists():
        write_docstrings(folder)
    return Text(folder / "train.jsonl", folder / "dev.jsonl")


def run_of(options: argparse.Namespace, name: str, generation: str, settings: Mapping[str, Any]) -> Run:
    """A run of this name in the folder, pre-trained with preset `tiny` unless it stands there already."""
    text = text_of(options)
    budget = {} if generation == "ngram" else {"training.tokens": options.tokens}
    print(f"{name}: pre-training {generation}", file=sys.stderr)
    given = {**budget, **settings}
    return stemma.pretrain(generation, text.train, dev=text.dev, out=options.out / "runs" / name, preset="tiny", settings=given)


def lines_chart(rows: Sequence[Mapping[str, Any]], x: str, y: str, by: str, log: bool = True) -> dict[str, Any]:
    """A Vega-Lite chart of `y` over `x`, a line for each `by`."""
    scale = {"type": "log", "base": 2} if log else {}
    return {
        "data": {"values": list(rows)},
        "width": 560,
        "height": 300,
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": x, "type": "quantitative", "scale": scale},
            "y": {"field": y, "type": "quantitative", "scale": {"zero": False}},
            "color": {"field": by, "type": "nominal", "sort": None},
        },
    }


def bars_chart(rows: Sequence[Mapping[str, Any]], x: str, y: str, chance: float | None = None) -> dict[str, Any]:
    """A Vega-Lite chart of bars `x` for each `y`, with a rule at what chance gives."""
    bars = {
        "mark": "bar",
        "encoding": {"x": {"field": x, "type": "quantitative"}, "y": {"field": y, "type": "nominal", "sort": None}},
    }
    rule = {
        "data": {"values": [{"chance": chance}]},
        "mark": {"type": "rule", "strokeDash": [4, 3]},
        "encoding": {"x": {"field": "chance", "type": "quantitative"}},
    }
    layers = [bars] if chance is None else [bars, rule]
    return {"data": {"values": list(rows)}, "width": 460, "layer": layers}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table; numbers with three figures."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_page(
    options: argparse.Namespace, verdict: Verdict, done: str, rows: Sequence[Mapping[str, Any]], chart: dict[str, Any], read: str
) -> None:
    """The page, its figure, and the verdict as JSON beside them, for the table of all claims."""
    name = Path(verdict.page).stem
    altair.Chart.from_dict(chart).save(options.pages / f"{name}.svg")
    parts = (
        f"# {verdict.claim}",
        f"**Holds here: {verdict.holds}.** {verdict.by}",
        done,
        f"![{verdict.claim}]({name}.svg)",
        table(rows),
        read,
        f"Made by\n\n```bash\n{verdict.command}\n```",
    )
    (options.pages / verdict.page).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (options.pages / f"{name}.json").write_text(json.dumps(asdict(verdict), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(f"{verdict.claim} Holds here: {verdict.holds}. {verdict.by}\n{options.pages / verdict.page}")


def command() -> str:
    """The command as it was given."""
    return "python " + " ".join(map(shlex.quote, ("/".join(Path(sys.argv[0]).parts[-3:]), *sys.argv[1:])))


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
