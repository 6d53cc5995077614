"""Heads of fine-tuned runs as those of transformers' classes: which class, under which names, and what it takes to get there and back.

Ours read a network's own summary, or its last states, through one linear layer; so do the classes of this table. Where a head is more
than that (a chain over tags, a score for "no answer", a pair read in both orders) there is no class, and `huggingface_out` says so.

Works on NumPy arrays. Axes: K outputs, D width, P places of a unit in its token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stemma.errors import UsageError
from stemma.tasks.task import Targets

Kind = Literal["text", "candidate", "unit", "span"]

NAMED_TASK = "stemma_task"  # the key of config.json by which a folder of ours says what its head has learnt
KINDS: dict[str, Kind] = {  # task -> what its head answers for; tasks that write targets have none
    "classify": "text", "pair": "text", "regress": "text", "choice": "candidate", "tag": "unit", "span": "span",
}  # fmt: skip
OWN: dict[Kind, str] = {"text": "task.", "candidate": "task.", "unit": "task.linear.", "span": "task.linear."}  # before weight and bias
TASK_TOKENS = ("<|start|>", "<|delimiter|>", "<|classify|>")  # how the tokens are written that GPT's input transformation adds
_ROUNDING = 1e-5  # of the outputs, by which a bias that stands elsewhere may differ


@dataclass(frozen=True)
class HeadClass:
    """A class of transformers with a head: of which network, what it answers for, and the name of its head's layer."""

    network: str  # of `export.huggingface`
    kind: Kind
    name: str
    layer: str
    bias: bool = True

    @property
    def summarises(self) -> bool:
        """Whether it reads the network's summary, and so BERT's pooler."""
        return self.kind in ("text", "candidate")


HEAD_CLASSES: tuple[HeadClass, ...] = (
    HeadClass("bert", "text", "BertForSequenceClassification", "classifier"),
    HeadClass("bert", "candidate", "BertForMultipleChoice", "classifier"),
    HeadClass("bert", "unit", "BertForTokenClassification", "classifier"),
    HeadClass("bert", "span", "BertForQuestionAnswering", "qa_outputs"),
    HeadClass("albert", "text", "AlbertForSequenceClassification", "classifier"),
    HeadClass("albert", "candidate", "AlbertForMultipleChoice", "classifier"),
    HeadClass("albert", "unit", "AlbertForTokenClassification", "classifier"),
    HeadClass("albert", "span", "AlbertForQuestionAnswering", "qa_outputs"),
    HeadClass("xlnet", "text", "XLNetForSequenceClassification", "logits_proj"),
    HeadClass("xlnet", "candidate", "XLNetForMultipleChoice", "logits_proj"),
    HeadClass("xlnet", "unit", "XLNetForTokenClassification", "classifier"),
    HeadClass("xlnet", "span", "XLNetForQuestionAnsweringSimple", "qa_outputs"),
    HeadClass("gpt", "text", "OpenAIGPTForSequenceClassification", "score", bias=False),
    HeadClass("gpt2", "text", "GPT2ForSequenceClassification", "score", bias=False),
    HeadClass("gpt2", "unit", "GPT2ForTokenClassification", "classifier"),
    HeadClass("gpt2", "span", "GPT2ForQuestionAnswering", "qa_outputs"),
)


def head_to_huggingface(
    head: HeadClass, arrays: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], targets: Targets, width: int
) -> dict[str, np.ndarray]:
    """The head's tensors under transformers' names, and what of the network's has to take up a bias that the class lacks.

    `theirs` are the network's tensors under transformers' names. UsageError where the bias cannot be taken up.
    """
    own = OWN[head.kind]
    weight, bias = (np.asarray(arrays[own + name], np.float32) for name in ("weight", "bias"))
    if head.kind in ("unit", "span"):  # a unit that begins with its token stands at place 0
        weight, bias = weight[:, :width], bias + weight[:, width]
    if "scale" in targets:
        weight, bias = weight * np.float32(targets["scale"]), bias * np.float32(targets["scale"]) + np.float32(targets["mean"])
    weight, bias = (np.ascontiguousarray(array, np.float32) for array in (weight, bias))
    if head.bias:
        return {f"{head.layer}.weight": weight, f"{head.layer}.bias": bias}
    below = _last_norm(theirs)
    return {f"{head.layer}.weight": weight, below: theirs[below] + _taken_up(weight, bias)}


def head_from_huggingface(kind: Kind, weight: np.ndarray, bias: np.ndarray, targets: Targets, places: int) -> dict[str, np.ndarray]:
    """Our head's tensors from the weight (K D) and bias (K) of transformers' layer; of units the places in a token change nothing."""
    if kind in ("unit", "span"):
        weight = np.concatenate([weight, np.zeros((len(weight), places), np.float32)], 1)
    if "scale" in targets:
        weight, bias = weight / np.float32(targets["scale"]), (bias - np.float32(targets["mean"])) / np.float32(targets["scale"])
    return {f"{OWN[kind]}weight": weight.astype(np.float32), f"{OWN[kind]}bias": bias.astype(np.float32)}


def head_settings(head: HeadClass, targets: Targets) -> dict[str, Any]:
    """What config.json tells of the head: the class, its labels, and how its outputs are read."""
    fixed: dict[Kind, list[str]] = {"span": ["start", "end"], "candidate": ["score"]}
    labels: list[str] = fixed.get(head.kind) or targets["labels"] or ["number"]
    settings: dict[str, Any] = {"architectures": [head.name], "id2label": {str(k): name for k, name in enumerate(labels)}}
    settings |= {"label2id": {name: k for k, name in enumerate(labels)}}
    if head.kind == "text":
        kind = "multi_label_classification" if targets.get("several") else "single_label_classification"
        settings |= {"problem_type": "regression" if "scale" in targets else kind}
    if head.network == "xlnet" and head.summarises:
        settings |= {"summary_type": "last", "summary_use_proj": False, "summary_activation": ""}
    return settings


def _last_norm(theirs: Mapping[str, np.ndarray]) -> str:
    """The bias of the last norm of GPT or GPT-2: what it adds to a state the head reads as it is."""
    if "transformer.ln_f.bias" in theirs:
        return "transformer.ln_f.bias"
    depth = sum(name.endswith(".ln_2.bias") for name in theirs)
    return f"transformer.h.{depth - 1}.ln_2.bias"


def _taken_up(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The shortest vector (D) which, added to every state, makes the layer without its bias give what it gave with it."""
    shift = np.linalg.lstsq(weight.astype(np.float64), bias.astype(np.float64), rcond=None)[0].astype(np.float32)
    if np.abs(weight @ shift - bias).max(initial=0.0) > _ROUNDING:
        wrong = f"the head's {len(bias)} biases cannot be taken up by states of {weight.shape[1]} numbers"
        raise UsageError(wrong, "as many numbers as labels: transformers' head has no bias", "fine-tune a wider network")
    return shift
