# ruff: noqa: F722 (axis names stand in annotations)
"""The heads of the task `classify`. Axes: B batch, S sites, L layers, D width, K labels."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from stemma.layers.fast import Dropout
from stemma.layers.loss import Loss
from stemma.layers.pooling import largest_state
from stemma.layers.scalar_mix import ScalarMix
from stemma.tasks.task import Seat

HIDDEN = 128  # width of the task network, the same for every generation


class LabelHead(nn.Linear):
    """Dropout and a linear layer from a text's vector to the scores of the labels."""

    words = "dropout, one linear layer"

    def __init__(self, seat: Seat, classes: int, several: bool) -> None:
        super().__init__(seat.width, classes)
        self.dropout, self.several = Dropout(seat.dropout), several
        nn.init.zeros_(self.bias)
        if seat.zeros:
            nn.init.zeros_(self.weight)
        else:
            nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)

    def loss(self, states: Float[Tensor, "B D"], batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of the labels."""
        return _loss(self(self.dropout(states)).float(), batch["labels"], self.several)

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Texts."""
        return {"task": len(batch["labels"])}

    def answer(self, states: Float[Tensor, "B D"], batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """The probabilities (K) of each text."""
        return _answers(self(states).float(), self.several)


class PooledNetwork(nn.Module):
    """Scalar mix, projection to HIDDEN, mean and maximum over the text, one hidden layer, a linear layer."""

    words = f"scalar mix of all layers, projection to {HIDDEN}, mean and maximum over the text, one hidden layer of {HIDDEN}"

    def __init__(self, seat: Seat, classes: int, several: bool) -> None:
        super().__init__()
        self.several = several
        self.mix = ScalarMix(seat.layers)
        self.dropout = Dropout(seat.dropout)
        self.projection = nn.Linear(seat.width, HIDDEN)
        self.hidden = nn.Linear(2 * HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, classes)

    def forward(self, states: Float[Tensor, "B S L D"], sites: Bool[Tensor, "B S"]) -> Float[Tensor, "B K"]:
        """Scores of the labels."""
        x = self.projection(self.dropout(self.mix(states)))  # (B, S, HIDDEN)
        mean = (x * sites[..., None]).sum(1) / sites.sum(1, keepdim=True).clamp(min=1)
        pooled = torch.cat([mean, largest_state(x, sites)], -1)  # (B, 2 HIDDEN)
        return self.last(self.dropout(F.gelu(self.hidden(pooled)))).float()

    def loss(self, states: Float[Tensor, "B S L D"], batch: Mapping[str, Tensor]) -> Loss:
        """Cross-entropy of the labels."""
        return _loss(self(states, batch["sites"]), batch["labels"], self.several)

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Texts."""
        return {"task": len(batch["labels"])}

    def answer(self, states: Float[Tensor, "B S L D"], batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """The probabilities (K) of each text."""
        return _answers(self(states, batch["sites"]), self.several)

    def layer_weights(self) -> list[float]:
        """The shares of the layers in the mix."""
        return self.mix.shares()


def _loss(logits: Float[Tensor, "B K"], labels: Tensor, several: bool) -> Loss:
    """The mean over texts; of several labels each is a question of yes or no, and a text's nats are the sum of theirs."""
    nats = F.binary_cross_entropy_with_logits if several else F.cross_entropy
    return Loss.of({"task": (nats(logits.float(), labels, reduction="sum"), len(labels))})


def _answers(logits: Float[Tensor, "B K"], several: bool) -> list[np.ndarray]:
    probabilities = logits.sigmoid() if several else logits.softmax(-1)
    return list(probabilities.detach().float().cpu().numpy())
