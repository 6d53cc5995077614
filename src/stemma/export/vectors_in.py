"""Word vectors of other programs, chunk by chunk: word2vec's text and binary files, fastText's .vec, GloVe's text.

Whatever the size of the file, a chunk of it is in memory at a time. W words, D width.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

import numpy as np

from stemma.errors import DataError
from stemma.export.streams import BLOCK, REMAKE, blocks
from stemma.kernels import vector_lines
from stemma.nouns import counted

HEADER = re.compile(rb"[ \t]*(\d+)[ \t]+(\d+)[ \t]*\r?\n")
LONGEST_WORD = 1 << 16  # bytes; more without a space is no binary file of words
LINES_TO_JUDGE = 1000  # of a file without a header, for its width
MEND = "mend the line, or have the file made again"


@dataclass(frozen=True)
class Chunk:
    """Some words as they stand in the file, with their numbers (W D) and what to call the place of each in an error."""

    words: list[bytes]
    vectors: np.ndarray
    place: Callable[[int], str]


def read_lines(name: str, file: IO[bytes], head: bytes, headed: bool) -> Iterator[Chunk]:
    """The chunks of a text file that begins with `head`, its first line the counts of words and numbers if `headed`.

    Numbers are counted from the right, so a word may hold spaces, as some in the public GloVe vectors do.
    """
    size = None
    if headed:
        size, width, head = _header(head)
    else:
        width = _width(head)
    text = _Text(name, width, first=1 + headed)
    for block in blocks(file, head):
        yield from text.chunks(block)
    if size is not None and text.words != size:
        wrong = f"{name} holds {counted(text.words, 'word')}, but its first line says {size:,}"
        raise DataError(wrong, "as many lines as the first line states", REMAKE)


def read_records(name: str, file: IO[bytes], head: bytes) -> Iterator[Chunk]:
    """The chunks of a binary file of word2vec that begins with `head`, its header included."""
    size, width, data = _header(head)
    done = 0
    while done < size:
        room = min(size - done, len(data) // (4 * width + 1) + 1)
        starts, ends, vectors = np.empty(room, np.int64), np.empty(room, np.int64), np.empty((room, width), "<f4")
        count, at = vector_lines.get_records(np.frombuffer(data, np.uint8), 0, starts, ends, vectors.view(np.uint8))
        spans = zip(starts[:count].tolist(), ends[:count].tolist(), strict=True)
        yield Chunk([data[start:end] for start, end in spans], vectors[:count], partial(place, f"{name}, word", done + 1))
        done += count
        data = data[at:]
        if done < size:
            more = file.read(max(BLOCK, 8 * width))
            if not more or (count == 0 and len(data) > LONGEST_WORD + 4 * width):
                wrong = f"{name}: the file ends in word {done + 1:,} of {size:,}"
                raise DataError(wrong, f"for each word a space and {width} numbers of four bytes", REMAKE)
            data += more
    if (data + file.read(1)).strip():
        raise DataError(
            f"{name} goes on after its last word", f"{counted(size, 'word')} of {counted(width, 'number')}, as its first line says", REMAKE
        )


def place(what: str, first: int, row: int) -> str:
    """What to call a chunk's row in an error: `what`, and its number in the file."""
    return f"{what} {first + row:,}"


def is_line(line: bytes) -> bool:
    """True for a word and its numbers written out, however many: four bytes a number would hardly look like it."""
    fields = line.split()
    return len(fields) > 1 and all(_number(field) is not None for field in fields[1:][-2:])


class _Text:
    """The lines of a text file, and the number of the line it is at."""

    def __init__(self, name: str, width: int, first: int) -> None:
        self.name, self.width, self.line, self.words = name, width, first, 0

    def chunks(self, block: bytes) -> Iterator[Chunk]:
        """What stands in whole lines, in their order."""
        text = np.frombuffer(block, np.uint8)
        room = block.count(b"\n") + 1
        starts, ends, vectors = np.empty(room, np.int64), np.empty(room, np.int64), np.empty((room, self.width), np.float32)
        at = 0
        while at < len(text):
            count, at = vector_lines.get_lines(text, at, starts, ends, vectors)
            if count:
                spans = zip(starts[:count].tolist(), ends[:count].tolist(), strict=True)
                yield self._chunk([block[start:end] for start, end in spans], vectors[:count].copy())
            if at < len(text):
                end = block.find(b"\n", at)
                end = len(block) if end < 0 else end
                word, numbers = self._odd_line(block[at:end])
                with np.errstate(over="ignore"):  # what is too large becomes infinite, which the taker refuses
                    row = np.array([numbers], np.float64).astype(np.float32)
                yield self._chunk([word], row)
                at = end + 1

    def _chunk(self, words: list[bytes], vectors: np.ndarray) -> Chunk:
        first = self.line
        self.line += len(words)
        self.words += len(words)
        return Chunk(words, vectors, partial(place, f"{self.name}, line", first))

    def _odd_line(self, line: bytes) -> tuple[bytes, list[float]]:
        """A line that the kernel left: its word has spaces, its numbers are unusual, or it is wrong."""
        fields = line.replace(b"\t", b" ").rstrip(b" \r").rsplit(b" ", self.width)
        numbers = [_number(field) for field in fields[1:]]
        word = fields[0].rstrip(b" ")
        known = [number for number in numbers if number is not None]
        _, space, last = word.rpartition(b" ")  # a word with spaces does not end in a number: that would be one too many
        if not word or len(known) < self.width or (space and _number(last) is not None):
            found = _numbers_at_end(line)
            wrong = f"{self.name}, line {self.line:,}: {counted(found, 'number')} after {_shown(line)}"
            raise DataError(wrong, f"a word and {counted(self.width, 'number')}", MEND)
        return word, known


def _header(head: bytes) -> tuple[int, int, bytes]:
    found = HEADER.match(head)
    assert found, "the caller has seen the header"
    return int(found[1]), int(found[2]), head[found.end() :]


def _width(head: bytes) -> int:
    """The width that most of the first lines have, for a word with spaces looks wider, and the lower of two equally frequent ones."""
    lines = head.split(b"\n")
    whole = lines[:-1] or lines
    widths = Counter(len(line.split()) - 1 for line in whole[:LINES_TO_JUDGE] if line.strip())
    return max(widths, key=lambda width: (widths[width], -width))


def _number(field: bytes) -> float | None:
    try:
        return None if b"_" in field else float(field)  # Python alone takes 1_000
    except ValueError:
        return None


def _numbers_at_end(line: bytes) -> int:
    fields = line.split()
    count = 0
    while count + 1 < len(fields) and _number(fields[-1 - count]) is not None:
        count += 1
    return count


def _shown(line: bytes) -> str:
    return repr(line.strip().split(b" ")[0][:60].decode("utf-8", "backslashreplace"))
