"""Corpus -> tokenizer -> token stores: made once, found again by what they were made from."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stemma.config import to_plain
from stemma.corpus import read as corpus_read
from stemma.corpus.document import Document, Ledger
from stemma.corpus.read import fingerprint, read
from stemma.corpus.split import split
from stemma.tokens import tokenizer as tokens_tokenizer
from stemma.tokens.build import build_once, learn_and_build
from stemma.tokens.files import write_json
from stemma.tokens.store import TokenStore
from stemma.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Source:
    """The text of a run: where it stands and how it is read and parted."""

    paths: tuple[str, ...]
    dev: tuple[str, ...]  # held-out text of its own; empty: a share of the corpus is held out
    corpus: corpus_read.Config
    held_out: float
    seed: int
    workers: int = 1

    @property
    def has_dev(self) -> bool:
        """True when some text is held out."""
        return bool(self.dev or self.held_out)

    def identity(self) -> dict[str, Any]:
        """What the text is, independent of where this machine keeps it in a cache."""
        given = [fingerprint(self.paths, self.corpus), fingerprint(self.dev, self.corpus) if self.dev else ""]
        share = 0.0 if self.dev else self.held_out
        return {"fingerprint": given, "held_out": share, "split_seed": self.seed}

    def documents(self, part: str, ledger: Ledger) -> Iterator[Document]:
        """The documents of `train` or `dev`; `ledger` counts all that is read."""
        if self.dev or not self.held_out:
            yield from read(self.paths if part == "train" else self.dev, self.corpus, ledger, self.workers)
            return
        for which, document in split(read(self.paths, self.corpus, ledger, self.workers), self.held_out, self.seed):
            if which == part:
                yield document


@dataclass(frozen=True)
class Ingested:
    """What the corpus became."""

    tokenizer: Tokenizer
    train: TokenStore
    dev: TokenStore | None
    ledger: dict[str, Any]


def ingest(
    source: Source, tokenizer: tokens_tokenizer.Config, root: Path, note: Callable[[str], None], earlier: Tokenizer | None = None
) -> Ingested:
    """The tokenizer and the stores of the source under `root`, made now or found from an earlier run; `earlier` is grown by it."""
    identity = {**source.identity(), "tokenizer": to_plain(tokenizer), **({"earlier": earlier.fingerprint} if earlier else {})}
    key = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()
    home = root / f"{tokenizer.kind}-{key}"
    with _new_folders(home), _alone(home / ".lock"):
        ledger = home / "ledger.json"
        if not ledger.exists():
            note(f"reading {', '.join(source.paths)} into {tokenizer.kind} tokens")
        reading = _Reading(source)
        learned, train = learn_and_build(reading.train, tokenizer, home, key, source.workers, earlier)
        dev = build_once(partial(source.documents, "dev", Ledger()), learned, home / "dev", key, source.workers) if source.has_dev else None
        if not ledger.exists():
            write_json(ledger, reading.ledger())
    return Ingested(learned, train, dev, json.loads(ledger.read_text(encoding="utf-8")))


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
    """Starts the corpus anew as often as it is asked to, and keeps the ledger of a whole reading."""

    def __init__(self, source: Source) -> None:
        self._source, self._last, self._complete = source, Ledger(), False

    def train(self) -> Iterator[Document]:
        """The documents to learn from."""
        self._last, self._complete = Ledger(), False
        yield from self._source.documents("train", self._last)
        self._complete = True

    def ledger(self) -> dict[str, Any]:
        """The ledger of the corpus files, read once more if no reading came to its end."""
        if not self._complete:
            for _ in self.train():
                pass
        return self._last.as_dict()
