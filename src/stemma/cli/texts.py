"""Text lines in: from `--text`, from files, or from standard input; cleaned as text that is learnt from."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import IO, NamedTuple

from stemma.corpus.clean import clean
from stemma.corpus.files import opened
from stemma.corpus.given import warn_of
from stemma.errors import DataError

BATCH = 64  # texts handed to a run at once; few enough that the first results come soon
COUNTED = 4096  # the same for models of counts, which score a million words in a fraction of a second


class Line(NamedTuple):
    """One text, and where it stood."""

    text: str
    place: str  # "dev.txt, line 3"; empty for a text of the command line
    error: DataError | None = None  # why it is none


def texts(given: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """The texts, one a line, without their line ends; standard input when nothing else is named."""
    for line in lines(given, files):
        if line.error:
            raise line.error
        yield line.text


def lines(given: Sequence[str], files: Sequence[str]) -> Iterator[Line]:
    """As `texts`, each with its place; one that is not UTF-8 with its error."""
    removed: Counter[str] = Counter()
    for line in _raw(given, files):
        text, own = clean(line.text)
        removed.update(own)
        yield line._replace(text=text)
    warn_of(removed)


def batches(items: Iterable[Line], size: int = BATCH) -> Iterator[list[Line]]:
    """The items in lists of `size`.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _raw(given: Sequence[str], files: Sequence[str]) -> Iterator[Line]:
    yield from (Line(text, "") for text in given)
    for name in files or (() if given else ("-",)):
        if name == "-" and sys.stdin.isatty():
            print("reading lines from the terminal; Ctrl-D ends them", file=sys.stderr)
        with nullcontext(sys.stdin.buffer) if name == "-" else opened(name) as file:
            yield from _lines(file, "standard input" if name == "-" else name)


def _lines(file: IO[bytes], name: str) -> Iterator[Line]:
    for number, line in enumerate(file, start=1):
        place = f"{name}, line {number}"
        try:
            yield Line(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"), place)
        except UnicodeDecodeError as error:
            wrong = f"byte 0x{line[error.start]:02x} is not UTF-8"
            mend = "convert it first, for example with iconv -t utf-8"
            yield Line(line.decode("utf-8", "backslashreplace").rstrip("\r\n"), place, DataError(wrong, "UTF-8 text, one a line", mend))
