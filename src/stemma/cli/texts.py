"""Text lines in: from `--text`, from files, or from standard input, each as soon as it has come."""

import sys
from collections.abc import Iterator, Sequence
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import cast

from stemma.errors import DataError

BATCH = 64  # texts handed to a run at once; few enough that the first results come soon
COUNTED = 4096  # the same for models of counts, which score a million words in a fraction of a second
CHUNK = 1 << 20  # bytes that are asked for at once; of a pipe come those that are there


def arriving(given: Sequence[str], files: Sequence[str], size: int = BATCH) -> Iterator[list[str]]:
    """The texts, one a line, without their line ends, in lists of `size` at most; standard input when nothing else is named.

    A list holds what has come together and waits for nothing else, so that a program that writes one line and reads
    its answer gets it.
    """
    yield from _parted(given, size)
    for name in files or (() if given else ("-",)):
        if name == "-":
            if sys.stdin.isatty():
                print("reading lines from the terminal; Ctrl-D ends them", file=sys.stderr)
            yield from _lists(cast(BufferedReader, sys.stdin.buffer), "standard input", size)
        else:
            with Path(name).open("rb") as file:
                yield from _lists(file, name, size)


def texts(given: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """The same texts, one by one."""
    return chain.from_iterable(arriving(given, files))


def _lists(file: BufferedReader, name: str, size: int) -> Iterator[list[str]]:
    number, rest = 0, b""
    while chunk := file.read1(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _parted([_decoded(line, name, number + n) for n, line in enumerate(lines, start=1)], size)
        number += len(lines)
    if rest:
        yield [_decoded(rest, name, number + 1)]


def _parted(lines: Sequence[str], size: int) -> Iterator[list[str]]:
    """The lines in lists of `size`.

    >>> list(_parted("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    return ([*lines[first : first + size]] for first in range(0, len(lines), size))


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
    except UnicodeDecodeError as error:
        wrong = f"{name}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8"
        raise DataError(wrong, "UTF-8 text, one a line", "convert it first, for example with iconv -t utf-8") from error
