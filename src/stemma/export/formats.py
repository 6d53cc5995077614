"""`stemma convert`: a run in the formats that other programs read, by one literal table of them; and their files as runs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.config import nearest
from stemma.errors import UsageError
from stemma.export.huggingface import COUNTERPART, NAMED
from stemma.lineage.table import TABLE, Generation
from stemma.runs.fitted import FittedRun, load
from stemma.runs.run import Run
from stemma.tokens.files import one_writer, write_bytes, write_json

if TYPE_CHECKING:
    from stemma.export.vectors_out import Form


@dataclass(frozen=True)
class Format:
    """What a run can be written as."""

    requires: str  # for a run of what kind
    fits: Callable[[Generation], bool]
    write: Callable[[Run, Path], list[Path]]
    write_fitted: Callable[[FittedRun, Path], list[Path]] | None = None  # for one that has learnt a task; None: it takes none such
    write_int8: Callable[[Run, Path], list[Path]] | None = None  # with weights in 8 bits; None: it has none such


def convert(source: str | Path, target: str | Path, to: str, skip_bad: bool = False, int8: bool = False) -> list[Path]:
    """Writes the run of `source` as `to` at `target`, or (`run`) the file `source` as a run folder; gives back what was written.

    UsageError where the run cannot be that; `skip_bad` is for files of word vectors alone (see `stemma.export.runs`), `int8` for formats
    that can keep weights in 8 bits.
    """
    source, target = Path(source), Path(target)
    if int8 and (to not in FORMATS or FORMATS[to].write_int8 is None):
        small = " or ".join(name for name, form in FORMATS.items() if form.write_int8)
        raise UsageError(f"--int8 with --to {to}", f"--to {small}: it keeps weights in 8 bits", "drop --int8")
    if to == RUN:
        from stemma.export.runs import to_run

        return [to_run(source, target, skip_bad)]
    if to not in FORMATS:
        known = (*FORMATS, RUN)
        raise UsageError(f"there is no format {to!r}", "the name of a format", nearest(to, known))
    if skip_bad:
        raise UsageError(f"--skip-bad with --to {to}", f"--to {RUN}: it leaves words of a file out", "drop --skip-bad")
    if source.is_file():
        raise UsageError(f"{source} is a file", "a run folder", f"make it one first: stemma convert {source} RUN --to {RUN}")
    form = FORMATS[to]
    run = load(source) if form.write_fitted else Run.open(source)
    if not form.fits(run.row):
        others = " or ".join(name for name, other in FORMATS.items() if other.fits(run.row)) or "nothing yet"
        wrong = f"{source} is a run of {run.row.name}, which cannot be written as {to}"
        able = ", ".join(row.name for row in TABLE if row.ready and form.fits(row))
        raise UsageError(wrong, f"a run {form.requires}: {able}", f"{run.row.name} can be written as {others}")
    if isinstance(run, FittedRun):
        assert form.write_fitted is not None, "opened for such a format alone"
        return form.write_fitted(run, target)
    write = form.write_int8 if int8 and form.write_int8 else form.write
    return write(run, target)


def _arpa(run: Run, path: Path) -> list[Path]:
    from stemma.export.arpa import write_arpa

    write_arpa(run.network, run.tokenizer.tokens, path)
    return [path]


def _vectors(run: Run, path: Path, form: "Form") -> list[Path]:
    from stemma.export.vectors_out import write_vectors

    write_vectors(run, path, form)
    return [path]


def _huggingface(run: Run, folder: Path) -> list[Path]:
    """A folder for transformers' `from_pretrained`: weights, config, and the tokenizer with the generation's frame."""
    from safetensors.numpy import save

    from stemma.export.huggingface import huggingface_config, to_huggingface

    model, network = run.network.config, COUNTERPART[run.row.name]
    if run.row.name == "gpt" and model.inner != 4 * model.width:
        expected = f"4 x model.width = {4 * model.width}: transformers' GPT knows no other"
        raise UsageError(f"{run.path}: model.inner = {model.inner}", expected, "pre-train with that size")
    if run.row.name == "albert" and (model.sharing in ("attention", "feedforward") or model.factorised != "embeddings"):
        wrong = f'{run.path}: model.sharing = "{model.sharing}", model.factorised = "{model.factorised}"'
        expected = "all or none, and embeddings: transformers' ALBERT knows no other"
        raise UsageError(wrong, expected, "pre-train with these")
    inner = model.blocks_in_layer if run.row.name == "albert" else 1
    blocks = model.different * inner if run.row.name == "albert" else model.depth
    tensors = to_huggingface(network, blocks, run.folder.tensors(), inner)
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with one_writer(folder.resolve()):
        write_bytes(folder / "model.safetensors", save(arrays, metadata={"format": "pt"}))
        config = huggingface_config(network, model, run.tokenizer.vocab_size, run.tokenizer.specials)
        config |= {"architectures": [_class_of(tensors)]} if run.row.teacher else {NAMED: run.row.name}
        write_json(folder / "config.json", config)
        data = json.loads(run.folder.guarded("tokenizer.json").read_text(encoding="utf-8"))
        write_json(folder / "tokenizer_config.json", _tokenizer_config(run, data))
        write_json(folder / "tokenizer.json", {**data, "post_processor": _frame(run)})
        merges = _merges(folder, data) if run.row.name == "gpt2" and run.tokenizer.kind == "bpe" else []
    return [*(folder / name for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")), *merges]


def _class_of(tensors: Mapping[str, Any]) -> str:
    """Transformers' class for a student, with the head that it may have; what it imitated with is of no use any more, and stays here."""
    return "BertForMaskedLM" if "cls.predictions.bias" in tensors else "BertModel"


def _merges(folder: Path, tokenizer: Mapping[str, Any]) -> list[Path]:
    """The vocabulary and the merges in files of their own, as GPT-2's were published."""
    pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    write_json(folder / "vocab.json", tokenizer["model"]["vocab"])
    write_bytes(folder / "merges.txt", "\n".join(["#version: 0.2", *pairs, ""]).encode())
    return [folder / "vocab.json", folder / "merges.txt"]


def _elmo(run: Run, folder: Path) -> list[Path]:
    from stemma.export.published_elmo import write_elmo

    return write_elmo(run, folder)


def _static(run: Run, folder: Path) -> list[Path]:
    from stemma.export.static import write_static

    return write_static(run, folder)


def _tokenizer_config(run: Run, tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    typed = any(run.network.frame([0], [0])[1])  # the second text's tokens are told from the first's
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if typed else [])]
    specials = {f"{role}_token": run.tokenizer.token(index) for role, index in run.tokenizer.specials.items()}
    spaced = {"add_prefix_space": tokenizer["pre_tokenizer"]["add_prefix_space"]} if run.tokenizer.kind == "bpe" else {}
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": run.network.config.max_length}
    return {**named, "model_input_names": inputs, **specials, **spaced}


def _frame(run: Run) -> dict[str, Any]:
    """The specials that the generation sets round a text or a pair, as the `tokenizers` library writes it."""
    first, second = -1, -2  # stand for the texts
    single, pair = run.network.frame([first]), run.network.frame([first], [second])
    used = sorted({index for index in (*single[0], *pair[0]) if index >= 0})
    names = {index: run.tokenizer.token(index) for index in used}

    def piece(index: int, kind: int) -> dict[str, Any]:
        if index >= 0:
            return {"SpecialToken": {"id": names[index], "type_id": kind}}
        return {"Sequence": {"id": "A" if index == first else "B", "type_id": kind}}

    return {
        "type": "TemplateProcessing",
        "single": [piece(*both) for both in zip(*single, strict=True)],
        "pair": [piece(*both) for both in zip(*pair, strict=True)],
        "special_tokens": {name: {"id": name, "ids": [index], "tokens": [name]} for index, name in names.items()},
    }


def _ctranslate2(run: Run, folder: Path, int8: bool = False) -> list[Path]:
    from stemma.export.ctranslate2 import write_ctranslate2

    return write_ctranslate2(run, folder, int8)


def _onnx(run: Run | FittedRun, path: Path) -> list[Path]:
    from stemma.export.onnx import write_onnx

    return write_onnx(run, path)


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
    "huggingface": Format("of " + ", ".join(COUNTERPART), _is(*COUNTERPART), _huggingface),
    "static": Format("with states in context", _has_states, _static),
    "elmo": Format("of elmo", _is("elmo"), _elmo),
    "ctranslate2": Format("of " + ", ".join(TRANSLATED), _is(*TRANSLATED), _ctranslate2, None, partial(_ctranslate2, int8=True)),
    "onnx": Format("that is a network, or has learnt a task as one", _is_network, _onnx, _onnx),
}
