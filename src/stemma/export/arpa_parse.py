"""The lines of an ARPA file as arrays: n-grams over word ids, probabilities, back-offs."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stemma.errors import DataError
from stemma.export.spelling import joined
from stemma.export.streams import REMAKE, blocks, reading
from stemma.kernels import arpa_lines

SPECIALS = ("<unk>", "<s>", "</s>")
UNKNOWNS = (b"<unk>", b"<UNK>", b"<Unk>")
NO_UNKNOWN = -100.0  # log10 P(<unk>) of a model without <unk> (KenLM lm/config.cc)


class Section(NamedTuple):
    """The n-grams of one order as they stand in the file."""

    words: np.ndarray  # (n-grams, n) uint32
    log10_probs: np.ndarray  # float32
    log10_backoffs: np.ndarray  # float32; empty for the highest order


def parse_arpa(path: Path) -> tuple[list[str], list[Section], bool]:
    """The words in the order of their ids (<unk>, <s>, </s>, then as they come), the sections, whether <unk> was among them."""
    with reading(path, "an ARPA file") as file:
        reader = _Reader(path.name, blocks(file))
        sizes = reader.header()
        sections = [reader.unigrams(sizes[0], len(sizes) == 1)]
        sections += [reader.section(n, size, n == len(sizes)) for n, size in enumerate(sizes[1:], 2)]
        reader.finish()
    return reader.tokens, sections, reader.knows_unknown


class _Reader:
    """Reads an ARPA file section by section, and knows the line it is at."""

    def __init__(self, name: str, texts: Iterator[bytes]) -> None:
        self.name, self.line = name, 0
        self.texts, self.text, self.at = texts, b"", 0
        self.ids: dict[bytes, int] = {}
        self.tokens: list[str] = []
        self.knows_unknown = True

    def _more(self) -> bool:
        """Goes on to the next block where this one is used up; False at the end of the file."""
        if self.at >= len(self.text):
            self.text, self.at = next(self.texts, b""), 0
        return bool(self.text)

    def wrong(self, what: str, expected: str, mend: str = REMAKE) -> DataError:
        return DataError(f"{self.name}, line {self.line}: {what}", expected, mend)

    def _next(self, expected: str) -> bytes:
        """The next line that holds something, without white space at its ends."""
        while self._more():
            end = self.text.find(b"\n", self.at)
            end = len(self.text) if end < 0 else end
            line = self.text[self.at : end].strip()
            self.line, self.at = self.line + 1, end + 1
            if line:
                return line
        raise self.wrong("the file ends here", expected)

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
        self.ids = {word: place for place, word in enumerate(order)} | dict.fromkeys(UNKNOWNS, 0)
        self.tokens = [word.decode("utf-8", "surrogateescape") for word in order]
        values = np.array([found[word] for word in order]).astype(np.float32)
        return Section(np.arange(len(order), dtype=np.uint32)[:, None], values[:, 0], values[:, 1])

    def section(self, n: int, size: int, highest: bool) -> Section:
        """The n-grams of order n > 1, as they come."""
        self._is_heading(self._next(f"the heading \\{n}-grams:"), n)
        words, probs = np.empty((size, n), np.uint32), np.empty(size, np.float32)
        backoffs = np.empty(0 if highest else size, np.float32)
        spelling, borders = joined(list(self.ids))
        table = (arpa_lines.seats_of(spelling, borders), spelling, borders, np.array(list(self.ids.values()), np.uint32))
        row = 0
        while row < size:
            if self._more():
                text = np.frombuffer(self.text, np.uint8)
                count, self.at = arpa_lines.get_ngrams(text, self.at, *table, words[row:], probs[row:], backoffs[row:])
                row, self.line = row + count, self.line + count
                if row == size or self.at >= len(self.text):
                    continue
            words[row], probs[row], backoffs[row : row + 1] = self._ngram(self._next(f"{size:,} {n}-grams"), n, highest)
            row += 1
        return Section(words, probs, backoffs)

    def _ngram(self, line: bytes, n: int, highest: bool) -> tuple[list[int], float, float]:
        """A line that the kernel left: its numbers are unusual, or it is wrong."""
        log10_prob, spelled, log10_backoff = self._fields(line, n, highest)
        for word in spelled:
            if word not in self.ids:
                raise self.wrong(f"the word {_shown(word)} is no unigram", "words that the 1-grams list")
        return [self.ids[word] for word in spelled], log10_prob, log10_backoff

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
