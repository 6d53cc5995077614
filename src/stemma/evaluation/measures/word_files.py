"""The files that word vectors are judged by, in the forms in which they go round.

- Pairs: two words, then columns of which the first that holds a number is people's score. Cells stand between tabs,
  commas, semicolons or blanks; lines of `#` are comments and a line without a number above the first pair is a header.
  So our own TSV, WordSim-353 (combined.csv or .tab), SimLex-999, MEN, RG-65, the Chinese wordsim-240 and -297.
- Analogies: `a b c d`, in sections that begin with a line `: name` (questions-words.txt, CA8), or a section before each
  four under the header `section a b c d`.
- Groups for odd words: words that belong together, an empty line, words that do not (8-8-8); one group a file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemma.corpus.task import read_lines
from stemma.errors import DataError
from stemma.nouns import counted

_PAIRS = "two words and a score a line, as `king<TAB>queen<TAB>8.58`"
_ANALOGIES = "four words a line under lines like `: family`, or a TSV with the header section, a, b, c, d"
_GROUPS = "words that belong together, an empty line, words that do not, one a line"

Pair = tuple[str, str, float]
Row = tuple[int, list[str]]  # line number, cells


@dataclass(frozen=True)
class Question:
    """`a` is to `b` as `c` is to `d`."""

    section: str
    a: str
    b: str
    c: str
    d: str


@dataclass(frozen=True)
class Group:
    """Words of one kind, and words that are each the odd one among them."""

    name: str
    words: tuple[str, ...]
    odd: tuple[str, ...]


def read_pairs(path: Path | str) -> list[Pair]:
    """(word, word, score) of each line."""
    rows = [row for row in _rows(path, _PAIRS, _delimiter) if not row[1][0].startswith("#")]
    first, at = _first_pair(path, rows)
    width = len(rows[first][1])
    return [_pair(path, number, cells, at, width) for number, cells in rows[first:]]


def read_analogies(path: Path | str) -> list[Question]:
    """The questions in the file's order; those before the first section fall to one named after the file."""
    section, questions = Path(path).stem, []
    for place, (number, cells) in enumerate(_rows(path, _ANALOGIES, _analogy_delimiter)):
        if cells[0].startswith(":"):
            section = " ".join(cells)[1:].strip() or section
        elif place == 0 and _is_header(cells):
            continue
        elif len(cells) == 5:
            questions.append(Question(*cells))
        elif len(cells) == 4:
            questions.append(Question(section, *cells))
        else:
            raise DataError(f"{path}, line {number}: {counted(len(cells), 'word')}", _ANALOGIES, "mend the line, or remove it")
    if not questions:
        raise DataError(f"{path}: no question", _ANALOGIES, "check the file")
    return questions


def read_group(path: Path | str) -> Group:
    """The group of a file."""
    parts: list[list[str]] = [[]]
    for line in read_lines(str(path)):
        if line.strip():
            parts[-1].append(line.strip())
        elif parts[-1]:
            parts.append([])
    if len(parts) != 2 or len(parts[0]) < 2:
        wrong = f"{path}: {counted(len(parts), 'block')} of words, {len(parts[0])} in the first"
        raise DataError(wrong, _GROUPS, "give each group a file of its own, with one empty line in it")
    return Group(Path(path).stem, tuple(parts[0]), tuple(parts[1]))


def _rows(path: Path | str, expected: str, delimiter_of: Callable[[Sequence[str]], str | None]) -> list[Row]:
    lines = [(number, line) for number, line in enumerate(read_lines(str(path)), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty", expected, "check the file")
    delimiter = delimiter_of([line for _, line in lines])
    return [(number, [cell.strip().strip('"') for cell in line.strip("\r\n").split(delimiter)]) for number, line in lines]


def _delimiter(lines: Sequence[str]) -> str | None:
    """What stands between the cells of every line that is no comment; None for any blanks."""
    content = [line for line in lines if not line.startswith("#")]
    return next((mark for mark in "\t,;" if content and all(line.count(mark) >= 2 for line in content)), None)


def _analogy_delimiter(lines: Sequence[str]) -> str | None:
    """A tab where every question has one (its words may then hold blanks), or any blanks."""
    questions = [line for line in lines if not line.startswith(":")]
    return "\t" if questions and all("\t" in line for line in questions) else None


def _is_header(cells: list[str]) -> bool:
    return cells[0].lower() in ("section", "category") or [cell.lower() for cell in cells] == list("abcd")


def _first_pair(path: Path | str, rows: list[Row]) -> tuple[int, int]:
    """Which row is the first pair, after a header at most, and in which cell its score stands."""
    if not rows:
        raise DataError(f"{path}: no pair of words", _PAIRS, "check the file")
    number, cells = rows[min(1, len(rows) - 1)]  # a pair, whether a header stands above it or not
    for at, cell in enumerate(cells):
        if at >= 2 and _number(cell) is not None:
            header = len(rows[0][1]) != len(cells) or _number(rows[0][1][at]) is None
            return int(header), at
    wrong = f"{path}, line {number}: no number after two words in {' '.join(cells)[:60]!r}"
    raise DataError(wrong, _PAIRS, "separate the cells with tabs and put the score behind the words")


def _pair(path: Path | str, number: int, cells: list[str], at: int, width: int) -> Pair:
    where = f"{path}, line {number}"
    if len(cells) != width:
        raise DataError(
            f"{where}: {counted(len(cells), 'column')}", f"{width}, as in the first pair", "separate them with tabs, or remove the line"
        )
    score = _number(cells[at])
    if score is None:
        raise DataError(f"{where}: score {cells[at]!r}", f"a number in column {at + 1}, as in the first pair", "mend the line")
    if not cells[0] or not cells[1]:
        raise DataError(f"{where}: a word is missing", _PAIRS, "mend the line, or remove it")
    return cells[0], cells[1], score


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None
