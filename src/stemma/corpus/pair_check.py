"""What `corpus check` finds in pairs: how long the sides are beside one another, their scripts, and what is the same.

Blocks are measured each by itself (`measure`), by several processes, and their figures added up in order: memory does not grow
with the corpus. N pairs of a block, C characters of a side.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from heapq import nlargest
from math import exp, log

import numpy as np

from stemma.corpus.parse import EMPTY_SIDE, LONG_PAIR, NO_PAIR, Parsed
from stemma.corpus.scripts import SCRIPTS, script_indices

SIDES = ("source", "target")
FAR = 3.0  # a ratio of lengths so many times the usual one, or that part of it, is out of line
SHORT = 10  # characters of the longer side up to which no ratio is out of line: "Hi." and "您好！" say nothing
SHOWN = 3  # examples of a kind
MIXED = 0.01  # of a side's Chinese texts in the rarer of the two forms, from which on they are reported as mixed
_LETTERS = ("Latin", "Han", "kana", "hangul", "Cyrillic", "Greek", "Arabic")
_FORMS = ("", "simplified", "traditional")
_FINE = 64  # bins of lengths' ratios within a factor of e


@dataclass(frozen=True, slots=True)
class Place:
    """A pair, by where it stands and how many characters its sides have."""

    at: str  # "file, line 12"
    characters: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.at} ({self.characters[0]:,} and {self.characters[1]:,} characters)"


@dataclass(slots=True)
class Found:
    """How many pairs are of some kind, and the first of them."""

    count: int = 0
    examples: list[Place] = field(default_factory=list)

    def add(self, count: int, examples: Sequence[Place]) -> None:
        """Counts more of them."""
        self.count += count
        self.examples = [*self.examples, *examples][:SHOWN]

    def as_dict(self) -> dict:
        """As JSON-able values."""
        return {"pairs": self.count, "examples": [str(place) for place in self.examples]}


@dataclass(slots=True)
class PairFigures:
    """What was measured in pairs: of a block, or of all blocks before."""

    pairs: int = 0
    characters: tuple[int, int] = (0, 0)
    scripts: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))  # characters of each side
    written_in: dict[tuple[str, str], Found] = field(default_factory=dict)  # (side, script that most of its letters are of)
    chinese: dict[tuple[str, str], Found] = field(default_factory=dict)  # (side, simplified or traditional)
    identical: Found = field(default_factory=Found)
    ratios: Counter[int] = field(default_factory=Counter)  # natural logarithm of target to source, in `_FINE` parts
    farthest: list[tuple[float, Place]] = field(default_factory=list)  # a few of the highest and of the lowest logarithms

    def add(self, other: "PairFigures") -> None:
        """Takes in those of the block that follows."""
        self.pairs += other.pairs
        self.characters = (self.characters[0] + other.characters[0], self.characters[1] + other.characters[1])
        for ours, theirs in zip(self.scripts, other.scripts, strict=True):
            ours.update(theirs)
        for mine, more in ((self.written_in, other.written_in), (self.chinese, other.chinese)):
            for kind, found in more.items():
                mine.setdefault(kind, Found()).add(found.count, found.examples)
        self.identical.add(other.identical.count, other.identical.examples)
        self.ratios.update(other.ratios)
        self.farthest = _farthest([*self.farthest, *other.farthest])

    @property
    def median_ratio(self) -> float:
        """Characters of a target to those of its source, in the median pair whose sides are not both short."""
        return exp(self._median / _FINE)

    @property
    def out_of_line(self) -> Found:
        """The pairs whose ratio is FAR times the median, or that part of it, the farthest first."""
        beyond = {at: count for at, count in self.ratios.items() if abs(at - self._median) > _FINE * log(FAR)}
        usual = self._median / _FINE
        far = [(abs(ratio - usual), place) for ratio, place in self.farthest if abs(ratio - usual) > log(FAR)]
        far.sort(key=lambda one: -one[0])
        return Found(sum(beyond.values()), [place for _, place in far][:SHOWN])

    @property
    def in_other_scripts(self) -> Iterator[tuple[str, str, str, Found]]:
        """(side, the script of most of its texts, another one, the pairs written in that) for each side and script."""
        for side in SIDES:
            found = {script: self.written_in[of, script] for of, script in self.written_in if of == side}
            usual = max(found, key=lambda script: found[script].count, default="")
            yield from ((side, usual, script, pairs) for script, pairs in sorted(found.items()) if script != usual)

    @property
    def mixed_chinese(self) -> Iterator[tuple[str, Found, Found]]:
        """(side, its simplified texts, its traditional ones) for each side that has a good many of both."""
        for side in SIDES:
            simplified, traditional = (self.chinese.get((side, form), Found()) for form in _FORMS[1:])
            if min(simplified.count, traditional.count) > MIXED * (simplified.count + traditional.count):
                yield side, simplified, traditional

    @property
    def _median(self) -> float:
        half, seen = self.ratios.total() / 2, 0
        for at in sorted(self.ratios):
            seen += self.ratios[at]
            if seen >= half:
                return at
        return 0

    def as_dict(self, notes: Counter[str], repeated: float) -> dict:
        """The report as JSON-able values; `notes` are those of the ledger, `repeated` is the share of pairs that stood before."""
        return {
            "pairs": self.pairs,
            "characters": dict(zip(SIDES, self.characters, strict=True)),
            "characters_by_script": {side: dict(found.most_common()) for side, found in zip(SIDES, self.scripts, strict=True)},
            "median_ratio": round(self.median_ratio, 4),
            "ratio_out_of_line": self.out_of_line.as_dict(),
            "in_another_script": {
                side: {script: found.as_dict() for of, _, script, found in self.in_other_scripts if of == side} for side in SIDES
            },
            "chinese": {
                side: {form: found.as_dict() for (of, form), found in sorted(self.chinese.items()) if of == side} for side in SIDES
            },
            "identical": self.identical.as_dict(),
            "repeated": round(repeated, 4),
            "empty_side": notes[EMPTY_SIDE],
            "no_pair": notes[NO_PAIR],
            "side_too_long": notes[LONG_PAIR],
        }


def measure(parsed: Parsed) -> PairFigures:
    """The figures of a block of pairs."""
    segments = [segment for segment in parsed.segments if segment.sentences]
    figures = PairFigures(pairs=len(segments))
    if not segments:
        return figures
    lengths = np.array([[len(side) for side in segment.sentences] for segment in segments])  # (N 2)

    def places(chosen: np.ndarray) -> list[Place]:
        found = np.flatnonzero(chosen)[:SHOWN] if chosen.dtype == bool else chosen
        return [Place(f"{parsed.source}, line {segments[n].line}", (int(lengths[n, 0]), int(lengths[n, 1]))) for n in found]

    figures.characters = (int(lengths[:, 0].sum()), int(lengths[:, 1].sum()))
    same = np.array([segment.sentences[0] == segment.sentences[1] for segment in segments])
    figures.identical.add(int(same.sum()), places(same))
    logs = np.log(lengths[:, 1] / lengths[:, 0])
    long = np.flatnonzero(lengths.max(axis=1) > SHORT)
    figures.ratios = Counter(np.rint(logs[long] * _FINE).astype(int).tolist())
    ends = long[np.argsort(logs[long], kind="stable")]
    ends = np.unique(np.concatenate([ends[:SHOWN], ends[-SHOWN:]]))
    figures.farthest = list(zip(logs[ends].tolist(), places(ends), strict=True))
    for number, side in enumerate(SIDES):
        codes = _codes("".join(segment.sentences[number] for segment in segments))
        owner = np.repeat(np.arange(len(segments)), lengths[:, number])
        scripts = _counts(owner, script_indices(codes), len(segments), len(SCRIPTS))
        figures.scripts[number].update({name: int(count) for name, count in zip(SCRIPTS, scripts.sum(axis=0), strict=True) if count})
        letters = scripts[:, [SCRIPTS.index(name) for name in _LETTERS]]
        forms = _counts(owner, _chinese_forms()[np.minimum(codes, 0x9FFF + 1)], len(segments), len(_FORMS))
        kinds = ((figures.written_in, _LETTERS, letters), (figures.chinese, _FORMS, forms * [0, 1, 1]))
        for found, names, counts in kinds:
            most = np.where(counts.max(axis=1) > 0, counts.argmax(axis=1), -1)
            for kind in np.unique(most[most >= 0]):
                found[side, names[kind]] = Found(int((most == kind).sum()), places(most == kind))
    return figures


def _farthest(several: list[tuple[float, Place]]) -> list[tuple[float, Place]]:
    """A few of the highest ratios and of the lowest, of equal ones the first."""
    if len(several) <= 2 * SHOWN:
        return several
    highest, lowest = nlargest(SHOWN, several, key=lambda one: one[0]), nlargest(SHOWN, several, key=lambda one: -one[0])
    return [*highest, *(one for one in lowest if one not in highest)]


def _codes(text: str) -> np.ndarray:
    """Its code points (C)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _counts(owner: np.ndarray, kinds: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows columns) how many characters of each kind (C) each pair (C) has."""
    return np.bincount(owner * columns + kinds, minlength=rows * columns).reshape(rows, columns)


@cache
def _chinese_forms() -> np.ndarray:
    """The index in _FORMS of every code point up to the last Chinese one, and 0 for all beyond.

    Common characters of GB 2312 that Big5 lacks are simplified, common ones of Big5 that GB 2312 lacks traditional.
    """
    table = np.zeros(0x9FFF + 2, np.uint8)
    for code in range(0x4E00, 0x9FFF + 1):
        simplified, traditional = (chr(code).encode(name, "ignore") for name in ("gb2312", "big5"))
        if simplified and not traditional and 0xB0 <= simplified[0] <= 0xD7:
            table[code] = 1
        elif traditional and not simplified and 0xA4 <= traditional[0] <= 0xC6:
            table[code] = 2
    return table
