"""fastText's model files (.bin), read for their words: a word's vector is the mean of its own row and its n-grams' rows.

The layout is that of facebookresearch/fastText, versions 11 and 12 (args.cc, dictionary.cc, densematrix.cc). W words, D width.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from stemma.errors import DataError
from stemma.export.streams import REMAKE
from stemma.export.vectors_in import Chunk, place
from stemma.kernels.character_ngrams import average_rows, hashed_ngrams
from stemma.nouns import counted

MAGIC = (793712314).to_bytes(4, "little")
VERSIONS = (11, 12)
ARGUMENTS = (
    "width", "window", "epochs", "min_count", "negatives", "word_ngrams", "loss", "model", "buckets", "minn", "maxn", "rate_update",
)  # fmt: skip
SUPERVISED = 3  # the model that had no n-grams in version 11, whatever its arguments say
ENTRY = struct.Struct("<qb")  # after a word: its count, and its kind
WORD = 0  # the kind that is no label
SENTENCE_END = b"</s>"  # has no n-grams
WORDS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class FastText:
    """A model file, opened: its words with their counts, and the rows of words and n-grams, memory-mapped."""

    name: str
    words: list[bytes]
    counts: np.ndarray  # (W) int64
    rows: np.ndarray  # (W + buckets, D) float32: the words' own, then those of their n-grams
    minn: int
    maxn: int
    buckets: int

    def chunks(self) -> Iterator[Chunk]:
        """All words with their vectors, in the file's order."""
        for first in range(0, len(self.words), WORDS_AT_ONCE):
            words = self.words[first : first + WORDS_AT_ONCE]
            vectors = np.array(self.rows[first : first + len(words)])
            if self.buckets:
                average_rows(*hashed_ngrams(words, self.minn, self.maxn, self.buckets), self.rows[len(self.words) :], vectors)
                alone = [row for row, word in enumerate(words) if word == SENTENCE_END]
                vectors[alone] = self.rows[first : first + len(words)][alone]
            yield Chunk(words, vectors, partial(place, f"{self.name}, word", first + 1))


def open_fasttext(path: Path) -> FastText:
    """The model of a file that stands uncompressed; DataError for what is damaged, or quantised (.ftz)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[: len(MAGIC)] != MAGIC:
            raise DataError(f"{path.name} is compressed", "a fastText model as it stands: rows are read in place", "unpack it first")
        fields = _Fields(path.name, data, len(MAGIC))
        (version,) = fields.numbers("<i4", 1)
        if version not in VERSIONS:
            raise DataError(f"{path.name}: a fastText model of version {version}", "version 11 or 12", "take another version of fastText")
        arguments = dict(zip(ARGUMENTS, fields.numbers("<i4", len(ARGUMENTS)), strict=True))
        fields.numbers("<f8", 1)  # the sampling threshold
        entries, size, labels = fields.numbers("<i4", 3)
        _, pruned = fields.numbers("<i8", 2)
        found = [fields.entry() for _ in range(entries)]
        if pruned >= 0 or fields.numbers("<i1", 1)[0]:
            raise DataError(f"{path.name} is quantised", "a .bin as fastText trains it", "take the .bin that the .ftz was made from")
        shape = fields.numbers("<i8", 2)
        begin = fields.at
    words, counts = [word for word, _, kind in found if kind == WORD], [count for _, count, kind in found if kind == WORD]
    if len(words) != size or size + labels != entries:
        raise DataError(f"{path.name}: {counted(len(words), 'word')} in its dictionary, {size:,} stated", "one count", REMAKE)
    width, buckets, minn, maxn = (arguments[name] for name in ("width", "buckets", "minn", "maxn"))
    if width <= 0 or buckets < 0 or minn < 0:
        wrong = f"{path.name}: vectors of {width} numbers, {buckets} rows for n-grams of {minn} to {maxn} characters"
        raise DataError(wrong, "sizes as fastText writes them", REMAKE)
    subwords = maxn > 0 and not (version == 11 and arguments["model"] == SUPERVISED)
    buckets = buckets if subwords else 0
    if shape[1] != width or shape[0] < size + buckets:
        raise DataError(f"{path.name}: a matrix of {shape}", f"[{size + buckets}, {width}] at least", REMAKE)
    if path.stat().st_size < begin + 4 * shape[0] * shape[1]:
        raise DataError(f"{path.name} ends within its vectors", f"{shape[0]:,} rows of {shape[1]} numbers of four bytes", REMAKE)
    rows = np.memmap(path, "<f4", "r", offset=begin, shape=(shape[0], shape[1]))
    return FastText(path.name, words, np.array(counts, np.int64), rows, minn, maxn, buckets)


class _Fields:
    """Reads bytes field by field from `at` on, and tells where they end too soon."""

    def __init__(self, name: str, data: mmap.mmap, at: int) -> None:
        self.name, self.data, self.at = name, data, at

    def numbers(self, kind: str, count: int) -> list:
        """So many numbers of the NumPy kind."""
        size = np.dtype(kind).itemsize * count
        self._has(self.at + size)
        numbers = np.frombuffer(self.data[self.at : self.at + size], kind).tolist()
        self.at += size
        return numbers

    def entry(self) -> tuple[bytes, int, int]:
        """A word or label of the dictionary: its bytes up to a NUL, how often it was seen, and its kind."""
        end = self.data.find(b"\0", self.at)
        self._has(end + ENTRY.size + 1 if end >= 0 else len(self.data) + 1)
        word = self.data[self.at : end]
        count, kind = ENTRY.unpack_from(self.data, end + 1)
        self.at = end + 1 + ENTRY.size
        return word, count, kind

    def _has(self, size: int) -> None:
        if size > len(self.data):
            raise DataError(f"{self.name} ends within its dictionary", "a whole fastText model", REMAKE)
