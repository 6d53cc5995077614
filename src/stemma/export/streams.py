"""Files of other programs as streams of bytes: compressed or not, read as they are, written whole or not at all."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from stemma.errors import DataError, UsageError
from stemma.tokens.files import is_disk_full, whole_file

REMAKE = "make the file again, or take an undamaged copy"
READERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
WRITERS: dict[str, Any] = {  # levels beyond which a file of numbers hardly shrinks, but takes several times as long
    ".gz": lambda file: gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0),  # no date: equal contents, equal bytes
    ".bz2": partial(bz2.open, mode="wb"),
    ".xz": partial(lzma.open, mode="wb", preset=1),
}
BLOCK = 1 << 22  # bytes
LONGEST_LINE = 1 << 24  # bytes: a million numbers; what goes on for longer is no file of lines


@contextmanager
def reading(path: Path, expected: str) -> Iterator[IO[bytes]]:
    """The file, decompressed if its first bytes say gz, bz2 or xz; UsageError unless it is a file, DataError where it is damaged."""
    if not path.is_file():
        raise UsageError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}", expected, "check the path")
    with path.open("rb") as raw:
        magic = raw.read(2)
    with READERS.get(magic, open)(path, "rb") as file:
        try:
            yield file
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            if is_disk_full(error):  # not of this file, but of what is written of it
                raise
            raise DataError(f"{path.name}: {error}", "a whole compressed file", REMAKE) from error


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """The file to write, compressed if its name ends in .gz, .bz2 or .xz; it takes its place when all is written, or not at all."""
    with whole_file(path) as raw:
        if path.suffix in WRITERS:
            with WRITERS[path.suffix](raw) as file:
                yield file
        else:
            yield raw


def blocks(file: IO[bytes], first: bytes = b"") -> Iterator[bytes]:
    """What is left of the file, after `first`, in blocks of whole lines; the last line may lack its end.

    DataError for a line that is longer than LONGEST_LINE.
    """
    rest = first
    while block := file.read(BLOCK):
        lines, end, begun = block.rpartition(b"\n")
        if end:
            yield rest + lines + end
            rest = begun
        else:
            rest += begun
        if len(rest) > LONGEST_LINE:
            shown = repr(rest[:30].decode("utf-8", "backslashreplace"))
            raise DataError(f"a line that begins with {shown} is longer than {LONGEST_LINE >> 20} MiB", "lines that end", REMAKE)
    if rest:
        yield rest
