"""Text lines in: from `--text`, from files, or from standard input, each as soon as it has come; cleaned as text that is learnt from."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from io import BufferedReader
from itertools import chain
from typing import IO, NamedTuple, cast

from stemma.corpus.clean import clean
from stemma.corpus.files import opened
from stemma.corpus.given import warn_of
from stemma.errors import DataError

LONGEST = 1 << 28  # bytes of a line: what goes on for longer has no lines
BATCH = 64  # texts handed to a run at once; few enough that the first results come soon
COUNTED = 4096  # the same for models of counts, which score a million words in a fraction of a second
CHUNK = 1 << 20  # bytes that are read at once; of a pipe come those that are there


class Line(NamedTuple):
    """One text, and where it stood."""

    text: str
    place: str  # "dev.txt, line 3"; empty for a text of the command line
    error: DataError | None = None  # why it is none


def arriving(given: Sequence[str], files: Sequence[str], size: int = BATCH) -> Iterator[list[Line]]:
    """The texts, one a line, without their line ends, in lists of `size` at most; standard input when nothing else is named.

    A list holds what has come together and waits for nothing else, so that a program that writes one line and reads
    its answer gets it. A line that is not UTF-8 comes with its error.
    """
    removed: Counter[str] = Counter()
    for lines in _together(given, files):
        for first in range(0, len(lines), size):
            yield _cleaned(lines[first : first + size], removed)
    warn_of(removed)


def texts(given: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """The same texts, one by one; a line that is none is a DataError."""
    return chain.from_iterable(map(sound, arriving(given, files)))


def sound(lines: Sequence[Line]) -> list[str]:
    """The texts of these lines; DataError, with its place, for the first that is none."""
    for line in lines:
        if line.error:
            raise DataError(f"{line.place}: {line.error.wrong}", line.error.expected, line.error.mend)
    return [line.text for line in lines]


def _cleaned(lines: list[Line], removed: Counter[str]) -> list[Line]:
    whole = "".join(line.text for line in lines)
    if clean(whole)[0] is whole:  # as nearly all lines are: one look for all of them
        return lines
    found = []
    for line in lines:
        text, own = clean(line.text)
        removed.update(own)
        found.append(line._replace(text=text))
    return found


def _together(given: Sequence[str], files: Sequence[str]) -> Iterator[list[Line]]:
    """The lines in lists of those that came at once."""
    yield [Line(text, "") for text in given]
    for name in files or (() if given else ("-",)):
        if name == "-" and sys.stdin.isatty():
            print("reading lines from the terminal; Ctrl-D ends them", file=sys.stderr)
        with nullcontext(sys.stdin.buffer) if name == "-" else opened(name) as file:
            yield from _lines(file, "standard input" if name == "-" else name)


def _lines(file: IO[bytes], name: str) -> Iterator[list[Line]]:
    number, begun, size = 0, list[bytes](), 0  # lines so far, and what has come of the next one
    while chunk := cast(BufferedReader, file).read1(CHUNK):
        whole, end, rest = chunk.rpartition(b"\n")
        if end:
            lines = _parted(b"".join((*begun, whole)))
            yield [_decoded(line, name, number + n) for n, line in enumerate(lines, start=1)]
            number, begun, size = number + len(lines), [], 0
        begun.append(rest)
        size += len(rest)
        if size > LONGEST:
            wrong = f"{name}, line {number + 1} is longer than {LONGEST >> 20} MiB"
            raise DataError(wrong, "one text a line", "cut it into lines, or check that this is the file you mean")
    if size:
        yield [_decoded(line, name, number + n) for n, line in enumerate(_parted(b"".join(begun)), start=1)]


def _parted(data: bytes) -> list[bytes]:
    """The lines of the data, whose last one lacks its line feed; a carriage return ends a line too, before a line feed or alone."""
    data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
    return data.split(b"\n")


def _decoded(line: bytes, name: str, number: int) -> Line:
    place = f"{name}, line {number}"
    try:
        return Line(line.decode("utf-8-sig" if number == 1 else "utf-8"), place)
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{line[error.start]:02x} is not UTF-8"
        mend = "convert it first, for example with iconv -t utf-8"
        return Line(line.decode("utf-8", "backslashreplace"), place, DataError(wrong, "UTF-8 text, one a line", mend))
