"""A Hugging Face folder as a run: what its files hold, brought together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import restore
from stemma.errors import DataError, StemmaError
from stemma.export.huggingface import COUNTERPART, NAMED
from stemma.export.huggingface_in.layout import CURE, LIMIT, table_of
from stemma.export.huggingface_in.layouts import layout_of, layouts_of
from stemma.export.huggingface_in.tensors import own_tensors, stored_tensors, with_heads
from stemma.export.huggingface_in.tokenizer_files import tokenizer_of
from stemma.lineage.table import Generation, find
from stemma.nouns import counted
from stemma.runs.opening import network_of
from stemma.runs.run import Run
from stemma.tokens.tokenizer import Tokenizer


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
    layouts = layouts_of(path, settings)
    theirs = stored_tensors(path) if theirs is None else theirs
    layout = layout_of(layouts, theirs)
    row, tokenizer = find(layout.generation), tokenizer_of(path, layout)
    config: Any = restore(row.sections()["model"], layout.settings(settings), str(path / "config.json"))
    arrays, lacking = own_tensors(path, layout, config, theirs)
    if len(arrays["tokens.weight"]) != tokenizer.vocab_size:
        wrong = f"{path}: the tokenizer has {counted(tokenizer.vocab_size, 'token')}, the model {len(arrays['tokens.weight']):,}"
        raise DataError(wrong, "one row of the model a token", "choose the tokenizer that the model was trained with")
    width, expected = arrays["tokens.weight"].shape[1], layout.row(config)
    if width != expected:
        raise DataError(f"{path}: {width} numbers a token, {expected} in config.json", "the config of these weights", CURE)
    if COUNTERPART.get(settings.get(NAMED, "")) == row.name:
        row = find(settings[NAMED])
    return Found(row, config, tokenizer, with_heads(arrays, config.width, layout.compared(config), tokenizer.vocab_size, lacking), lacking)
