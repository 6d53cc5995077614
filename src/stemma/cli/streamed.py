"""Text lines in, JSON lines out: a verb's rows, printed while the rest is still to be read."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from stemma.cli.answer import Rows
from stemma.cli.texts import BATCH, batches, texts

RowsOf = Callable[[list[str]], Iterator[dict[str, Any]]]


def streamed(rows: RowsOf, given: tuple[str, ...], files: tuple[str, ...], size: int = BATCH) -> Rows:
    """`rows` of the texts that `--text`, files or standard input give, `size` texts at a time."""
    return Rows(chain.from_iterable(map(rows, batches(texts(given, files), size))))
