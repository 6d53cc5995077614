"""ONNX files whose products are computed in 8 bits: weights scaled by their columns, the other factor by what texts of the user gave.

Scales are fixed beforehand (static quantisation, by NNCF) from TEXTS texts drawn by lot. What is large in a few columns alone is first
moved from the texts' side to the weights' (SmoothQuant: Xiao 2023), without which the vectors of a Transformer lose much.

No file of this kind is checked against PyTorch: what it costs is for a file of the user's to say (`stemma.serving.drops`).
"""

import importlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from stemma.corpus import read as corpus
from stemma.corpus.document import Ledger
from stemma.errors import DataError, MissingExtra, UsageError
from stemma.export.onnx import FACTS, graphs_of, onnx_models
from stemma.export.onnx_answers import answer_batch, scored
from stemma.export.onnx_graphs import fed
from stemma.objectives.batch import Batch, generator
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tokens.files import check_file, whole_file

INT8 = "int8"  # the key of the metadata's facts that tells such a file
TEXTS = 64  # that scales are taken from


def write_onnx_int8(run: Run | FittedRun, path: Path, calibration: Path) -> list[Path]:
    """Writes the run as one ONNX file in 8 bits, whose scales come of the file `calibration`: text, or examples of the run's task.

    UsageError for a run that writes, or whose graph has no products of weights; the other errors are those of `write_onnx`.
    """
    check_file(path)
    graphs = graphs_of(run)
    if any(graph.kind == "advance" for graph in graphs):
        wrong = f"a run of {run.row.name}, which writes, as an ONNX file in 8 bits"
        raise UsageError(wrong, "one that reads texts, or has learnt a task", "write it in float32, or --to ctranslate2 --int8")
    if not run.row.blocks:
        wrong = f"a run of {run.row.name} as an ONNX file in 8 bits"
        raise UsageError(wrong, "a Transformer: it is made of products of weights", "write it in float32")
    feeds = _feeds(run, calibration, list(graphs[0].inputs))
    (model,) = onnx_models(run)
    with whole_file(path) as file:
        file.write(quantised(model, feeds))
    return [path]


def quantised(model: bytes, feeds: Sequence[Batch]) -> bytes:
    """The model with its products in 8 bits; `feeds` are batches that it reads. MissingExtra without NNCF."""
    import onnx

    nncf, source = imported_quietly("nncf"), onnx.load_from_string(model)
    names = [value.name for value in source.graph.input]  # what no node reads is not among them
    dataset = nncf.Dataset([{name: feed[name] for name in names} for feed in feeds])
    with _quiet():
        found = nncf.quantize(source, dataset, subset_size=len(feeds), model_type=nncf.ModelType.TRANSFORMER)
    for entry in onnx.load_from_string(model).metadata_props:
        own = next((own for own in found.metadata_props if own.key == entry.key), None) or found.metadata_props.add(key=entry.key)
        own.value = json.dumps(json.loads(entry.value) | {INT8: True}, ensure_ascii=False) if entry.key == FACTS else entry.value
    data: bytes = found.SerializeToString()
    return data


def imported_quietly(library: str) -> Any:
    """OpenVINO or NNCF. Both tell their makers of their use, in a thread of its own, where the package openvino_telemetry is beside them.

    Here they are imported as if that were not: they do without, and nothing leaves this machine. MissingExtra where they are not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # the import of such a module fails
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingExtra(library, "openvino") from error


def _feeds(run: Run | FittedRun, path: Path, names: Sequence[str]) -> list[Batch]:
    """What the run's graph reads, by these names, of texts of the file, one a batch; DataError where no text is in it."""
    if isinstance(run, FittedRun):
        examples = run.task.read(path, learning=False)
        framed = scored(run).prepare(run.task.texts([examples[place] for place in _lot(len(examples))]))
        batches = [answer_batch(framed, np.array([row]), run.assignment, names) for row in range(len(framed.ids))]
        return [fed(names, batch, run.assignment.network) for batch in batches]
    sentences = texts_of(path)
    encoded, network, feeds = run.encode([sentences[place] for place in _lot(len(sentences))]), run.network, []
    room = (network.max_length or len(encoded.own) + 2) - len(network.frame([])[0])
    for ids in encoded.rows:
        framed_ids, types = network.frame(ids[:room].tolist())
        row = {"ids": np.array([framed_ids]), "types": np.array([types]), "segments": np.ones((1, len(framed_ids)), np.int64)}
        feeds.append(fed(names, row | encoded.beside, network))
    return feeds


def texts_of(path: Path) -> list[str]:
    """The sentences of a text; DataError where there is none."""
    found = [sentence for document in corpus.read([path], corpus.Config(), Ledger()) for sentence in document.sentences]
    if not found:
        raise DataError(f"{path} has no text", "some sentences", "name another file")
    return found


def _lot(count: int) -> list[int]:
    """Which of so many texts are taken, the same ones each time."""
    chosen: list[int] = np.sort(generator("calibration").permutation(count)[:TEXTS]).tolist()
    return chosen


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's bars and remarks, the former of which would stand among our output."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(before)
