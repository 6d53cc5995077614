"""Reads the user's text as a stream of documents; memory does not grow with the corpus, workers do not change the result."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from filecmp import cmp
from functools import partial
from pathlib import Path

from stemma.config import to_plain
from stemma.corpus.blocks import blocks
from stemma.corpus.document import Document, Ledger
from stemma.corpus.files import STDIN, Found, find, size, text_suffix
from stemma.corpus.formats import Config
from stemma.corpus.parse import Block, Parsed, parse
from stemma.corpus.urls import is_url, state_at
from stemma.corpus.workers import ordered_map
from stemma.errors import DataError, UsageError
from stemma.nouns import counted

__all__ = ["AS_KEPT", "Config", "Joiner", "fingerprint", "keep_texts", "no_text", "parsed_blocks", "read", "shared_files", "spool_stdin"]

RULES = 2  # raised whenever the same text would be cut otherwise than before, so that stores made earlier are made anew
_HASHED = 1 << 30  # bytes; a corpus up to this size is known by its content, a bigger one by sizes and times
SPOOLED = "stdin.txt"  # what standard input gave
AS_KEPT = ("corpus.format=jsonl", "corpus.field=text", "corpus.encoding=utf-8", "corpus.documents=auto")  # how `keep_texts` is read
PAIRS = "documents read as pairs of a source and its target"
PARTS = "documents handed on in parts, being too long"


def read(
    paths: Sequence[str | Path], config: Config, ledger: Ledger, workers: int = 1, targets: Sequence[str | Path] = ()
) -> Iterator[Document]:
    """The documents of the files, in order; `ledger` is complete when the last one has been taken.

    With `targets`, as many other files, each line and the one beside it there are a pair.
    Raises DataError, naming file and line, for what cannot be read as the config says, and for a corpus without text.
    """
    found = find(paths, targets)
    ledger.notes.update({"files passed over, not .txt or .jsonl": len(found.skipped)} if found.skipped else {})
    ledger.notes.update({"files named twice, read once": len(found.repeated)} if found.repeated else {})
    before = ledger.documents
    joiner = Joiner(config, ledger)
    for parsed in parsed_blocks(found, config, workers):
        if isinstance(parsed, DataError):
            raise parsed
        yield from joiner.documents(parsed)
    if ledger.documents == before:
        raise no_text(found, ledger)


class Joiner:
    """Joins the segments of consecutive blocks into documents, and counts them."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._limit, self._ledger = config.max_document, ledger
        self._sentences: list[str] = []
        self._joins: list[str] = []  # what stands before each of them
        self._size, self._line, self._label, self._in_parts, self._pairs = 0, 1, "", False, False

    def documents(self, parsed: Parsed) -> Iterator[Document]:
        """The documents that this block completes."""
        self._ledger.add(parsed.ledger)
        self._pairs = parsed.format == "pairs"
        if parsed.last and not parsed.ledger.characters_in and not parsed.segments[0].line > 1:
            self._ledger.notes["empty files"] += 1
        for index, segment in enumerate(parsed.segments):
            if index:
                yield from self._close(parsed.source)
            if not self._sentences:
                self._line, self._label = segment.line, segment.label
            self._sentences += segment.sentences
            self._joins += segment.joins
            self._size += sum(map(len, segment.sentences))
            while self._size > self._limit and len(self._sentences) > 1 and not self._pairs:
                yield self._part(parsed.source)
                self._line = segment.line
        if parsed.last:
            yield from self._close(parsed.source)

    def _part(self, source: str) -> Document:
        """The first sentences of a document that is too long to be held in memory whole."""
        if not self._in_parts:
            self._ledger.notes[PARTS] += 1
        size = count = 0
        for sentence in self._sentences[:-1]:
            if count and size + len(sentence) > self._limit:
                break
            size, count = size + len(sentence), count + 1
        self._size -= size
        part = self._document(self._sentences[:count], self._joins[:count], source)
        self._sentences, self._joins, self._in_parts = self._sentences[count:], self._joins[count:], True
        return part

    def _close(self, source: str) -> Iterator[Document]:
        if self._sentences:
            yield self._document(self._sentences, self._joins, source)
        self._sentences, self._joins, self._size, self._in_parts = [], [], 0, False

    def _document(self, sentences: list[str], joins: list[str], source: str) -> Document:
        self._ledger.documents += 1
        self._ledger.notes.update({PAIRS: 1} if self._pairs else {})
        self._ledger.sentences += len(sentences)
        inner = () if joins.count(" ") == len(joins) else tuple(joins[1:])
        lead = joins[0] if self._in_parts else None
        return Document(tuple(sentences), f"{source}:{self._line}", self._label, inner, lead, self._pairs)


def parsed_blocks(found: Found, config: Config, workers: int = 1) -> Iterator[Parsed | DataError]:
    """Every block of the files, parsed by `workers` processes and handed back in order, whatever their number."""
    return ordered_map(partial(_parse, config=config), blocks(found.files, config, targets=found.targets), workers)


def fingerprint(paths: Sequence[str | Path], config: Config, targets: Sequence[str | Path] = ()) -> str:
    """A short name for this input read this way: equal names mean equal documents.

    Up to 1 GiB the files' bytes count, not their names or times; beyond that, and of URLs, names, sizes and what tells of changes.
    """
    found = find(paths, targets)
    if STDIN in (*found.files, *found.targets):
        raise DataError("standard input has no fingerprint: it can be read only once", "files", "keep it in a file first (spool_stdin)")
    files = [*found.files, *found.targets]
    sizes = [size(file) for file in files]
    rules = [RULES, to_plain(config), sizes, *([len(found.targets)] if found.targets else [])]
    digest = hashlib.blake2b(json.dumps(rules, sort_keys=True).encode(), digest_size=16)
    for file in files:
        if is_url(file):
            digest.update(f"{file}\0{state_at(file)}\0".encode())
        elif sum(sizes) > _HASHED:
            digest.update(f"{Path(file).resolve()}\0{Path(file).stat().st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        else:
            digest.update(text_suffix(file).encode("utf-8", "surrogateescape"))
            with Path(file).open("rb") as stream:
                while data := stream.read(1 << 20):
                    digest.update(data)
    return digest.hexdigest()


def shared_files(paths: Sequence[str | Path], others: Sequence[str | Path]) -> list[str]:
    """The files of `others` with the same bytes as one of `paths`, whatever they are called."""
    sizes: dict[int, list[str]] = {}
    for file in find(paths).files:
        sizes.setdefault(size(file), []).append(file)
    alike = {file: sizes.get(size(file), []) for file in find(others).files}
    return [file for file, beside in alike.items() if any(_same(file, one) for one in beside)]


def _same(file: str, other: str) -> bool:
    """True for the same bytes; of URLs, which are not read for it, for the same address."""
    return file == other if is_url(file) or is_url(other) else cmp(file, other, shallow=False)


def spool_stdin(folder: Path) -> Path:
    """Keeps standard input as a file in `folder`, since a corpus is read more than once; gives back its path."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "stdin.part"
    try:
        with aside.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        return aside.replace(folder / SPOOLED)
    finally:
        aside.unlink(missing_ok=True)


def keep_texts(texts: Iterable[str], folder: Path) -> Path:
    """Keeps texts as a file of JSON lines in `folder`, each a document, since a corpus is read more than once; gives back its path."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(texts, str):
        raise UsageError("texts is one string, which would be read letter by letter", "a list of texts", "write [text]")
    aside = folder / "texts.part"
    with aside.open("wb") as file:
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"texts[{place}] is {text!r:.60}", "a text as a string", "fill it in, or leave it out")
            file.write(json.dumps({"text": text}, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return aside.replace(folder / "texts.jsonl")


def no_text(found: Found, ledger: Ledger) -> DataError:
    """The error for a corpus in which not one sentence was found."""
    names = ", ".join(found.files[:3]) + (f" and {len(found.files) - 3} more" if len(found.files) > 3 else "")
    held = ", ".join(f"{counted(count, 'character')} of {reason}" for reason, count in ledger.rejected.items() if count) or "no characters"
    return DataError(f"{names}: no text in it; it holds {held}", "at least one sentence", "check that this is the file you mean")


def _parse(job: Block | DataError, config: Config) -> Parsed | DataError:
    return job if isinstance(job, DataError) else parse(job, config)
