"""The tokenizer of a folder, in whichever files it stands."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemma.config import to_plain
from stemma.errors import DataError
from stemma.export.huggingface_heads import TASK_TOKENS
from stemma.export.huggingface_in.layout import CURE, LIMIT, Layout, table_of
from stemma.export.spiece import as_ours, from_spiece
from stemma.tokens.settings import SPECIALS
from stemma.tokens.settings import Config as TokenConfig
from stemma.tokens.tokenizer import Tokenizer


def tokenizer_of(path: Path, layout: Layout) -> tuple[Tokenizer, int]:
    """The tokenizer of a folder of this layout, and how many tokens of a task a folder of ours adds behind its own.

    DataError where there is none, or none of its kinds.
    """
    if (path / "tokenizer.json").exists():
        data = table_of(path / "tokenizer.json")
        kind = data["model"].get("type")
    elif (vocabulary := _first(path, "vocab*.txt")) and "WordPiece" in layout.tokenizers:
        data, kind = _from_vocabulary(vocabulary, _beside(path)), "WordPiece"
    elif (pieces := _first(path, "*.model")) and "Unigram" in layout.tokenizers:
        settings = _beside(path)
        lowercase, accents = bool(settings.get("do_lower_case", True)), bool(settings.get("keep_accents", False))
        data, kind = from_spiece(pieces, lowercase, accents), "Unigram"
    elif (path / "merges.txt").exists() and layout.merges:
        data, kind = _from_merges(path), "BPE"
    else:
        raise DataError(f"{path} has no tokenizer.json", "the tokenizer that the model was trained with", CURE)
    byte_level = "ByteLevel" in json.dumps(data.get("pre_tokenizer"))
    if kind not in layout.tokenizers or (kind == "BPE" and not byte_level):
        expected = " or ".join(layout.tokenizers)
        raise DataError(
            f"{path}: its tokenizer cuts by {kind}", f"{'byte-level ' * (expected == 'BPE')}{expected}", "choose another folder"
        )
    if "stemma" not in data["model"]:
        data = as_ours(data) if kind == "Unigram" else data
        lowercase = bool((data.get("normalizer") or {}).get("lowercase")) and kind == "WordPiece"
        own = {"WordPiece": "wordpiece", "BPE": "bpe", "Unigram": "unigram"}[kind]
        config = TokenConfig(own, max(len(data["model"]["vocab"]), 300), lowercase)  # type: ignore[arg-type]
        data["model"]["stemma"] = {"config": to_plain(config), "segmenter": {"name": "rjieba"}}
    data |= {"truncation": None, "padding": None}  # of another program's use, not of the model
    vocabulary, written = data["model"]["vocab"], data["added_tokens"]
    known = [token for token in written if token["content"] not in TASK_TOKENS or token["content"] in vocabulary]
    return Tokenizer.from_json(json.dumps({**data, "added_tokens": known})), len(written) - len(known)


def _beside(path: Path) -> dict[str, Any]:
    """The settings of tokenizer_config.json, where there is one."""
    place = path / "tokenizer_config.json"
    return table_of(place) if place.exists() else {}


def _first(path: Path, pattern: str) -> Path | None:
    return next(iter(sorted(path.glob(pattern))), None)


def _from_vocabulary(place: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer.json that vocab.txt and tokenizer_config.json stand for: BERT's, lower-casing unless they say otherwise."""
    from tokenizers import Tokenizer as Rust
    from tokenizers import models, normalizers, pre_tokenizers

    if place.stat().st_size > LIMIT:
        raise DataError(f"{place} is too large", "one token a line", CURE)
    tokens = place.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rust = Rust(models.WordPiece({token.rstrip("\r"): i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    rust.normalizer = normalizers.BertNormalizer(
        lowercase=bool(settings.get("do_lower_case", True)),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return json.loads(rust.to_str())


def _from_merges(path: Path) -> dict[str, Any]:
    """The tokenizer.json that vocab.json and merges.txt stand for: byte-level BPE, a space before a text where the settings say so."""
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models, pre_tokenizers, processors

    vocabulary, place, settings = table_of(path / "vocab.json"), path / "merges.txt", _beside(path)
    if place.stat().st_size > LIMIT:
        raise DataError(f"{place} is too large", "one merge a line", CURE)
    lines = place.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rust = Rust(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(settings.get("add_prefix_space", False)))
    rust.decoder = decoders.ByteLevel()
    rust.post_processor = processors.ByteLevel(trim_offsets=True)
    rust.add_special_tokens([end := SPECIALS["bpe"]["eos"]])
    data: dict[str, Any] = json.loads(rust.to_str())
    data["added_tokens"][0]["id"] = vocabulary[end]
    merges = [line.rstrip("\r").split(" ") for line in lines[lines[0].startswith("#version") :]]
    return {**data, "model": {**data["model"], "vocab": vocabulary, "merges": merges}}
