"""Splits a stream of documents into train and dev, the same way on every machine and for any number of workers.

Documents are held out whole, chosen by a hash of their text and the seed, so that two copies of a
document always fall on the same side. Where that cannot give about the share that is set (one
document, or a few long ones), every document instead holds out one unbroken run of its sentences; pairs of source and target stay
whole.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from stemma.corpus.document import Document

Side = Literal["train", "dev"]
NONE = -1.0  # a threshold that holds out nothing
LOOK_AHEAD = 8_000_000  # characters read before it is decided which way to split


def split(documents: Iterable[Document], share: float = 0.05, seed: int = 0) -> Iterator[tuple[Side, Document]]:
    """Every document with its side; about `share` (0 to 1) of the characters go to "dev".

    Holds at most LOOK_AHEAD characters (and the document that passes them) in memory.
    """
    stream = iter(documents)
    if share <= 0:
        yield from (("train", document) for document in stream)
        return
    ahead, whole = _look_ahead(stream)
    limit = _threshold(ahead, whole, share, seed)
    forced = _longest(ahead, share, seed) if whole and limit is None else None
    for document in chain(ahead, stream):
        if limit is None:
            yield from _split_inside(document, share, seed, forced)
        else:
            yield ("dev" if place(document, seed)[0] <= limit else "train"), document


def place(document: Document, seed: int) -> tuple[float, float]:
    """Two numbers from 0 to below 1 that depend on the document's text and the seed alone, of a pair on its source.

    So all translations of one source fall on the same side.
    """
    digest = hashlib.blake2b(digest_size=16, key=seed.to_bytes(8, "little", signed=True))
    for sentence in document.sentences[:1] if document.pair else document.sentences:
        digest.update(sentence.encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    first, second = digest.digest()[:6], digest.digest()[6:12]
    return int.from_bytes(first, "little") / 2**48, int.from_bytes(second, "little") / 2**48


def _look_ahead(stream: Iterator[Document]) -> tuple[list[Document], bool]:
    """The first documents, and whether they are all there are."""
    ahead, size = [], 0
    for document in stream:
        ahead.append(document)
        size += _size(document)
        if size > LOOK_AHEAD:
            return ahead, False
    return ahead, True


def _threshold(ahead: list[Document], whole: bool, share: float, seed: int) -> float | None:
    """Documents placed at or below it are held out; None when whole documents cannot give the share.

    A corpus seen whole gets the threshold that comes nearest to the share; of a longer one, what
    was seen says only whether the share itself will do.
    """
    total = sum(map(_size, ahead))
    sizes: dict[float, int] = {}
    for document in ahead:
        at = place(document, seed)[0]
        sizes[at] = sizes.get(at, 0) + _size(document)
    held, best, best_held = 0, None, 0
    for at in sorted(sizes):
        held += sizes[at]
        if best is None or abs(held - share * total) < abs(best_held - share * total):
            best, best_held = at, held
    if any(document.pair for document in ahead):  # which are never parted: one pair at least, where there are two
        return share if not whole else best if best is not None and best_held < total else NONE
    if best is None or len(sizes) < 2 or not 0.5 * share * total <= best_held <= 2 * share * total or best_held == total:
        return None
    if whole:
        return best
    expected = sum(size for at, size in sizes.items() if at <= share)
    return share if 0.4 * share * total <= expected <= 2.5 * share * total else None


def _run(document: Document, share: float, seed: int) -> int:
    """How many of its sentences a document holds out: the share of them, rounded up or down by its own lot."""
    return int(share * len(document.sentences) + place(document, seed)[1])


def _longest(documents: list[Document], share: float, seed: int) -> Document | None:
    """The document that must give a sentence, where none would give one by itself."""
    if not documents or any(_run(document, share, seed) for document in documents):
        return None
    return max(documents, key=lambda document: len(document.sentences))


def _split_inside(document: Document, share: float, seed: int, forced: Document | None) -> Iterator[tuple[Side, Document]]:
    """The document's sentences in order, one run of them held out."""
    sentences = document.sentences
    run = 0 if document.pair else _run(document, share, seed)
    if forced and sentences == forced.sentences and len(sentences) > 1 and not document.pair:
        run = 1
    start = int(place(document, seed)[0] * (len(sentences) - run + 1))
    if not run:
        yield "train", document
        return
    parts: tuple[tuple[Side, Document], ...] = (
        ("train", document.part(0, start)),
        ("dev", document.part(start, start + run)),
        ("train", document.part(start + run, len(sentences))),
    )
    for side, part in parts:
        if part.sentences:
            yield side, part


def _size(document: Document) -> int:
    return sum(map(len, document.sentences))
