# ruff: noqa: F722 (axis names stand in annotations)
"""The heads of tasks that answer for a text as a whole; what their outputs are read as is an `Aim`.

Axes: B batch (of candidates, where one is chosen), W candidates, S sites, L layers, D width, K outputs, or candidates of one example.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stemma.layers.fast import Dropout
from stemma.layers.loss import Loss, soft_cross_entropy
from stemma.layers.pooling import largest_state, matched, mean_state
from stemma.layers.scalar_mix import ScalarMix
from stemma.tasks.task import Seat

HIDDEN = 128  # width of the task network, the same for every generation


class Aim(Protocol):
    """What a head's outputs say of a text."""

    outputs: int  # K

    def loss(self, outputs: Float[Tensor, "B K"], batch: Mapping[str, Tensor]) -> Loss:
        """The mean loss a text."""

    def imitate(self, outputs: Float[Tensor, "B K"], theirs: Float[Tensor, "B K"], batch: Mapping[str, Tensor], temperature: float) -> Loss:
        """The mean loss a text of outputs that are to be a teacher's."""

    def answers(self, outputs: Float[Tensor, "B K"], batch: Mapping[str, Tensor]) -> list[Any]:
        """The answer to each text."""


class Labels:
    """The scores of labels, of which one is right, or each is there or not."""

    def __init__(self, outputs: int, several: bool) -> None:
        self.outputs, self.several = outputs, several

    def loss(self, outputs: Float[Tensor, "B K"], batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy; of several labels each is a question of yes or no, and a text's nats are the sum of theirs."""
        nats = F.binary_cross_entropy_with_logits if self.several else F.cross_entropy
        return Loss.of({"task": (nats(outputs, batch["labels"], reduction="sum"), len(batch["labels"]))})

    def imitate(self, outputs: Float[Tensor, "B K"], theirs: Float[Tensor, "B K"], batch: Mapping[str, Tensor], temperature: float) -> Loss:
        """Cross-entropy with the chances that the teacher gives; of several labels for each by itself."""
        own, theirs = outputs / temperature, theirs / temperature
        if self.several:
            return Loss.of({"task": (F.binary_cross_entropy_with_logits(own, theirs.sigmoid(), reduction="sum"), len(own))})
        return Loss.of({"task": (soft_cross_entropy(own, theirs).sum(), len(own))})

    def answers(self, outputs: Float[Tensor, "B K"], batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """The probabilities (K) of each text."""
        probabilities = outputs.sigmoid() if self.several else outputs.softmax(-1)
        return list(probabilities.detach().cpu().numpy())


class Number:
    """A number, in units of the training examples' deviation from their mean."""

    outputs = 1

    def __init__(self, mean: float, scale: float) -> None:
        self.mean, self.scale = mean, scale

    def loss(self, outputs: Float[Tensor, "B 1"], batch: Mapping[str, Tensor]) -> Loss:
        """The mean squared error in these units."""
        right = (batch["labels"] - self.mean) / self.scale
        return Loss.of({"task": ((outputs[:, 0] - right).square().sum(), len(right))})

    def imitate(self, outputs: Float[Tensor, "B 1"], theirs: Float[Tensor, "B 1"], batch: Mapping[str, Tensor], temperature: float) -> Loss:
        """The loss of the right numbers: a teacher's number tells no more than they do."""
        return self.loss(outputs, batch)

    def answers(self, outputs: Float[Tensor, "B 1"], batch: Mapping[str, Tensor]) -> list[float]:
        """The number of each text."""
        found: list[float] = (self.mean + self.scale * outputs[:, 0].detach()).tolist()
        return found


class Candidates:
    """The score of a candidate, read with its context; those of one context are compared."""

    outputs = 1

    def loss(self, outputs: Float[Tensor, "W 1"], batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of the right candidate among those of its context."""
        nats = F.cross_entropy(_side_by_side(outputs, batch["windows"]), batch["labels"], reduction="sum")
        return Loss.of({"task": (nats, len(batch["labels"]))})

    def imitate(self, outputs: Float[Tensor, "W 1"], theirs: Float[Tensor, "W 1"], batch: Mapping[str, Tensor], temperature: float) -> Loss:
        """Cross-entropy with the chances that the teacher gives the candidates of each context."""
        own, chances = (_side_by_side(scores / temperature, batch["windows"]) for scores in (outputs, theirs))
        return Loss.of({"task": (soft_cross_entropy(own, chances).sum(), len(own))})

    def answers(self, outputs: Float[Tensor, "W 1"], batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """The probabilities (K) of each context's candidates."""
        probabilities = _side_by_side(outputs, batch["windows"]).softmax(-1).detach().cpu().numpy()
        counts = (batch["windows"] >= 0).sum(1).tolist()
        return [row[:count] for row, count in zip(probabilities, counts, strict=True)]


class TextHead(nn.Linear):
    """Dropout and a linear layer from a text's vector to the outputs."""

    words = "dropout, one linear layer"

    def __init__(self, seat: Seat, aim: Aim) -> None:
        super().__init__(seat.width, aim.outputs)
        self.dropout, self.aim = Dropout(seat.dropout), aim
        nn.init.zeros_(self.bias)
        if seat.zeros:
            nn.init.zeros_(self.weight)
        else:
            nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)

    @property
    def reader(self) -> nn.Linear:
        """Itself."""
        return self

    def loss(self, states: Float[Tensor, "B D"], batch: Mapping[str, Tensor]) -> Loss:
        """The aim's."""
        return self.aim.loss(self(self.dropout(states)).float(), batch)

    def imitate(
        self, states: Float[Tensor, "B D"], batch: Mapping[str, Tensor], teacher: "TextHead", shown: Tensor, temperature: float
    ) -> Loss:
        """The aim's, the teacher's head reading its own states `shown`, without gradients."""
        with torch.no_grad():
            theirs = teacher(shown).float()
        return self.aim.imitate(self(self.dropout(states)).float(), theirs, batch, temperature)

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Texts."""
        return {"task": len(batch["labels"])}

    def scores(self, states: Float[Tensor, "B D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B K"]:
        """The outputs."""
        return self(states).float()

    def answers(self, scores: Float[Tensor, "B K"], batch: Mapping[str, Tensor]) -> list[Any]:
        """The aim's."""
        return self.aim.answers(scores, batch)


class PooledNetwork(nn.Module):
    """Scalar mix, projection to HIDDEN, mean and maximum over the text, one hidden layer, a linear layer.

    Of `pairs` mean and maximum are of each half, and the hidden layer reads how alike these are too (Conneau 2017, section 3.2).
    """

    def __init__(self, seat: Seat, aim: Aim, pairs: bool = False) -> None:
        super().__init__()
        self.aim, self.pairs = aim, pairs
        self.mix = ScalarMix(seat.layers)
        self.dropout = Dropout(seat.dropout)
        self.projection = nn.Linear(seat.width, HIDDEN)
        self.hidden = nn.Linear((8 if pairs else 2) * HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, aim.outputs)

    @property
    def words(self) -> str:
        """What it is made of."""
        pooled = "mean and maximum over each half, |u - v| and u v of these" if self.pairs else "mean and maximum over the text"
        return f"scalar mix of all layers, projection to {HIDDEN}, {pooled}, one hidden layer of {HIDDEN}"

    def forward(self, states: Float[Tensor, "B S L D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B K"]:
        """The outputs. Reads `sites` (B S), or of pairs `halves` (B S)."""
        x = self.projection(self.dropout(self.mix(states)))  # (B, S, HIDDEN)
        pooled = matched(*(_pooled(x, batch["halves"] == half) for half in (1, 2))) if self.pairs else _pooled(x, batch["sites"])
        return self.last(self.dropout(F.gelu(self.hidden(pooled)))).float()

    def loss(self, states: Float[Tensor, "B S L D"], batch: Mapping[str, Tensor]) -> Loss:
        """The aim's."""
        return self.aim.loss(self(states, batch), batch)

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Texts."""
        return {"task": len(batch["labels"])}

    def scores(self, states: Float[Tensor, "B S L D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B K"]:
        """The outputs."""
        return self(states, batch)

    def answers(self, scores: Float[Tensor, "B K"], batch: Mapping[str, Tensor]) -> list[Any]:
        """The aim's."""
        return self.aim.answers(scores, batch)

    def layer_weights(self) -> list[float]:
        """The shares of the layers in the mix."""
        return self.mix.shares()


def _pooled(x: Float[Tensor, "B S D"], sites: Bool[Tensor, "B S"]) -> Float[Tensor, "B 2D"]:
    """Mean and maximum over these sites."""
    return torch.cat([mean_state(x, sites), largest_state(x, sites)], -1)


def _side_by_side(outputs: Float[Tensor, "W 1"], windows: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """The scores of each example's candidates; none stands as -inf."""
    return outputs[:, 0][windows.clamp(min=0)].masked_fill(windows < 0, -torch.inf)
