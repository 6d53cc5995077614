"""`stemma convert`: a run in the formats that other programs read, by one literal table of them; and their files as runs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.config import nearest
from stemma.errors import UsageError
from stemma.export.huggingface import COUNTERPART
from stemma.lineage.table import TABLE, Generation
from stemma.runs.fitted import FittedRun, has_head
from stemma.runs.run import Run

if TYPE_CHECKING:
    from stemma.export.vectors_out import Form


@dataclass(frozen=True)
class Format:
    """What a run can be written as."""

    requires: str  # for a run of what kind
    fits: Callable[[Generation], bool]
    write: Callable[[Run, Path], list[Path]]
    write_fitted: Callable[[FittedRun, Path], list[Path]] | None = None  # for one that has learnt a task; None: it takes none such
    write_int8: Callable[[Any, Path], list[Path]] | None = None  # with weights in 8 bits; None: it has none such
    calibrated: Callable[[Run | FittedRun, Path, Path], list[Path]] | None = None  # in 8 bits, by a file of text or examples


def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    skip_bad: bool = False,
    int8: bool = False,
    task: str = "",
    pickles: bool = False,
    calibration: Path | None = None,
) -> list[Path]:
    """Writes the run of `source` as `to` at `target`, or (`run`) the file `source` as a run folder; gives back what was written.

    UsageError where the run cannot be that; `skip_bad` is for files of word vectors alone, `task` and `pickles` for Hugging Face folders
    (see `stemma.export.runs`), `int8` for formats that can keep weights in 8 bits, of which ONNX also
    needs `calibration`, a file of text or of examples of the run's task.
    """
    source, target = Path(source), Path(target)
    if int8:
        _check_int8(to, calibration)
    elif calibration is not None:
        raise UsageError("--calibrate without --int8", "products in 8 bits, whose scales it gives", "add --int8, or drop --calibrate")
    if to == RUN:
        from stemma.export.runs import to_run

        return [to_run(source, target, skip_bad, task, pickles)]
    if to not in FORMATS:
        known = (*FORMATS, RUN)
        raise UsageError(f"there is no format {to!r}", "the name of a format", nearest(to, known))
    for given, option, does in (
        (skip_bad, "--skip-bad", "leaves words of a file out"),
        (task, "--task", "says what a folder's head has learnt"),
        (pickles, "--allow-pickle", "has pytorch_model.bin read"),
    ):
        if given:
            raise UsageError(f"{option} with --to {to}", f"--to {RUN}: it {does}", f"drop {option}")
    if source.is_file():
        raise UsageError(f"{source} is a file", "a run folder", f"make it one first: stemma convert {source} RUN --to {RUN}")
    form = FORMATS[to]
    run = FittedRun.load(source) if form.write_fitted and has_head(source) else Run.open(source)
    if not form.fits(run.row):
        others = " or ".join(name for name, other in FORMATS.items() if other.fits(run.row)) or "nothing yet"
        wrong = f"{source} is a run of {run.row.name}, which cannot be written as {to}"
        able = ", ".join(row.name for row in TABLE if row.ready and form.fits(row))
        raise UsageError(wrong, f"a run {form.requires}: {able}", f"{run.row.name} can be written as {others}")
    if calibration is not None and form.calibrated is not None:
        return form.calibrated(run, target, calibration)
    if isinstance(run, FittedRun):
        assert form.write_fitted is not None, "opened for such a format alone"
        return form.write_fitted(run, target)
    write = form.write_int8 if int8 and form.write_int8 else form.write
    return write(run, target)


def _check_int8(to: str, calibration: Path | None) -> None:
    """UsageError for a format without 8 bits, and where a file to calibrate by is missing, or not read."""
    form = FORMATS.get(to)
    if form is None or not (form.write_int8 or form.calibrated):
        small = " or ".join(name for name, other in FORMATS.items() if other.write_int8 or other.calibrated)
        raise UsageError(f"--int8 with --to {to}", f"--to {small}: it keeps weights in 8 bits", "drop --int8")
    if form.calibrated and calibration is None:
        wrong = f"--int8 with --to {to} and no file to calibrate by"
        raise UsageError(wrong, "text as the run will read, or examples of its task", "add --calibrate FILE")
    if calibration is not None and not form.calibrated:
        raise UsageError(f"--calibrate with --to {to}", "a format whose scales come of text", "drop --calibrate")


def _arpa(run: Run, path: Path) -> list[Path]:
    from stemma.export.arpa import write_arpa

    write_arpa(run.network, run.tokenizer.tokens, path)
    return [path]


def _vectors(run: Run, path: Path, form: "Form") -> list[Path]:
    from stemma.export.vectors_out import write_vectors

    write_vectors(run, path, form)
    return [path]


def _huggingface(run: Run, folder: Path) -> list[Path]:
    from stemma.export.huggingface_out import write_huggingface

    return write_huggingface(run, folder)


def _sentence_transformers(run: Run, folder: Path) -> list[Path]:
    from stemma.export.sentence_transformers import write_sentence_transformers

    return write_sentence_transformers(run, folder)


def _huggingface_fitted(run: FittedRun, folder: Path) -> list[Path]:
    from stemma.export.huggingface_out import write_fitted

    return write_fitted(run, folder)


def _elmo(run: Run, folder: Path) -> list[Path]:
    from stemma.export.published_elmo import write_elmo

    return write_elmo(run, folder)


def _static(run: Run, folder: Path) -> list[Path]:
    from stemma.export.static import write_static

    return write_static(run, folder)


def _ctranslate2(run: Run, folder: Path, int8: bool = False) -> list[Path]:
    from stemma.export.ctranslate2 import write_ctranslate2

    return write_ctranslate2(run, folder, int8)


def _onnx(run: Run | FittedRun, path: Path) -> list[Path]:
    from stemma.export.onnx import write_onnx

    return write_onnx(run, path)


def _onnx_int8(run: Run | FittedRun, path: Path, calibration: Path) -> list[Path]:
    from stemma.export.onnx_int8 import write_onnx_int8

    return write_onnx_int8(run, path, calibration)


def _is(*names: str) -> Callable[[Generation], bool]:
    return lambda row: row.name in names


def _has_states(row: Generation) -> bool:
    return row.in_context and not row.reads_spelling


def _is_network(row: Generation) -> bool:
    return row.learns == "descend"


def _has_words(row: Generation) -> bool:
    return "nearest" in row.abilities


RUN = "run"
TRANSLATED = ("transformer", "gpt", "gpt2")  # what CTranslate2 knows
FORMATS: dict[str, Format] = {
    "arpa": Format("of ngram", _is("ngram"), _arpa),
    "word2vec": Format("with word vectors", _has_words, partial(_vectors, form="word2vec")),
    "word2vec-binary": Format("with word vectors", _has_words, partial(_vectors, form="word2vec-binary")),
    "glove": Format("with word vectors", _has_words, partial(_vectors, form="glove")),
    "huggingface": Format("of " + ", ".join(COUNTERPART), _is(*COUNTERPART), _huggingface, write_fitted=_huggingface_fitted),
    "sentence-transformers": Format("of " + ", ".join(COUNTERPART), _is(*COUNTERPART), _sentence_transformers),
    "static": Format("with states in context", _has_states, _static),
    "elmo": Format("of elmo", _is("elmo"), _elmo),
    "ctranslate2": Format("of " + ", ".join(TRANSLATED), _is(*TRANSLATED), _ctranslate2, None, partial(_ctranslate2, int8=True)),
    "onnx": Format("that is a network, or has learnt a task as one", _is_network, _onnx, _onnx, None, _onnx_int8),
}
