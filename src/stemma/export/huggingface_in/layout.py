"""What a layout of a folder is, and how its config.json is read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.errors import DataError

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
LIMIT = 1 << 27  # bytes of a JSON file or a header
CURE = "download the folder again, or choose another"

Settings = Mapping[str, Any]  # of config.json


def _every(config: Any) -> tuple[int, int]:
    return config.depth, 1


def _width(config: Any) -> int:
    width: int = config.width
    return width


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one kind of model is published: its settings, the names of its tensors beside those of `export.huggingface`, its tokenizer."""

    name: str  # of its tensors in `export.huggingface`
    generation: str
    model_type: str  # in config.json
    settings: Callable[[Settings], dict[str, Any]]  # theirs as those of our `model`; DataError for what is not computed here
    prefix: str  # of all tensors but the heads'
    heads: tuple[str, ...] = ()  # prefixes of the heads' tensors
    tied: tuple[tuple[str, str, bool], ...] = ()  # a tensor that is another one's copy, that one, and whether the copy is transposed
    known_by: str = ""  # how a tensor's name ends that no other layout of the same type has
    tokenizers: tuple[str, ...]  # kinds of them in tokenizer.json
    merges: bool = False  # vocab.json and merges.txt may stand for tokenizer.json
    blocks: Callable[[Any], tuple[int, int]] = _every  # of our config: blocks with weights of their own, and how many a layer has
    row: Callable[[Any], int] = _width  # of our config: numbers that the token table has of each token
    compared: Callable[[Any], int] = _width  # and that the head for masked tokens makes of a state


def table_of(path: Path) -> dict[str, Any]:
    """The JSON table of a file; DataError where it holds none."""
    if not path.is_file() or path.stat().st_size > LIMIT:
        raise DataError(f"{path} is no file of a readable size", "JSON", CURE)
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no table", "a JSON table", CURE)
    return value


def must(settings: Settings, **only: Any) -> None:
    """DataError where a setting is another than the only one that is computed here; one that is not there is as it should be."""
    for key, value in only.items():
        if settings.get(key, value) != value:
            raise DataError(f"config.json: {key} = {settings[key]!r}", f"{value!r}: nothing else is computed here", "choose another model")


def activation_of(settings: Settings, key: str, otherwise: str = "gelu") -> str:
    """Our name of the activation; DataError for one that is not computed here."""
    found = settings.get(key, otherwise)
    if found not in ACTIVATIONS:
        raise DataError(f"config.json: {key} = {found!r}", f"one of {', '.join(ACTIVATIONS)}", "choose another model")
    return ACTIVATIONS[found]
