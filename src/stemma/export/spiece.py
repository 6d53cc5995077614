"""A SentencePiece file (spiece.model) of unigram pieces as the tokenizer.json that stands for it.

The file is a protocol buffer, of which three fields are read, by hand and without the package: the pieces (text, score, kind), the
trainer's kind of model, and the table of characters that replaces text by its normal form. (sentencepiece_model.proto)
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from struct import error as StructError
from struct import unpack
from typing import Any

from stemma.errors import DataError
from stemma.export.protocol_buffers import fields
from stemma.tokens.pieces import SPACE

UNIGRAM, UNKNOWN, CONTROL = 1, 2, 3  # of the trainer's model_type; of a piece's kind
CURE = "copy the file again, or choose another model"


def from_spiece(path: Path, lowercase: bool, accents: bool) -> dict[str, Any]:
    """The tokenizer.json of the file's pieces, which keep their ids; `lowercase` and `accents` (kept or not) are said outside the file.

    Deviates: Google's code takes a comma from the end of a piece of digits; transformers does not, nor is it done here.
    """
    from tokenizers import Tokenizer as Rust
    from tokenizers import models, normalizers

    try:
        pieces, charsmap = _read(path.read_bytes())
        unknown = [kind for *_, kind in pieces].index(UNKNOWN)
    except (IndexError, StructError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no SentencePiece file of unigram pieces ({error})", "a spiece.model", CURE) from error
    rust = Rust(models.Unigram([(piece, score) for piece, score, _ in pieces], unk_id=unknown))
    steps: list[normalizers.Normalizer] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    steps += [] if accents else [normalizers.NFKD(), normalizers.StripAccents()]
    steps += [normalizers.Lowercase()] if lowercase else []
    try:
        steps += [normalizers.Precompiled(charsmap)] if charsmap else []
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{path}: its table of characters is damaged ({error})", "a spiece.model", CURE) from error
    rust.normalizer = normalizers.Sequence(steps)
    rust.add_special_tokens([piece for piece, _, kind in pieces if kind in (UNKNOWN, CONTROL)])
    return json.loads(rust.to_str())  # type: ignore[no-any-return]


def as_ours(data: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer.json of unigram pieces that cuts as it did, but so that no text forges a special by writing its name.

    White space is collapsed in the normal form, not by splitting, so that a text which adjoins another differs from one that does not.
    """
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Rust

    rust = Rust.from_str(json.dumps(data))
    names = [token.content for token in rust.get_added_tokens_decoder().values() if token.special]
    before = [rust.normalizer] if rust.normalizer else []
    rust.normalizer = normalizers.Sequence([*before, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    metaspace = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    guards = [pre_tokenizers.Split(Regex(f"{re.escape(name[0])}(?={re.escape(name[1:])})"), "isolated") for name in names]
    rust.pre_tokenizer = pre_tokenizers.Sequence([metaspace, *guards])
    rust.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    return json.loads(rust.to_str())  # type: ignore[no-any-return]


def _read(content: bytes) -> tuple[list[tuple[str, float, int]], bytes]:
    """(the pieces: text, score, kind; the table of characters)."""
    pieces, charsmap = [], b""
    for number, value in fields(content):
        if number == 1:
            piece: dict[int, Any] = {1: b"", 2: b"\0\0\0\0", 3: 1} | dict(fields(value))
            pieces.append((piece[1].decode("utf-8"), float(unpack("<f", piece[2])[0]), piece[3]))
        elif number == 2 and (kind := dict(fields(value)).get(3, UNIGRAM)) != UNIGRAM:
            raise ValueError(f"its model is of kind {kind}")
        elif number == 3:
            charsmap = dict(fields(value)).get(2, b"")
    return pieces, charsmap
