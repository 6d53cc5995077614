"""The lines of an ARPA file as arrays: n-grams over word ids, probabilities, back-offs."""

import bz2
import gzip
import lzma
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from stemma.errors import DataError, UsageError

SPECIALS = ("<unk>", "<s>", "</s>")
UNKNOWNS = (b"<unk>", b"<UNK>", b"<Unk>")
NO_UNKNOWN = -100.0  # log10 P(<unk>) of a model without <unk> (KenLM lm/config.cc)
OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
REMAKE = "make the file again, or take an undamaged copy"


class Section(NamedTuple):
    """The n-grams of one order as they stand in the file."""

    words: np.ndarray  # (n-grams, n) uint32
    log10_probs: np.ndarray  # float64
    log10_backoffs: np.ndarray  # float64


def parse_arpa(path: Path) -> tuple[list[str], list[Section], bool]:
    """The words in the order of their ids (<unk>, <s>, </s>, then as they come), the sections, whether <unk> was among them."""
    try:
        with path.open("rb") as file:
            magic = file.read(2)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", "an ARPA file", "check the path") from error
    with OPENERS.get(magic, open)(path, "rb") as file:
        reader = _Reader(path.name, file)
        try:
            sizes = reader.header()
            sections = [reader.unigrams(sizes[0], len(sizes) == 1)]
            sections += [reader.section(n, size, n == len(sizes)) for n, size in enumerate(sizes[1:], 2)]
            reader.finish()
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise DataError(f"{path.name}: {error}", "a whole compressed file", REMAKE) from error
    return reader.tokens, sections, reader.knows_unknown


class _Reader:
    """Reads an ARPA file section by section, and knows the line it is at."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name, self.line = name, 0
        self.lines = self._counted(file)
        self.ids: dict[bytes, int] = {}
        self.tokens: list[str] = []
        self.knows_unknown = True

    def _counted(self, file: IO[bytes]) -> Iterator[bytes]:
        """The lines that hold something, without white space at their ends."""
        for self.line, line in enumerate(file, 1):
            if stripped := line.strip():
                yield stripped

    def wrong(self, what: str, expected: str, mend: str = REMAKE) -> DataError:
        return DataError(f"{self.name}, line {self.line}: {what}", expected, mend)

    def _next(self, expected: str) -> bytes:
        line = next(self.lines, None)
        if line is None:
            raise self.wrong("the file ends here", expected)
        return line

    def header(self) -> list[int]:
        """How many n-grams of each order the file says it has; leaves `line` at the heading of the unigrams."""
        while self._next("a line \\data\\ before the n-grams") != b"\\data\\":
            pass
        sizes: list[int] = []
        while (line := self._next("a line \\1-grams:")).startswith(b"ngram "):
            order, _, size = line[6:].partition(b"=")
            if order.strip() != str(len(sizes) + 1).encode() or not size.strip().isdigit():
                raise self.wrong(_shown(line), f"ngram {len(sizes) + 1}=COUNT")
            sizes.append(int(size))
        self._is_heading(line, 1)
        if not sizes:
            raise self.wrong("no line says how many n-grams there are", "ngram 1=COUNT after \\data\\")
        return sizes

    def _is_heading(self, line: bytes, n: int) -> None:
        if line != f"\\{n}-grams:".encode():
            raise self.wrong(_shown(line), f"the heading \\{n}-grams: after as many n-grams as the header states")

    def unigrams(self, size: int, highest: bool) -> Section:
        """The first section, which makes the vocabulary; rows are by word id."""
        found: dict[bytes, tuple[float, float]] = {}
        for _ in range(size):
            log10_prob, (word,), log10_backoff = self._fields(self._next(f"{size:,} unigrams"), 1, highest)
            word = UNKNOWNS[0] if word in UNKNOWNS else word
            if word in found:
                raise self.wrong(f"the unigram {_shown(word)} stands here a second time", "each n-gram once")
            found[word] = log10_prob, log10_backoff
        for special in SPECIALS[1:]:
            if special.encode() not in found:
                raise self.wrong(f"the unigrams end without {special}", "a model of sentences, with <s> and </s>", "estimate it with both")
        self.knows_unknown = UNKNOWNS[0] in found
        found.setdefault(UNKNOWNS[0], (NO_UNKNOWN, 0.0))
        order = dict.fromkeys([*(special.encode() for special in SPECIALS), *found])
        self.ids = {word: place for place, word in enumerate(order)}
        self.tokens = [word.decode("utf-8", "surrogateescape") for word in order]
        values = np.array([found[word] for word in order])
        return Section(np.arange(len(order), dtype=np.uint32)[:, None], values[:, 0], values[:, 1])

    def section(self, n: int, size: int, highest: bool) -> Section:
        """The n-grams of order n > 1, as they come."""
        self._is_heading(self._next(f"the heading \\{n}-grams:"), n)
        words, values = np.empty((size, n), np.uint32), np.empty((size, 2))
        ids, row = self.ids, -1
        for row, line in enumerate(islice(self.lines, size)):
            log10_prob, spelled, log10_backoff = self._fields(line, n, highest)
            try:
                words[row] = [ids[UNKNOWNS[0] if word in UNKNOWNS else word] for word in spelled]
            except KeyError as error:
                raise self.wrong(f"the word {_shown(error.args[0])} is no unigram", "words that the 1-grams list") from error
            values[row] = log10_prob, log10_backoff
        if row + 1 < size:
            raise self.wrong("the file ends here", f"{size:,} {n}-grams")
        return Section(words, values[:, 0], values[:, 1])

    def finish(self) -> None:
        """Checks that the file ends where it should."""
        line = self._next("a last line \\end\\")
        if line != b"\\end\\":
            raise self.wrong(_shown(line), "a last line \\end\\ after as many n-grams as the header states")

    def _fields(self, line: bytes, n: int, highest: bool) -> tuple[float, list[bytes], float]:
        fields = line.split()
        if not n + 1 <= len(fields) <= n + 2:
            raise self.wrong(_shown(line), f"a log10 probability, {n} words and perhaps a back-off")
        try:
            log10_prob, log10_backoff = float(fields[0]), float(fields[n + 1]) if len(fields) > n + 1 else 0.0
        except ValueError as error:
            raise self.wrong(_shown(line), "decimal numbers before and after the words") from error
        if log10_prob > 0 or math.isnan(log10_prob) or math.isnan(log10_backoff):
            raise self.wrong(f"{log10_prob} is no log10 probability", "a number not above 0")
        if highest and log10_backoff:
            raise self.wrong(f"a back-off of {log10_backoff} on the highest order", "none, or 0")
        return log10_prob, fields[1 : n + 1], log10_backoff


def _shown(raw: bytes) -> str:
    return repr(raw[:60].decode("utf-8", "backslashreplace"))
