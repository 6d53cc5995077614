"""Pairs of a source and its target: told from other tables, and read from two files whose lines belong together.

In one file a line is a source, a tab and its target; the first line may name the columns. In two files line i of the one belongs to
line i of the other, and as many lines must stand in both.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from stemma.corpus.encoding import texts
from stemma.corpus.files import opened
from stemma.errors import DataError, UsageError
from stemma.nouns import counted

SEPARATOR = "\t"  # between a source and its target
MAX_LINE = 1 << 26  # characters
_LINE_END = re.compile(r"\r\n?|\n")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SIDES = (  # what the two columns are called where they are not called by their languages
    ("source", "target"),
    ("source", "targets"),  # several that are right: `tasks.generate`
    ("src", "tgt"),
    ("src", "trg"),
    ("source_text", "target_text"),
    ("source_sentence", "target_sentence"),
    ("original", "translation"),
    ("classical", "modern"),
    ("ancient", "modern"),
)
_CODES = _names(  # ISO 639-1, and of 639-3 what corpora of translations are named by
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff "
    "fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku "
    "kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu "
    "rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo "
    "wa wo xh yi yo za zh zu "
    "ara ces cmn dan deu ell eng est fin fra fre ger heb hin hun ita jpn kor lat lzh nld nor pol por ron rus spa swe tha tur ukr vie yue "
    "zho"
)
_LANGUAGES = _names(
    "arabic chinese czech danish dutch english finnish french german greek hebrew hindi hungarian italian japanese korean latin norwegian "
    "polish portuguese romanian russian spanish swedish thai turkish ukrainian vietnamese"
)
_REGION = re.compile(r"[-_](?:[A-Za-z]{2}|Han[st]|Latn|Cyrl|\d{3})$")
_TEXT = re.compile(r"\S\s+\S|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{4}")  # two words, or four letters of a script without spaces
_FEWEST = 5  # lines by which a table without a known header can be told to be pairs


def check_sides(corpus: Sequence[str | Path], source: Sequence[str | Path], target: Sequence[str | Path]) -> None:
    """UsageError where files of sources and of targets are named, but not both, or not alone."""
    if bool(source) != bool(target):
        given, missing = ("sources", "target") if source else ("targets", "source")
        raise UsageError(f"files of {given} alone", "both sides of the pairs", f"name the other files as {missing}")
    if corpus and source:
        wrong = f"the corpus {', '.join(map(str, corpus))} beside files of sources and of targets"
        raise UsageError(wrong, "one of the two", "drop the corpus, or write its pairs into those files")


def is_header(line: str) -> bool:
    r"""True for the line that names the two columns: languages, or source and target.

    >>> is_header("en\tde"), is_header("zh-CN\tEnglish"), is_header("src\ttgt"), is_header("label\ttext"), is_header("en")
    (True, True, True, False, False)
    """
    cells = [cell.strip().strip('"') for cell in line.split(SEPARATOR)]
    if len(cells) != 2 or cells[0] == cells[1]:
        return False
    lower = tuple(cell.lower() for cell in cells)
    return lower in _SIDES or lower[::-1] in _SIDES or all(map(_is_language, cells))


def looks_parallel(lines: Sequence[str]) -> bool:
    """True where each of the lines, none of them empty, is two running texts with one tab between."""
    if len(lines) < _FEWEST or any(line.count(SEPARATOR) != 1 for line in lines):
        return False
    columns = zip(*(line.split(SEPARATOR) for line in lines), strict=True)
    return all(sum(bool(_TEXT.search(cell)) for cell in column) > len(lines) / 2 for column in columns)


def aligned(source: str, target: str, encoding: str, size: int) -> Iterator[tuple[int, str, str]]:
    """The two files in stretches of as many lines, of about so many characters together: (number of the first line, source, target).

    The last one may have empty lines more on one side, and comes even when nothing is left. Raises DataError, when all that can
    be aligned has come, where one file has lines that the other has not.
    """
    with opened(source) as one, opened(target) as other:
        left, right = _Side(source, one, encoding), _Side(target, other, encoding)
        line = 1
        while lines := min(left.fill(size // 2), right.fill(size // 2)):
            yield line, left.take(lines), right.take(lines)
            line += lines
        rest = left.rest() or right.rest()
        if rest.strip():
            raise _misaligned(source, target, encoding)
        yield line, *((rest, "") if right.over else ("", rest))


class _Side:
    """One of the two files, read as far as it is needed."""

    def __init__(self, name: str, stream: IO[bytes], encoding: str) -> None:
        self._name, self._texts = name, texts(stream, encoding, name)
        self._held = ""
        self._ends: list[int] = []  # where the lines that are held end
        self._read_out = False

    @property
    def over(self) -> bool:
        """True when nothing is left of it."""
        return self._read_out and not self._held

    def fill(self, size: int) -> int:
        """How many whole lines are held, having read at least `size` characters of them and one line where there is one."""
        while not self._read_out and (len(self._held) < size or not self._whole_lines()):
            self._read()
        return self._whole_lines()

    def take(self, lines: int) -> str:
        """The next lines."""
        cut = self._ends[lines - 1]
        text, self._held, self._ends = self._held[:cut], self._held[cut:], []
        return text

    def rest(self) -> str:
        """All that is left, or of much the beginning that is no white space alone."""
        while not self._read_out and not self._held.strip():
            self._read()
        return self._held

    def _read(self) -> None:
        self._ends = []
        text = next(self._texts, None)
        self._read_out = text is None
        self._held += text or ""
        if len(self._held) > MAX_LINE and not self._whole_lines():
            raise DataError(f"{self._name}: a line of more than {MAX_LINE:,} characters", "a sentence a line", "cut the line into several")

    def _whole_lines(self) -> int:
        if not self._ends:
            self._ends = [match.end() for match in _LINE_END.finditer(self._held)]
            if self._read_out and self._held and (self._ends or [0])[-1] < len(self._held):
                self._ends.append(len(self._held))  # the last line has no end
            elif not self._read_out and self._held.endswith("\r"):
                self._ends.pop()  # "\n" may follow
        return len(self._ends)


def _is_language(name: str) -> bool:
    code = _REGION.sub("", name)
    return code in _CODES or name.lower() in _LANGUAGES


def _misaligned(source: str, target: str, encoding: str) -> DataError:
    """The error for files of different lengths, with the line at which they seem to part."""
    lengths = [_line_lengths(name, encoding) for name in (source, target)]
    lines = [len(found) for found in lengths]
    longer = (source, target)[int(np.argmax(lines))]
    at, end = parting(*lengths), min(lines)
    where = f"{longer} goes on after line {end:,}" if at == end else f"they seem to part at about line {at + 1:,} of {longer}"
    wrong = f"{source} has {counted(lines[0], 'line')}, {target} {counted(lines[1], 'line')}; {where}"
    return DataError(wrong, "as many lines in both, each beside its translation", "mend the files, or align them again")


def _line_lengths(name: str, encoding: str) -> np.ndarray:
    """Characters of each line without the white space around them; empty lines at the end left out."""
    found: list[int] = []
    with opened(name) as stream:
        side = _Side(name, stream, encoding)
        while lines := side.fill(1 << 20):
            found += [len(line.strip()) for line in _LINE_END.split(side.take(lines))[:lines]]
    return np.trim_zeros(np.array(found, np.int64), "b")


def parting(source: np.ndarray, target: np.ndarray) -> int:
    """Before which line of the longer side, from 0, the lines that are too many seem to stand, by how the lengths of lines agree.

    As many lines as the shorter has: at its end, or nothing tells of a better place.
    """
    long, short = (source, target) if len(source) >= len(target) else (target, source)
    extra = len(long) - len(short)
    if not len(short):
        return 0
    ratios = [np.log((side + 1) / (short + 1)) for side in (long[: len(short)], long[extra:])]
    usual = np.median(np.concatenate(ratios))
    before, after = (np.append(0.0, np.cumsum(np.abs(ratio - usual))) for ratio in ratios)
    costs = before + after[-1] - after  # of lines that are too many before line 0, 1, …
    best = int(np.argmin(costs))
    return best if costs[best] < 0.95 * costs[-1] else len(short)
