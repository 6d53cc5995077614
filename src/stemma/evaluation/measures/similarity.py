"""What word vectors know by themselves: similarity as people judge it, analogies, odd words.

Pairs, questions and groups with a word that has no vector are left out and listed.

V vocabulary, D width, P pairs, Q questions, U different words of some questions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from stemma.errors import DataError
from stemma.evaluation.measures.intervals import Effects, Interval, correlation, rank_effects
from stemma.evaluation.measures.word_files import Group, Pair, Question
from stemma.runs.word_vectors import WordVectors
from stemma.tasks.scores import ranks

METHODS = {"add": "3CosAdd", "mul": "3CosMul"}
EPS = 1e-3  # of 3CosMul's quotient (Levy & Goldberg 2014, section 4)
_CHUNK = 256  # questions answered at once


@dataclass(frozen=True)
class Similarity:
    """Spearman's rho of cosines with people's scores, its 95 % interval, and what was left out."""

    rho: Interval
    pairs: int  # in the file
    used: int  # both words have a vector
    missing: tuple[str, ...]  # words without one, sorted
    each: tuple[tuple[float, float] | None, ...] = ()  # of every pair in the file its cosine and people's score; None: not used

    def as_dict(self) -> dict:
        """Plain values for a report."""
        counted = {"pairs": self.pairs, "used": self.used, "missing": list(self.missing), "each": self.each}
        return {"rho": self.rho.as_dict(), **counted}


@dataclass(frozen=True)
class AnalogyTally:
    """Answers to the questions of one section: `add` and `mul` are right answers by each method."""

    asked: int = 0
    covered: int = 0  # all four words have a vector
    add: int = 0
    mul: int = 0

    def accuracy(self, method: str) -> float | None:
        """Share of right answers among the covered questions; None when none is covered."""
        return getattr(self, method) / self.covered if self.covered else None

    @property
    def coverage(self) -> float:
        """Share of the questions whose four words have vectors."""
        return self.covered / self.asked if self.asked else 0.0

    def __add__(self, other: "AnalogyTally") -> "AnalogyTally":
        return AnalogyTally(*(getattr(self, name) + getattr(other, name) for name in ("asked", "covered", "add", "mul")))


@dataclass(frozen=True)
class Analogies:
    """Answers by section, in the file's order."""

    sections: dict[str, AnalogyTally] = field(default_factory=dict)

    @property
    def total(self) -> AnalogyTally:
        """All sections together, each question counting once."""
        return sum(self.sections.values(), AnalogyTally())

    def as_dict(self) -> dict:
        """Plain values for a report."""
        return {"sections": {name: _plain(section) for name, section in self.sections.items()}, "total": _plain(self.total)}


@dataclass(frozen=True)
class OddWords:
    """How often the odd word of a group is found (Camacho-Collados & Navigli 2016).

    `position` is their outlier position percentage: 1 where the odd word always fits least, 0 where always best.
    """

    found: int
    position: float | None
    asked: int
    covered: int  # the odd word has a vector, and at least two of the group
    missing: tuple[str, ...]

    def as_dict(self) -> dict:
        """Plain values for a report."""
        return {"accuracy": self.found / self.covered if self.covered else None, **asdict(self)}


def similarity(words: WordVectors, pairs: Sequence[Pair]) -> Similarity:
    """Rank correlation of the words' cosines with the scores of `pairs`.

    Raises DataError when fewer than three pairs have both vectors: a correlation would say nothing.
    """
    found = [(words.row(a), words.row(b), score) for a, b, score in pairs]
    missing = sorted({word for (a, b, _), (i, j, _) in zip(pairs, found, strict=True) for word, row in ((a, i), (b, j)) if row is None})
    known = [(i, j, score) for i, j, score in found if i is not None and j is not None]
    if len(known) < 3:
        raise DataError(
            f"only {len(known)} of {len(pairs)} pairs have vectors for both words",
            "at least three pairs of known words",
            "use pairs in the language of the corpus, or train on more text",
        )
    if len({score for *_, score in known}) == 1:
        raise DataError(f"all {len(known)} pairs of known words have the same score", "scores to rank by", "check the score column")
    left, right, scores = (np.array(column) for column in zip(*known, strict=True))
    cosines = np.einsum("pd,pd->p", words.unit[left], words.unit[right])
    judged = iter(zip(cosines.tolist(), scores.tolist(), strict=True))
    each = tuple(next(judged) if i is not None and j is not None else None for i, j, _ in found)
    return Similarity(correlation(spearman(cosines, scores), len(known)), len(pairs), len(known), tuple(missing), each)


def effects_of(ours: Sequence[Sequence[float] | None], theirs: Sequence[Sequence[float] | None]) -> tuple[Effects, Effects] | None:
    """What the pairs of a file do to two rhos (`Similarity.each`): those alone that both use; None where they are too few to tell."""
    both = [(mine, other) for mine, other in zip(ours, theirs, strict=True) if mine and other]
    if len(both) <= 3:
        return None
    cosines, others, scores = (np.array(column) for column in zip(*((m[0], o[0], m[1]) for m, o in both), strict=True))
    return rank_effects(cosines, scores), rank_effects(others, scores)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of ranks, ties sharing their mean rank; NaN when one side is constant.

    >>> spearman(np.array([1, 2, 3]), np.array([10, 30, 20]))
    0.5
    """
    x, y = (rank - rank.mean() for rank in (ranks(x), ranks(y)))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale else float("nan")


def analogies(words: WordVectors, questions: Iterable[Question], restrict: int = 0) -> Analogies:
    """Answers each question by 3CosAdd and by 3CosMul (Levy & Goldberg 2014).

    add: cos(x,b) - cos(x,a) + cos(x,c); mul: cos(x,b)·cos(x,c) / (cos(x,a) + eps) with cosines moved to 0..1.
    The words a, b, c are never answers. `restrict` keeps that many of the most frequent words, 0 all.
    """
    kept = words.frequent(restrict)
    place = {int(row): k for k, row in enumerate(kept)}
    unit = words.unit[kept]
    tallies: dict[str, AnalogyTally] = {}
    known: list[tuple[str, list[int]]] = []
    for q in questions:
        found = [place[row] for word in (q.a, q.b, q.c, q.d) if (row := words.row(word)) in place]
        tallies[q.section] = tallies.get(q.section, AnalogyTally()) + AnalogyTally(1, len(found) == 4)
        if len(found) == 4:
            known.append((q.section, found))
    for start in range(0, len(known), _CHUNK):
        chunk = np.array([rows for _, rows in known[start : start + _CHUNK]])  # (Q 4)
        right = _right(unit, chunk)
        for (section, _), (add, mul) in zip(known[start : start + _CHUNK], right.tolist(), strict=True):
            tallies[section] += AnalogyTally(0, 0, add, mul)
    return Analogies(tallies)


def odd_words(words: WordVectors, groups: Iterable[Group]) -> OddWords:
    """Puts each odd word of each group among the group's words and finds which fits the others least."""
    positions, number, missing = [], 0, set()
    for group in groups:
        number += len(group.odd)
        missing |= {word for word in (*group.words, *group.odd) if words.row(word) is None}
        known = [word for word in group.words if words.row(word) is not None]
        for odd in group.odd:
            if len(known) >= 2 and words.row(odd) is not None and odd not in known:
                cosines = words.outlier([*known, odd]).cosines
                positions.append(sum(cosines[word] > cosines[odd] for word in known) / len(known))
    mean = float(np.mean(positions)) if positions else None
    return OddWords(sum(p == 1 for p in positions), mean, number, len(positions), tuple(sorted(missing)))


def _right(unit: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """Which answers to `questions` (Q 4) are right (Q 2), by either method; each different word meets the vocabulary once."""
    rows, at = np.unique(questions[:, :3], return_inverse=True)
    cosines = unit[rows] @ unit.T  # (U V)
    right = np.empty((len(questions), 2), bool)
    for n, (a, b, c) in enumerate(at.reshape(-1, 3)):
        to_a, to_b, to_c = cosines[a], cosines[b], cosines[c]
        for m, scores in enumerate((to_b - to_a + to_c, (to_b + 1) * (to_c + 1) / (to_a + 1 + 2 * EPS))):  # twice the mul, halves spared
            scores[questions[n, :3]] = -np.inf
            right[n, m] = scores.argmax() == questions[n, 3]
    return right


def _plain(section: AnalogyTally) -> dict:
    shares = {f"{method}_accuracy": section.accuracy(method) for method in METHODS}
    return {**asdict(section), **shares, "coverage": section.coverage}
