"""Reads tagged sentences: a token and its tag on each line, an empty line between sentences (CoNLL).

The cells of a line are parted by tabs in a file that has one, by spaces otherwise. Every line is a token, an end of sentence,
or counted as what was passed over.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stemma.corpus.encoding import codec
from stemma.corpus.task import read_lines
from stemma.errors import DataError
from stemma.nouns import counted

OUTSIDE = "O"
DOCUMENT = "-DOCSTART-"
_BIO = re.compile(r"[BI]-\S+")
_TABLE = re.compile(r"labels?\ttext(_a\ttext_b)?")  # the header of a file of labelled texts
_LINES = "one token and its tag on a line (`London<TAB>B-LOC`), an empty line after each sentence"


@dataclass(frozen=True, slots=True)
class Tagged:
    """One sentence, a tag for each of its tokens, and where its first token stood."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    source: str = ""  # "file:line"


@dataclass(frozen=True, slots=True)
class Columns:
    """The sentences of a file, and how many of its lines were passed over for each reason."""

    sentences: list[Tagged]
    passed: dict[str, int]  # "comments", "document starts"


def read_columns(
    path: str | Path, encoding: str = "utf-8", *, token_column: int = 0, tag_column: int = -1, comments: bool = False
) -> Columns:
    """The file's sentences in order. Raises DataError with file, line and cure for a line that is not a token and its tag.

    Columns are numbered from 0, or from -1 backwards. With `comments`, a line that starts with # is none of a sentence.
    """
    lines = read_lines(str(path), codec(encoding))
    if lines and _TABLE.fullmatch(lines[0].rstrip()):
        raise DataError(
            f"{path}, line 1: the header of labelled texts ({lines[0].rstrip()!r})", _LINES, "use the task classify for this file"
        )
    separator = "\t" if any("\t" in line for line in lines) else None
    sentences: list[Tagged] = []
    passed = {"comments": 0, "document starts": 0}
    tokens: list[tuple[str, str]] = []
    width, start = 0, 0
    for number, line in enumerate([*lines, ""], start=1):
        if not line.strip():
            if tokens:
                sentences.append(_sentence(tokens, f"{path}:{start}"))
                tokens = []
        elif comments and line.startswith("#"):
            passed["comments"] += 1
        elif line.startswith(DOCUMENT):
            passed["document starts"] += 1
        else:
            cells = _cells(line.split(separator), f"{path}, line {number}", width, (token_column, tag_column))
            width, start = len(cells), start if tokens else number
            tokens.append((cells[token_column].strip(), cells[tag_column].strip()))
    if not sentences:
        raise DataError(f"{path}: the file holds no sentence", _LINES, "add tagged sentences")
    return Columns(sentences, passed)


def is_bio(sentences: Iterable[Tagged]) -> bool:
    """True where the tags mark spans (B-x begins one, I-x goes on, O is outside), False where each tag stands alone.

    Raises DataError where some do and some do not: a slip of the pen would else turn spans into plain tags.
    """
    sentences = list(sentences)
    marked = any(_BIO.fullmatch(tag) for sentence in sentences for tag in sentence.tags)
    if not marked:
        return False
    for sentence in sentences:
        for at, tag in enumerate(sentence.tags):
            if tag != OUTSIDE and not _BIO.fullmatch(tag):
                raise DataError(
                    f"{_where(sentence, at)}the tag {tag!r} of {sentence.tokens[at]!r} is not BIO, though others are",
                    "O, B-x or I-x",
                    "mend the tag; write E-x as I-x and S-x as B-x",
                )
    return True


def _where(sentence: Tagged, at: int) -> str:
    """`file, line n: ` of a token; comments between a sentence's tokens are not counted in."""
    path, _, line = sentence.source.rpartition(":")
    return f"{path}, line {int(line) + at}: " if path and line.isdigit() else ""


def _sentence(rows: list[tuple[str, str]], source: str) -> Tagged:
    tokens, tags = zip(*rows, strict=True)
    return Tagged(tokens, tags, source)


def _cells(cells: list[str], where: str, width: int, columns: tuple[int, int]) -> list[str]:
    """The cells, if they are as many as the line before had (`width`; 0: it is the first), with a token and a tag among them."""
    found = f"{where}: {counted(len(cells), 'column')} ({' '.join(cells)[:40]!r})"
    hint = "; set comments if lines that start with # are comments" if cells[0].startswith("#") else ""
    if width and len(cells) != width:
        raise DataError(found, f"{counted(width, 'column')}, as in the lines above", "part every cell of a line by one tab" + hint)
    if len(cells) < 2 or any(not -len(cells) <= column < len(cells) for column in columns):
        raise DataError(found, _LINES, "add what is missing, or name the columns" + hint)
    for column, name in zip(columns, ("token", "tag"), strict=True):
        if not cells[column].strip():
            raise DataError(f"{where}: the {name} is empty", _LINES, "fill it in, or remove the line")
    return cells
