"""Pieces of words as tokens: WordPiece, byte-level BPE and unigram, run by the `tokenizers` library."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from stemma.tokens.chinese import Segmenter, spoken
from stemma.tokens.outside import Outside
from stemma.tokens.scripts import byte_widths
from stemma.tokens.settings import SPECIALS, Config, special_ids
from stemma.tokens.word_starts import NormalWidths, ends_by_size

SPACE = "▁"  # what stands for a space in unigram pieces


class Pieces:
    """Encodes and decodes through one Rust tokenizer; specials written in the text are read as plain text."""

    def __init__(self, config: Config, rust: Tokenizer, words: Segmenter, outside: Outside | None = None) -> None:
        self.config, self._rust, self.words, self.outside = config, rust, words, outside
        rust.encode_special_tokens = True
        splitter = rust.pre_tokenizer
        self.unspaced = isinstance(splitter, pre_tokenizers.ByteLevel) and not splitter.add_prefix_space  # as GPT-2's own is published
        vocab = rust.get_vocab(with_added_tokens=True)
        self.tokens: list[str] = sorted(vocab, key=vocab.__getitem__)
        self._sizes, self._widths, self._ahead = _measures(rust, self.tokens)

    def encode_flat(self, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, and how many each text has.

        A space is put before those that do not adjoin others; none given: before all, unless the tokenizer is `unspaced`.
        """
        rows = [encoding.ids for encoding in self._encoded(Tokenizer.encode_batch_fast, texts, adjoining)]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        return np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=int(lengths.sum())), lengths

    def encode_ends(self, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ids of all texts, how many each has, and the characters of its text before the end of each token."""
        if self._widths is None:
            return self._encode_offset_ends(texts, adjoining)
        ids, lengths = self.encode_flat(texts, adjoining)
        ends, unfit = ends_by_size(texts, lengths, self._sizes[ids], self._widths, self._ahead)
        if unfit.any():  # something unknown is in them: the library keeps offsets, which takes longer
            places = np.flatnonzero(unfit).tolist()
            _, again, exact = self._encode_offset_ends([texts[i] for i in places], [adjoining[i] for i in places] if adjoining else ())
            assert np.array_equal(again, lengths[unfit])
            ends[np.repeat(unfit, lengths)] = exact
        return ids, lengths, ends

    def _encode_offset_ends(self, texts: Sequence[str], adjoining: Sequence[bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = self._encoded(Tokenizer.encode_batch, texts, adjoining)
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in found), np.uint32, int(lengths.sum()))
        return ids, lengths, np.fromiter((end for encoding in found for _, end in encoding.offsets), np.int64, len(ids))

    def _encoded(self, encode: Callable[..., list[Any]], texts: Sequence[str], adjoining: Sequence[bool]) -> list[Any]:
        """What the library's `encode` gives for each text."""
        if not any(adjoining):
            return encode(self._parted if len(adjoining) else self._rust, list(texts), add_special_tokens=False)
        groups = [[text for text, adjoins in zip(texts, adjoining, strict=True) if adjoins == bare] for bare in (False, True)]
        parted, bare = (iter(encode(*pair, add_special_tokens=False)) for pair in zip((self._parted, self._bare), groups, strict=True))
        return [next(bare if adjoins else parted) for adjoins in adjoining]

    @cached_property
    def _bare(self) -> Tokenizer:
        """The same that puts no space before a text."""
        return self._rust if self.unspaced else self._changed(_without_space)

    @cached_property
    def _parted(self) -> Tokenizer:
        """The same that puts a space before a text."""
        return self._changed(_with_space) if self.unspaced else self._rust

    def _changed(self, change: Callable[[dict], dict]) -> Tokenizer:
        rust = Tokenizer.from_str(json.dumps(change(json.loads(self._rust.to_str()))))
        rust.encode_special_tokens = True
        return rust

    def encode_offsets(self, text: str, adjoins: bool = False) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids, and the (start, end) of each in the raw text."""
        encoding = (self._bare if adjoins else self._rust).encode(text, add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.uint32), encoding.offsets

    def drops(self, character: str) -> bool:
        """True where the normal form of the character is nothing."""
        normaliser = self._rust.normalizer
        return normaliser is not None and not normaliser.normalize_str(character).strip()

    def decode(self, ids: Iterable[int]) -> str:
        """The text in its normal form (see `Tokenizer.decode`)."""
        if self.config.kind == "wordpiece":
            return spoken(" ".join(self.tokens[i] for i in ids).replace(" ##", "").split(" "))
        text: str = self._rust.decode(list(ids), skip_special_tokens=False)
        return text if self.unspaced else text.removeprefix(" ")

    def to_rust(self) -> Tokenizer:
        """The Rust tokenizer itself."""
        return self._rust


def _without_space(parts: dict) -> dict:
    """A tokenizer.json whose splitters put no space before a text."""
    splitter = parts["pre_tokenizer"] or {}
    for step in splitter.get("pretokenizers", [splitter]):
        if step.get("type") == "ByteLevel":
            step["add_prefix_space"] = False
        elif step.get("type") == "Metaspace":
            step["prepend_scheme"] = "never"
    return parts


def _with_space(parts: dict) -> dict:
    """A tokenizer.json of byte-level BPE that puts a space before a text."""
    parts["pre_tokenizer"]["add_prefix_space"] = True
    return parts


Widths = Callable[[np.ndarray], np.ndarray]


def _measures(rust: Tokenizer, tokens: Sequence[str]) -> tuple[np.ndarray, Widths | None, int]:
    """What tells where tokens end without the library's offsets: sizes of tokens, widths of characters (None: offsets
    it must be), and how much may stand ahead of a text.

    Of byte-level BPE both are bytes, a space perhaps put ahead; of BERT's WordPiece visible characters of the normal form.
    """
    parts = json.loads(rust.to_str())
    normaliser, splitter, model = (parts[part] or {"type": None} for part in ("normalizer", "pre_tokenizer", "model"))
    if (normaliser["type"], splitter["type"], model["type"]) == (None, "ByteLevel", "BPE"):
        return np.array([len(token) for token in tokens], np.int64), byte_widths, 1
    if (normaliser["type"], splitter["type"], model["type"]) == ("BertNormalizer", "BertPreTokenizer", "WordPiece"):
        prefix = model["continuing_subword_prefix"]
        sizes = [0 if token == model["unk_token"] else len(token.removeprefix(prefix)) for token in tokens]
        return np.array(sizes, np.int64), NormalWidths(rust.normalizer.normalize_str), 0
    return np.zeros(len(tokens), np.int64), None, 0


def pipeline(config: Config, model: models.Model) -> Tokenizer:
    """The kind's normaliser, splitting, decoder and frame around a model."""
    rust = Tokenizer(model)
    ids = special_ids(config.kind)
    written = SPECIALS[config.kind]
    if config.kind == "wordpiece":
        rust.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
        rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        rust.decoder = decoders.WordPiece(cleanup=False)
        rust.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", ids["cls"]), ("[SEP]", ids["sep"])]
        )
    elif config.kind == "bpe":
        rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        rust.decoder = decoders.ByteLevel()
        rust.post_processor = processors.ByteLevel(trim_offsets=True)
    else:
        rust.normalizer = unigram_normaliser(config)
        metaspace = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
        # A "<" alone: text that writes the name of a special must not become one.
        rust.pre_tokenizer = pre_tokenizers.Sequence([metaspace, pre_tokenizers.Split("<", "isolated")])
        rust.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    rust.add_special_tokens(list(dict.fromkeys(written.values())))
    return rust


def unigram_normaliser(config: Config) -> normalizers.Normalizer:
    """NFKC, lower-cased if the config says so, runs of white space as one space, none at the ends."""
    lower = [normalizers.Lowercase()] if config.lowercase else []
    return normalizers.Sequence([normalizers.NFKC(), *lower, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
