"""`stemma lineage`: prints the family tree of generations."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Verb
from stemma.lineage.table import TABLE, Generation


@dataclass(frozen=True)
class Lineage(Verb):
    """Prints the family tree of generations: year, what each asks of the text, its abilities, its presets.

    Example: stemma lineage
    """

    def run(self) -> Printable:
        """The tree, or the rows of the table."""
        return Answer([_row(row) for row in TABLE], _tree())


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
