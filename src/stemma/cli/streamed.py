"""Text lines in, rows out: a verb's results, printed while the rest is still to be read."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from stemma.cli.answer import Rows
from stemma.cli.texts import BATCH, arriving

RowsOf = Callable[[list[str]], Iterator[dict[str, Any]]]


def streamed(rows: RowsOf, told: Callable[[Any], Iterable[str]], given: tuple[str, ...], files: tuple[str, ...], size: int = BATCH) -> Rows:
    """`rows` of the texts that `--text`, files or standard input give, `size` texts at a time at most; `told` writes one for a person."""
    return Rows(chain.from_iterable(map(rows, arriving(given, files, size))), told)
