# ruff: noqa: F722 (axis names in annotations)
"""What stands on a network for one label a text: how its states become one vector, and the layer on top.

Three ways, chosen by what the network offers, not by its name:
`pooled token` (BERT, Devlin 2018, section 4.1): the network's own pooler on its first token ·
`classify token` (GPT, Radford 2018, section 3.3): `start text [delimiter text] classify`, three new
tokens, the last state at the last of them · `mean` (static vectors; fastText, Joulin 2017): the mean
over real tokens. Axes: B examples, T positions, D width, K classes.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stemma.layers.dropout import Dropout
from stemma.layers.loss import Carried, Loss
from stemma.objectives.batch import IGNORE

Tensors = dict[str, Tensor]
Pooling = Literal["pooled token", "classify token", "mean"]
NEW_TOKENS = ("start", "delimiter", "classify")

TOLD = {
    "pooled token": "the network's pooler on its first token, dropout, one linear layer",
    "classify token": "start/delimiter/classify tokens round the text, the last state at `classify`, dropout, one linear layer",
    "mean": "the mean of the last layer over real tokens, dropout, one linear layer",
}


def pooling_of(network: Any) -> Pooling:
    """The way of the network: its pooler if it has one, new tokens if its table can grow, else the mean."""
    if hasattr(network, "pooled"):
        return "pooled token"
    return "classify token" if hasattr(network, "grow") else "mean"


class InputTransformation:
    """Frames text with the three tokens that fine-tuning adds after the `vocab_size` known ones."""

    def __init__(self, vocab_size: int, max_length: int) -> None:
        self.start, self.delimiter, self.classify = (vocab_size + k for k in range(len(NEW_TOKENS)))
        self.max_length = max_length

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """`start ids classify`, or `start ids delimiter other classify`, with types 0."""
        middle = [*ids] if other is None else [*ids, self.delimiter, *other]
        return [self.start, *middle, self.classify], [0] * (len(middle) + 2)


def framer(network: Any) -> Any:
    """What frames examples for the moving network: itself, or its input transformation."""
    return InputTransformation(network.vocab_size, network.max_length) if pooling_of(network) == "classify token" else network


def mean_state(hidden: Float[Tensor, "B T D"], segments: Tensor) -> Float[Tensor, "B D"]:
    """The mean over real tokens; zeros for a text without any."""
    real = (segments > 0).to(hidden.dtype)[..., None]
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


def last_state(hidden: Float[Tensor, "B T D"], segments: Tensor) -> Float[Tensor, "B D"]:
    """The state at the last real token (the first position of a text without any)."""
    last = ((segments > 0).sum(1) - 1).clamp(min=0)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


class Classifying(nn.Module):
    """A backbone that moves, with its pooling, dropout and a linear layer; `loss` is what the loop descends on.

    `auxiliary` weighs the language-model loss of the same text (Radford 2018, eq. 5; 0: off), for
    backbones that have next-token `logits`.
    """

    def __init__(self, backbone: nn.Module, classes: int, dropout: float, auxiliary: float = 0.0) -> None:
        super().__init__()
        self.pooling = pooling_of(backbone)
        if self.pooling == "classify token":
            backbone.grow(len(NEW_TOKENS))  # type: ignore[operator]
        self.backbone, self.auxiliary = backbone, auxiliary
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(backbone.config.width, classes)  # type: ignore[union-attr,arg-type]
        nn.init.zeros_(self.head.bias)
        if self.pooling == "mean":
            nn.init.zeros_(self.head.weight)  # as fastText: the first gradients reach the head alone
        else:
            nn.init.trunc_normal_(self.head.weight, std=0.02, a=-0.04, b=0.04)

    def states(self, batch: Tensors) -> Float[Tensor, "B D"]:
        """The vector of each text."""
        return self._pool(self.backbone.encode(batch)[-1], batch)  # type: ignore[operator]

    def forward(self, batch: Tensors) -> Float[Tensor, "B K"]:
        """Scores of the classes."""
        return self.head(self.states(batch)).float()

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """Mean cross-entropy of `labels` (B,) in nats, plus `auxiliary` times the language-model loss."""
        hidden = self.backbone.encode(batch)[-1]  # type: ignore[operator]
        scores = self.head(self.dropout(self._pool(hidden, batch))).float()
        count = len(batch["labels"])
        task = F.cross_entropy(scores, batch["labels"])
        parts: dict[str, tuple[Tensor | float, int]] = {"task": (task.detach() * count, count)}
        if not self.auxiliary:
            return Loss(task, count, parts)
        text = self._language_loss(hidden, batch)
        return Loss(task + self.auxiliary * text, count, parts | {"language": (text.detach() * count, count)})

    def _pool(self, hidden: Tensor, batch: Tensors) -> Tensor:
        if self.pooling == "pooled token":
            return self.backbone.pooled(hidden)  # type: ignore[operator]
        pool = last_state if self.pooling == "classify token" else mean_state
        return pool(hidden, batch["segments"])

    def _language_loss(self, hidden: Tensor, batch: Tensors) -> Tensor:
        """The mean over texts of each text's mean next-token loss; the first token is not predicted."""
        following = batch["ids"][:, 1:].masked_fill(batch["segments"][:, 1:] == 0, IGNORE)
        logits = self.backbone.logits(hidden[:, :-1]).float()  # type: ignore[operator]
        nats = F.cross_entropy(logits.flatten(0, 1), following.flatten(), ignore_index=IGNORE, reduction="none")
        asked = (following != IGNORE).sum(1).clamp(min=1)
        return (nats.view(following.shape).sum(1) / asked).mean()
