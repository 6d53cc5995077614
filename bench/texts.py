"""The text that the measurements of `static_*.py` share."""

import lzma
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path


def lines_of(path: Path) -> Iterator[str]:
    """Lines of a plain text, .xz too."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        yield from lines


def sentences(path: Path) -> Iterator[list[str]]:
    """Lower-case words of each English sentence."""
    for line in lines_of(path):
        for sentence in re.split(r"(?<=[.!?])\s+", line.lower()):
            if words := re.findall(r"[a-z]+(?:'[a-z]+)?", sentence):
                yield words


def plain(corpus: Path, place: Path, most_bytes: int = 0) -> Path:
    """The corpus as a plain file at `place`; its first lines alone where `most_bytes` says so."""
    with place.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(takewhile(lambda _: not most_bytes or file.tell() < most_bytes, lines_of(corpus)))
    return place
