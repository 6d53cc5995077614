"""Text lines in: from `--text`, from files, or from standard input."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from stemma.errors import DataError

LONGEST = 1 << 28  # bytes of a line: what goes on for longer has no lines
BATCH = 64  # texts handed to a run at once; few enough that the first results come soon
COUNTED = 4096  # the same for models of counts, which score a million words in a fraction of a second


def texts(given: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """The texts, one a line, without their line ends; standard input when nothing else is named."""
    yield from given
    for name in files or (() if given else ("-",)):
        if name == "-":
            if sys.stdin.isatty():
                print("reading lines from the terminal; Ctrl-D ends them", file=sys.stderr)
            yield from _lines(sys.stdin.buffer, "standard input")
        else:
            with Path(name).open("rb") as file:
                yield from _lines(file, name)


def batches(items: Iterable[str], size: int = BATCH) -> Iterator[list[str]]:
    """The items in lists of `size`.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _lines(file: IO[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), start=1):
        if len(line) > LONGEST:
            wrong = f"{name}, line {number} is longer than {LONGEST >> 20} MiB"
            raise DataError(wrong, "one text a line", "cut it into lines, or check that this is the file you mean")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            wrong = f"{name}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8"
            raise DataError(wrong, "UTF-8 text, one a line", "convert it first, for example with iconv -t utf-8") from error
