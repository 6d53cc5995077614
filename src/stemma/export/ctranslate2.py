"""Our Transformer, GPT and GPT-2 as folders of CTranslate2, which translates and writes on a CPU without PyTorch.

Its specification of a model is filled from our arrays, one layer after the other; positions are a table there, so our waves are
written as they stand. Specials that our decoder never writes have a bias in the folder that keeps them out; the probabilities of
all other tokens then add up to one there, and to a little less here.

Beside the model stand the run's `tokenizer.json`, what CTranslate2 needs to know of it, and which run it was.
V vocabulary, D width.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.config import VERSION
from stemma.errors import DataError, MissingExtra, UsageError
from stemma.export.aside import written_aside
from stemma.export.onnx import fingerprint
from stemma.layers.weights import weights
from stemma.runs.run import Run
from stemma.tokens.files import sync, write_bytes

Arrays = Mapping[str, np.ndarray]
FACTS = "stemma.json"  # the file that tells which run it was made of
NEVER = -1e4  # added to the scores of what is never written: no probability is left, and float16 could hold it
EPSILON = 1e-5  # of our layer norms


def write_ctranslate2(run: Run, target: Path, int8: bool = False) -> list[Path]:
    """Writes the folder `target` for `ctranslate2.Translator` (transformer) or `ctranslate2.Generator` (gpt, gpt2); gives back its files.

    `int8` keeps every matrix in 8 bits with a scale a row, a quarter of the size. MissingExtra without ctranslate2; UsageError for a run
    that was to translate but learnt no pairs, and where the target is taken.
    """
    try:
        import ctranslate2.specs  # noqa: F401
    except ImportError as error:
        raise MissingExtra("ctranslate2", "ct2") from error
    if run.row.name == "transformer" and not run.translates:
        wrong = f"{run.path} learnt to restore what was hidden in plain text, and no pairs: there is nothing to translate with"
        raise UsageError(wrong, "a run that learnt pairs of a source and its target", "pre-train on pairs, or finetune it on them")
    spec = _translator(run) if run.row.name == "transformer" else _generator(run)
    spec.validate()
    spec.optimize(quantization="int8" if int8 else "float32")
    with written_aside(target) as folder:
        spec.save(str(folder))
        write_bytes(folder / "tokenizer.json", run.tokenizer.file_text.encode())
        write_bytes(folder / FACTS, json.dumps({"version": VERSION, "fingerprint": fingerprint(run), "int8": int8}).encode())
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        for name in names:
            with (folder / name).open("rb+") as file:
                sync(file)
    return [target / name for name in names]


def facts_of(folder: Path) -> dict[str, Any]:
    """What such a folder says of the run that it was made of; DataError for one that Stemma did not write."""
    try:
        found: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        mend = f"write it: stemma convert RUN {folder} --to ctranslate2"
        raise DataError(f"{folder} has no {FACTS} that can be read", "a folder that stemma convert wrote", mend) from error
    return found


def _translator(run: Run) -> Any:
    """The encoder and the decoder."""
    from ctranslate2.specs import TransformerSpec, common_spec

    arrays, model = _arrays(run), run.network.config
    depths = model.depth, model.decoder_depth or model.depth
    pre = model.norm == "pre"
    spec = TransformerSpec.from_config(depths, model.heads, pre_norm=pre, activation=common_spec.Activation.RELU)
    target_table = arrays["target_tokens.weight" if "target_tokens.weight" in arrays else "tokens.weight"]
    waves = run.network.waves.numpy()
    for side, embeddings, table, norm in (
        (spec.encoder, spec.encoder.embeddings[0], arrays["tokens.weight"], "norm"),
        (spec.decoder, spec.decoder.embeddings, target_table, "decoder_norm"),
    ):
        embeddings.weight, side.scale_embeddings, side.position_encodings.encodings = table, True, waves
        if pre:
            _norm(side.layer_norm, arrays, norm)
    spec.decoder.projection.weight = arrays.get("output.weight", target_table)
    if run.network.unwritten:
        spec.decoder.projection.bias = _never(run.network.vocab_size, run.network.unwritten)
    for number, block in enumerate(spec.encoder.layer):
        _block(block, arrays, f"blocks.{number}", "attention_sum.norm", "feedforward_sum.norm")
    for number, block in enumerate(spec.decoder.layer):
        name = f"decoder_blocks.{number}"
        _block(block, arrays, name, "attention_sum.norm", "feedforward_sum.norm")
        _norm(block.attention.layer_norm, arrays, f"{name}.source_sum.norm")
        for linear, part in zip(block.attention.linear, ("query", "key_value", "out"), strict=True):
            _linear(linear, arrays, f"{name}.source_attention.{part}")
    tokens = run.tokenizer.tokens
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.add_source_eos = True  # as `Transformer.frame` does
    spec.config.decoder_start_token = run.tokenizer.token(run.network.opening[0])
    _specials(spec.config, run, begin=run.network.opening[0])
    return spec


def _generator(run: Run) -> Any:
    """The decoder alone, whose texts begin with the separator."""
    from ctranslate2.specs import TransformerDecoderModelSpec, common_spec

    arrays, model = _arrays(run), run.network.config
    pre = run.row.name == "gpt2"
    spec = TransformerDecoderModelSpec.from_config(
        model.depth, model.heads, pre_norm=pre, activation=common_spec.Activation.GELUTanh, no_final_norm=not pre
    )
    if pre:
        _norm(spec.decoder.layer_norm, arrays, "norm")
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = arrays["tokens.weight"]
    spec.decoder.scale_embeddings, spec.decoder.position_encodings.encodings = False, arrays["positions.weight"]
    for number, block in enumerate(spec.decoder.layer):
        _block(block, arrays, f"blocks.{number}", "attention_norm", "feedforward_norm")
    spec.register_vocabulary(run.tokenizer.tokens)
    _specials(spec.config, run, begin=run.network.end)
    return spec


def _arrays(run: Run) -> Arrays:
    """The run's tensors as arrays of their own, which 8 bits are made of in place."""
    return {name: np.array(tensor, np.float32) for name, tensor in weights(run.network).items()}


def _block(block: Any, arrays: Arrays, name: str, attention_norm: str, feedforward_norm: str) -> None:
    """What an encoder's and a decoder's block have in common: self-attention, the feed-forward network, and their norms."""
    _linear(block.self_attention.linear[0], arrays, f"{name}.attention.qkv")
    _linear(block.self_attention.linear[1], arrays, f"{name}.attention.out")
    _norm(block.self_attention.layer_norm, arrays, f"{name}.{attention_norm}")
    _linear(block.ffn.linear_0, arrays, f"{name}.feedforward.up")
    _linear(block.ffn.linear_1, arrays, f"{name}.feedforward.down")
    _norm(block.ffn.layer_norm, arrays, f"{name}.{feedforward_norm}")


def _linear(spec: Any, arrays: Arrays, name: str) -> None:
    spec.weight, spec.bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]


def _norm(spec: Any, arrays: Arrays, name: str) -> None:
    spec.gamma, spec.beta = arrays[f"{name}.weight"], arrays[f"{name}.bias"]


def _never(vocab_size: int, unwritten: Sequence[int]) -> np.ndarray:
    bias = np.zeros(vocab_size, np.float32)
    bias[list(unwritten)] = NEVER
    return bias


def _specials(config: Any, run: Run, begin: int) -> None:
    """The special tokens by name. Where nothing stands for the unknown, the end does, so that no stranger has an id beyond the table."""
    unknown = run.tokenizer.specials.get("unk", run.network.end)
    config.bos_token, config.eos_token, config.unk_token = map(run.tokenizer.token, (begin, run.network.end, unknown))
    config.layer_norm_epsilon = EPSILON
