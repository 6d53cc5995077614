"""Shards: documents in groups of about a million characters, encoded by worker processes into one file each.

A shard's file holds its ids (uint32), its sentences' lengths (int64) and, where some token begins no word, which tokens do
(a byte each), and stands beside a small JSON with its
facts and checksum, written last: a shard without it was not finished.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Protocol

import numpy as np

from stemma.corpus.document import Document
from stemma.corpus.workers import Team
from stemma.tokens.dropped import Dropped
from stemma.tokens.files import checksum, read_json, write_bytes, write_sealed
from stemma.tokens.tokenizer import Tokenizer

HALVED = "sides of pairs whose other side holds no token"
SHARD = 1_000_000  # characters: small enough for memory, large enough to drown the cost of a file


@dataclass(frozen=True)
class Shard:
    """Some documents' sentences, and their place in the corpus. A long document is spread over several shards."""

    number: int
    documents: list[tuple[str, ...]]
    continues: bool  # the first document began in the shard before
    between: str = ""  # all that stands between its sentences, and before what continues
    adjoining: tuple[bool, ...] = ()  # of each sentence of all documents (`Document.adjoining`); none given: nothing adjoins
    pairs: tuple[bool, ...] = ()  # of each document, whether it is a source and its target; none given: none is

    def key(self, tokenizer: str) -> str:
        """What the shard's ids depend on: its text and the tokenizer."""
        digest = hashlib.blake2b(f"{tokenizer} {self.continues} {self.between}".encode("utf-8", "surrogatepass"), digest_size=16)
        digest.update(bytes(self.adjoining) if any(self.adjoining) else b"")
        digest.update(b"pairs" + bytes(self.pairs) if any(self.pairs) else b"")
        for sentences in self.documents:
            digest.update("\n".join(sentences).encode("utf-8", "surrogatepass"))
            digest.update(b"\0%d\0" % len(sentences))
        return digest.hexdigest()


def shards(documents: Iterable[Document], characters: int = SHARD) -> Iterator[Shard]:
    """The documents in order, in shards of about so many characters; a pair stands in one of them."""
    number, size, group, continues, between = 0, 0, [], False, ""
    adjoining: list[bool] = []
    pairs: list[bool] = []
    for document in documents:
        begun = 0
        for i, sentence in enumerate(document.sentences):
            size += len(sentence)
            if size >= characters and not (document.pair and i == 0):
                part = document.part(begun, i + 1)
                group.append(part.sentences)
                marks = (*adjoining, *part.adjoining), (*pairs, document.pair)
                yield Shard(number, group, continues, between + _between(part), *marks)
                number, size, group, begun, between, adjoining, pairs = number + 1, 0, [], i + 1, "", [], []
                continues = begun < len(document.sentences)
        if begun == 0 or begun < len(document.sentences):
            part = document.part(begun, len(document.sentences))
            group.append(part.sentences)
            between += _between(part)
            adjoining += part.adjoining
            pairs.append(document.pair)
    if group:
        yield Shard(number, group, continues, between, tuple(adjoining), tuple(pairs))


def _between(part: Document) -> str:
    """What stands before the part and between its sentences."""
    return (part.lead or "") + ("".join(part.joins) if part.joins else " " * (len(part.sentences) - 1))


class Encoder(Protocol):
    """What numbers the tokens of texts: a tokenizer, or a learner of one, whose numbers no later attempt can use."""

    @property
    def dropped(self) -> Dropped:
        """Counts the characters that become no token."""

    @property
    def fingerprint(self) -> str | None:
        """What distinguishes tokenizers; None where the numbers serve this attempt alone."""

    def encode_words(self, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Flat ids of all texts, the number of each text's ids, and where words start (None: not known)."""


def encode_shard(shard: Shard, tokenizer: Encoder, folder: Path) -> Path:
    """The file of the encoded shard in `folder`; one that an earlier attempt finished is kept."""
    path = folder / f"shard-{shard.number:06d}.bin"
    seal, key = path.with_suffix(".json"), shard.key(tokenizer.fingerprint) if tokenizer.fingerprint else None
    old = read_json(seal) if key else None
    if old and old["key"] == key and path.is_file() and checksum(path) == old.get("sha256"):
        return path
    seal.unlink(missing_ok=True)
    arrays, facts = _encoded(shard, tokenizer)
    data = b"".join(array.tobytes() for array in arrays)
    write_bytes(path, data, synced=False)
    write_sealed(seal, {"key": key, "sha256": hashlib.sha256(data).hexdigest(), **facts}, synced=False)
    return path


def _encoded(shard: Shard, tokenizer: Encoder) -> tuple[list[np.ndarray], dict]:
    """The ids, the lengths of the sentences that have any, the word starts, and what the header and the merge need."""
    flat = [sentence for sentences in shard.documents for sentence in sentences]
    ids, lengths, starts = tokenizer.encode_words(flat, shard.adjoining)
    data = "".join(flat).encode("utf-8", "surrogatepass")
    owner = np.repeat(np.arange(len(shard.documents)), [len(sentences) for sentences in shard.documents])
    dropped = tokenizer.dropped.counts(data)
    if any(shard.pairs) and (halved := _halved(lengths, owner, shard.pairs)).any():
        kept = np.repeat(~halved, lengths)
        ids, starts, lengths = ids[kept], starts if starts is None else starts[kept], np.where(halved, 0, lengths)
        dropped = tokenizer.dropped.counts("".join(compress(flat, ~halved)).encode("utf-8", "surrogatepass"))
        dropped[HALVED] = sum(map(len, compress(flat, halved)))
    documents = np.bincount(owner[lengths > 0], minlength=len(shard.documents))  # sentences of each
    facts = {
        "characters": sum(map(len, flat)) + len(shard.between),
        "bytes_utf8": len(data) + len(shard.between.encode("utf-8", "surrogatepass")),
        "dropped": dropped,
        "empty_sentences": int((lengths == 0).sum()),
        "empty_characters": sum(len(sentence) for sentence, n in zip(flat, lengths, strict=True) if n == 0),
        "tokens": int(lengths.sum()),
        "sentences": int((lengths > 0).sum()),
        "documents": documents.tolist(),
        "pairs": int(documents[: len(shard.pairs)][np.array(shard.pairs, bool)].astype(bool).sum()),
        "continues": shard.continues,
        "word_starts": starts is not None,
    }
    arrays = [ids.astype("<u4"), lengths[lengths > 0].astype("<i8")]
    return arrays if starts is None else [*arrays, starts.astype("u1")], facts


def _halved(lengths: np.ndarray, owner: np.ndarray, pairs: Sequence[bool]) -> np.ndarray:
    """Of each sentence, whether it has tokens and is one side of a pair whose other side has none."""
    held = np.bincount(owner[lengths > 0], minlength=len(pairs))
    return (lengths > 0) & (np.array(pairs) & (held == 1))[owner]


def team(workers: int, tokenizer: Path, folder: Path) -> Team[Shard, Path]:
    """Worker processes that encode shards into files of the folder, each with its own copy of the tokenizer."""
    return Team(_work, workers, False, _prepare, str(tokenizer), str(folder))  # not forked: that of a process with threads can hang


_worker: tuple[Tokenizer, Path]


def _prepare(tokenizer: str, folder: str) -> None:
    global _worker  # one tokenizer a process: loading it for each shard would cost more than encoding
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    _worker = Tokenizer.load(tokenizer), Path(folder)


def _work(shard: Shard) -> Path:
    return encode_shard(shard, *_worker)
