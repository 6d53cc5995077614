"""ELMo in the layout that its authors published: weights.hdf5 and options.json (allenai/bilm-tf, which AllenNLP reads too), both ways.

Their gates stand in the order i, g, f, o, ours i, f, g, o, and their forget bias lacks the 1 that is added when it runs. Their forward
model begins a text with <S>, spelled by a character of its own, and so does what is read here (`model.begin`). Their files hold no
softmax; ours keep it under `softmax`, which others pass over. Vocabularies begin with <S>, </S>, <UNK>.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import restore
from stemma.corpus.files import end_of_links
from stemma.errors import DataError, MissingExtra, StemmaError, UsageError
from stemma.export.huggingface_in.folder import Found
from stemma.lineage.table import find
from stemma.runs.run import Run
from stemma.tokens.chinese import segmenter
from stemma.tokens.files import one_writer, write_bytes, write_json
from stemma.tokens.settings import SPECIALS
from stemma.tokens.settings import Config as TokenConfig
from stemma.tokens.tokenizer import Tokenizer
from stemma.tokens.words import Words

LONGEST, BEGIN, END = 50, 256, 257  # of a word's characters; the two that stand for a text's begin and end
THEIRS = ("<S>", "</S>", "<UNK>")
ORDER = (1, 2, 0)  # the ids that these have here
CURE = "download both files again, or choose another"
Arrays = dict[str, np.ndarray]


def read_elmo(path: Path) -> Found:
    """What weights.hdf5 holds, with options.json beside it, and vocab*.txt where there is one; DataError where that is not ELMo's."""
    try:
        return _read(path)
    except StemmaError:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        wrong = f"{path} does not hold what options.json tells of ({type(error).__name__}: {error})"
        raise DataError(wrong, "ELMo's weights as bilm-tf writes them", CURE) from error


def write_elmo(run: Run, folder: Path) -> list[Path]:
    """Writes weights.hdf5, options.json and vocabulary.txt."""
    h5py = _h5py()
    config, arrays = run.network.config, dict(run.kept.tensors())
    if sum(config.filters) == config.width:
        wrong = f"{run.path}: model.filters add up to model.width = {config.width}"
        raise UsageError(wrong, "other numbers: bilm-tf then leaves the projection out", "pre-train with another width")
    words = [*THEIRS, *run.tokenizer.tokens[len(THEIRS) :]]
    with one_writer(end_of_links(folder)):
        with h5py.File(folder / "weights.hdf5", "w") as file:
            for name, array in _theirs(arrays, config).items():
                file.create_dataset(name, data=np.ascontiguousarray(array, np.float32))
        write_json(folder / "options.json", _options(config))
        write_bytes(folder / "vocabulary.txt", "".join(f"{word}\n" for word in words).encode())
    return [folder / name for name in ("options.json", "vocabulary.txt", "weights.hdf5")]


def _read(path: Path) -> Found:
    row, options = find("elmo"), path.parent / "options.json"
    if not options.is_file():
        raise DataError(f"{path} has no options.json beside it", "the file that tells of its sizes", CURE)
    with _h5py().File(path, "r") as file:
        config: Any = restore(row.sections()["model"], _settings(json.loads(options.read_text(encoding="utf-8"))), str(options))
        words = _vocabulary(path.parent)
        tokens = [*SPECIALS["word"].values(), *(word for word in words if word not in (*THEIRS, *SPECIALS["word"].values()))]
        arrays = _ours({name: np.asarray(file[name], np.float32) for name in _names(config)}, config)
        head = _softmax(file, words, config)
    lacking = () if head else ("softmax",)
    head = head or {"table": np.zeros((len(tokens), config.width), np.float32), "bias": np.zeros(len(tokens), np.float32)}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds numbers that are not finite", "weights that a float32 holds", CURE)
    tokenizer = Tokenizer(Words(TokenConfig(kind="word", vocab_size=0), tokens, segmenter("rjieba")))
    rows = len(head["table"])
    config = restore(type(config), asdict(config) | {"targets": rows, "filters": list(config.filters)}, str(options))
    return Found(row, config, tokenizer, arrays | head | {"frequencies": np.ones(rows, np.int64)}, lacking)


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Our section `model` of theirs."""
    lstm, cnn = options["lstm"], options["char_cnn"]
    widths = [width for width, _ in cnn["filters"]]
    for key, value, only in (
        ("char_cnn.activation", cnn["activation"], "relu"),
        ("char_cnn.max_characters_per_token", cnn["max_characters_per_token"], LONGEST),
        ("char_cnn.filters, their widths", widths, list(range(1, len(widths) + 1))),
        ("lstm.proj_clip", lstm["proj_clip"], lstm["cell_clip"]),
    ):
        if value != only:
            raise DataError(f"options.json: {key} = {value!r}", f"{only!r}: nothing else is computed here", "choose another model")
    return {
        "characters": cnn["embedding"]["dim"], "filters": [number for _, number in cnn["filters"]], "highways": cnn["n_highway"],
        "width": lstm["projection_dim"], "cells": lstm["dim"], "depth": lstm["n_layers"], "clip": float(lstm["cell_clip"]),
        "skip": lstm["use_skip_connections"], "begin": True, "output": "full",
    }  # fmt: skip


def _options(config: Any) -> dict[str, Any]:
    """Their options.json of our section `model`."""
    lstm = {
        "use_skip_connections": config.skip, "projection_dim": config.width, "cell_clip": config.clip, "proj_clip": config.clip,
        "dim": config.cells, "n_layers": config.depth,
    }  # fmt: skip
    filters = [[width, number] for width, number in enumerate(config.filters, 1)]
    return {
        "lstm": lstm,
        "char_cnn": {
            "activation": "relu", "filters": filters, "n_highway": config.highways, "embedding": {"dim": config.characters},
            "n_characters": 262, "max_characters_per_token": LONGEST,
        },
    }  # fmt: skip


def _cells(config: Any) -> Iterator[tuple[str, str]]:
    """Our name of each layer of both directions, and theirs."""
    for direction, chain in enumerate(("forward_chain", "backward_chain")):
        for place in range(config.depth):
            yield f"{chain}.lstms.{place}", f"RNN_{direction}/RNN/MultiRNNCell/Cell{place}/LSTMCell"


def _dense(config: Any) -> Iterator[tuple[str, str, str]]:
    """Our name of each layer of the characters' network above the filters, and the names of their matrix and bias."""
    for place in range(config.highways):
        for ours, theirs in (("gate", "carry"), ("transform", "transform")):
            yield f"words.highways.{place}.{ours}", f"CNN_high_{place}/W_{theirs}", f"CNN_high_{place}/b_{theirs}"
    if sum(config.filters) != config.width:
        yield "words.project", "CNN_proj/W_proj", "CNN_proj/b_proj"


def _names(config: Any) -> list[str]:
    """The names of all their arrays."""
    filters = [f"CNN/{part}_cnn_{place}" for place in range(len(config.filters)) for part in "Wb"]
    dense = [name for _, *theirs in _dense(config) for name in theirs]
    return ["char_embed", *filters, *dense, *(f"{theirs}/{part}" for _, theirs in _cells(config) for part in ("W_0", "B", "W_P_0"))]


def _ours(theirs: Arrays, config: Any) -> Arrays:
    """Their arrays as ours."""
    found = {"words.characters.weight": theirs["char_embed"]}
    for place in range(len(config.filters)):
        found[f"words.filters.{place}.weight"] = theirs[f"CNN/W_cnn_{place}"][0].transpose(2, 1, 0)
        found[f"words.filters.{place}.bias"] = theirs[f"CNN/b_cnn_{place}"]
    if sum(config.filters) == config.width:  # theirs then has no projection
        found |= {"words.project.weight": np.eye(config.width, dtype=np.float32), "words.project.bias": np.zeros(config.width, np.float32)}
    for ours, weight, bias in _dense(config):
        found |= {f"{ours}.weight": theirs[weight].T, f"{ours}.bias": theirs[bias]}
    for ours, cell in _cells(config):
        both, sums = _reordered(theirs[f"{cell}/W_0"].T), _reordered(theirs[f"{cell}/B"])
        sums[config.cells : 2 * config.cells] += 1
        found |= {f"{ours}.inputs": both[:, : config.width], f"{ours}.recurrent": both[:, config.width :], f"{ours}.bias": sums}
        found[f"{ours}.project"] = theirs[f"{cell}/W_P_0"].T
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _theirs(ours: Arrays, config: Any) -> Arrays:
    """Our arrays as theirs; where no text has a begin of its own, theirs is spelled as the border is here."""
    characters = ours["words.characters.weight"].copy()
    if not config.begin:
        characters[BEGIN] = characters[END]
    found = {"char_embed": characters}
    for place in range(len(config.filters)):
        found[f"CNN/W_cnn_{place}"] = ours[f"words.filters.{place}.weight"].transpose(2, 1, 0)[None]
        found[f"CNN/b_cnn_{place}"] = ours[f"words.filters.{place}.bias"]
    for name, weight, bias in _dense(config):
        found |= {weight: ours[f"{name}.weight"].T, bias: ours[f"{name}.bias"]}
    for name, cell in _cells(config):
        sums = ours[f"{name}.bias"].copy()
        sums[config.cells : 2 * config.cells] -= 1
        both = np.concatenate([ours[f"{name}.inputs"], ours[f"{name}.recurrent"]], 1)
        found |= {f"{cell}/W_0": _reordered(both).T, f"{cell}/B": _reordered(sums), f"{cell}/W_P_0": ours[f"{name}.project"].T}
    order = [*ORDER, *range(len(ORDER), len(ours["table"]))]
    return found | {"softmax/W": ours["table"][order], "softmax/b": ours["bias"][order]}


def _reordered(gates: np.ndarray) -> np.ndarray:
    """Four gates one above the other, the two in the middle changing places."""
    first, second, third, last = np.split(gates, 4)
    return np.concatenate([first, third, second, last])


def _vocabulary(folder: Path) -> list[str]:
    """The words of vocab*.txt, where there is one."""
    places = sorted(folder.glob("vocab*.txt"))
    if len(places) > 1:
        raise DataError(f"{folder} has {len(places)} vocabularies", "vocab*.txt once, or not at all", f"leave one of {places[0].name} …")
    words = places[0].read_text(encoding="utf-8").split("\n") if places else []
    words = [word for word in words if word]
    if len(set(words)) < len(words):
        raise DataError(f"{places[0]} has a word twice", "each word once", CURE)
    return words


def _softmax(file: Any, words: list[str], config: Any) -> Arrays | None:
    """The softmax, where the file and the vocabulary have one."""
    if "softmax" not in file or tuple(words[: len(THEIRS)]) != THEIRS:
        return None
    table, bias = (np.asarray(file[f"softmax/{part}"], np.float32) for part in "Wb")
    if table.ndim != 2 or not len(THEIRS) <= len(table) <= len(words) or table.shape != (len(bias), config.width):
        raise DataError(f"a softmax of {table.shape} for {len(words):,} words", f"a row of {config.width} a word", CURE)
    back = np.argsort([*ORDER, *range(len(ORDER), len(table))])
    return {"table": table[back], "bias": bias[back]}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "interop") from error
    return h5py
