"""Text lines in, rows out: a verb's results, printed while the rest is still to be read."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from stemma.cli.answer import Form, Rows
from stemma.cli.texts import BATCH, Line, arriving
from stemma.errors import DataError
from stemma.runs.json_text import dumps

RowsOf = Callable[[list[str]], Iterator[dict[str, Any]]]
LinesOf = Callable[[Any], Iterable[str]]
SHOWN = 10  # lines at fault that standard error names; each has its row besides


class Streamed:
    """`rows` of the texts that `--text`, files or standard input give, `size` texts at a time at most; `shown` writes one for a person.

    A text at fault gets a row with its `error` and is reported with its place; no other is lost by it.
    """

    def __init__(self, rows: RowsOf, shown: LinesOf, given: tuple[str, ...], files: tuple[str, ...], size: int = BATCH) -> None:
        self._rows, self._shown, self._given, self._files, self._size = rows, shown, given, files, size
        self._alone = len(given) == 1 and not files  # its error is the command's
        self._faults = 0
        self.exit_code = 0  # that of data at fault, once all is printed, where a text was

    def pieces(self, form: Form) -> Iterator[str]:
        """One row a line, or one JSON list; for a person as `shown` has it, and nothing of a text at fault but its error."""
        if form == "lines":  # what came at once is printed at once
            yield from ("".join(dumps(row) + "\n" for row in self._together(batch)) for batch in self._batches())
        else:
            rows = (row for batch in self._batches() for row in self._together(batch))
            yield from Rows(rows, lambda row: () if "error" in row else self._shown(row)).pieces(form)
        if self._faults > SHOWN:
            print(f"error: {self._faults - SHOWN:,} more lines at fault; each has its row", file=sys.stderr)

    def _batches(self) -> Iterator[Sequence[Line]]:
        return arriving(self._given, self._files, self._size)

    def _together(self, batch: Sequence[Line]) -> Iterator[dict[str, Any]]:
        """The rows of a batch; where one of its texts is at fault, each by itself."""
        if not any(line.error for line in batch):
            try:
                yield from list(self._rows([line.text for line in batch]))
                return
            except DataError:
                if self._alone:
                    raise
        for line in batch:
            yield from self._one(line)

    def _one(self, line: Line) -> Iterator[dict[str, Any]]:
        try:
            if line.error:
                raise line.error
            yield from list(self._rows([line.text]))
        except DataError as error:
            yield self._fault(line, error)

    def _fault(self, line: Line, error: DataError) -> dict[str, Any]:
        self._faults, self.exit_code = self._faults + 1, error.exit_code
        wrong = f"{line.place}: {error.wrong}" if line.place else error.wrong
        if self._faults <= SHOWN:
            print(f"error: {wrong}\n  expected: {error.expected}\n  to mend it: {error.mend}", file=sys.stderr)
        return {"text": line.text, "error": {"wrong": wrong, "expected": error.expected, "mend": error.mend}}
