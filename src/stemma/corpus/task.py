"""Reads labelled examples: a table with a header, `label text` or `label text_a text_b`, columns in any order.

Tabs part the cells, or commas, or each line is a JSON object, or has fastText's `__label__` marks (`corpus.tables`).

A column `labels` in place of `label` holds several labels a text, or none.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Number
from pathlib import Path
from typing import Any

from stemma.corpus.clean import FAULTY, clean
from stemma.corpus.encoding import codec, invalid_byte, texts
from stemma.corpus.files import opened
from stemma.corpus.given import Frame, given_texts, listed, warn_of
from stemma.corpus.tables import LABELS, table
from stemma.errors import DataError
from stemma.nouns import counted

_LABEL = ("label", "score", "labels")
_TEXT = ("text", "text_a", "text1", "sentence", "sentence1")
_TEXT_B = ("text_b", "text2", "sentence2")
_HEADERS = "a header line `label<TAB>text` or `label<TAB>text_a<TAB>text_b`"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text, or pair of texts, and where it stood."""

    text: str
    label: str
    text_b: str = ""
    source: str = ""  # "file:line"
    several: bool = False  # `label` holds several labels, or none


def read_examples(path: str | Path, encoding: str = "utf-8", min_labels: int = 2, several: bool = False) -> list[Example]:
    """The file's examples in order. Raises DataError with file, line and cure for whatever is not as the header says.

    `min_labels` is how many different labels there must be: 2 to learn from, 1 to measure on. `several` reads the column
    `label` as if it were called `labels`.
    """
    lines = read_lines(str(path), codec(encoding))
    if not lines:
        raise DataError(f"{path}: the file is empty", _HEADERS, "give it the header and one example a line")
    found = table(lines, str(path))
    columns = _columns(found.names, lines[0], str(path))
    several = several or found.names[columns["label"]] == "labels"
    examples = [_example(cells, columns, len(found.names), f"{path}:{number}", several) for number, cells in found.rows]
    if not examples:
        raise DataError(f"{path}: no example follows the header", "one example a line", "add the examples below line 1")
    labels = {example.label for example in examples}
    if len(labels) < min_labels:
        whose = f"all {counted(len(examples), 'example')} have" if len(examples) > 1 else "the only example has"
        wrong = f"{path}: {whose} the label {labels.pop()!r}"
        raise DataError(
            wrong, f"at least {counted(min_labels, 'different label')}", "check the label column, or shuffle and split the data again"
        )
    return examples


def given_examples(examples: Iterable[Any] | Frame, numbers: bool = False) -> list[Example]:
    """Examples that a program hands over, their cells cleaned as those of a file; DataError names one that lacks a text or a label.

    Each is an `Example`, a pair (label, text), a triple (label, text_a, text_b), or a mapping with the columns of a file; or all
    of them are a data frame with such columns. With `numbers` a label may be a number, which is written out.
    """
    several = [_example_of(row, f"example {place}") for place, row in enumerate(listed(examples, "the examples"))]
    texts = given_texts([example.text for example in several], "text")
    labels = given_texts([_written_out(example.label) if numbers else example.label for example in several], "label")
    others = given_texts([example.text_b for example in several], "text_b")
    return [
        replace(example, text=text.strip(), label=label.strip(), text_b=other.strip())
        for example, text, label, other in zip(several, texts, labels, others, strict=True)
    ]


def _example_of(row: Any, where: str) -> Example:
    if isinstance(row, Example):
        return row
    if isinstance(row, (tuple, list)) and len(row) in (2, 3):
        label, text, text_b = (*row, "")[:3]
    elif isinstance(row, Mapping) and {"label", "text"} <= (found := _places([str(name).lower() for name in row])).keys():
        cells = list(row.values())
        label, text, text_b = (cells[found[column]] if column in found else "" for column in ("label", "text", "text_b"))
    else:
        expected = "(label, text), (label, text_a, text_b), or a mapping with `label` and `text`"
        raise DataError(f"{where} is {row!r:.60}", expected, "make each example one of these")
    several = isinstance(label, (list, tuple))
    return Example(text, LABELS.join(label) if several else label, text_b, several=several)


def _written_out(label: Any) -> Any:
    return str(label) if isinstance(label, Number) and not isinstance(label, bool) else label


def _places(names: list[str]) -> dict[str, int]:
    """Where `label`, `text` and `text_b` stand among the names of columns, those that do."""
    known = (("label", _LABEL), ("text", _TEXT), ("text_b", _TEXT_B))
    found = {column: [names.index(name) for name in among if name in names] for column, among in known}
    return {column: places[0] for column, places in found.items() if places}


def header_of(line: str) -> tuple[str, list[str]] | None:
    """What parts the cells of a header of labelled examples, and the cells; None where the line is none."""
    for mark in ("\t", ",", ";"):
        cells = [cell.strip().strip('"') for cell in line.split(mark)]
        if is_header(cells):
            return mark, cells
    return None


def is_header(cells: Sequence[str]) -> bool:
    """True for the cells of a header of labelled examples, or of pairs: names of columns alone, two or more."""
    names = {cell.strip().lower() for cell in cells}
    known = (_LABEL, _TEXT, _TEXT_B)
    return (
        len(cells) > 1 and names <= {name for column in known for name in column} and sum(bool(names & {*column}) for column in known) > 1
    )


def read_lines(name: str, encoding: str = "utf-8") -> list[str]:
    """The lines of a small file of examples, cleaned, without the empty ones at its end.

    A warning counts the characters that no reader sees; DataError names a byte that is not text.
    """
    with opened(name) as stream:
        text = "".join(texts(stream, encoding, name, settable=False))
    if not text.isascii() and (match := FAULTY.search(text)):
        at, start = match.start(), text.rfind("\n", 0, match.start()) + 1
        where = f"{name}, line {text.count(chr(10), 0, at) + 1}"
        around = text[max(0, at - 4000) : at + 4000]
        raise invalid_byte(where, encoding, text[start : at + 1], at - start, around, settable=False)
    text, removed = clean(text.removeprefix("\ufeff"))
    warn_of(removed, name)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _columns(names: list[str], header: str, path: str) -> dict[str, int]:
    """Where `label`, `text` and, for pairs, `text_b` stand."""
    columns = _places(names)
    if "label" not in columns or "text" not in columns:
        shown = header if len(header) <= 80 else header[:77] + "..."
        missing = " and ".join(repr(column) for column in ("label", "text") if column not in columns)
        wrong = f"{path}, line 1: no column {missing} in {shown!r}"
        raise DataError(wrong, _HEADERS, "add that header as the first line, or rename the columns")
    unused = [name for at, name in enumerate(names) if at not in columns.values()]
    if unused:
        warnings.warn(f"{path}: columns not used: {', '.join(unused)}", stacklevel=3)
    return columns


def _example(cells: list[str], columns: dict[str, int], width: int, source: str, several: bool) -> Example:
    where = ", line ".join(source.rsplit(":", 1))
    if len(cells) != width:
        many = "write a tab inside a text as a space, or put quotes round a text with commas"
        cure = many if len(cells) > width else "fill in the others"
        raise DataError(f"{where}: {counted(len(cells), 'cell')}", f"{counted(width, 'cell')}, as in the header", cure)
    found = {column: cells[at].strip() for column, at in columns.items()}
    for column, cell in found.items():
        if not cell and not (several and column == "label"):
            raise DataError(f"{where}: the cell {column!r} is empty", "a value in every cell", "fill it in, or remove the line")
    return Example(found["text"], found["label"], found.get("text_b", ""), source, several)
