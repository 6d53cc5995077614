"""`stemma convert`: a run in the formats that other programs read; one literal table of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import write_bytes, write_json
from stemma.config import nearest
from stemma.errors import UsageError
from stemma.lineage.run import Run


def convert(source: str | Path, target: str | Path, to: str) -> list[Path]:
    """Writes the run of `source` as `to` at `target` and gives back the files; UsageError where the run cannot be that."""
    if to not in FORMATS:
        raise UsageError(f"there is no format {to!r}", f"one of {', '.join(FORMATS)}", nearest(to, FORMATS))
    generations, write = FORMATS[to]
    run = Run.open(source)
    if run.row.name not in generations:
        others = " or ".join(name for name, (able, _) in FORMATS.items() if run.row.name in able) or "nothing yet"
        wrong = f"{source} is a run of {run.row.name}, which cannot be written as {to}"
        raise UsageError(wrong, f"a run of {' or '.join(generations)}", f"{run.row.name} can be written as {others}")
    return write(run, Path(target))


def _arpa(run: Run, path: Path) -> list[Path]:
    from stemma.export.arpa import write_arpa

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".aside.{path.name}")
    write_arpa(run.network, run.tokenizer.tokens, aside)
    return [aside.replace(path)]


def _word_vectors(run: Run, path: Path) -> list[Path]:
    """word2vec's text format, which gensim and many others read; words that were never trained are left out."""
    vectors = run.word_vectors()
    trained = np.flatnonzero(np.any(vectors, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".aside.{path.name}")
    with aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(trained)} {vectors.shape[1]}\n")
        for row in trained.tolist():
            file.write(f"{run.tokenizer.token(row)} {' '.join(f'{x:.6g}' for x in vectors[row].tolist())}\n")
    return [aside.replace(path)]


def _huggingface(run: Run, folder: Path) -> list[Path]:
    """A folder for transformers' `from_pretrained`: weights, config, and the tokenizer with the generation's frame."""
    from safetensors.numpy import save

    from stemma.export.huggingface import huggingface_config, to_huggingface

    model = run.network.config
    if run.row.name == "gpt" and model.inner != 4 * model.width:
        expected = f"4 x model.width = {4 * model.width}: transformers' GPT knows no other"
        raise UsageError(f"{run.path}: model.inner = {model.inner}", expected, "pre-train with that size")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = to_huggingface(run.row.name, model.depth, run.folder.tensors())
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_bytes(folder / "model.safetensors", save(arrays, metadata={"format": "pt"}))
    write_json(folder / "config.json", huggingface_config(run.row.name, model, run.tokenizer.vocab_size, run.tokenizer.specials))
    write_json(folder / "tokenizer_config.json", _tokenizer_config(run))
    data = json.loads(run.folder.tokenizer_path.read_text(encoding="utf-8"))
    write_json(folder / "tokenizer.json", {**data, "post_processor": _frame(run)})
    return [folder / name for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")]


def _tokenizer_config(run: Run) -> dict[str, Any]:
    inputs = ["input_ids", "attention_mask"] + (["token_type_ids"] if hasattr(run.network, "types") else [])
    specials = {f"{role}_token": run.tokenizer.token(index) for role, index in run.tokenizer.specials.items()}
    length = run.network.config.max_length
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length, "model_input_names": inputs, **specials}


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


FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Run, Path], list[Path]]]] = {  # name -> (generations, writer)
    "arpa": (("ngram",), _arpa),
    "word2vec": (("word2vec",), _word_vectors),
    "huggingface": (("gpt", "bert"), _huggingface),
}
