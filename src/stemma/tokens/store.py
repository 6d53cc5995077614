"""The token store: the corpus as ids, memory-mapped, with word, sentence and document borders and checksums.

A folder: `header.json` (written last), `ids.bin` (uint16 below 65,536 tokens, else uint32), `sentences.bin` and
`documents.bin` (int64 borders), `counts.bin` (int64, one an id), `words.bin` (whether each token begins a word: a bit,
eight a byte, the lowest first; empty where every token does); little-endian throughout.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemma.errors import DamagedError, DataError
from stemma.tokens.files import checksum, read_sealed
from stemma.tokens.settings import special_ids

FORMAT, VERSION = "stemma-token-store", 5
HEADER, WORDS = "header.json", "words.bin"
MEND = "delete the folder; the same command makes it again from the corpus"


@dataclass(frozen=True)
class TokenStore:
    """The ids of a corpus, without specials and without sentences that hold no token."""

    path: Path
    header: dict
    ids: np.ndarray  # uint16 or uint32, flat
    sentence_starts: np.ndarray  # int64 (sentences + 1): offsets into ids, the last is len(ids)
    document_starts: np.ndarray  # int64 (documents + 1): indices of sentences
    counts: np.ndarray  # int64 (vocab_size)
    word_bits: np.ndarray  # uint8 ((tokens + 7) // 8), or empty where every token begins a word

    @property
    def characters(self) -> int | None:
        """Characters of the documents' text, of what stands between their sentences too; None for a drawn part, made of tokens."""
        return self.header.get("characters")

    @property
    def bytes_utf8(self) -> int | None:
        """The same in bytes of UTF-8."""
        return self.header.get("bytes_utf8")

    @property
    def vocab_size(self) -> int:
        """The number of ids the tokenizer has."""
        return self.header["vocab_size"]

    @property
    def unknown(self) -> int:
        """Tokens that the vocabulary lacks."""
        unknown = special_ids(self.header["kind"]).get("unk")
        return 0 if unknown is None else int(self.counts[unknown])

    @property
    def dropped(self) -> dict[str, int]:
        """Characters that became no token, by kind."""
        return self.header["dropped"]

    @property
    def pairs(self) -> int:
        """How many documents are pairs of a source and its target, two sentences each; of pairs alone, all of them."""
        return self.header["pairs"]

    @property
    def sentences(self) -> int:
        """The number of sentences."""
        return len(self.sentence_starts) - 1

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.document_starts) - 1

    def sentence(self, index: int) -> np.ndarray:
        """The ids of one sentence (a view)."""
        start, end = self.sentence_starts[index : index + 2]
        return self.ids[start:end]

    def word_starts(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """True for each token from `first` to before `last` (the end) that begins a word, as bool; a sentence's first token does."""
        last = len(self.ids) if last is None else last
        if not len(self.word_bits):
            return np.ones(max(last - first, 0), dtype=bool)
        bits = np.unpackbits(self.word_bits[first // 8 : (last + 7) // 8], bitorder="little")
        return bits[first % 8 : first % 8 + last - first].view(bool)

    def words_begin_at(self, tokens: np.ndarray) -> np.ndarray:
        """True where these tokens, places in `ids` of any shape and order, begin a word."""
        if not len(self.word_bits):
            return np.ones(tokens.shape, dtype=bool)
        return (self.word_bits[tokens // 8] >> (tokens % 8).astype(np.uint8) & 1).astype(bool)

    @classmethod
    def open(cls, path: Path | str) -> "TokenStore":
        """Maps the store of a folder; only sizes and borders are checked (`verify` reads all: who takes up a store to train calls it).

        Raises DataError naming the file that is missing, cut short or not of this version.
        """
        path = Path(path)
        header = read_header(path)
        arrays = {name: _mapped(path / name, dtype, header) for name, dtype in layout(header["dtype"]).items()}
        store = cls(path, header, *arrays.values())
        _check_borders(store)
        return store

    def verify(self) -> None:
        """Reads every byte and compares the checksums; raises DataError naming the damaged file."""
        for name, facts in self.header["files"].items():
            if checksum(self.path / name) != facts["sha256"]:
                raise DataError(f"{self.path / name}: damaged: its checksum is not the one in {HEADER}", "the file as it was written", MEND)


def layout(dtype: str) -> dict[str, np.dtype]:
    """File name -> type of its numbers, in the order of the store's arrays."""
    eight = np.dtype("<i8")
    ids = np.dtype(dtype).newbyteorder("<")
    return {"ids.bin": ids, "sentences.bin": eight, "documents.bin": eight, "counts.bin": eight, WORDS: np.dtype("u1")}


def read_header(path: Path) -> dict:
    """The header of a finished store."""
    place = path / HEADER
    if not place.is_file():
        raise DataError(f"{place}: missing", "a finished token store", MEND)
    try:
        header = read_sealed(place, MEND)
    except DamagedError as error:
        raise DataError(error.wrong, "the header of a token store", MEND) from error
    known = header.get("format") == FORMAT and header.get("version") == VERSION and header.get("dtype") in ("uint16", "uint32")
    files = header.get("files")
    known = known and {"tokenizer", "fingerprint", "pairs"} <= header.keys()
    if not known or not isinstance(files, dict) or files.keys() != set(layout("u2")):
        raise DataError(f"{place}: not of this version", f"{FORMAT}, version {VERSION}", MEND)
    return header


def _mapped(path: Path, dtype: np.dtype, header: dict) -> np.ndarray:
    expected = header["files"][path.name]["bytes"]
    if not path.is_file():
        raise DataError(f"{path}: missing", f"a file of {expected} bytes", MEND)
    if path.stat().st_size != expected:
        raise DataError(f"{path}: damaged: {path.stat().st_size} bytes long", f"{expected} bytes", MEND)
    return np.memmap(path, dtype=dtype, mode="r") if expected else np.zeros(0, dtype)


def _check_borders(store: TokenStore) -> None:
    ends = ((store.sentence_starts, len(store.ids), "sentences.bin"), (store.document_starts, store.sentences, "documents.bin"))
    for borders, end, name in ends:
        if len(borders) == 0 or borders[0] != 0 or borders[-1] != end:
            raise DataError(f"{store.path / name}: damaged: its borders do not fit", f"borders from 0 to {end}", MEND)
    if len(store.word_bits) not in (0, (len(store.ids) + 7) // 8):
        raise DataError(
            f"{store.path / WORDS}: damaged: its size does not fit", f"a bit for each of {len(store.ids)} tokens, or none", MEND
        )
