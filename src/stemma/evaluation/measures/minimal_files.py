"""The files of minimal pairs, in the forms in which they go round.

- TSV with the header `phenomenon good bad`, columns in any order; a column `paradigm` may name a part of a phenomenon.
- JSON lines with `sentence_good` and `sentence_bad`, as BLiMP is published: its `linguistics_term` (or else its `field`)
  is the phenomenon, its `UID` the paradigm.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.corpus.clean import from_json
from stemma.corpus.given import warn_of
from stemma.corpus.task import read_lines
from stemma.errors import DataError
from stemma.nouns import counted

_TABLE = "the header `phenomenon<TAB>good<TAB>bad`, or JSON lines with sentence_good and sentence_bad as BLiMP has them"
_NAMES = {"phenomenon": ("linguistics_term", "field"), "good": ("sentence_good",), "bad": ("sentence_bad",), "paradigm": ("UID",)}
_NEEDED = ("phenomenon", "good", "bad")


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences that differ in one thing, of which `good` is right."""

    phenomenon: str
    good: str
    bad: str
    paradigm: str = ""  # the part of the phenomenon


def read_minimal_pairs(paths: Sequence[Path | str]) -> list[MinimalPair]:
    """The pairs of all files, which are one set: BLiMP comes in 67. DataError names the line that is wrong."""
    return [pair for path in paths for pair in _read(str(path))]


def _read(path: str) -> list[MinimalPair]:
    lines = read_lines(path)
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: the file is empty", _TABLE, "check the file")
    rows = enumerate(lines, 1)
    if next(line for line in lines if line.strip()).lstrip().startswith("{"):
        removed: Counter[str] = Counter()
        found = [_from_json(line, f"{path}, line {n}", removed) for n, line in rows if line.strip()]
        warn_of(removed, path)
        return found
    header = [name.strip().lower() for name in lines[0].split("\t")]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise DataError(f"{path}, line 1: no column {missing[0]!r}", _TABLE, "add the header as the first line, or rename the columns")
    pairs = [_from_cells(line.split("\t"), header, f"{path}, line {n}") for n, line in rows if n > 1 and line.strip()]
    if not pairs:
        raise DataError(f"{path}: no pair follows the header", "one pair a line", "add the pairs below line 1")
    return pairs


def _from_cells(cells: list[str], header: list[str], where: str) -> MinimalPair:
    if len(cells) != len(header):
        raise DataError(
            f"{where}: {counted(len(cells), 'cell')}",
            f"{counted(len(header), 'cell')}, as in the header",
            "separate the cells by one tab each",
        )
    return _pair(dict(zip(header, cells, strict=True)), where)


def _from_json(line: str, where: str, removed: Counter[str]) -> MinimalPair:
    try:
        values = from_json(line, removed)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {error} in {line[:40]!r}", "one JSON object a line", "mend the line, or remove it") from error
    if not isinstance(values, dict):
        raise DataError(f"{where}: {line[:40]!r}", "one JSON object a line", "mend the line, or remove it")
    found = {name: next((values[key] for key in keys if key in values), "") for name, keys in _NAMES.items()}
    return _pair(found, where)


def _pair(found: dict[str, Any], where: str) -> MinimalPair:
    for name in _NEEDED:
        if not isinstance(found[name], str) or not found[name].strip():
            expected = f"a text as {' or '.join((name, *_NAMES[name]))}"
            raise DataError(f"{where}: the value of {name!r} is {found[name]!r}", expected, "fill it in, or remove the line")
    phenomenon, good, bad = (found[name].strip() for name in _NEEDED)
    return MinimalPair(phenomenon, good, bad, str(found.get("paradigm", "")).strip())
