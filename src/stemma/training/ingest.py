"""Corpus -> tokenizer -> token stores: made once, found again by what they were made from."""

import fcntl
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from stemma.config import to_plain
from stemma.corpus import read as corpus_read
from stemma.corpus.clean import UNSEEN
from stemma.corpus.document import Document, Ledger
from stemma.corpus.files import STDIN, find
from stemma.corpus.parallel import SEPARATOR
from stemma.corpus.read import fingerprint, read, shared_files
from stemma.corpus.repetition import REPORTED_FROM, Repetition
from stemma.corpus.scripts import LETTERS, count_scripts
from stemma.corpus.split import split
from stemma.errors import DataError
from stemma.kernels.clocks import Spent, working
from stemma.nouns import counted
from stemma.tokens import outside
from stemma.tokens import tokenizer as tokens_tokenizer
from stemma.tokens.build import build_once, learn_and_build
from stemma.tokens.chinese import JUDGED, described, has_chinese, segmenter
from stemma.tokens.dictionary import dictionary_sum
from stemma.tokens.drawn import chosen_sentences, drawn, how_much, spelt_in_part
from stemma.tokens.files import disk_budget, read_sealed, write_sealed
from stemma.tokens.settings import SPACED, SPACES_VERSION, SPECIALS
from stemma.tokens.store import VERSION, TokenStore
from stemma.tokens.tokenizer import Tokenizer

T = TypeVar("T")
BEGINNING = 200_000  # characters of a corpus by which its script is judged
EVERY_SECONDS = 10.0  # between two notes on how far a long reading has come
_END: Any = object()  # of a stream
AGAIN = "the same command makes it again from the corpus"


@dataclass(frozen=True)
class Source:
    """The text of a run: where it stands and how it is read and parted."""

    paths: tuple[str, ...]
    dev: tuple[str, ...]  # held-out text of its own; empty: a share of the corpus is held out
    corpus: corpus_read.Config
    held_out: float
    seed: int
    workers: int = 1
    targets: tuple[str, ...] = ()  # of pairs in two files: the other file of each path

    @property
    def has_dev(self) -> bool:
        """True when some text is held out."""
        return bool(self.dev or self.held_out)

    def identity(self) -> dict[str, Any]:
        """What the text is, independent of where this machine keeps it in a cache."""
        return {"fingerprint": self._fingerprints, "held_out": 0.0 if self.dev else self.held_out, "split_seed": self.seed}

    @cached_property
    def _fingerprints(self) -> list[str]:
        """Of the corpus and of the dev text, which are read through for it once."""
        return [fingerprint(self.paths, self.corpus, self.targets), fingerprint(self.dev, self.corpus) if self.dev else ""]

    def chinese_share(self) -> float:
        """Of the letters at the beginning of the corpus, the share that is Chinese; 0 where it can be read but once, or not at all."""
        found: Counter[str] = Counter()
        try:
            if STDIN in find(self.paths, self.targets).files:
                return 0.0
            for document in read(self.paths, self.corpus, Ledger(), targets=self.targets):
                found.update(count_scripts(document.text))
                if found.total() > BEGINNING:
                    break
        except DataError:  # whoever reads all of it says what is wrong
            return 0.0
        return found["Han"] / max(1, sum(found[script] for script in LETTERS))

    def parts(self, ledger: Ledger) -> Iterator[tuple[str, Document]]:
        """Every document of the corpus with its part, `train` or `dev`; `ledger` counts all that is read."""
        yield from split(read(self.paths, self.corpus, ledger, self.workers, self.targets), 0.0 if self.dev else self.held_out, self.seed)

    def documents(self, part: str, ledger: Ledger) -> Iterator[Document]:
        """The documents of `train` or `dev`; `ledger` counts all that is read."""
        if self.dev and part == "dev":
            yield from read(self.dev, self.corpus, ledger, self.workers)
            return
        yield from (document for which, document in self.parts(ledger) if which == part)


@dataclass(frozen=True)
class Ingested:
    """What the corpus became."""

    tokenizer: Tokenizer
    train: TokenStore  # all of it, or the part that was drawn
    dev: TokenStore | None
    ledger: dict[str, Any]  # of the characters
    costs: dict[str, Any] = field(default_factory=dict)  # `reading` and `tokenizing`, and whether they were `found` ready, made earlier

    @property
    def notes(self) -> list[str]:
        """What a reader should know of how the text was cut: what found the Chinese words, where the user had not said it."""
        config = self.tokenizer.config
        if config.kind == "whitespace" or config.words != "auto" or not self._has_chinese:
            return []
        return [described(self.tokenizer.segmenter)]

    @cached_property
    def _has_chinese(self) -> bool:
        return has_chinese("".join(map(self.tokenizer.text, range(self.tokenizer.vocab_size))))

    @property
    def share(self) -> float:
        """The share of the text's tokens that stand in `train`."""
        part = how_much(self.train)
        return part["tokens"] / part["of_tokens"] if part else 1.0

    def drawn(self, tokens: int, seed: int, documents: Callable[[], Iterable[Document]], note: Callable[[str], None]) -> Self:
        """With the part of `train` that so many tokens are (see `tokens.drawn`); 0, or a pass or more: all of it.

        The vocabulary remains that of the whole text; how unknown words are spelt, which is part of a model's score, is learnt
        from what is read; `documents` gives the text once more for it.
        """
        part = drawn(self.train, tokens, seed)
        if not (found := how_much(part)):
            return self
        where = f"{found['documents']:,} of {counted(found['of_documents'], 'document')}"
        note(f"reading {found['tokens']:,} of {counted(found['of_tokens'], 'token')}, drawn by lot from {where}")
        chosen = chosen_sentences(self.train, tokens, seed)
        return replace(self, train=part, tokenizer=spelt_in_part(part, self.train, chosen, self.tokenizer, documents))

    def full_ledger(self, read: Mapping[str, int]) -> dict[str, Any]:
        """The ledger of a run: what became of all characters and of all tokens, of which `read` itemises those of `train`."""
        part = how_much(self.train)
        whole = part["of_tokens"] if part else len(self.train.ids)
        tokens = {**read, "tokens": whole, "beyond_budget": whole - len(self.train.ids)}
        return {"characters": self.ledger, "tokens": tokens} | ({"drawn": part} if part else {})


def ingest(
    source: Source, tokenizer: tokens_tokenizer.Config, root: Path, note: Callable[[str], None], earlier: Tokenizer | None = None
) -> Ingested:
    """The tokenizer and the stores of the source under `root`, made now or found from an earlier run; `earlier` is grown by it."""
    identity = {**source.identity(), "tokenizer": to_plain(tokenizer), "segmenter": segmenter("rjieba").version, "store": VERSION}
    identity |= {"outside": outside.VERSION} if "unk" in SPECIALS[tokenizer.kind] else {}
    identity |= {"spaces": SPACES_VERSION} if tokenizer.kind in SPACED else {}
    identity |= {"judged": JUDGED} if tokenizer.words == "auto" and tokenizer.kind != "whitespace" else {}
    identity |= {"dictionary": dictionary_sum(tokenizer.dictionary)} if tokenizer.dictionary else {}
    identity |= {"earlier": earlier.fingerprint} if earlier else {}
    key = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()
    home = root / f"{tokenizer.kind}-{key}"
    with _new_folders(home), _alone(home / ".lock"):
        began = working()
        ledger = home / "ledger.json"
        if not ledger.exists():
            note(f"reading {', '.join((*source.paths, *source.targets))} into {tokenizer.kind} tokens")
            if shared := shared_files(source.paths, source.dev) if source.dev else []:
                note(f"held out, and learnt from too: {', '.join(shared)}; the held-out loss is that of text known by heart")
        held_out = home / ".held-out.jsonl"
        try:
            reading = _Reading(source, held_out, note)
            learned, train = learn_and_build(reading.train, tokenizer, home, key, source.workers, earlier)
            dev = build_once(reading.dev, learned, home / "dev", key, source.workers) if source.has_dev else None
            _check_same_kind(train, dev)
            if not ledger.exists():
                parts = [train] if dev is None or source.dev else [train, dev]
                write_sealed(ledger, reading.ledger(parts))
            costs = _costs(home / "costs.json", reading.spent, working().minus(began))
        finally:
            for leftover in (held_out, *home.glob(".*.aside")):  # the latter of a process that was killed
                leftover.unlink(missing_ok=True)
    ingested = Ingested(learned, train, dev, read_sealed(ledger, f"delete {home}; {AGAIN}"), costs)
    for line in () if costs["found"] else (*_left_out(ingested.ledger), *reading.repeated(), *ingested.notes):
        note(line)
    return ingested


def _check_same_kind(train: TokenStore, dev: TokenStore | None) -> None:
    """DataError for held-out text of a file of its own that is of pairs where the corpus is not, or the other way round."""
    if dev is None or not (dev.documents and train.documents) or (train.pairs == train.documents) == (dev.pairs == dev.documents):
        return
    kinds = ["pairs of source and target" if store.pairs == store.documents else "plain text" for store in (train, dev)]
    mend = 'set corpus.format = "pairs" for tables without a header, or give other held-out text'
    raise DataError(f"the corpus is {kinds[0]}, the held-out text {kinds[1]}", "both of one kind", mend)


def _left_out(ledger: Mapping[str, Any]) -> Iterator[str]:
    """What was done to the text that its owner may not expect, reported where it happens: the ledger itemises all."""
    yield from (f"{count:,} {what}" for what, count in ledger["notes"].items() if count)
    unseen = {reason: count for reason, count in ledger["rejected"].items() if reason in UNSEEN}
    if unseen:
        yield f"taken out of the text, since no reader sees them: {', '.join(f'{count:,} {reason}' for reason, count in unseen.items())}"


def _costs(place: Path, reading: Spent, whole: Spent) -> dict[str, Any]:
    """What reading and tokenizing took, now or, where nothing had to be read, in the earlier call that kept it at `place`."""
    if reading == Spent():
        return (read_sealed(place, f"delete {place.parent}; {AGAIN}") if place.exists() else {}) | {"found": True}
    costs = {"reading": reading._asdict(), "tokenizing": whole.minus(reading)._asdict()}
    write_sealed(place, costs | {"made": time.time()})
    return costs | {"found": False}


@contextmanager
def _new_folders(home: Path) -> Iterator[None]:
    """Makes the folder and what leads to it; when reading fails, those that are still empty go again."""
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    home.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        (home / ".lock").unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # not empty: what was built is found again by the next call
                folder.rmdir()
        raise


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits while another process builds here: what it built is then found, not built again."""
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # of this process alone: a forked reader that outlives it holds nobody up
        yield


class _Reading:
    """Starts the corpus anew as often as it is read, keeps the ledger of a whole reading, and what it held out in a file."""

    def __init__(self, source: Source, held_out: Path, note: Callable[[str], None]) -> None:
        self._source, self._held_out, self._note = source, held_out, note
        self._last, self._complete, self._readings = Ledger(), False, 0
        self._pairs = Repetition()
        self.spent = Spent()  # on reading, by the processes that help with it too

    def train(self) -> Iterator[Document]:
        """The documents to learn from; those held out are set aside."""
        self._last, self._complete, self._pairs = Ledger(), False, Repetition()
        self._readings += 1
        again, noted = f", reading {self._readings}" if self._readings > 1 else "", time.monotonic()
        with disk_budget(self._held_out), self._held_out.open("w", encoding="utf-8") as file:
            for part, document in self._timed(self._source.parts(self._last)):
                if time.monotonic() - noted > EVERY_SECONDS:
                    noted = time.monotonic()
                    self._note(f"{self._last.characters_in:,} characters so far{again}")
                if document.pair:
                    self._pairs.add([SEPARATOR.join(document.sentences)])
                if part == "train":
                    yield document
                else:
                    kept = [document.sentences, document.source, document.label, document.joins, document.lead, document.pair]
                    file.write(json.dumps(kept) + "\n")
        self._complete = True

    def dev(self) -> Iterator[Document]:
        """The documents held out: of the last reading, or of one more if none came to its end."""
        if self._source.dev or not self._complete:
            yield from self._timed(self._source.documents("dev", Ledger()))
            return
        with self._held_out.open(encoding="utf-8") as file:
            for line in file:
                sentences, source, label, joins, lead, pair = json.loads(line)
                yield Document(tuple(sentences), source, label, tuple(joins), lead, pair)

    def repeated(self) -> Iterator[str]:
        """A note where a good many pairs stood before in the last reading."""
        if (share := self._pairs.share) > REPORTED_FROM:
            yield f"{share:.0%} of the pairs have stood before; those that are alike are held out together"

    def _timed(self, stream: Iterable[T]) -> Iterator[T]:
        """The stream, and `spent` on what it takes to give: by this thread (others tokenize meanwhile) and by children that end with it."""
        items, children = iter(stream), _children_seconds()
        try:
            while True:
                wall, cpu = time.perf_counter(), time.thread_time()
                item = next(items, _END)
                self.spent = Spent(self.spent[0] + time.perf_counter() - wall, self.spent[1] + time.thread_time() - cpu)
                if item is _END:
                    break
                yield item
        finally:
            self.spent = self.spent.plus(Spent(0.0, _children_seconds() - children))

    def ledger(self, stores: Iterable[TokenStore]) -> dict[str, Any]:
        """The ledger of the corpus files, read once more if no reading came to its end; used is what became tokens of the stores."""
        if not self._complete:
            for _ in self.train():
                pass
        whole = Ledger()
        whole.add(self._last)
        for store in stores:
            whole.take_out(store.dropped)
        return whole.as_dict()


def _children_seconds() -> float:
    """CPU seconds of the child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system
