"""The verbs that look and change nothing: `lineage`, `corpus check`, `show tokens`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.cli.answer import Answer, Printable, Rows
from stemma.cli.texts import texts
from stemma.cli.verb import Files, RunPath, Texts, Verb
from stemma.lineage.table import TABLE, Generation

if TYPE_CHECKING:
    from stemma.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Lineage(Verb):
    """Prints the family tree of generations: year, what each asks of the text, its abilities, its presets.

    Example: stemma lineage
    """

    def run(self) -> Printable:
        """The tree, or the rows of the table."""
        return Answer([_row(row) for row in TABLE], _tree())


@dataclass(frozen=True)
class ShowTokens(Verb):
    """Shows how the tokenizer of a run cuts each text.

    Example: stemma show tokens runs/bert --text "Pre-training 预训练"
    """

    run_folder: RunPath  # a run folder, or a tokenizer.json
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own

    def run(self) -> Printable:
        """The tokens of each text, with their ids and the characters they stand for."""
        from stemma.tokens.tokenizer import Tokenizer

        tokenizer = Tokenizer.load(_tokenizer_file(self.run_folder))
        rows = (_cut(tokenizer, text) for text in texts(self.text, self.files))
        return Rows(rows) if self.json else Answer(None, (_bars(row) for row in rows))


def _tokenizer_file(given: str) -> Path:
    path = Path(given)
    return path / "tokenizer.json" if path.is_dir() else path


def _cut(tokenizer: "Tokenizer", text: str) -> dict[str, Any]:
    ids, spans = tokenizer.encode_offsets(text)
    tokens = [tokenizer.token(int(index)) for index in ids]
    return {"text": text, "tokens": tokens, "ids": ids, "spans": spans}


def _bars(row: dict[str, Any]) -> str:
    told = f"{len(row['tokens'])} tokens, {len(row['text'])} characters"
    return f"{' │ '.join(row['tokens'])}   ({told})"


def _row(row: Generation) -> dict[str, Any]:
    return {
        "name": row.name, "title": row.title, "year": row.year, "paper": row.paper, "parent": row.parent, "ready": row.ready,
        "learns": row.learns, "asks": row.asks, "abilities": row.abilities, "tokenizer": row.tokenizer,
        "presets": list(row.presets()) if row.ready else [],
    }  # fmt: skip


def _tree() -> Iterator[str]:
    for row, branch, under in _branches(None, ""):
        mark = "●" if row.ready else "○"
        yield f"{branch}{mark} {row.name}  {row.year}  {row.title} ({row.paper})"
        presets = f" · presets: {', '.join(row.presets())}" if row.ready else ""
        yield f"{under}  asks: {row.asks} · can: {', '.join(row.abilities)}{presets}"
    yield ""
    yield "● can be pre-trained with this version   ○ in the plan"


def _branches(parent: str | None, before: str) -> Iterator[tuple[Generation, str, str]]:
    """Each row with the lines drawn before its first and its second text line."""
    rows = [row for row in TABLE if row.parent == parent]
    for row in rows:
        last = row is rows[-1]
        branch, under = ("", "") if parent is None else (before + ("└─ " if last else "├─ "), before + ("   " if last else "│  "))
        below = any(other.parent == row.name for other in TABLE)
        yield row, branch, under + ("│" if below else "")
        yield from _branches(row.name, under)
