"""What a verb gives back, and how it is printed: as text for a person at a terminal, as JSON for a program."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from stemma.runs.json_text import dumps

Form = Literal["document", "lines", "person"]  # with --json; into a pipe or a file; on a terminal


class Printable(Protocol):
    """Anything a verb may give back."""

    @property
    def exit_code(self) -> int:
        """What the command ends with once all is printed."""

    def pieces(self, form: Form) -> Iterator[str]:
        """The text to print, piece by piece, line ends included."""


@dataclass(frozen=True)
class Answer:
    """One result: the document that `--json` prints, and the same as lines for a reader."""

    document: Any
    lines: Iterable[str]
    exit_code: int = 0

    def pieces(self, form: Form) -> Iterator[str]:
        """The document, or its lines."""
        if form == "document":
            yield dumps(self.document, indent=2) + "\n"
        else:
            yield from (f"{line}\n" for line in self.lines)


@dataclass(frozen=True)
class Rows:
    """A stream of results, printed as they come: JSON lines, one JSON list with `--json`, aligned text for a person."""

    rows: Iterable[Mapping[str, Any]]
    shown: Callable[[Any], Iterable[str]]  # a row as a person reads it, line by line
    exit_code: int = 0

    def pieces(self, form: Form) -> Iterator[str]:
        """One row a line; for a person as many as `shown` makes of it."""
        if form == "lines":
            yield from (dumps(row) + "\n" for row in self.rows)
            return
        if form == "person":
            yield from (f"{line}\n" for row in self.rows for line in self.shown(row))
            return
        before = "[\n"
        for row in self.rows:
            yield before + dumps(row)
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"
