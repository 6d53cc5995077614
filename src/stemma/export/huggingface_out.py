"""A run as a folder for transformers' `from_pretrained`: weights, config, and the tokenizer with the generation's frame."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from stemma.config import to_plain
from stemma.corpus.files import end_of_links
from stemma.errors import UsageError
from stemma.export.huggingface import COUNTERPART, NAMED, OPTIONAL, huggingface_config, to_huggingface
from stemma.export.huggingface_heads import HEAD_CLASSES, KINDS, NAMED_TASK, TASK_TOKENS, HeadClass, head_settings, head_to_huggingface
from stemma.lineage.network import Frames
from stemma.lineage.table import Generation
from stemma.runs.assignment import Assignment, learner
from stemma.runs.fitted import FittedRun
from stemma.runs.moved import Moved, new_tokens
from stemma.runs.run import Run
from stemma.tokens.files import one_writer, write_bytes, write_json
from stemma.tokens.tokenizer import Tokenizer


def write_huggingface(run: Run, folder: Path) -> list[Path]:
    """A pre-trained run with the heads of pre-training."""
    tensors = _theirs(run.row, run.network.config, run.kept.tensors())
    config = _config(run.row, run.network.config, run.tokenizer, run.tokenizer.vocab_size)
    config |= {"architectures": [_class_of(tensors)]} if run.row.teacher else {}
    return _written(folder, run.row, run.network, run.tokenizer, tensors, config)


def write_fitted(run: FittedRun, folder: Path) -> list[Path]:
    """A fine-tuned run with its head; UsageError where transformers has no class for it."""
    given = run.assignment
    head, network, tokenizer, model = _counterpart(given), given.network, given.tokenizer, cast(Moved, run.model)
    arrays = model.arrays()
    unused = tuple(name for name in OPTIONAL if not (name == "pooler." and head.summarises))
    tensors = _theirs(run.row, network.config, {name: array for name, array in arrays.items() if not name.startswith(unused)})
    tensors |= head_to_huggingface(head, arrays, tensors, run.targets, network.width)
    added = TASK_TOKENS[: network.vocab_size - tokenizer.vocab_size]
    config = _config(run.row, network.config, tokenizer, network.vocab_size) | head_settings(head, run.targets)
    read = {"mode": "finetune", "max_length": given.settings.max_length, "precision": given.settings.precision}
    config[NAMED_TASK] = {"task": run.task.name, "targets": run.targets, "settings": to_plain(run.task.config), "read": read}
    return _written(folder, run.row, model.frames, tokenizer, tensors, config, added, given.settings.max_length)


def _counterpart(assignment: Assignment) -> HeadClass:
    """The class whose head gives what the run's gives; UsageError, which says why, where there is none."""
    row, task, targets, settings = assignment.row, assignment.task, assignment.targets, assignment.settings
    network = COUNTERPART.get(row.name)
    if network is None:
        raise UsageError(f"a run of {row.name}", f"one of {', '.join(COUNTERPART)}: transformers has these", "fine-tune one of these")
    if learner(row, task) != "descend" or settings.way not in ("finetune", "scratch"):
        expected = "a network that moved with its head: transformers has no head on the states of several layers of a fixed one"
        raise UsageError(f"the run was carried over {settings.mode}", expected, "fine-tune it without --frozen")
    found = next((head for head in HEAD_CLASSES if (head.network, head.kind) == (network, KINDS.get(task.name))), None)
    if found is None:
        able = ", ".join(dict.fromkeys(head.network for head in HEAD_CLASSES if head.kind == KINDS.get(task.name)))
        raise UsageError(f"transformers has no {row.name} for the task {task.name}", f"one of {able}", "fine-tune one of these")
    if found.kind == "unit" and task.config.decoder == "crf":
        wrong = "the run's head has a chain over all tags of a text (task.decoder = crf)"
        raise UsageError(wrong, "linear: transformers chooses each tag by itself", "fine-tune it with --set task.decoder=linear")
    if found.kind == "unit" and targets["units"] == "characters" and assignment.tokenizer.kind != "wordpiece":
        wrong = f"the run tags characters, of which a token of its tokenizer ({assignment.tokenizer.kind}) holds several"
        raise UsageError(wrong, "wordpiece: transformers gives one answer a token", "fine-tune a run whose Chinese tokens are characters")
    if found.kind == "span" and targets["null"]:
        wrong = "the run scores `no answer` at the end of the passage, by numbers of its own"
        raise UsageError(wrong, "a run whose questions all have answers: transformers scores it at [CLS]", "fine-tune on such questions")
    if found.kind == "text" and new_tokens(assignment.network, task) and targets["pairs"] and task.config.symmetric:
        wrong = f"{row.name} reads a symmetric pair in both orders and adds up what it makes of them"
        raise UsageError(wrong, "one order: transformers reads no other", "fine-tune it with --set task.symmetric=false")
    return found


def _theirs(row: Generation, model: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network's tensors under transformers' names; UsageError for sizes that its networks cannot have."""
    if row.name == "gpt" and model.inner != 4 * model.width:
        expected = f"4 x model.width = {4 * model.width}: transformers' GPT knows no other"
        raise UsageError(f"model.inner = {model.inner}", expected, "pre-train with that size")
    if row.name == "albert" and (model.sharing in ("attention", "feedforward") or model.factorised != "embeddings"):
        wrong = f'model.sharing = "{model.sharing}", model.factorised = "{model.factorised}"'
        expected = "all or none, and embeddings: transformers' ALBERT knows no other"
        raise UsageError(wrong, expected, "pre-train with these")
    inner = model.blocks_in_layer if row.name == "albert" else 1
    blocks = model.different * inner if row.name == "albert" else model.depth
    found = to_huggingface(COUNTERPART[row.name], blocks, arrays, inner)
    return {name: np.ascontiguousarray(tensor) for name, tensor in found.items()}


def _config(row: Generation, model: Any, tokenizer: Tokenizer, vocab_size: int) -> dict[str, Any]:
    """What config.json tells of the network."""
    config = huggingface_config(COUNTERPART[row.name], model, vocab_size, tokenizer.specials)
    if "pad" not in tokenizer.specials:  # of which rows of texts are filled up, and after which a head finds the last token
        config["pad_token_id"] = tokenizer.specials["eos"]
    return config if row.teacher else config | {NAMED: row.name}


def _written(
    folder: Path, row: Generation, frames: Frames, tokenizer: Tokenizer, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any],
    added: Sequence[str] = (), max_length: int | None = None,
) -> list[Path]:  # fmt: skip
    """Writes the folder; `added` are tokens that `frames` sets round texts and the tokenizer does not know."""
    from safetensors.numpy import save

    with one_writer(end_of_links(folder)):
        write_bytes(folder / "model.safetensors", save(dict(tensors), metadata={"format": "pt"}))
        write_json(folder / "config.json", config)
        data = _tokenizer_data(tokenizer, added)
        named = _tokenizer_config(row, frames, tokenizer, data, max_length)
        write_json(folder / "tokenizer_config.json", named | {"pad_token": tokenizer.token(config["pad_token_id"])})
        write_json(folder / "tokenizer.json", {**data, "post_processor": _frame(frames, [*tokenizer.tokens, *added])})
        merges = _merges(folder, data) if row.name == "gpt2" and tokenizer.kind == "bpe" else []
    return [*(folder / name for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")), *merges]


def _tokenizer_data(tokenizer: Tokenizer, added: Sequence[str]) -> dict[str, Any]:
    """The contents of tokenizer.json, with the added tokens behind all others."""
    data: dict[str, Any] = json.loads(tokenizer.file_text)
    if taken := [token for token in added if tokenizer.id(token) is not None]:
        raise UsageError(f"the vocabulary has a token {taken[0]}", "none of the names of task tokens", "pre-train with another vocabulary")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    own = [{"id": tokenizer.vocab_size + n, "content": token, **plain} for n, token in enumerate(added)]
    return {**data, "added_tokens": [*data["added_tokens"], *own]}


def _class_of(tensors: Mapping[str, Any]) -> str:
    """Transformers' class for a student, with the head that it may have; what it imitated with is of no use any more, and stays here."""
    return "BertForMaskedLM" if "cls.predictions.bias" in tensors else "BertModel"


def _merges(folder: Path, tokenizer: Mapping[str, Any]) -> list[Path]:
    """The vocabulary and the merges in files of their own, as GPT-2's were published."""
    pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    write_json(folder / "vocab.json", tokenizer["model"]["vocab"])
    write_bytes(folder / "merges.txt", "\n".join(["#version: 0.2", *pairs, ""]).encode())
    return [folder / "vocab.json", folder / "merges.txt"]


def _tokenizer_config(
    row: Generation, frames: Frames, tokenizer: Tokenizer, data: Mapping[str, Any], max_length: int | None
) -> dict[str, Any]:
    longest = min(filter(None, (max_length, frames.max_length)), default=None)
    typed = any(frames.frame([0], [0])[1])  # the second text's tokens are told from the first's
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if typed else [])]
    specials = {f"{role}_token": tokenizer.token(index) for role, index in tokenizer.specials.items()}
    spaced = {"add_prefix_space": data["pre_tokenizer"]["add_prefix_space"]} if tokenizer.kind == "bpe" else {}
    padded = {"padding_side": "left"} if row.name == "xlnet" else {}  # its summary is the last state
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest}
    return {**named, "model_input_names": inputs, **specials, **spaced, **padded}


def _frame(frames: Frames, tokens: Sequence[str]) -> dict[str, Any]:
    """The specials that stand round a text or a pair, as the `tokenizers` library writes it."""
    first, second = -1, -2  # stand for the texts
    single, pair = frames.frame([first]), frames.frame([first], [second])
    names = {index: tokens[index] for index in sorted({index for index in (*single[0], *pair[0]) if index >= 0})}

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
