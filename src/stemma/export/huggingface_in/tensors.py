"""The tensors of a folder: read from its file, brought under the names of today's pre-training models, and made ours."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stemma.errors import DataError
from stemma.export.huggingface import OPTIONAL, from_huggingface, names
from stemma.export.huggingface_in.layout import CURE, LIMIT, Layout
from stemma.nouns import counted

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def stored_tensors(path: Path) -> dict[str, np.ndarray]:
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


def _named(layout: Layout, theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors under the names of today's pre-training model: with its prefix, norms as weight and bias."""
    prefix = layout.prefix
    bare = not any(name.startswith(prefix) for name in theirs)
    found = {}
    for name, array in theirs.items():
        if name.endswith((".gamma", ".beta")):
            name = name.removesuffix(".gamma") + ".weight" if name.endswith(".gamma") else name.removesuffix(".beta") + ".bias"
        found[prefix + name if bare and not name.startswith(layout.heads) else name] = array
    return found


def own_tensors(path: Path, layout: Layout, config: Any, stored: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Our tensors as float32, and the heads of which some or all is missing."""
    theirs, (blocks, inner) = _named(layout, stored), layout.blocks(config)
    table = names(layout.name, min(blocks, len(theirs)), inner)
    missing = [name for name in table if any(their not in theirs for their in name.theirs)]
    needed = [name.theirs[0] for name in missing if not name.ours.startswith(OPTIONAL)]
    if needed or blocks > len(theirs):
        shown = ", ".join(needed[:3]) or f"tensors for {counted(blocks, 'block')}"
        raise DataError(f"{path}: model.safetensors lacks {shown}", "every tensor of the model that config.json tells of", CURE)
    for copy, original, transposed in layout.tied:
        tied = theirs.get(copy) if original in theirs else None
        if tied is not None and not np.array_equal(tied.T if transposed else tied, theirs[original], equal_nan=True):
            raise DataError(f"{path}: {copy} is a table of its own", "a decoder tied to the token table", "choose another model")
    lacking = tuple(head for head in OPTIONAL if any(name.ours.startswith(head) for name in missing))
    filled = {their: theirs.get(their, np.zeros(1, np.float32)) for name in table for their in name.theirs}
    arrays = from_huggingface(layout.name, blocks, filled, inner)
    kept = {name: array.astype(np.float32) for name, array in arrays.items() if not (lacking and name.startswith(lacking))}
    for name, array in kept.items():
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds numbers that are not finite", "weights that a float32 holds", CURE)
    return kept, tuple(head.removesuffix(".") for head in lacking)


def with_heads(
    arrays: dict[str, np.ndarray], width: int, compared: int, vocab_size: int, lacking: tuple[str, ...]
) -> dict[str, np.ndarray]:
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
