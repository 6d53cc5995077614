"""A Hugging Face folder as a run: what its files hold, brought together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import restore
from stemma.errors import DataError, StemmaError
from stemma.export.huggingface import COUNTERPART, NAMED
from stemma.export.huggingface_in.heads import Learnt, learnt
from stemma.export.huggingface_in.layout import CURE, LIMIT, table_of
from stemma.export.huggingface_in.layouts import layout_of, layouts_of
from stemma.export.huggingface_in.pickled import PICKLE, tensors_of_pickle
from stemma.export.huggingface_in.tensors import own_tensors, stored_tensors, with_heads
from stemma.export.huggingface_in.tokenizer_files import tokenizer_of
from stemma.export.sentence_transformers import model_folder, pooling_of
from stemma.lineage.table import Generation, find
from stemma.nouns import counted
from stemma.runs.fitted import FittedRun
from stemma.runs.opening import network_of
from stemma.runs.pooling import TOKENS, Pooling
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
    learnt: Learnt | None = None  # what a head of a task has learnt
    pooling: Pooling = TOKENS

    def run(self) -> Run | FittedRun:
        """The run, in memory."""
        if self.learnt is not None:
            return self.learnt.fitted(self.row, self.config, self.tokenizer, self.arrays)
        network = network_of(self.row, self.config, self.tokenizer, self.arrays)
        return Run(None, self.row, self.tokenizer, network, self.pooling)  # kept in memory


def is_huggingface(path: Path) -> bool:
    """True for a folder whose config.json has a model_type or, as albert_zh's, an embedding_size, and that is no run of ours.

    Of a folder of sentence-transformers that of its model counts.
    """
    if (path / "manifest.json").exists():
        return False
    config = model_folder(path) / "config.json"
    if not config.is_file() or config.stat().st_size > LIMIT:
        return False
    return any(key in config.read_bytes() for key in (b'"model_type"', b'"embedding_size"'))


def read_huggingface(path: Path, task: str = "", pickles: bool = False) -> Found:
    """What the folder holds; DataError where it is not what is read here, or does not fit together.

    `task` is what its head has learnt, where the folder does not say so; `none` leaves the head out.
    `pickles` has pytorch_model.bin read where there is no model.safetensors (see `pickled`).
    """
    return found_where_it_fits(path, partial(_read, task=task, pickles=pickles))


def found_where_it_fits(path: Path, read: Callable[[Path], Found]) -> Found:
    """What `read` finds in the folder; DataError in place of whatever a file that is none of these lets it stumble over."""
    try:
        return read(path)
    except StemmaError:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        wrong = f"{path} does not hold what its config.json tells of ({type(error).__name__}: {error})"
        raise DataError(wrong, "a folder of one model", CURE) from error


def _read(path: Path, task: str, pickles: bool) -> Found:
    place = model_folder(path)
    pickled = pickles and (place / PICKLE).is_file() and not (place / "model.safetensors").exists()
    found = as_found(place, table_of(place / "config.json"), tensors_of_pickle(place / PICKLE) if pickled else None, task)
    longest = found.config.max_length if found.row.in_context else None
    return replace(found, pooling=pooling_of(path, found.config.width, longest))


def as_found(path: Path, settings: Mapping[str, Any], theirs: Mapping[str, np.ndarray] | None, task: str = "") -> Found:
    """The model of these settings, with its tokenizer's files in the folder and its tensors (None: those of model.safetensors)."""
    layouts = layouts_of(path, settings)
    theirs = stored_tensors(path) if theirs is None else theirs
    layout = layout_of(layouts, theirs)
    row, (tokenizer, added) = find(layout.generation), tokenizer_of(path, layout)
    config: Any = restore(row.sections()["model"], layout.settings(settings), str(path / "config.json"))
    arrays, lacking = own_tensors(path, layout, config, theirs)
    if len(arrays["tokens.weight"]) != (size := tokenizer.vocab_size + added):
        wrong = f"{path}: the tokenizer has {counted(size, 'token')}, the model {len(arrays['tokens.weight']):,}"
        raise DataError(wrong, "one row of the model a token", "choose the tokenizer that the model was trained with")
    width, expected = arrays["tokens.weight"].shape[1], layout.row(config)
    if width != expected:
        raise DataError(f"{path}: {width} numbers a token, {expected} in config.json", "the config of these weights", CURE)
    if COUNTERPART.get(settings.get(NAMED, "")) == row.name:
        row = find(settings[NAMED])
    what = learnt(path, settings, theirs, row, tokenizer, config.width, task)
    if added and what is None:
        arrays["tokens.weight"] = arrays["tokens.weight"][: tokenizer.vocab_size]
    arrays = with_heads(arrays, config.width, layout.compared(config), tokenizer.vocab_size, lacking)
    return Found(row, config, tokenizer, arrays, lacking, what)
