"""A Hugging Face folder of BERT, ALBERT, GPT, GPT-2 or XLNet as a run: config.json, model.safetensors, and the tokenizer.

That is tokenizer.json, or where there is none vocab.txt, GPT-2's vocab.json with merges.txt, or spiece.model.

Heads that the folder lacks stay empty: `fill` then refuses; a missing pooler is drawn as before training. XLNet's head is its
token table, with a bias of 0 where the folder has none. Pickles are never opened.
Chinese ALBERTs are published in two layouts, known by the names of their tensors: transformers', which is Google's, and that of
brightmart/albert_zh (`albert_zh` here), whose config.json has no model_type.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import restore, to_plain
from stemma.errors import DataError, StemmaError
from stemma.export.huggingface import COUNTERPART, NAMED, from_huggingface, names
from stemma.export.spiece import as_ours, from_spiece
from stemma.lineage.table import Generation, find
from stemma.nouns import counted
from stemma.runs.opening import network_of
from stemma.runs.run import Run
from stemma.tokens.settings import SPECIALS
from stemma.tokens.settings import Config as TokenConfig
from stemma.tokens.tokenizer import Tokenizer

GENERATIONS = {"bert": "bert", "albert": "albert", "openai-gpt": "gpt", "gpt2": "gpt2", "xlnet": "xlnet"}  # their model_type -> ours
ZH = "albert_zh"
PREFIXES = {"bert": "bert.", "albert": "albert.", ZH: "bert."} | dict.fromkeys(("gpt", "gpt2", "xlnet"), "transformer.")  # but the heads'
HEADS = ("cls.", "predictions.", "sop_classifier.", "lm_loss.")  # prefixes of the heads' tensors
PROJECTION = "bert.embeddings.word_embeddings_2.weight"  # of albert_zh alone
TIED = (  # a tensor that is another one's copy, that one, and whether the copy is transposed
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", False),
    ("predictions.decoder.weight", "albert.embeddings.word_embeddings.weight", False),
    ("cls.predictions.project_layer.weight", PROJECTION, True),
    ("lm_head.weight", "transformer.tokens_embed.weight", False),
    ("lm_head.weight", "transformer.wte.weight", False),
    ("lm_loss.weight", "transformer.word_embedding.weight", False),
)
TOKENIZERS = {"bert": ("WordPiece",), "albert": ("Unigram", "WordPiece"), "gpt": ("BPE",), "gpt2": ("BPE",), "xlnet": ("Unigram",)}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
OPTIONAL = ("pooler.", "masked_head.", "next_head.", "bias")  # ours: what a folder may come without
LIMIT = 1 << 27  # bytes of a JSON file or a header
CURE = "download the folder again, or choose another"


@dataclass(frozen=True)
class Found:
    """What a folder holds, as ours."""

    row: Generation
    config: Any  # of the model
    tokenizer: Tokenizer
    arrays: dict[str, np.ndarray]
    lacking: tuple[str, ...]  # heads that the folder does not have


def is_huggingface(path: Path) -> bool:
    """True for a folder whose config.json has a model_type or, as albert_zh's, an embedding_size, and that is no run of ours."""
    config = path / "config.json"
    if (path / "manifest.json").exists() or not config.is_file() or config.stat().st_size > LIMIT:
        return False
    return any(key in config.read_bytes() for key in (b'"model_type"', b'"embedding_size"'))


def open_huggingface(path: Path) -> Run:
    """The run in memory that the folder holds."""
    found = read_huggingface(path)
    network = network_of(found.row, found.config, found.tokenizer, found.arrays)
    return Run(None, found.row, found.tokenizer, network)  # type: ignore[arg-type]  # as other runs that are kept in memory


def read_huggingface(path: Path) -> Found:
    """What the folder holds; DataError where it is not what is read here, or does not fit together."""
    return found_where_it_fits(path, _read)


def found_where_it_fits(path: Path, read: Callable[[Path], Found]) -> Found:
    """What `read` finds in the folder; DataError in place of whatever a file that is none of these lets it stumble over."""
    try:
        return read(path)
    except StemmaError:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        wrong = f"{path} does not hold what its config.json tells of ({type(error).__name__}: {error})"
        raise DataError(wrong, "a folder of one model", CURE) from error


def _read(path: Path) -> Found:
    return as_found(path, table_of(path / "config.json"), None)


def as_found(path: Path, settings: Mapping[str, Any], theirs: Mapping[str, np.ndarray] | None) -> Found:
    """The model of these settings, with its tokenizer's files in the folder and its tensors (None: those of model.safetensors)."""
    kind = settings.get("model_type", "albert" if "embedding_size" in settings else None)
    if not isinstance(kind, str) or kind not in GENERATIONS:
        raise DataError(f"{path} holds a model of type {kind!r}", f"one of {', '.join(GENERATIONS)}", "choose a folder of one of these")
    row = find(GENERATIONS[kind])
    theirs = _tensors(path) if theirs is None else theirs
    layout = ZH if any(name.endswith("word_embeddings_2.weight") for name in theirs) else row.name
    tokenizer = _tokenizer(path, row)
    read = {"bert": _bert, "albert": _albert, ZH: _albert_zh, "gpt": _gpt, "gpt2": _gpt2, "xlnet": _xlnet}[layout]
    config: Any = restore(row.sections()["model"], read(settings), str(path / "config.json"))
    arrays, lacking = _ours(path, layout, config, _named(layout, theirs))
    if len(arrays["tokens.weight"]) != tokenizer.vocab_size:
        wrong = f"{path}: the tokenizer has {counted(tokenizer.vocab_size, 'token')}, the model {len(arrays['tokens.weight']):,}"
        raise DataError(wrong, "one row of the model a token", "choose the tokenizer that the model was trained with")
    width, expected = arrays["tokens.weight"].shape[1], config.embedding if row.name == "albert" else config.width
    if width != expected:
        raise DataError(f"{path}: {width} numbers a token, {expected} in config.json", "the config of these weights", CURE)
    compared = width if layout == "albert" else config.width  # what the head for masked tokens makes of a state
    if COUNTERPART.get(settings.get(NAMED, "")) == row.name:
        row = find(settings[NAMED])
    return Found(row, config, tokenizer, _whole(arrays, config.width, compared, tokenizer.vocab_size, lacking), lacking)


def table_of(path: Path) -> dict[str, Any]:
    """The JSON table of a file; DataError where it holds none."""
    if not path.is_file() or path.stat().st_size > LIMIT:
        raise DataError(f"{path} is no file of a readable size", "JSON", CURE)
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no table", "a JSON table", CURE)
    return value


def _must(settings: Mapping[str, Any], key: str, only: Any) -> None:
    if settings.get(key, only) != only:
        raise DataError(f"config.json: {key} = {settings[key]!r}", f"{only!r}: nothing else is computed here", "choose another model")


def _bert(settings: Mapping[str, Any], activation: str = "gelu", dropout: float = 0.1) -> dict[str, Any]:
    """BERT's sizes; activation and dropout are those of a config that has none."""
    for key, only in (("layer_norm_eps", 1e-12), ("type_vocab_size", 2), ("position_embedding_type", "absolute"), ("is_decoder", False)):
        _must(settings, key, only)
    activation = settings.get("hidden_act", activation)
    if activation not in ACTIVATIONS:
        raise DataError(f"config.json: hidden_act = {activation!r}", f"one of {', '.join(ACTIVATIONS)}", "choose another model")
    return {
        "width": settings.get("hidden_size", 768), "depth": settings.get("num_hidden_layers", 12),
        "heads": settings.get("num_attention_heads", 12), "inner": settings.get("intermediate_size", 3072),
        "max_length": settings.get("max_position_embeddings", 512),
        "dropout": float(settings.get("hidden_dropout_prob", dropout)), "activation": ACTIVATIONS[activation],
    }  # fmt: skip


def _albert(settings: Mapping[str, Any]) -> dict[str, Any]:
    _must(settings, "ln_type", "postln")
    _must(settings, "share_type", "all")
    shared = {"groups": settings.get("num_hidden_groups", 1), "blocks_in_layer": settings.get("inner_group_num", 1)}
    return {**_bert(settings, "gelu_new", 0.0), "embedding": settings.get("embedding_size", 128), **shared}


def _albert_zh(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**_albert(settings), "groups": 1, "blocks_in_layer": 1, "factorised": "tokens"}


def _gpt(settings: Mapping[str, Any]) -> dict[str, Any]:
    _must(settings, "layer_norm_epsilon", 1e-5)
    _must(settings, "afn", "gelu")
    width = settings.get("n_embd", 768)
    sizes = {"width": width, "depth": settings.get("n_layer", 12), "heads": settings.get("n_head", 12), "inner": 4 * width}
    return {**sizes, "max_length": settings.get("n_positions", 512), "dropout": float(settings.get("resid_pdrop", 0.1))}


def _gpt2(settings: Mapping[str, Any]) -> dict[str, Any]:
    fixed = {"layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
    for key, only in fixed.items():
        _must(settings, key, only)
    if ACTIVATIONS.get(activation := settings.get("activation_function", "gelu_new")) != "gelu_tanh":
        wrong = f"config.json: activation_function = {activation!r}"
        raise DataError(wrong, "gelu_new: nothing else is computed here", "choose another model")
    width = settings.get("n_embd", 768)
    inner = settings.get("n_inner") or 4 * width
    sizes = {"width": width, "depth": settings.get("n_layer", 12), "heads": settings.get("n_head", 12), "inner": inner}
    return {**sizes, "max_length": settings.get("n_positions", 1024), "dropout": float(settings.get("resid_pdrop", 0.1))}


def _xlnet(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Memory is a matter of training; a window of 512 is read where the config has none."""
    fixed = {"layer_norm_eps": 1e-12, "untie_r": True, "attn_type": "bi", "clamp_len": -1, "same_length": False}
    for key, only in fixed.items():
        _must(settings, key, only)
    activation = settings.get("ff_activation", "gelu")
    if activation not in ACTIVATIONS:
        raise DataError(f"config.json: ff_activation = {activation!r}", f"one of {', '.join(ACTIVATIONS)}", "choose another model")
    return {
        "width": settings.get("d_model", 1024), "depth": settings.get("n_layer", 24), "heads": settings.get("n_head", 16),
        "inner": settings.get("d_inner", 4096), "memory": settings.get("mem_len") or 0,
        "dropout": float(settings.get("dropout", 0.1)), "activation": ACTIVATIONS[activation],
    }  # fmt: skip


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """The floating-point tensors of model.safetensors, memory-mapped where they can be; others (position_ids) are not used."""
    place = path / "model.safetensors"
    if not place.is_file():
        if (path / "pytorch_model.bin").exists():
            wrong = f"{path} holds pytorch_model.bin, a pickle: opening one runs whatever code it holds"
            raise DataError(wrong, "model.safetensors", "have it saved anew by transformers: model.save_pretrained(FOLDER)")
        raise DataError(f"{path} has no model.safetensors", "the weights in one file", CURE)
    size = place.stat().st_size
    with place.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, LIMIT):
            raise DataError(f"{place}: a header of {length:,} bytes in a file of {size:,}", "a safetensors file", CURE)
        header = json.loads(file.read(length))
    flat = np.memmap(place, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, np.uint8)
    floats = {name: entry for name, entry in header.items() if name != "__metadata__" and entry["dtype"] in FLOATS}
    return {name: _view(flat, place, name, entry) for name, entry in floats.items()}


def _view(flat: np.ndarray, place: Path, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    (first, last), shape, kind = entry["data_offsets"], entry["shape"], np.dtype(FLOATS[entry["dtype"]])
    whole = all(type(number) is int and number >= 0 for number in (first, last, *shape))
    if not whole or last > len(flat) or last - first != math.prod(shape) * kind.itemsize:
        raise DataError(f"{place}: {name} is said to be {shape} at bytes {first} to {last} of {len(flat)}", "a safetensors file", CURE)
    array = np.frombuffer(flat[first:last].tobytes() if first % kind.itemsize else flat[first:last], kind)
    return (array.astype("<u4") << 16).view("<f4").reshape(shape) if entry["dtype"] == "BF16" else array.reshape(shape)


def _named(layout: str, theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors under the names of today's pre-training model: with its prefix, norms as weight and bias."""
    prefix = PREFIXES[layout]
    bare = not any(name.startswith(prefix) for name in theirs)
    found = {}
    for name, array in theirs.items():
        if name.endswith((".gamma", ".beta")):
            name = name.removesuffix(".gamma") + ".weight" if name.endswith(".gamma") else name.removesuffix(".beta") + ".bias"
        found[prefix + name if bare and not name.startswith(HEADS) else name] = array
    return found


def _ours(path: Path, layout: str, config: Any, theirs: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Our tensors as float32, and the heads of which some or all is missing."""
    inner = config.blocks_in_layer if layout in ("albert", ZH) else 1
    blocks = config.groups * inner if layout in ("albert", ZH) else config.depth  # that have weights of their own
    table = names(layout, min(blocks, len(theirs)), inner)
    missing = [name for name in table if any(their not in theirs for their in name.theirs)]
    needed = [name.theirs[0] for name in missing if not name.ours.startswith(OPTIONAL)]
    if needed or blocks > len(theirs):
        shown = ", ".join(needed[:3]) or f"tensors for {counted(blocks, 'block')}"
        raise DataError(f"{path}: model.safetensors lacks {shown}", "every tensor of the model that config.json tells of", CURE)
    for copy, original, transposed in TIED:
        tied = theirs.get(copy) if original in theirs else None
        if tied is not None and not np.array_equal(tied.T if transposed else tied, theirs[original], equal_nan=True):
            raise DataError(f"{path}: {copy} is a table of its own", "a decoder tied to the token table", "choose another model")
    lacking = tuple(head for head in OPTIONAL if any(name.ours.startswith(head) for name in missing))
    filled = {their: theirs.get(their, np.zeros(1, np.float32)) for name in table for their in name.theirs}
    arrays = from_huggingface(layout, blocks, filled, inner)
    kept = {name: array.astype(np.float32) for name, array in arrays.items() if not (lacking and name.startswith(lacking))}
    for name, array in kept.items():
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds numbers that are not finite", "weights that a float32 holds", CURE)
    return kept, tuple(head.removesuffix(".") for head in lacking)


def _whole(arrays: dict[str, np.ndarray], width: int, compared: int, vocab_size: int, lacking: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The tensors with those of the heads that are lacking: empty, but for the pooler, drawn as before training."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "pooler": {"weight": (width, width), "bias": (width,)},
        "masked_head": {
            "dense.weight": (compared, width), "dense.bias": (compared,), "norm.weight": (compared,), "norm.bias": (compared,),
            "bias": (vocab_size,),
        },
        "next_head": {"weight": (2, width), "bias": (2,)},
    }  # fmt: skip
    made = {f"{head}.{name}": np.zeros(shape, np.float32) for head in lacking for name, shape in shapes.get(head, {}).items()}
    if "bias" in lacking:
        made["bias"] = np.zeros(vocab_size, np.float32)
    if "pooler" in lacking:
        made["pooler.weight"] = np.random.default_rng(0).normal(0, 0.02, (width, width)).clip(-0.04, 0.04).astype(np.float32)
    return {**arrays, **made}


def _tokenizer(path: Path, row: Generation) -> Tokenizer:
    if (path / "tokenizer.json").exists():
        data = table_of(path / "tokenizer.json")
        kind = data["model"].get("type")
    elif (vocabulary := _first(path, "vocab*.txt")) and "WordPiece" in TOKENIZERS[row.name]:
        data, kind = _from_vocabulary(vocabulary, _beside(path)), "WordPiece"
    elif (pieces := _first(path, "*.model")) and "Unigram" in TOKENIZERS[row.name]:
        settings = _beside(path)
        lowercase, accents = bool(settings.get("do_lower_case", True)), bool(settings.get("keep_accents", False))
        data, kind = from_spiece(pieces, lowercase, accents), "Unigram"
    elif (path / "merges.txt").exists() and row.name == "gpt2":
        data, kind = _from_merges(path), "BPE"
    else:
        raise DataError(f"{path} has no tokenizer.json", "the tokenizer that the model was trained with", CURE)
    byte_level = "ByteLevel" in json.dumps(data.get("pre_tokenizer"))
    if kind not in TOKENIZERS[row.name] or (kind == "BPE" and not byte_level):
        expected = " or ".join(TOKENIZERS[row.name])
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
    return Tokenizer.from_json(json.dumps(data))


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
