"""What word vectors know by themselves: similarity judged by people, analogies.

Pure NumPy over a table of vectors and a `find` that gives a word's row, or None. A word that is not found
as written is tried in lower case; pairs and questions with a word that has no vector are left out and told.

V vocabulary, D width, P pairs, Q questions.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from stemma.errors import DataError
from stemma.layers.neighbours import unit_rows

Find = Callable[[str], int | None]
Pair = tuple[str, str, float]


@dataclass(frozen=True)
class Question:
    """`a` is to `b` as `c` is to `d`."""

    section: str
    a: str
    b: str
    c: str
    d: str


@dataclass(frozen=True)
class Similarity:
    """Spearman's rho of cosines with people's scores, its 95 % bootstrap interval, and what was left out."""

    rho: float
    low: float
    high: float
    pairs: int  # in the file
    used: int  # both words have a vector
    missing: tuple[str, ...]  # words without one, sorted

    def as_dict(self) -> dict:
        """Plain values for a report."""
        return asdict(self)


@dataclass(frozen=True)
class Section:
    """Answers to the questions of one section."""

    correct: int = 0
    covered: int = 0  # all four words have a vector
    asked: int = 0

    @property
    def accuracy(self) -> float:
        """Share of right answers among the covered questions; NaN when none is covered."""
        return self.correct / self.covered if self.covered else float("nan")

    def __add__(self, other: "Section") -> "Section":
        return Section(self.correct + other.correct, self.covered + other.covered, self.asked + other.asked)


@dataclass(frozen=True)
class Analogies:
    """Answers by section, in the file's order."""

    method: str
    sections: dict[str, Section] = field(default_factory=dict)

    @property
    def total(self) -> Section:
        """All sections together."""
        return sum(self.sections.values(), Section())

    def as_dict(self) -> dict:
        """Plain values for a report, accuracy and coverage included."""
        rows = {**self.sections, "total": self.total}
        told = {name: {**asdict(s), "accuracy": s.accuracy if s.covered else None} for name, s in rows.items()}
        return {"method": self.method, "sections": told}


def read_pairs(path: Path | str) -> list[Pair]:
    """(word, word, score) of a TSV with a header line."""
    rows = _rows(Path(path), 3, "word1, word2, score")
    pairs = []
    for number, (first, second, score) in rows:
        try:
            pairs.append((first, second, float(score)))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: score {score!r}", "a number in the third column", "mend the line") from error
    return pairs


def read_analogies(path: Path | str) -> list[Question]:
    """Questions of a TSV with a header line: section, a, b, c, d."""
    return [Question(*cells) for _, cells in _rows(Path(path), 5, "section, a, b, c, d")]


def similarity(vectors: np.ndarray, find: Find, pairs: Sequence[Pair], resamples: int = 1000, seed: int = 0) -> Similarity:
    """Rank correlation of the cosines of `vectors` (V D) with the scores of `pairs`.

    Raises DataError when fewer than three pairs have both vectors: a correlation would say nothing.
    """
    unit, rows = unit_rows(vectors), _finder(vectors, find)
    found = [(rows(a), rows(b), score) for a, b, score in pairs]
    missing = sorted({word for (a, b, _), (i, j, _) in zip(pairs, found, strict=True) for word, row in ((a, i), (b, j)) if row is None})
    known = [(i, j, score) for i, j, score in found if i is not None and j is not None]
    if len(known) < 3:
        raise DataError(
            f"only {len(known)} of {len(pairs)} pairs have vectors for both words",
            "at least three pairs of known words",
            "use pairs in the language of the corpus, or train on more text",
        )
    left, right, scores = (np.array(column) for column in zip(*known, strict=True))
    cosines = np.einsum("pd,pd->p", unit[left], unit[right])
    drawn = np.random.default_rng(seed).integers(0, len(scores), (resamples, len(scores)))
    low, high = np.nanquantile([spearman(cosines[d], scores[d]) for d in drawn], [0.025, 0.975])
    return Similarity(spearman(cosines, scores), float(low), float(high), len(pairs), len(known), tuple(missing))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of ranks, ties sharing their mean rank; NaN when one side is constant.

    >>> spearman(np.array([1, 2, 3]), np.array([10, 30, 20]))
    0.5
    """
    x, y = (rank - rank.mean() for rank in (_ranks(x), _ranks(y)))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale else float("nan")


def analogies(
    vectors: np.ndarray,
    find: Find,
    questions: Iterable[Question],
    method: Literal["add", "mul"] = "add",
    restrict: int | None = None,
    eps: float = 1e-3,
) -> Analogies:
    """Answers each question by 3CosAdd or 3CosMul (Levy & Goldberg 2014) over unit vectors (V D).

    add: cos(x,b) - cos(x,a) + cos(x,c); mul: cos(x,b)·cos(x,c) / (cos(x,a) + eps) with cosines moved to 0..1.
    The words a, b, c are never answers. `restrict` keeps the first rows only (the most frequent words).
    """
    vectors = vectors[:restrict]
    unit, rows = unit_rows(vectors), _finder(vectors, find)
    tallies: dict[str, Section] = {}
    known: list[tuple[str, tuple[int, ...]]] = []
    for q in questions:
        found = tuple(row for row in map(rows, (q.a, q.b, q.c, q.d)) if row is not None)
        tallies[q.section] = tallies.get(q.section, Section()) + Section(0, len(found) == 4, 1)
        if len(found) == 4:
            known.append((q.section, found))
    trained = np.any(unit, axis=1)
    for start in range(0, len(known), 256):
        asked = np.array([row for _, row in known[start : start + 256]])  # (Q 4)
        answers = _answers(unit, trained, asked[:, :3], method, eps)
        for (section, _), right in zip(known[start : start + 256], answers == asked[:, 3], strict=True):
            tallies[section] += Section(int(right))
    return Analogies(method, tallies)


def _answers(unit: np.ndarray, trained: np.ndarray, asked: np.ndarray, method: str, eps: float) -> np.ndarray:
    a, b, c = (unit[asked[:, n]] for n in range(3))
    if method == "mul":
        to_a, to_b, to_c = ((side @ unit.T + 1) / 2 for side in (a, b, c))
        scores = to_b * to_c / (to_a + eps)
    else:
        scores = (b - a + c) @ unit.T  # (Q V)
    scores[:, ~trained] = -np.inf
    np.put_along_axis(scores, asked, -np.inf, axis=1)
    return scores.argmax(axis=1)


def _finder(vectors: np.ndarray, find: Find) -> Find:
    trained = np.any(vectors, axis=1)

    def row_of(word: str) -> int | None:
        for form in (word, word.lower()):
            row = find(form)
            if row is not None and row < len(trained) and trained[row]:
                return row
        return None

    return row_of


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def _rows(path: Path, columns: int, names: str) -> list[tuple[int, list[str]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file", f"a TSV with the columns {names}", "check the path") from error
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip() and number > 1]
    for number, cells in rows:
        if len(cells) != columns:
            raise DataError(f"{path}, line {number}: {len(cells)} columns", f"{columns}: {names}", "separate them with tabs")
    if not rows:
        raise DataError(f"{path}: no line after the header", f"a TSV with the columns {names}", "check the file")
    return rows
