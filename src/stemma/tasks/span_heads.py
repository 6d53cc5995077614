# ruff: noqa: F722 (axis names stand in annotations)
"""The heads of the task `span`. Axes: B batch, U units (the last real one stands for no answer), L layers, D width."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.layers.fast import Dropout
from stemma.layers.loss import Loss, soft_cross_entropy
from stemma.tasks.span import Found, best_spans
from stemma.tasks.task import PLACES, Seat, Targets
from stemma.tasks.unit_heads import placed


class SpanHead(nn.Module):
    """Dropout and one linear layer from each unit's state, and its place in its token, to the scores of a start and an end."""

    words = "dropout, one linear layer to the scores of start and end, a softmax over all of the passage"

    def __init__(self, seat: Seat, targets: Targets, best: int) -> None:
        super().__init__()
        self.dropout, self.longest, self.best = Dropout(seat.dropout), targets["longest"], best
        self.linear = nn.Linear(seat.width + PLACES, 2)
        nn.init.zeros_(self.linear.bias)
        if seat.zeros:
            nn.init.zeros_(self.linear.weight)
        else:
            nn.init.trunc_normal_(self.linear.weight, std=0.02, a=-0.04, b=0.04)

    @property
    def reader(self) -> nn.Linear:
        """The linear layer."""
        return self.linear

    def loss(self, states: Float[Tensor, "B U D"], batch: Mapping[str, Tensor]) -> Loss:
        """The mean cross-entropy of start and end over all units (Devlin 2018, section 4.2)."""
        scores = self.scores(self.dropout(states), batch)
        nats = [F.cross_entropy(scores[..., end], batch["labels"][:, end], reduction="sum") for end in (0, 1)]
        return Loss.of({"task": ((nats[0] + nats[1]) / 2, len(states))})

    def imitate(
        self, states: Float[Tensor, "B U D"], batch: Mapping[str, Tensor], teacher: "SpanHead", shown: Tensor, temperature: float
    ) -> Loss:
        """The same with the teacher's chances of each start and end, its head reading its own states `shown`, without gradients."""
        with torch.no_grad():
            theirs = teacher.scores(shown, batch) / temperature
        own = self.scores(self.dropout(states), batch) / temperature
        nats = [soft_cross_entropy(own[..., end], theirs[..., end]).sum() for end in (0, 1)]
        return Loss.of({"task": ((nats[0] + nats[1]) / 2, len(states))})

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Questions."""
        return {"task": len(batch["labels"])}

    def answers(self, scores: Float[Tensor, "B U 2"], batch: Mapping[str, Tensor]) -> list[Found]:
        """The best spans of each passage."""
        rows, counts = scores.detach().cpu().numpy(), batch["sites"].sum(1).tolist()
        return [best_spans(own[:count], self.longest, self.best) for own, count in zip(rows, counts, strict=True)]

    def scores(self, states: Float[Tensor, "B U D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B U 2"]:
        """Of each unit as a start, and as an end; -inf where there is none."""
        return self.linear(placed(states, batch)).float().masked_fill(~batch["sites"][..., None], -torch.inf)
