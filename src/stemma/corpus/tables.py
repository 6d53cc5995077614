"""Small tables of examples in the forms that people have them in: tabs, commas (CSV), JSON lines, fastText's `__label__` lines.

What a file is, is read from it. Whatever the form, a table is a header and rows of cells, each with the line it began on.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stemma.corpus.clean import from_json
from stemma.corpus.given import warn_of
from stemma.errors import DataError

MARK = "__label__"  # before each label in fastText's files
LABELS = "|"  # between the labels of a text that has several
_JUDGED = 1000  # lines that tell whether text is a table
_LONGEST_LABEL = 40  # characters


@dataclass(frozen=True)
class Table:
    """The names of the columns, and the rows."""

    names: list[str]
    rows: Iterator[tuple[int, list[str]]]  # (number of the line, from 1; its cells)


def table(lines: list[str], path: str) -> Table:
    """The table in these lines of `path`; DataError for a line that is not of its form."""
    first = next((line for line in lines if line.strip()), "").lstrip()
    if first.startswith("{"):
        return _json_lines(lines, path)
    if first.startswith(MARK):
        return _fasttext(lines, path)
    if "\t" not in first and ("," in first or ";" in first):
        return _csv(lines, path, "," if "," in first else ";")  # semicolons where the comma parts decimals, as Excel has it
    return Table(_names(lines[0].split("\t")), ((number, line.split("\t")) for number, line in enumerate(lines[1:], 2) if line.strip()))


def labelled(lines: Sequence[str]) -> tuple[str, int] | None:
    """What parts the cells of labelled examples that have no header, and which column is the text, from 1; None for other text.

    A table has the same number of cells on each line, a column of few and short values that come again and again, and another.
    Commas and semicolons, which stand in sentences too, count where no space follows them outside quotes.
    """
    filled = [line for line in lines if line.strip()][:_JUDGED]
    for mark, fewest in (("\t", 4), (",", 8), (";", 8)):
        rows = [_cells(line, mark) for line in filled if mark in line]
        if len(rows) < max(fewest, 0.98 * len(filled)):
            continue
        width = Counter(map(len, rows)).most_common(1)[0][0]
        whole = [row for row in rows if len(row) == width]
        if width < 2 or len(whole) < 0.98 * len(rows):
            continue
        columns = [*zip(*whole, strict=True)]
        others = [at for at, column in enumerate(columns) if not _repeats(column)]
        if 0 < len(others) < width:
            return mark, 1 + max(others, key=lambda at: sum(map(len, columns[at])))
    return None


def _cells(line: str, mark: str) -> list[str]:
    """The cells of one line; none where a mark stands as sentences have it, before a space."""
    if mark == "\t":
        return line.split(mark)
    cells = next(csv.reader([line], delimiter=mark), [])
    return [] if any(cell[:1].isspace() for cell in cells) else cells


def _repeats(column: Sequence[str]) -> bool:
    """True where a column has few, short values, as labels are, most of them more than once."""
    counts = Counter(column)
    return max(map(len, counts)) <= _LONGEST_LABEL and len(counts) <= max(2, len(column) // 3) and any(counts)


def _names(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _csv(lines: list[str], path: str, mark: str) -> Table:
    reader = csv.reader((line + "\n" for line in lines), strict=True, delimiter=mark)
    names = _names(next(reader))

    def rows() -> Iterator[tuple[int, list[str]]]:
        while True:
            number = reader.line_num + 1  # a cell in quotes may go on for lines
            try:
                cells = next(reader, None)
            except csv.Error as error:
                wrong = f"{path}, line {number}: {error}"
                raise DataError(
                    wrong, f"cells with {mark!r} between them", f'put quotes round a text with {mark!r}, "" for a quote in it'
                ) from error
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield number, [" ".join(cell.split("\n")) for cell in cells]

    return Table(names, rows())


def _json_lines(lines: list[str], path: str) -> Table:
    removed: Counter[str] = Counter()
    objects = [(number, _object(line, f"{path}, line {number}", removed)) for number, line in enumerate(lines, 1) if line.strip()]
    warn_of(removed, path)
    keys = list(objects[0][1])
    lists = {key for _, found in objects for key, value in found.items() if isinstance(value, list)}
    names = [f"{name}s" if name == "label" and key in lists else name for name, key in zip(_names(keys), keys, strict=True)]

    def rows() -> Iterator[tuple[int, list[str]]]:
        for number, found in objects:
            if set(found) != set(keys):
                other = ", ".join(sorted(set(found) ^ set(keys)))
                wrong = f"{path}, line {number}: not the keys of the first line (differing: {other})"
                raise DataError(wrong, f"an object with {', '.join(keys)}", "give each line the same keys")
            yield number, [_cell(found[key], key, f"{path}, line {number}") for key in keys]

    return Table(names, rows())


def _object(line: str, where: str, removed: Counter[str]) -> dict[str, Any]:
    try:
        found = from_json(line, removed)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {error}", 'a JSON object such as {"label": "sport", "text": "…"}', "mend the line") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: {type(found).__name__}", "a JSON object", "put the label and the text into one")
    return found


def _cell(value: Any, key: str, where: str) -> str:
    """A value as a cell: text, numbers and truth values as they read, a list of labels with bars between them."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return LABELS.join(value)
    if isinstance(value, (str, int, float)) and value == value:  # a NaN, which is not itself, is a gap in a data frame
        return str(value).lower() if isinstance(value, bool) else str(value).replace("\n", " ")
    raise DataError(f"{where}: {key!r} is {json.dumps(value)[:60]}", "a text, a number or a list of texts", "write it as text")


def _fasttext(lines: list[str], path: str) -> Table:
    """The form of fastText: `__label__a __label__b text`; `labels` where a line has several, or none."""
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        count = next((n for n, word in enumerate(words) if not word.startswith(MARK)), len(words))
        if words:
            found.append((number, [word.removeprefix(MARK) for word in words[:count]], " ".join(words[count:])))
    several = any(len(labels) != 1 for _, labels, _ in found)
    return Table(["labels" if several else "label", "text"], ((number, [LABELS.join(labels), text]) for number, labels, text in found))
