"""`stemma lineage`: prints the family tree of generations."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from stemma.cli.aligned import columns
from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Flag, Positional, Verb
from stemma.config import nearest
from stemma.errors import UsageError
from stemma.lineage.table import TABLE, Generation

if TYPE_CHECKING:
    from stemma.transfer.matrix import Cell


@dataclass(frozen=True)
class Lineage(Verb):
    """Prints the family tree of generations: year, what each asks of the text, its abilities, its presets; or one generation's page.

    Example: stemma lineage bert
    """

    generation: Annotated[Positional[str], arg(metavar="[GENERATION]", help_behavior_hint="(optional)")] = ""  # none: the whole tree
    matrix: Flag = False  # which generation learns which task, frozen and fine-tuned, and why not where it cannot

    def run(self) -> Printable:
        """The tree, or the rows of the table; or a page, or the matrix."""
        if self.matrix:
            return _matrix(self.generation)
        if not self.generation:
            return Answer([_row(row) for row in TABLE], _tree())
        row = _found(self.generation)
        return Answer(_row(row) | {"about": _about(row)}, _page(row))


def _found(name: str) -> Generation:
    found = {row.name: row for row in TABLE}
    if name not in found:
        raise UsageError(f"there is no generation {name!r}", f"one of {', '.join(found)}", nearest(name, found))
    return found[name]


def _matrix(generation: str) -> Answer:
    """The matrix, or a generation's row of it."""
    from dataclasses import asdict

    from stemma.transfer.matrix import matrix  # torch: for this alone

    cells = [cell for cell in matrix() if not generation or cell.generation == _found(generation).name]
    return Answer([asdict(cell) for cell in cells], _table(cells))


def _table(cells: Sequence["Cell"]) -> Iterator[str]:
    """A row a generation, a column a task: frozen, tuned, both, or the number of the reason below."""
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    reasons = list(dict.fromkeys(cell.reason for cell in cells if cell.reason))
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(cell.generation for cell in cells):
        modes = [[cell for cell in cells if (cell.generation, cell.task) == (name, task)] for task in tasks]
        found[name] = [_shown(own, reasons) for own in modes]
    yield from columns([("", *tasks), *((name, *row) for name, row in found.items())])
    yield ""
    yield "both: frozen and fine-tuned (`stemma finetune … --task TASK`, with or without --frozen)"
    yield from (f"({number}) {reason}" for number, reason in enumerate(reasons, 1))


def _shown(cells: Sequence["Cell"], reasons: Sequence[str]) -> str:
    can = [cell.mode for cell in cells if not cell.reason]
    if len(can) == len(cells):
        return "both"
    why = ", ".join(f"({reasons.index(reason) + 1})" for reason in dict.fromkeys(cell.reason for cell in cells if cell.reason))
    return f"{can[0]} {why}" if can else why


def _row(row: Generation) -> dict[str, Any]:
    return {
        "name": row.name, "title": row.title, "year": row.year, "paper": row.paper, "parent": row.parent, "ready": row.ready,
        "learns": row.learns, "asks": row.predicts, "abilities": row.abilities, "tokenizer": row.tokenizer,
        "presets": list(row.presets()) if row.ready else [],
    }  # fmt: skip


def _page(row: Generation) -> Iterator[str]:
    children = [other.name for other in TABLE if other.parent == row.name]
    yield f"{row.name} · {row.title} ({row.paper})"
    yield from columns(
        [
            ("parent", row.parent or "none: it is the oldest"),
            ("children", ", ".join(children) or "none"),
            ("asks", row.predicts),
            ("can", ", ".join(row.abilities)),
            ("tokens", row.tokenizer),
            ("presets", ", ".join(row.presets()) if row.ready else "in the plan, not in this version"),
        ]
    )
    if row.ready:
        yield from ["", *_about(row).splitlines(), ""]
        learns = "distill TEACHER --corpus" if row.teacher else f"pretrain {row.name}"
        yield f"its settings: stemma settings {row.name}    to pre-train it: stemma {learns} CORPUS --out RUN"


def _about(row: Generation) -> str:
    """What its file says of it: what it added and gave up, the formulae, where it deviates."""
    if not row.ready:
        return ""
    spec = find_spec(row.network.partition(":")[0])
    assert spec is not None and spec.origin is not None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""


def _tree() -> Iterator[str]:
    for row, branch, under in _branches(None, ""):
        mark = "●" if row.ready else "○"
        yield f"{branch}{mark} {row.name}  {row.year}  {row.title} ({row.paper})"
        presets = f" · presets: {', '.join(row.presets())}" if row.ready else ""
        yield f"{under}  asks: {row.predicts} · can: {', '.join(row.abilities)}{presets}"
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
