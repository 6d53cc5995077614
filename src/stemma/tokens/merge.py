"""Shards to store: their arrays one after the other, in order, with borders made absolute and ids made narrow."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stemma.tokens.files import read_json, sync, sync_folder, write_sealed
from stemma.tokens.store import FORMAT, HEADER, VERSION, WORDS, layout
from stemma.tokens.tokenizer import Tokenizer

NARROW = 65_536  # ids below it fit uint16
SUMMED = ("characters", "bytes_utf8", "tokens", "sentences", "empty_sentences", "empty_characters", "pairs")


class Writer:
    """A file of the store being written: its bytes go through the checksum."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.path, self.dtype, self.bytes = path, dtype, 0
        self._file = path.open("wb")
        self._digest = hashlib.sha256()

    def add(self, numbers: np.ndarray) -> None:
        """Writes the numbers behind those before."""
        data = numbers.astype(self.dtype).tobytes()
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    def close(self) -> dict:
        """Its size and checksum."""
        sync(self._file)
        self._file.close()
        return {"bytes": self.bytes, "sha256": self._digest.hexdigest()}


class BitWriter(Writer):
    """A file of bits, eight a byte, the lowest first."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        super().__init__(path, dtype)
        self._rest = np.zeros(0, np.uint8)  # fewer than eight bits

    def add(self, numbers: np.ndarray) -> None:
        """Writes these bits, bool or 0 and 1, behind those before."""
        bits = np.concatenate([self._rest, numbers])
        whole = len(bits) // 8 * 8
        self._rest = bits[whole:]
        super().add(np.packbits(bits[:whole], bitorder="little"))

    def close(self) -> dict:
        """Its size and checksum; the last byte is filled up with zeros."""
        super().add(np.packbits(self._rest, bitorder="little"))
        return super().close()


def merge(paths: Sequence[Path], tokenizer: Tokenizer, folder: Path, fingerprint: str, renumbered: np.ndarray | None = None) -> None:
    """Writes the store's files into `folder` and its header last; each shard goes once it is copied.

    With `renumbered` the shards hold numbers that stand for the ids `renumbered[number]`.
    """
    dtype = "uint16" if tokenizer.vocab_size < NARROW else "uint32"
    files = {name: Writer(folder / name, kind) for name, kind in layout(dtype).items() if name != WORDS}
    files[WORDS] = BitWriter(folder / WORDS, layout(dtype)[WORDS])
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    sums = dict.fromkeys(SUMMED, 0)
    dropped = Counter[str]()
    documents: list[int] = []  # sentences of each
    files["sentences.bin"].add(np.zeros(1, np.int64))
    for path in paths:
        facts = read_json(path.with_suffix(".json"))
        assert facts is not None, path
        ids, lengths, starts = _read(path, facts)
        ids = ids if renumbered is None else renumbered[ids]
        files["ids.bin"].add(ids)
        files["sentences.bin"].add(sums["tokens"] + np.cumsum(lengths))
        files[WORDS].add(starts)
        counts += np.bincount(ids, minlength=len(counts))
        if facts["continues"]:
            documents[-1] += facts["documents"].pop(0)
        documents += facts["documents"]
        sums = {name: sums[name] + facts[name] for name in SUMMED}
        dropped.update(facts["dropped"])
        path.with_suffix(".json").unlink()
        path.unlink()
    sentences = np.array([0, *filter(None, documents)], dtype=np.int64)
    files["documents.bin"].add(np.cumsum(sentences))
    files["counts.bin"].add(counts)
    unknown = tokenizer.specials.get("unk")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": dtype,
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "documents": len(sentences) - 1,
        "empty_documents": len(documents) - len(sentences) + 1,
        "unknown": int(counts[unknown]) if unknown is not None else 0,
        "tokenizer": tokenizer.fingerprint,
        "segmenter": {"name": tokenizer.segmenter.name, "version": tokenizer.segmenter.version},
        "fingerprint": fingerprint,
        **sums,
        "dropped": dict(sorted(dropped.items())),
        "files": {name: file.close() for name, file in files.items()},
    }
    write_sealed(folder / HEADER, header)
    sync_folder(folder)


def _read(path: Path, facts: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids, the lengths of sentences, and the word starts (none where every token is one)."""
    with path.open("rb") as file:
        ids, lengths = np.fromfile(file, "<u4", facts["tokens"]), np.fromfile(file, "<i8", facts["sentences"])
        return ids, lengths, np.fromfile(file, "u1")
