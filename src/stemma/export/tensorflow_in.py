"""A folder of an original TensorFlow checkpoint of BERT or ALBERT as a run, read without TensorFlow, by way of transformers' names.

A checkpoint NAME is a table of its variables, NAME.index, and their numbers, NAME.data-00000-of-00001. The table is LevelDB's
(table_format.md), without compression; its entries are protocol buffers (tensor_bundle.proto). Beside it stand the config, whatever
it is called (bert_config.json, albert_config_base.json), and vocab.txt or a SentencePiece file. ALBERT's variables have Google's names or,
where the token table alone is factorised, those of brightmart/albert_zh.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stemma.errors import DataError
from stemma.export.huggingface_in.folder import Found, as_found, found_where_it_fits
from stemma.export.huggingface_in.layout import CURE, table_of
from stemma.export.protocol_buffers import fields, varint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")  # the last bytes of an index
FOOTER = 48  # bytes at the end of an index that say where its parts are
TYPES = {1: "<f4", 2: "<f8", 14: "<u2", 19: "<f2"}  # of numbers; 14: bfloat16
LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "output_weights": "weight", "output_bias": "bias"}
TRANSPOSED = ("kernel", "word_embeddings_2")
_GROUP, _BLOCK = r"^bert/encoder/transformer/group_(\d+)/inner_group_(\d+)/", r"albert/encoder/albert_layer_groups/\1/albert_layers/\2/"
GOOGLE = (  # of Google's ALBERT: what a variable is called there, and in transformers
    (f"{_GROUP}attention_1/self/", f"{_BLOCK}attention/"),
    (f"{_GROUP}attention_1/output/", f"{_BLOCK}attention/"),
    (f"{_GROUP}LayerNorm/", f"{_BLOCK}attention/LayerNorm/"),
    (f"{_GROUP}LayerNorm_1/", f"{_BLOCK}full_layer_layer_norm/"),
    (f"{_GROUP}ffn_1/intermediate/dense/", f"{_BLOCK}ffn/"),
    (f"{_GROUP}ffn_1/intermediate/output/dense/", f"{_BLOCK}ffn_output/"),
    ("^bert/pooler/dense/", "albert/pooler/"),
    ("^bert/", "albert/"),
    ("^cls/predictions/transform/", "predictions/"),
    ("^cls/predictions/", "predictions/"),
    ("^cls/seq_relationship/", "sop_classifier/classifier/"),
)
OTHERS = ((r"^bert/encoder/layer_(\d+)/", r"bert/encoder/layer/\1/"),)  # of BERT and albert_zh


def is_tensorflow(path: Path) -> bool:
    """True for a folder with one checkpoint's index in it."""
    return path.is_dir() and len(_indexes(path)) == 1


def read_tensorflow(path: Path) -> Found:
    """What the folder holds; DataError where it is not what is read here, or does not fit together."""
    return found_where_it_fits(path, _read)


def _read(path: Path) -> Found:
    configs = [place for place in sorted(path.glob("*config*.json")) if place.name != "tokenizer_config.json"]
    if len(configs) != 1:
        raise DataError(f"{path} has {len(configs)} config files", "one, such as bert_config.json", "keep the one of this checkpoint")
    settings = table_of(configs[0])
    variables = read_checkpoint(_indexes(path)[0])
    google = any(name.startswith("bert/encoder/transformer/group_") for name in variables)
    if "embedding_size" in settings and settings.get("hidden_act") == "gelu":
        settings = {**settings, "hidden_act": "gelu_new"}  # what ALBERT's code means by it
    return as_found(path, {"model_type": "albert" if "embedding_size" in settings else "bert", **settings}, renamed(variables, google))


def renamed(variables: Mapping[str, np.ndarray], google: bool) -> dict[str, np.ndarray]:
    """The variables under transformers' names and in its layout; `google` says that they have Google's ALBERT's."""
    theirs = {}
    for name, array in variables.items():
        for pattern, replacement in GOOGLE if google else OTHERS:
            name = re.sub(pattern, replacement, name)
        stem, _, leaf = name.replace("/", ".").rpartition(".")
        ending = f"{leaf}.weight" if "_embeddings" in leaf else LEAVES.get(leaf, leaf)
        theirs[f"{stem}.{ending}"] = array.T if leaf in TRANSPOSED else array
    return theirs


def read_checkpoint(index: Path) -> dict[str, np.ndarray]:
    """The variables of numbers with a fraction, memory-mapped where they can be; not what an optimiser keeps of them."""
    content, arrays = index.read_bytes(), dict[str, np.ndarray]()
    place = len(content) - FOOTER
    if place < 0 or not content.endswith(MAGIC):
        raise DataError(f"{index} is no index of a checkpoint", "a table that ends with LevelDB's mark", CURE)
    _, place = _handle(content, place)  # of a part that holds nothing here
    entries = {key.decode(): value for _, block in _entries(content, _handle(content, place)[0]) for key, value in _block(content, block)}
    shards = dict(fields(entries.pop(""))).get(1, 1)
    for name, value in entries.items():
        entry: dict[int, Any] = {1: 0, 2: b"", 3: 0, 4: 0, 5: 0} | dict(fields(value))
        if entry[1] in TYPES and not name.rpartition("/")[2].startswith("adam_"):
            data = index.with_name(f"{index.name.removesuffix('.index')}.data-{entry[3]:05d}-of-{shards:05d}")
            arrays[name] = _array(data, name, TYPES[entry[1]], entry[2], entry[4], entry[5])
    return arrays


def _array(data: Path, name: str, kind: str, shape: bytes, first: int, size: int) -> np.ndarray:
    sizes = [dict(fields(dimension)).get(1, 0) for number, dimension in fields(shape) if number == 2]
    if not data.is_file() or first + size > data.stat().st_size or size != int(np.prod(sizes, dtype=np.int64)) * np.dtype(kind).itemsize:
        raise DataError(f"{data}: {name} is said to be {sizes} in {size} bytes from {first} on", "all of the checkpoint's files", CURE)
    array = np.memmap(data, kind, "r", offset=first, shape=tuple(sizes)) if size else np.empty(sizes, kind)
    return (array.astype("<u4") << 16).view("<f4") if kind == "<u2" else array


def _entries(content: bytes, index: tuple[int, int]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(the last key, where it is) of each block."""
    return ((key, _handle(value, 0)[0]) for key, value in _block(content, index))


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """((offset, size) of a block, the place after them)."""
    offset, place = varint(content, place)
    size, place = varint(content, place)
    return (offset, size), place


def _block(content: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; each key is written without what it shares with the one before."""
    (first, size), key = handle, b""
    if first + size >= len(content) or content[first + size]:
        raise ValueError(f"a block of {size} bytes at byte {first} that is compressed, or cut off")
    restarts = int.from_bytes(content[first + size - 4 : first + size], "little")
    place, end = first, first + size - 4 * (restarts + 1)
    while place < end:
        shared, place = varint(content, place)
        own, place = varint(content, place)
        length, place = varint(content, place)
        key = key[:shared] + content[place : place + own]
        yield key, content[place + own : place + own + length]
        place += own + length


def _indexes(path: Path) -> list[Path]:
    return sorted(path.glob("*.index"))
