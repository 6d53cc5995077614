"""Corpus to token store: in parallel, the same bytes for any number of workers, going on after a kill.

Documents are grouped into shards by their characters alone. A worker encodes a shard into one file beside the
future store; finished shards are kept with a checksum and reused by the next attempt on the same text. Merging
takes them in order, writes the store's files, syncs them, and renames the folder into place.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from stemma.config import to_plain
from stemma.corpus.document import Document
from stemma.corpus.files import end_of_links
from stemma.errors import DamagedError, DataError, UsageError
from stemma.tokens.chinese import SAMPLE
from stemma.tokens.files import LOCK, disk_budget, read_json, sync_folder, write_sealed
from stemma.tokens.merge import merge
from stemma.tokens.settings import SPACED
from stemma.tokens.shards import SHARD, Shard, encode_shard, shards, team
from stemma.tokens.store import HEADER, TokenStore, layout, read_header
from stemma.tokens.sums import file_sum
from stemma.tokens.tokenizer import Config, Tokenizer, grow, train
from stemma.tokens.words import Learner

TOKENIZER, LEARNT, STORE = "tokenizer.json", "learnt.json", "store"

Documents = Callable[[], Iterable[Document]]


def learn_and_build(
    documents: Documents, config: Config, out: Path, fingerprint: str, workers: int = 1, earlier: Tokenizer | None = None
) -> tuple[Tokenizer, TokenStore]:
    """The tokenizer and the token store of a corpus in the folder `out`, made where they are missing or stale.

    `documents()` starts the corpus anew; `fingerprint` says which corpus it is. What is there already for the
    same corpus and config is opened, not made again, so that one store serves several objectives. An `earlier`
    tokenizer is grown by the corpus; `fingerprint` must then tell of it too.
    """
    numbered = config.kind in ("word", "whitespace") and not config.phrases and earlier is None
    if numbered and workers <= 1 and not _is_learnt(config, out, fingerprint):
        return _learn_while_building(documents, config, out, fingerprint)
    tokenizer = learn(documents, config, out, fingerprint, earlier)
    return tokenizer, build_once(documents, tokenizer, out / STORE, fingerprint, workers)


def learn(documents: Documents, config: Config, out: Path, fingerprint: str, earlier: Tokenizer | None = None) -> Tokenizer:
    """The tokenizer of a corpus in `out/tokenizer.json`, learnt where it is missing or stale; DamagedError where it is damaged."""
    if _is_learnt(config, out, fingerprint):
        return _found(out)
    texts = chain.from_iterable(document.stretches if config.kind in SPACED else document.sentences for document in documents())
    tokenizer = grow(earlier, texts, config) if earlier else train(texts, config)
    return _kept(tokenizer, config, out, fingerprint)


def _is_learnt(config: Config, out: Path, fingerprint: str) -> bool:
    learnt = read_json(out / LEARNT) or {}
    return (out / TOKENIZER).is_file() and learnt.get("config") == to_plain(config) and learnt.get("fingerprint") == fingerprint


def _found(out: Path) -> Tokenizer:
    """The tokenizer as it was learnt: it cuts all text that is to come."""
    learnt, place = read_json(out / LEARNT) or {}, out / TOKENIZER
    if learnt.get("sum", found := file_sum(place)) != found:  # folders of earlier versions tell no sum
        mend = f"delete {out}; the same command makes it again from the corpus"
        raise DamagedError(f"{place} is damaged: its sum is not the one in {LEARNT}", "the file as it was written", mend)
    return Tokenizer.load(place)


def _kept(tokenizer: Tokenizer, config: Config, out: Path, fingerprint: str) -> Tokenizer:
    """The tokenizer, written to `out` with what it was learnt from."""
    (out / LEARNT).unlink(missing_ok=True)
    tokenizer.save(out / TOKENIZER)
    write_sealed(out / LEARNT, {"config": to_plain(config), "fingerprint": fingerprint, "sum": file_sum(out / TOKENIZER)})
    return tokenizer


def _learn_while_building(documents: Documents, config: Config, out: Path, fingerprint: str) -> tuple[Tokenizer, TokenStore]:
    """The same tokenizer and store from one reading: words are numbered as they come, and get their ids in the end."""
    stream = iter(documents())
    head: list[Document] = []
    while sum(len(document.sentences) for document in head) < SAMPLE and (more := list(islice(stream, 1))):
        head += more
    learner = Learner([sentence for document in head for sentence in document.sentences][:SAMPLE], config)
    store = out / STORE
    with _aside(store) as aside:
        done = [encode_shard(shard, learner, aside) for shard in shards(chain(head, stream))]
        engine, ids = learner.finish()
        tokenizer = _kept(Tokenizer(engine), config, out, fingerprint)
        merge(done, tokenizer, aside, fingerprint, ids)
    return tokenizer, TokenStore.open(store)


def build_once(documents: Documents, tokenizer: Tokenizer, out: Path, fingerprint: str, workers: int = 1) -> TokenStore:
    """The store in `out`, built where it is missing, or was made of another corpus or by another tokenizer.

    One that is there is read through and its checksums compared (100 MB: 0.1 seconds); DataError names a damaged file.
    """
    if is_current(out, tokenizer, fingerprint):
        store = TokenStore.open(out)
        store.verify()
        return store
    return build(documents(), tokenizer, out, workers, fingerprint)


def is_current(out: Path, tokenizer: Tokenizer, fingerprint: str) -> bool:
    """True when a finished store of that corpus and tokenizer stands in `out`."""
    try:
        header = read_header(out)
    except DataError:
        return False
    return header["tokenizer"] == tokenizer.fingerprint and header["fingerprint"] == fingerprint


def build(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    out: Path | str,
    workers: int = 1,
    fingerprint: str = "",
    shard_characters: int = SHARD,
) -> TokenStore:
    """A new token store of the documents in the folder `out`; any old one there is replaced at the very end.

    The bytes depend on documents and tokenizer only, never on `workers` or `shard_characters`. Raises BudgetError when the disk is
    full; nothing is left then. After a kill the next call on the same text takes up the finished shards.
    """
    with _aside(Path(out)) as aside:
        if workers > 1:
            tokenizer.save(aside / TOKENIZER)
        done = list(_encoded(shards(documents, shard_characters), tokenizer, aside, workers))
        merge(done, tokenizer, aside, fingerprint)
    return TokenStore.open(out)


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder beside the store `out` that takes its place when all has gone well."""
    out = end_of_links(out)  # a link stays one
    _check_free(out)
    aside = out.with_name(f"{out.name}.part")
    with disk_budget(out, clear=aside):
        aside.mkdir(parents=True, exist_ok=True)
        yield aside
        _place(aside, out)


def _encoded(texts: Iterator[Shard], tokenizer: Tokenizer, aside: Path, workers: int) -> Iterator[Path]:
    """The shards' files in order; never more than two shards a worker in memory."""
    if workers <= 1:
        for shard in texts:
            yield encode_shard(shard, tokenizer, aside)
        return
    waiting: deque[Future[Path]] = deque()
    with team(workers, aside / TOKENIZER, aside) as helpers:
        for shard in texts:
            waiting.append(helpers.submit(shard))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _check_free(out: Path) -> None:
    """Nothing but a store may be replaced by a store."""
    others = [path.name for path in out.iterdir() if path.name not in (HEADER, LOCK, *layout("u2"))] if out.is_dir() else []
    if others or out.is_file():
        wrong = f"{out} holds other files ({', '.join(others[:3])})" if others else f"{out} is a file"
        raise UsageError(wrong, "a folder for the token store alone", "name a new folder")


def _place(aside: Path, out: Path) -> None:
    for leftover in (aside / TOKENIZER, *aside.glob("shard-*"), *aside.glob(".*.aside")):  # of an earlier attempt on a longer text
        leftover.unlink(missing_ok=True)
    old = out.with_name(f"{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    aside.rename(out)
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
