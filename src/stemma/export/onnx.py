"""Runs as ONNX files, which other programs compute without PyTorch: traced, then checked against PyTorch, then written.

A file says what it is: its metadata hold the run's `tokenizer.json`, and under `stemma` the generation, the kind of graph, the axes of what
goes in and out, the task with its labels, and what stands round a text; so nothing has to be said again where it is used.

The check reads batches of 1 and 3 rows with 1, 7, 128 and the most positions, padding among them. No file is left that differs from
PyTorch by more than GAP in any number, or whose likeliest label or token is another one.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.config import VERSION
from stemma.errors import DataError, MissingExtra, RunError, UsageError
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tokens.files import check_file, whole_file

if TYPE_CHECKING:
    from stemma.export.onnx_graphs import Axes, Graph

FACTS = "stemma"  # the name of what the metadata say of the run, beside "tokenizer.json"
GAP = 1e-4  # between PyTorch's numbers and the file's, at most
LENGTHS = (1, 7, 128)  # positions of the rows that are compared, beside the most that there can be
ROWS = (1, 3)
TRACED = (2, 6)  # rows and positions of the batch that is traced; nothing of them stays in the graph
MOST = (1 << 31) - 1  # bytes of a file: what its format can hold
FRAMED = (-1, -2)  # stand for the texts where the metadata tell what stands round them


def write_onnx(run: Run | FittedRun, path: Path) -> list[Path]:
    """Writes the run as one ONNX file, or as two if it translates: the second (`writing_file`) writes on; gives back their paths.

    MissingExtra without onnx, onnxscript or onnxruntime; UsageError for a run that has no graph, or is larger than such a file can be;
    RunError where the graph does not say what PyTorch says.
    """
    files = [path, writing_file(path)]
    check_file(path)
    models = onnx_models(run)
    for name, data in zip(files, models, strict=False):
        with whole_file(name) as file:
            file.write(data)
    return files[: len(models)]


def writing_file(path: Path) -> Path:
    """The second file of a run that translates, beside the first: `out.decoder.onnx` beside `out.onnx`."""
    return path.with_suffix(f".decoder{path.suffix}")


def onnx_models(run: Run | FittedRun) -> list[bytes]:
    """What such files hold, checked; errors are those of `write_onnx`."""
    for library in ("onnx", "onnxscript", "onnxruntime"):
        _imported(library)
    return [_model(graph, run) for graph in graphs_of(run)]


def _model(graph: "Graph", run: Run | FittedRun) -> bytes:
    model = _named(traced(graph), graph, run)
    size = model.ByteSize()
    if size > MOST:
        wrong = f"the graph has {size / 2**30:.1f} GiB"
        raise UsageError(wrong, "2 GiB at most, which one ONNX file can hold", "use PyTorch, or --to ctranslate2 for what it can read")
    data: bytes = model.SerializeToString()
    check(graph, data)
    return data


def open_file(path: Path, opener: Callable[[bytes], Any] | None = None) -> tuple[Any, dict[str, Any]]:
    """The session of a file, and what its metadata say of the run; DataError for one that Stemma did not write.

    It is ONNX Runtime's, or what `opener` makes of what the file holds.
    """
    expected, mend = "one that stemma convert wrote", "write it: stemma convert RUN FILE.onnx --to onnx"
    try:
        data = path.read_bytes()
        session = open_session(data)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", expected, mend) from error
    except Exception as error:  # ONNX Runtime's own, which have nothing in common
        if isinstance(error, MissingExtra):
            raise
        raise DataError(f"{path} is no ONNX file", expected, mend) from error
    facts = session.get_modelmeta().custom_metadata_map.get(FACTS)
    if facts is None:
        raise DataError(f"{path} is not of a run", expected, mend)
    return opener(data) if opener not in (None, open_session) else session, json.loads(facts)


def fingerprint(run: Run | FittedRun) -> str:
    """Changes whenever a weight of the run does."""
    if isinstance(run, FittedRun):
        arrays = run.model.arrays()
    elif run.row.updates == "by hand":
        arrays = run.network.arrays()
    else:
        from stemma.layers.weights import weights

        arrays = weights(run.network)
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].shape} {arrays[name].dtype}".encode())
        found.update(np.ascontiguousarray(arrays[name]).data)
    return found.hexdigest()


def graphs_of(run: Run | FittedRun) -> "Sequence[Graph]":
    """The graph of the run; of one that translates also the one that writes on. UsageError for a run that has none."""
    from stemma.export.onnx_answers import answering
    from stemma.export.onnx_graphs import graph_of
    from stemma.export.onnx_translation import translating

    if isinstance(run, FittedRun) and run.task.per != "target":
        return [answering(run)]
    opened = run.as_run() if isinstance(run, FittedRun) else run
    if "translate" in opened.row.abilities and opened.translates:
        return translating(opened.network)
    return [graph_of(opened)]


def traced(graph: "Graph") -> Any:
    """The graph as an ONNX model."""
    import torch
    from torch.export import Dim

    example = graph.batches(*TRACED)[0]
    moving = tuple({place: Dim.DYNAMIC for place, axis in enumerate(axes) if isinstance(axis, str)} for axes in graph.inputs.values())
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(example[name] for name in graph.inputs),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=_by_argument(graph.module, moving),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def check(graph: "Graph", data: bytes) -> float:
    """The greatest gap between PyTorch and the file; RunError where it is more than GAP, or a likeliest label or token another one."""
    import torch

    session, worst = open_session(data), 0.0
    lengths = sorted({length for length in (*LENGTHS, graph.longest) if length <= graph.longest})
    for length in lengths:
        for rows in ROWS:
            for batch in graph.batches(rows, length):
                with torch.no_grad():
                    ours = [tensor.numpy() for tensor in graph.module(*(batch[name] for name in graph.inputs))]
                theirs = session.run(list(graph.outputs), {value.name: batch[value.name].numpy() for value in session.get_inputs()})
                real = batch["segments"].numpy()[:, -length:] > 0 if "segments" in batch else np.ones((rows, length), bool)
                for name, mine, other in zip(graph.outputs, ours, theirs, strict=True):
                    gap = _gap(*((mine[real], other[real]) if mine.ndim == 3 and mine.shape == other.shape else (mine, other)))
                    worst = max(worst, gap)
                    if not gap <= GAP or (name == "scores" and _turned(mine, other)):
                        wrong = f"the graph differs from PyTorch by {gap:.1e} in {name!r}, of {rows} x {length} positions"
                        raise RunError(wrong, f"{GAP:.0e} at most, and the same likeliest one", "nothing was written; please report it")
    return worst


def open_session(source: bytes, threads: int = 0) -> Any:
    """ONNX Runtime's session of what a file holds, on the CPU; `threads` 0: as many as PyTorch computes with."""
    import torch

    runtime = _imported("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads or torch.get_num_threads(), 3
    return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _gap(mine: np.ndarray, other: np.ndarray) -> float:
    """The greatest distance of two numbers; what is impossible in both is no distance apart. NaN is the greatest of all."""
    if mine.shape != other.shape:
        return np.inf
    with np.errstate(invalid="ignore"):  # minus infinity from itself
        return float(np.abs(np.where(mine == other, 0, mine - other)).max(initial=0.0))


def _turned(mine: np.ndarray, other: np.ndarray) -> bool:
    """True where another one is the likeliest, by more than the gap that is allowed."""
    if not mine.size:
        return False
    chosen = np.take_along_axis(mine, other.argmax(-1)[..., None], -1)[..., 0]
    with np.errstate(invalid="ignore"):  # a row where nothing is possible
        return bool((mine.max(-1) - chosen > GAP).any())


def _by_argument(module: Any, moving: tuple[Any, ...]) -> tuple[Any, ...]:
    """The dynamic axes by the arguments of `forward`, of which the last may take several inputs."""
    code = type(module).forward.__code__
    plain = code.co_argcount - 1  # without self
    return (*moving[:plain], moving[plain:]) if code.co_flags & 4 else moving


def _named(model: Any, graph: "Graph", run: Run | FittedRun) -> Any:
    """The model with the names of its axes, and all that is to be known of the run; what no node reads goes in no more."""
    read = {name for node in model.graph.node for name in node.input}
    for value in [value for value in model.graph.input if value.name not in read]:
        model.graph.input.remove(value)
    for values, axes_of in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        for value in values:
            _name_axes(value, axes_of[value.name])
    del model.graph.value_info[:]  # shapes inside, of the batch that was traced
    for name, text in _metadata(graph, [value.name for value in model.graph.input], run).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text
    model.producer_name, model.producer_version = "stemma", VERSION
    return model


def _name_axes(value: Any, axes: "Axes") -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for axis in axes:
        dim = shape.dim.add()
        if isinstance(axis, str):
            dim.dim_param = axis
        else:
            dim.dim_value = axis


def _metadata(graph: "Graph", names: Sequence[str], run: Run | FittedRun) -> Mapping[str, str]:
    frames = graph.frames
    facts: dict[str, Any] = {"version": VERSION, "generation": run.row.name, "graph": graph.kind}
    facts |= {"fingerprint": fingerprint(run), "inputs": {name: graph.inputs[name] for name in names}}
    facts |= {"outputs": graph.outputs, "max_length": frames.max_length}
    facts["frame"] = {"text": frames.frame([FRAMED[0]]), "pair": frames.frame([FRAMED[0]], [FRAMED[1]])}
    if isinstance(run, FittedRun):
        facts |= {"task": run.task.name, "targets": run.targets}
    tokenizer = run.assignment.tokenizer if isinstance(run, FittedRun) else run.tokenizer
    return {FACTS: json.dumps(facts, ensure_ascii=False), "tokenizer.json": tokenizer.file_text}


def _imported(library: str) -> Any:
    import importlib

    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingExtra(library, "onnx") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks, which are about its own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch._dynamo", "torch.export", "torch.__trace", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
