"""One tokenizer for every kind: text to ids and back, and one file that other programs open too.

Kinds and their normal form, that is what `decode(encode(text))` gives back:

- `word`: words and single symbols joined by spaces, none between Chinese words that a segmenter cut (phrases taken apart).
- `whitespace`: the tokens between NUL, tab, line ends and spaces, joined by single spaces.
- `char`: the text itself (but ▁, and what the vocabulary lacks, read as U+FFFD).
- `wordpiece`: BERT's basic tokens joined by spaces, none between two Chinese characters.
- `bpe`: the text itself, less one space at its start (of another program's that puts none there: the text itself).
- `unigram`: the NFKC text with white space collapsed to single spaces and stripped.

The last two put a space before a text, as programs do that open their file; but not before a sentence that *adjoins* what stands
before it: between Chinese sentences is none, and none is made up. Byte-level BPE of another program cuts a text by itself as it does
there, with or without a space; a document's sentences are parted all the same.

All but the last three are lower-cased first where the config says so; what the vocabulary lacks becomes "unk".
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import restore, to_plain
from stemma.errors import DataError, UsageError
from stemma.tokens import characters, phrases, words
from stemma.tokens.byte_level import text_of, texts_of
from stemma.tokens.chinese import GIVEN, Segmenter, recorded_segmenter
from stemma.tokens.dropped import Dropped
from stemma.tokens.facts import TokenFacts
from stemma.tokens.files import write_bytes
from stemma.tokens.long_texts import AT_ONCE, parts_of
from stemma.tokens.outside import Outside
from stemma.tokens.pieces import SPACE
from stemma.tokens.scripts import UNICODE_VERSION
from stemma.tokens.settings import OTHERWISE, SPACED, SPECIALS, Config, special_ids
from stemma.tokens.word_starts import word_starts

__all__ = ["Config", "Tokenizer", "grow", "train"]

VISIBLE = ("unk", "mask")  # specials that decoding shows
WHOLE = ("word", "whitespace")  # kinds whose tokens are whole words
FRAMING = ("pad", "unk", "cls", "sep", "mask")
# Kinds whose specials other programs give any id, and the roles that their vocabularies must have.
ANYWHERE = {"wordpiece": FRAMING, "unigram": FRAMING, "bpe": ("eos",)}
LISTED = ("word", "whitespace", "char")  # kinds that are a list of tokens, which we look up ourselves


class Tokenizer:
    """Text to ids and back. Specials have the first ids; `specials` maps their roles (unk, cls, eos ...) to ids."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.config: Config = engine.config
        self.kind: str = engine.config.kind
        self.specials = _specials(self.kind, engine.tokens)
        self.outside: Outside | None = engine.outside  # how unknown words were spelt; None: nobody wrote it down
        self.segmenter: Segmenter = engine.words  # what cuts Chinese words, be they tokens or begun by tokens
        self._tokens: list[str] = engine.tokens
        self._hidden = {i for role, i in self.specials.items() if role not in VISIBLE}

    def __reduce__(self) -> tuple[Any, ...]:
        """As its file, whole: copies and pickles cut as what is loaded does."""
        return Tokenizer.from_json, (self.file_text,)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self._tokens)}

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return len(self._tokens)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, without specials: no text can forge one by writing its name."""
        ids, lengths = self.encode_flat(texts)
        return np.split(ids, np.cumsum(lengths[:-1])) if len(texts) else []

    def encode_flat(self, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, and how many each text has: the fast way for many texts.

        `adjoining` says of each text whether nothing parts it from what stands before it; none given: all stand alone.
        """
        if not len(texts):
            return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.int64)
        if self.kind not in LISTED and sum(map(len, texts)) > AT_ONCE:
            return self._encode_by_parts(texts, adjoining)
        return self._engine.encode_flat(texts, adjoining) if self.kind in SPACED else self._engine.encode_flat(texts)

    def _encode_by_parts(self, texts: Sequence[str], adjoining: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
        """As `encode_flat`, AT_ONCE characters at a time or a little more: long texts in parts, short ones together."""
        found, lengths = list[np.ndarray](), np.zeros(len(texts), np.int64)
        alone = adjoining or [False] * len(texts)
        parts = ((at, part, alone[at] and not n) for at, text in enumerate(texts) for n, part in enumerate(parts_of(text)))
        for group in _together(parts):
            owners, several, adjoin = zip(*group, strict=True)
            told = (adjoin if len(adjoining) else (),) if self.kind in SPACED else ()
            ids, own = self._engine.encode_flat(several, *told)
            found.append(ids)
            np.add.at(lengths, list(owners), own)
        return np.concatenate(found), lengths

    def encode_words(self, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """As `encode_flat`, and which tokens begin a word (see `stemma.tokens.word_starts`); None: every token does."""
        if self.kind in WHOLE:
            return *self.encode_flat(texts), None
        if not len(texts):
            return *self.encode_flat(texts), np.zeros(0, dtype=bool)
        ids, lengths, ends = self._engine.encode_ends(texts, adjoining) if self.kind in SPACED else self._engine.encode_ends(texts)
        return ids, lengths, word_starts(texts, lengths, ends, self.segmenter)

    def encode(self, text: str) -> np.ndarray:
        """The ids of one text."""
        return self.encode_flat([text])[0]

    def knows(self, texts: Sequence[str]) -> np.ndarray:
        """True for each text (N) that has a token of the vocabulary; False where it is empty, or all of it is unknown."""
        return self.known_among(*self.encode_flat(texts))

    def known_among(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """As `knows`, for texts that are tokenised already: flat ids, and the length of each text (N)."""
        known = np.repeat(np.arange(len(lengths)), lengths)[ids != self.specials.get("unk", -1)]
        return np.bincount(known, minlength=len(lengths)).astype(bool)

    def encode_offsets(self, text: str, adjoins: bool = False) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids of one text, and the (start, end) characters of the raw text that each stands for."""
        return self._engine.encode_offsets(text, adjoins) if self.kind in SPACED else self._engine.encode_offsets(text)

    def spellings(self, texts: Sequence[str], chosen: np.ndarray, adjoining: Sequence[bool] = ()) -> list[str]:
        """How those tokens of the texts are spelt for which `chosen` (N) is true, over flat ids; in lower case where the config says so."""
        if self.kind in LISTED and not self.config.phrases:
            return self._engine.spellings(texts, chosen)
        found, first = [], 0
        for text, adjoins in zip(texts, adjoining or [False] * len(texts), strict=True):
            spans = self.encode_offsets(text, adjoins)[1]
            found += [text[slice(*spans[place])] for place in np.flatnonzero(chosen[first : first + len(spans)]).tolist()]
            first += len(spans)
        return [spelling.lower() for spelling in found] if self.config.lowercase else found

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids in its kind's normal form; of the specials only "unk" and "mask" are shown."""
        return self._engine.decode([int(i) for i in ids if int(i) not in self._hidden])

    def give_back(self, sentences: Sequence[str], adjoining: Sequence[bool] = ()) -> str:
        """The text that the sentences' tokens stand for, unknown ones spelt as they are there: what the tokenizer keeps of it."""
        ids, lengths = self.encode_flat(sentences, adjoining)
        unknown = self.specials.get("unk", -1)
        text = self.decode(ids)
        if self.kind == "bpe" and self._engine.unspaced and adjoining and not adjoining[0]:
            text = text.removeprefix(" ")  # which was put there
        if not (ids == unknown).any():
            return text
        spellings = []
        alone = adjoining or [False] * len(sentences)
        for sentence, adjoins, own in zip(sentences, alone, np.split(ids, np.cumsum(lengths)[:-1]), strict=True):
            if (own == unknown).any():
                _, spans = self.encode_offsets(sentence, adjoins)
                spellings += [sentence[slice(*spans[place])] for place in np.flatnonzero(own == unknown).tolist()]
        if self.config.lowercase:
            spellings = [spelling.lower() for spelling in spellings]
        mark = self.decode([unknown])
        known = text.split(mark)
        if len(known) == len(spellings) + 1:
            return "".join(chain.from_iterable(zip(known, [*spellings, ""], strict=True)))
        return _spelt(text, mark, spellings, [len(self.decode(ids[: place + 1])) for place in np.flatnonzero(ids == unknown).tolist()])

    def give_back_each(self, texts: Sequence[str]) -> list[str]:
        """As `give_back`, each text by itself."""
        if self.kind in WHOLE and not self.config.phrases:
            given: list[str] = self._engine.give_back(texts)
            return given
        return [self.give_back([text]) for text in texts]

    def token(self, index: int) -> str:
        """How the token is written in the vocabulary."""
        return self._tokens[index]

    def text(self, index: int) -> str:
        r"""How the token reads: as it is written, or its text, of byte-level BPE a part of a character as `\xe7\xba`."""
        return self._read(self._tokens[index])

    def read(self, ids: Iterable[int]) -> list[str]:
        """How each token of one text reads where it stands: as `text`, but parts of a character as the character, numbered: 红¹ 红²."""
        tokens = [self._tokens[int(index)] for index in ids]
        return texts_of(tokens) if self.kind == "bpe" else list(map(self._read, tokens))

    @property
    def texts(self) -> list[str]:
        """How the tokens of the vocabulary read, in the order of ids."""
        return list(map(self._read, self._tokens))

    def _read(self, token: str) -> str:
        if self.kind == "bpe":
            return text_of(token)
        return token.replace(SPACE, " ") if self.kind == "unigram" else token

    def id(self, token: str) -> int | None:
        """The token's id, or None."""
        return self._index.get(token)

    @property
    def tokens(self) -> list[str]:
        """The vocabulary in the order of ids."""
        return list(self._tokens)

    def spelling_by(self, outside: Outside) -> "Tokenizer":
        """The same tokenizer, which tells of other unknown words."""
        other = Tokenizer(self._engine)
        other.outside = outside
        return other

    def facts(self, counts: np.ndarray | None = None) -> TokenFacts:
        """What a network needs to know."""
        return TokenFacts(self.vocab_size, dict(self.specials), counts, self._tokens, self.kind == "bpe")

    @cached_property
    def dropped(self) -> Dropped:
        """Counts the characters that become no token."""
        return Dropped(self._engine.drops)

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever the tokenizer does."""
        return hashlib.blake2b(self.file_text.encode(), digest_size=16).hexdigest()

    def save(self, path: Path | str) -> None:
        """Writes tokenizer.json, which `tokenizers` and transformers open; ours stands in it under model.stemma."""
        write_bytes(Path(path), self.file_text.encode())

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """The tokenizer of a file written by `save`, or of another program's WordPiece, BPE or unigram file."""
        path = Path(path)
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file", "a tokenizer.json", "check the path, or pre-train again") from error
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            expected, mend = "a tokenizer.json that Stemma or `tokenizers` wrote", "copy the file again, or delete it to learn it anew"
            reason = f"no {error}" if isinstance(error, KeyError) else f"{error}"
            raise DataError(f"{path}: {reason}", expected, mend) from error

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """The tokenizer of what such a file holds."""
        return cls(_engine(json.loads(text)))

    @cached_property
    def file_text(self) -> str:
        """What `save` writes."""
        rust = self._engine.to_rust()
        if self.kind in LISTED:
            rust.add_special_tokens(list(dict.fromkeys(SPECIALS[self.kind].values())))
        data = json.loads(rust.to_str())
        if self.kind in LISTED:
            data["model"]["vocab"] = self._index
        data["model"]["stemma"] = self._own()
        return json.dumps(data, ensure_ascii=False)

    def _own(self) -> dict:
        """What the library's format has no place for."""
        own = {"config": to_plain(self.config), "unicode": UNICODE_VERSION}
        if self.kind != "whitespace":
            own["segmenter"] = self.segmenter.as_json()
        if self.config.phrases:
            own["phrases"] = self._engine.as_json()
        if self.outside:
            own["outside"] = self.outside.as_json()
        return own


def _together(parts: Iterable[tuple[int, str, bool]]) -> Iterator[list[tuple[int, str, bool]]]:
    """The parts (the text it is of, itself, whether it adjoins) in lists of AT_ONCE characters or a little more."""
    group, size = list[tuple[int, str, bool]](), 0
    for part in parts:
        group.append(part)
        size += len(part[1])
        if size >= AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _spelt(text: str, mark: str, spellings: Sequence[str], ends: Sequence[int]) -> str:
    """The text with the spellings in place of the marks that end where `ends` says; others were written in the text itself."""
    starts = [0, *ends[:-1]]
    known = [text[start : end - len(mark)] for start, end in zip(starts, ends, strict=True)]
    return "".join([*chain.from_iterable(zip(known, spellings, strict=True)), text[ends[-1] :]])


def grow(earlier: Tokenizer, texts: Iterator[str], config: Config) -> Tokenizer:
    """The earlier tokenizer with what the texts add: its tokens keep their ids, new words (and phrases) come after them.

    Only words can be added; pieces and characters stay as they are. Both must cut text alike: UsageError otherwise.
    """
    for key in ("kind", "lowercase", "words", "dictionary", "phrases"):
        was, now = getattr(earlier.config, key), getattr(config, key)
        if was != now:
            raise UsageError(f"tokenizer.{key} = {now}, but {was} in the run to go on from", "the same in both", f"drop tokenizer.{key}")
    if config.kind not in ("word", "whitespace"):
        return earlier
    same_cut = replace(config, words="given" if earlier.segmenter is GIVEN else "rjieba") if config.kind == "word" else config
    return Tokenizer(earlier._engine.grown(train(texts, same_cut)._engine))


def train(texts: Iterator[str], config: Config) -> Tokenizer:
    """A tokenizer of the texts: the same texts in the same order give the same file, byte for byte."""
    if config.kind == "char":
        return Tokenizer(characters.learn(iter(texts), config))
    if config.kind in ("word", "whitespace"):
        return Tokenizer((phrases if config.phrases else words).learn(iter(texts), config))
    from stemma.tokens import learning  # the `tokenizers` library takes a tenth of a second: only where pieces are learnt

    return Tokenizer(learning.learn(iter(texts), config))


def _engine(data: dict) -> Any:
    own = data["model"].get("stemma") or _foreign(data)
    config = restore(Config, own["config"], "its settings")
    outside = Outside.from_json(own.get("outside"))
    if config.kind in LISTED:
        tokens = _in_order(data["model"]["vocab"])
        _begins(tokens, config.kind)
        cutting = recorded_segmenter(own.get("segmenter", {"name": "rjieba" if config.kind == "char" else "given"}))
        if config.kind == "char":
            return characters.Characters(config, tokens, cutting, outside)
        if config.phrases:
            return phrases.from_json(config, tokens, cutting, own["phrases"], outside)
        return words.Words(config, tokens, cutting, outside)
    import tokenizers

    from stemma.tokens.pieces import Pieces

    try:
        rust = tokenizers.Tokenizer.from_str(json.dumps(data))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(str(error)) from error
    tokens = _in_order(rust.get_vocab(with_added_tokens=True))
    if "stemma" in data["model"]:
        _begins(tokens, config.kind)
    return Pieces(config, rust, recorded_segmenter(own.get("segmenter", {"name": "rjieba"})), outside)


def _in_order(vocab: dict[str, int]) -> list[str]:
    """The tokens in the order of their ids, which are 0, 1, 2 ...; ValueError where they are not."""
    tokens = sorted(vocab, key=vocab.__getitem__)
    if [vocab[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError("the ids of the vocabulary do not number it")
    return tokens


def _specials(kind: str, tokens: Sequence[str]) -> dict[str, int]:
    """Role -> id: the first ids, but in a vocabulary of another program (WordPiece, unigram, BPE) wherever it has them."""
    ids = special_ids(kind)
    if kind not in ANYWHERE or list(tokens[: len(ids)]) == list(SPECIALS[kind].values()):
        return ids
    found = _places(kind, tokens)
    return found if kind == "unigram" and found else ids | found


def _places(kind: str, tokens: Sequence[str]) -> dict[str, int]:
    """Role -> id of those specials that the vocabulary has, however they are written there."""
    places = {token: place for place, token in enumerate(tokens)}
    ways = [*OTHERWISE.get(kind, {}).items(), *SPECIALS[kind].items()]
    return {role: places[written] for role, written in ways if written in places}


def _begins(tokens: Sequence[str], kind: str) -> None:
    """ValueError unless the vocabulary begins with the kind's specials; one of WordPiece, unigram or BPE may have them anywhere."""
    specials = list(dict.fromkeys(SPECIALS[kind].values()))
    if kind in ANYWHERE and set(ANYWHERE[kind]) <= _places(kind, tokens).keys():
        return
    if list(tokens[: len(specials)]) != specials:
        raise ValueError(f"the vocabulary does not begin with {', '.join(specials)}")


def _foreign(data: dict) -> dict:
    """The config that a tokenizer.json of another program stands for."""
    kind = {"WordPiece": "wordpiece", "BPE": "bpe", "Unigram": "unigram"}[data["model"]["type"]]
    return {"config": {"kind": kind, "vocab_size": max(len(data["model"]["vocab"]), 300)}}
