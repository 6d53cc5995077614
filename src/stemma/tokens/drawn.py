"""A part of a token store, drawn by lot from all of it: what a budget of less than one pass reads.

The text is cut into *passages*: whole documents, or parts of those that are long. Lots order the passages by the seed and their
place in the text alone, never by the tokenizer, so that every generation reads a beginning of one order, and a greater budget
reads all that a smaller one does. What is drawn stays in the order of the text: sentences and what joins them are unbroken.

P passages, S sentences, D documents.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import compress, pairwise
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from stemma.corpus.document import Document
from stemma.errors import RunError
from stemma.tokens.characters import SPACE
from stemma.tokens.files import LOCK, disk_budget, one_writer, read_json, sync_folder, write_sealed
from stemma.tokens.merge import BitWriter, Writer
from stemma.tokens.outside import Outside, left_out_of_part
from stemma.tokens.sample import batches
from stemma.tokens.store import HEADER, VERSION, WORDS, TokenStore, layout
from stemma.tokens.tokenizer import LISTED, Tokenizer

LONGEST = 64  # sentences of a passage at most: more than a network sees at once, and little of a text
PASSAGES = 1000  # that a text of few and long documents is cut into, if it has as many sentences
OUTSIDE = "outside.json"  # how unknown words are spelt in a part (`tokens.outside`)
BLOCK = 1 << 22  # tokens copied at a time
KEPT = ("format", "version", "dtype", "kind", "vocab_size", "tokenizer", "segmenter")  # of the whole store's header


@dataclass(frozen=True)
class Drawn:
    """How much of a store was drawn."""

    documents: int  # those of which something was drawn
    of_documents: int
    passages: int
    of_passages: int
    tokens: int
    of_tokens: int


def drawn(store: TokenStore, tokens: int, seed: int) -> TokenStore:
    """The part of `store` that a budget of `tokens` reads: `tokens` at most (one sentence or pair at least).

    0, or as many as there are: `store`.

    It stands on disk beside the store, and is found there again; its characters are not counted. Raises BudgetError
    when the disk is full and DataError when what is found there is damaged.
    """
    if not tokens or tokens >= len(store.ids):
        return store
    made_from = f"{VERSION}/{store.header['tokenizer']}/{store.header['fingerprint']}"
    name = hashlib.blake2b(f"{made_from}/{tokens}/{seed}".encode(), digest_size=8).hexdigest()
    out = store.path.with_name(f"{store.path.name}-drawn-{name}")
    if not (out / HEADER).exists():
        _write(store, chosen_sentences(store, tokens, seed), out, f"{store.header['fingerprint']}/{tokens}/{seed}")
    part = TokenStore.open(out)
    part.verify()
    return part


def spelt_in_part(
    part: TokenStore, store: TokenStore, chosen: np.ndarray, tokenizer: Tokenizer, documents: Callable[[], Iterable[Document]]
) -> Tokenizer:
    """The tokenizer that tells how unknown words are spelt in the `part` that the `chosen` sentences (S) of `store` are, and no others.

    The text is read once more for it, and what was found kept beside the part; pieces, whose vocabulary tells it, are given back as
    they are, and so is a tokenizer that tells of no spelling.
    """
    if tokenizer.outside is None or tokenizer.kind not in LISTED:
        return tokenizer
    kept = part.path / OUTSIDE
    found = Outside.from_json(read_json(kept))
    if found is None:
        spellings = _unknown_words(chosen, tokenizer, documents()) if part.unknown else Counter[str]()
        found = left_out_of_part(spellings, _known(tokenizer, store.counts))
        write_sealed(kept, found.as_json())
    return tokenizer.spelling_by(found)


def how_much(store: TokenStore) -> dict[str, int]:
    """The facts of `Drawn` for a store that `drawn` gave; empty for a whole one."""
    return store.header.get("drawn", {})


def chosen_sentences(store: TokenStore, tokens: int, seed: int) -> np.ndarray:
    """Which sentences (S) bool a budget of `tokens` reads: whole passages by lot, and the beginning of the one that is too many."""
    borders, document, part = passages(store)
    starts = np.asarray(store.sentence_starts)
    order = np.argsort(_lots(document, part, seed), kind="stable")
    reached = np.cumsum(np.diff(starts[borders])[order])
    whole = int(np.searchsorted(reached, tokens, side="right"))
    taken = np.zeros(len(order), np.bool_)
    taken[order[:whole]] = True
    chosen = np.repeat(taken, np.diff(borders))
    if whole < len(order) and not (store.pairs and whole):
        first = borders[order[whole]]
        left = tokens - (int(reached[whole - 1]) if whole else 0)
        fitting = int(np.searchsorted(starts[first:], starts[first] + left, side="right")) - 1
        chosen[first : first + (fitting if whole else max(2 if store.pairs else 1, fitting))] = True
    return chosen


def passages(store: TokenStore) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(borders (P+1) among the sentences, document (P), part of the document (P)). They depend on the sentences, not on their tokens."""
    starts = np.asarray(store.document_starts)
    sentences = np.diff(starts)
    longest = max(2 if store.pairs else 1, min(LONGEST, store.sentences // PASSAGES))
    parts = -(-sentences // longest)
    document = np.repeat(np.arange(len(sentences)), parts)
    part = np.arange(len(document)) - np.repeat(np.cumsum(parts) - parts, parts)
    first = starts[document] + part * sentences[document] // parts[document]  # the parts of a document are about equal
    return np.append(first, store.sentences), document, part


def _unknown_words(chosen: np.ndarray, tokenizer: Tokenizer, documents: Iterable[Document]) -> Counter[str]:
    """Spellings of what the vocabulary lacks in the chosen sentences, of those that hold a token, and how often each stands there."""
    found, unknown, at = Counter[str](), tokenizer.specials["unk"], 0
    for batch in batches(sentence for document in documents for sentence in document.sentences):
        ids, lengths = tokenizer.encode_flat(batch)
        held = np.flatnonzero(lengths)
        taken = np.zeros(len(batch), np.bool_)
        taken[held] = chosen[at : at + len(held)]
        at += len(held)
        own = np.repeat(taken, lengths)
        found.update(tokenizer.spellings(list(compress(batch, taken)), ids[own] == unknown))
    return found


def _known(tokenizer: Tokenizer, counts: np.ndarray) -> list[str]:
    """The words of the vocabulary by falling frequency, phrases aside."""
    first = max(tokenizer.specials.values()) + 1
    tokens = [tokenizer.token(first + int(place)) for place in np.argsort(-counts[first:], kind="stable")]
    if tokenizer.kind == "char":
        return [" " if token == SPACE else token for token in tokens]
    return [token for token in tokens if not (tokenizer.config.phrases and "_" in token)]


def _lots(document: np.ndarray, part: np.ndarray, seed: int) -> np.ndarray:
    """(P) uint64: a draw for each passage, of the seed and its place."""
    from stemma.kernels.draws import STEP, scrambled  # Numba: only where something is drawn

    state = scrambled(np.full(len(document), seed, np.uint64) * STEP + STEP)
    state = scrambled(state + (document.astype(np.uint64) + np.uint64(1)) * STEP)
    return scrambled(state + (part.astype(np.uint64) + np.uint64(1)) * STEP)


def _write(store: TokenStore, chosen: np.ndarray, out: Path, fingerprint: str) -> None:
    """The chosen sentences as a store of its own, whole or not at all. Where another process was first, its equal one stays."""
    for stale in out.parent.glob(f".{out.name}-*"):
        with suppress(RunError), one_writer(stale):  # nobody's: of a process that was killed
            shutil.rmtree(stale)
    with disk_budget(out):
        aside = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            with one_writer(aside):
                _write_aside(store, chosen, aside, fingerprint)
                aside.replace(out)
                (out / LOCK).unlink()
            sync_folder(out.parent)
        except OSError:
            if not (out / HEADER).exists():
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _write_aside(store: TokenStore, chosen: np.ndarray, aside: Path, fingerprint: str) -> None:
    kinds = layout(store.header["dtype"])
    files = {name: (BitWriter if name == WORDS else Writer)(aside / name, kind) for name, kind in kinds.items()}
    counts = np.zeros(store.vocab_size, np.int64)
    for first, last in _blocks(store):
        begin, end = store.sentence_starts[[first, last]]
        kept = np.repeat(chosen[first:last], np.diff(store.sentence_starts[first : last + 1]))
        ids = store.ids[begin:end][kept]
        files["ids.bin"].add(ids)
        counts += np.bincount(ids, minlength=len(counts))
        if len(store.word_bits):
            files[WORDS].add(store.word_starts(begin, end)[kept])
    lengths, begins = np.diff(store.sentence_starts)[chosen], _document_starts(store, chosen)
    files["sentences.bin"].add(np.append(0, np.cumsum(lengths)))
    files["documents.bin"].add(np.append(begins, len(lengths)))
    files["counts.bin"].add(counts)
    header = {
        **{name: store.header[name] for name in KEPT},
        "documents": len(begins),
        "sentences": len(lengths),
        "tokens": int(lengths.sum()),
        "pairs": len(begins) if store.pairs == store.documents else 0,
        "fingerprint": fingerprint,
        "drawn": asdict(_measured(store, chosen, int(lengths.sum()))),
        "files": {name: file.close() for name, file in files.items()},
    }
    write_sealed(aside / HEADER, header)


def _blocks(store: TokenStore) -> Iterator[tuple[int, int]]:
    """Ranges of sentences of about BLOCK tokens."""
    starts = np.asarray(store.sentence_starts)
    borders = np.searchsorted(starts[:-1], np.arange(0, starts[-1], BLOCK))
    yield from pairwise(np.unique(np.append(borders, store.sentences)).tolist())


def _document_starts(store: TokenStore, chosen: np.ndarray) -> np.ndarray:
    """Places among the chosen sentences where a document begins, or goes on behind a gap."""
    begins = np.append(True, ~chosen[:-1])
    begins[np.asarray(store.document_starts)[:-1]] = True
    return np.flatnonzero(begins[chosen])


def _measured(store: TokenStore, chosen: np.ndarray, tokens: int) -> Drawn:
    borders, document, _ = passages(store)
    touched = np.logical_or.reduceat(chosen, borders[:-1])
    return Drawn(len(np.unique(document[touched])), store.documents, int(touched.sum()), len(touched), tokens, len(store.ids))
