"""Models of other programs as run folders, which every verb then takes: word vectors (`word2vec`), ARPA (`ngram`).

What a file is, is read from its contents, never from its name. Memory holds the vocabulary and a chunk of the vectors,
however large the file. Nothing is left out uncounted: the ledger and the card say what became of every word.

V vocabulary, D width.
"""

import codecs
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import VERSION, to_plain
from stemma.errors import DataError, UsageError
from stemma.export import vectors_in
from stemma.export.arpa import read_arpa
from stemma.export.aside import written_aside
from stemma.export.fasttext import MAGIC, open_fasttext
from stemma.export.huggingface_in.folder import Found, is_huggingface, read_huggingface
from stemma.export.huggingface_in.heads import Learnt
from stemma.export.sentence_transformers import model_folder
from stemma.export.spelling import named
from stemma.export.streams import reading
from stemma.export.tensorflow_in import is_tensorflow, read_tensorflow
from stemma.export.vectors_in import Chunk
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.runs.pooling import TOKENS
from stemma.tokens.chinese import GIVEN, segmenter
from stemma.tokens.files import checksum
from stemma.tokens.settings import SPECIALS
from stemma.tokens.settings import Config as TokenConfig
from stemma.tokens.tokenizer import Tokenizer
from stemma.tokens.words import Words

Kind = Literal["huggingface", "tensorflow", "elmo", "arpa", "fasttext", "word2vec", "word2vec-binary", "glove"]
TITLES: dict[Kind, str] = {
    "huggingface": "Hugging Face folder",
    "tensorflow": "TensorFlow checkpoint",
    "elmo": "ELMo weights (HDF5)",
    "arpa": "ARPA file",
    "fasttext": "fastText model",
    "word2vec": "word2vec text",
    "word2vec-binary": "word2vec binary",
    "glove": "GloVe text (no header)",
}
KNOWN = f"one of {', '.join(TITLES.values())}; plain, gz, bz2 or xz"
HDF5 = b"\x89HDF\r\n\x1a\n"
HEAD = 1 << 20  # bytes that tell what a file is
WORDS_AT_ONCE = 1 << 16
SHOWN = 5  # words that are named where many are counted
SPECIAL_WORDS = tuple(SPECIALS["word"].values())  # ids 0, 1, 2


@dataclass
class WordLedger:
    """What became of the words of a file."""

    words_in: int = 0
    words_used: int = 0
    repeated: int = 0  # an earlier line has the word: the first one counts
    unreadable: int = 0  # not UTF-8, or a number that is not finite; left out on demand only
    without_vector: int = 0  # used, but their vector is zero: they are no one's neighbour
    reached_by_text: int = 0  # used, and what the tokenizer cuts out of a text; the others are found by name alone
    first_repeated: list[str] = field(default_factory=list)  # a few of them


def to_run(source: Path, target: Path, skip_bad: bool = False, task: str = "") -> Path:
    """Writes the run folder of a file of word vectors, of an ARPA file, of ELMo's published weights or of a Hugging Face folder.

    DataError names the file's line or word that is wrong; `skip_bad` leaves words out (and counts them) that are not UTF-8 or
    whose numbers are not finite. `task` is what the head of a Hugging Face folder has learnt, or `none`. UsageError where the target
    is taken. A failure leaves no folder behind.
    """
    if task and not is_huggingface(source):
        raise UsageError(f"{source} is no Hugging Face folder, and has no task {task}", "a folder with a head", "drop --task")
    with written_aside(target) as folder:
        if is_huggingface(source):
            _whole_model(source, folder, "huggingface", read_huggingface(source, task))
            return target
        if is_tensorflow(source):
            _whole_model(source, folder, "tensorflow", read_tensorflow(source))
            return target
        kind = recognise(source)
        if kind == "elmo":
            from stemma.export import published_elmo  # not for word vectors

            _whole_model(source, folder, kind, published_elmo.read_elmo(source))
        elif kind == "arpa":
            _ngrams(source, folder)
        else:
            _word_vectors(source, kind, folder, skip_bad)
    return target


def recognise(path: Path) -> Kind:
    """What the file is, by its first bytes; DataError where it is nothing known."""
    with reading(path, KNOWN) as file:
        head = _head(file)
    if head.startswith(MAGIC):
        return "fasttext"
    if head.startswith(HDF5):
        return "elmo"
    lines = head.split(b"\n")
    if any(line.strip() == b"\\data\\" for line in lines):
        return "arpa"
    header = vectors_in.HEADER.match(head)
    if header and int(header[2]):
        return "word2vec" if vectors_in.is_line(lines[1]) else "word2vec-binary"
    if vectors_in.is_line(lines[0]):
        return "glove"
    shown = repr(lines[0][:30].decode("utf-8", "backslashreplace"))
    raise DataError(f"{path} begins with {shown}: no format that Stemma reads", KNOWN, "check the file")


def _head(file: IO[bytes]) -> bytes:
    """The file's first bytes, but for a byte order mark, which is no part of its first word."""
    return file.read(HEAD).removeprefix(codecs.BOM_UTF8)


def _word_vectors(source: Path, kind: Kind, folder: Path, skip_bad: bool) -> None:
    from stemma.lineage.word2vec import Config

    counts = None
    with (folder / ".rows.aside").open("wb+") as rows:
        gathered = _Gathered(rows, skip_bad)
        if kind == "fasttext":
            model = open_fasttext(source)
            gathered.take(model.chunks())
            counts = dict(zip(model.words, model.counts.tolist(), strict=True))
        else:
            with reading(source, KNOWN) as file:
                head = _head(file)
                if kind == "word2vec-binary":
                    gathered.take(vectors_in.read_records(source.name, file, head))
                else:
                    gathered.take(vectors_in.read_lines(source.name, file, head, headed=kind == "word2vec"))
        vectors = gathered.vectors(source.name)
        ledger, tokens = gathered.ledger, gathered.tokens
        tokenizer = _tokenizer(tokens)
        ledger.reached_by_text, strangers = _reached(tokenizer)
        if strangers:
            number, some = ledger.words_used - ledger.reached_by_text, ", ".join(map(repr, strangers))
            wrong = f"{number:,} of {ledger.words_used:,} words ({some}) never stand in a text as Stemma cuts it"
            warnings.warn(f"{source.name}: {wrong}; they are found by name alone (nearest, evaluate)", stacklevel=2)
        sections = {"tokenizer": to_plain(tokenizer.config), "model": to_plain(Config(width=vectors.shape[1]))}
        trained = np.any(vectors, axis=1)
        ledger.without_vector = ledger.words_used - int(trained.sum())
        if ledger.repeated:
            some = ", ".join(map(repr, ledger.first_repeated))
            warnings.warn(
                f"{source.name}: {counted(ledger.repeated, 'word is', 'words are')} repeated ({some}); the first vector of each counts",
                stacklevel=2,
            )
        if ledger.unreadable:
            warnings.warn(
                f"{source.name}: {counted(ledger.unreadable, 'word is', 'words are')} left out: not UTF-8, or not finite", stacklevel=2
            )
        seen = [counts.get(token.encode(), 0) for token in tokens] if counts else trained
        tensors = {"input": vectors, "output": np.zeros(vectors.shape, np.float32), "counts": np.asarray(seen, np.int64)}
        tensors["counts"][: len(SPECIAL_WORDS)] = 0
        card = _card("word2vec", source, kind, sections, _ledger_lines(ledger, tokenizer, kind))
        _finish(folder, "word2vec", source, kind, sections, tokenizer, tensors, asdict(ledger), card)
    (folder / ".rows.aside").unlink()


class _Gathered:
    """The words of a file, each once, with the specials first; their vectors go to the file `rows` as they come."""

    def __init__(self, rows: Any, skip_bad: bool) -> None:
        self.ledger = WordLedger()
        self._rows, self._skip_bad = rows, skip_bad
        self._specials = SPECIAL_WORDS
        self._special_rows: dict[str, np.ndarray] = {}
        self._index = dict.fromkeys(self._specials)  # an ordered set
        self._width = 0

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, in the order of the rows."""
        return list(self._index)

    def take(self, chunks: Iterator[Chunk]) -> None:
        """All that the chunks hold."""
        for chunk in chunks:
            if not self._width:
                self._width = chunk.vectors.shape[1]
                self._rows.write(bytes(4 * self._width * len(self._specials)))
            self._add(chunk)

    def vectors(self, name: str) -> np.ndarray:
        """All rows (V D) float32, memory-mapped; DataError if there are none."""
        if not self.ledger.words_used:
            raise DataError(f"{name} holds no word", "a word and its numbers a line", "check the file")
        self._rows.seek(0)
        for special in self._specials:
            self._rows.write(self._special_rows.get(special, np.zeros(self._width, "<f4")).tobytes())
        self._rows.flush()
        return np.memmap(self._rows, "<f4", "r", shape=(len(self._index), self._width))

    def _add(self, chunk: Chunk) -> None:
        ledger, kept = self.ledger, []
        finite = np.isfinite(chunk.vectors).all(axis=1).tolist()
        for row, raw in enumerate(chunk.words):
            word = self._decoded(raw, finite[row], chunk, row)
            if word is None:
                ledger.unreadable += 1
            elif word in self._specials and word not in self._special_rows:
                self._special_rows[word] = chunk.vectors[row].astype("<f4")
            elif word in self._index:
                ledger.repeated += 1
                ledger.first_repeated += [word] if len(ledger.first_repeated) < 5 else []
            else:
                self._index[word] = None
                kept.append(row)
        ledger.words_in += len(chunk.words)
        ledger.words_used = len(self._index) - len(self._specials) + len(self._special_rows)
        self._rows.write(chunk.vectors[kept].astype("<f4").tobytes())

    def _decoded(self, raw: bytes, finite: bool, chunk: Chunk, row: int) -> str | None:
        """The word, or None if it is to be left out."""
        mend = "have the file made again, or leave such words out with --skip-bad"
        try:
            word = named(raw.decode())
        except UnicodeDecodeError as error:
            if self._skip_bad:
                return None
            shown = raw[:60].decode("utf-8", "backslashreplace")
            wrong = f"{chunk.place(row)}: the word {shown!r} is not UTF-8 (byte 0x{raw[error.start]:02x})"
            raise DataError(wrong, "words in UTF-8", mend) from error
        if not finite:
            if self._skip_bad:
                return None
            raise DataError(f"{chunk.place(row)}: the vector of {word!r} is not finite", "numbers that a float32 holds", mend)
        return word


def _tokenizer(tokens: list[str]) -> Tokenizer:
    """A word tokenizer over the vocabulary; lower-casing, if no word of it has a capital."""
    lowercase = all(token == token.lower() for token in tokens)
    return Tokenizer(Words(TokenConfig(kind="word", vocab_size=0, lowercase=lowercase), tokens, segmenter("rjieba")))


def _reached(tokenizer: Tokenizer) -> tuple[int, list[str]]:
    """How many words the tokenizer gives back whole when it meets them in a text, and a few of those that it does not."""
    tokens, first, reached = tokenizer.tokens, len(SPECIAL_WORDS), 0
    strangers: list[str] = []
    for begin in range(first, len(tokens), WORDS_AT_ONCE):
        words = tokens[begin : begin + WORDS_AT_ONCE]
        ids, lengths = tokenizer.encode_flat(words)
        whole = np.flatnonzero(lengths == 1)
        at = (np.cumsum(lengths) - lengths)[whole]
        met = whole[ids[at] == begin + whole]
        reached += len(met)
        if len(strangers) < SHOWN and len(met) < len(words):
            strangers += [words[row] for row in np.setdiff1d(np.arange(len(words)), met)[: SHOWN - len(strangers)].tolist()]
    return reached, strangers


def _ledger_lines(ledger: WordLedger, tokenizer: Tokenizer, kind: Kind) -> list[str]:
    """The card's lines about the words."""
    case = "No word has a capital, so text is lower-cased first." if tokenizer.config.lowercase else "Text keeps its case."
    lines = [
        f"- {counted(ledger.words_in, 'word')} in the file, {ledger.words_used:,} of them used.",
        f"- {ledger.repeated:,} were repeated: the first vector of a word counts.",
        f"- {ledger.unreadable:,} were left out: not UTF-8, or numbers that are not finite.",
        f"- {ledger.without_vector:,} have a vector of zeros, and so no neighbours.",
        f"- {ledger.reached_by_text:,} stand in a text as Stemma cuts it; the others are found by name alone (`nearest`, `evaluate`).",
        f"- {case}",
    ]
    if kind == "fasttext":
        return [*lines, "- The counts are the file's. A vector is the mean of the word's row and its n-grams'; unseen words have none."]
    return [*lines, "- The file tells no counts: every word with a vector counts as seen once. What goes on to train should know better."]


def _ngrams(source: Path, folder: Path) -> None:
    model = read_arpa(source)
    _are_utf8(source.name, model.tokens)
    tokenizer = Tokenizer(Words(TokenConfig(kind="whitespace", vocab_size=0), model.tokens, GIVEN))
    network = model.network
    sections = {"tokenizer": to_plain(tokenizer.config), "model": to_plain(network.config)}
    ledger = {**network.facts(), "implied": len(network.implied)}
    lines = [f"- {name}: {size:,}" for name, size in network.facts().items()]
    cut = "text is cut at white space alone, as KenLM cuts it: hand over tokens, parted by spaces and spelled as those of the file"
    warnings.warn(f"{source.name}: {cut}; others are unknown words", stacklevel=2)
    lines.append(f"- {cut[0].upper()}{cut[1:]}.")
    card = _card("ngram", source, "arpa", sections, lines)
    _finish(folder, "ngram", source, "arpa", sections, tokenizer, network.arrays(), ledger, card)


def _whole_model(source: Path, folder: Path, kind: Kind, found: Found) -> None:
    import torch

    found = replace(found, config=found.row.load_network().settle(found.config, torch.device("cpu")))
    found.run()  # refuses what does not fit, before anything is written
    sections = {"tokenizer": to_plain(found.tokenizer.config), "model": to_plain(found.config)}
    about = [f"- The {TITLES[kind]} has no {head}: " + _EMPTY[head] for head in found.lacking]
    name, ledger, tensors = found.row.name, {"lacking": list(found.lacking)}, found.arrays
    if found.pooling != TOKENS:
        sections["pooling"] = to_plain(found.pooling)
    if what := found.learnt:
        sections |= {"transfer": to_plain(what.settings), "task": to_plain(what.config)}
        about.append(f"- It has learnt the task {what.task}: " + (", ".join(what.targets["labels"][:20]) or "no labels") + ".")
        tensors = {**tensors, **what.arrays}
    card = _card(name, source, kind, sections, about)
    _finish(folder, name, source, kind, sections, found.tokenizer, tensors, ledger, card, found.learnt)


_EMPTY = {
    "pooler": "it is drawn as before training.",
    "masked_head": "`fill` refuses.",
    "softmax": "`score` refuses.",
    "next_head": "whether sentences follow each other, it cannot tell.",
    "bias": "it is 0 for every token.",
}


def _weights_of(source: Path, kind: Kind) -> Path:
    return {"huggingface": model_folder(source) / "model.safetensors", "tensorflow": next(source.glob("*.data-*"), source)}.get(
        kind, source
    )


def _are_utf8(name: str, tokens: list[str]) -> None:
    try:
        (text := "\n".join(tokens)).encode()
    except UnicodeEncodeError as error:
        word = tokens[text.count("\n", 0, error.start)].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise DataError(f"{name}: the word {word!r} is not UTF-8", "words in UTF-8", "convert the file to UTF-8") from error


def _finish(
    folder: Path, generation: str, source: Path, kind: Kind, sections: dict[str, Any], tokenizer: Tokenizer,
    tensors: dict[str, np.ndarray], ledger: dict[str, Any], card: str, learnt: Learnt | None = None,
) -> None:  # fmt: skip
    identity: dict[str, Any] = {
        "generation": generation,
        "corpus": [],
        "converted": {"file": source.name, "format": kind, "sha256": checksum(_weights_of(source, kind))},
    }
    identity |= {"task": learnt.task, "mode": learnt.settings.mode} if learnt else {}
    facts = {"task": learnt.facts(find(generation))} if learnt else {}
    run = RunFolder.create(folder, {"stemma": VERSION, "identity": identity, "sections": sections, **facts})
    tokenizer.save(run.tokenizer_path)
    run.append_metrics([{"kind": "done", "parameters": sum(int(array.size) for array in tensors.values())}])
    run.finish(card, ledger, tensors)


def _card(generation: str, source: Path, kind: Kind, sections: dict[str, Any], about: list[str]) -> str:
    lines = [
        f"# {generation}: {source.name}",
        "",
        f"Converted by Stemma {VERSION} from `{source.name}`, {TITLES[kind]}; not trained here.",
        f"Here it is a run of {generation}: {find(generation).title}. What text it learnt from, only its makers can tell.",
        "",
        *about,
        "",
        "## Settings",
        "",
        "Those of `model` that the file does not show are Stemma's defaults, not what it was made with.",
        "",
        *(f"- **{name}**: {', '.join(f'{key} {value}' for key, value in values.items())}" for name, values in sections.items()),
    ]
    return "\n".join(lines) + "\n"
