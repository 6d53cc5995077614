"""How the loss on examples that are not learnt from falls, update by update, and how many updates pre-training saves (Erhan 2010).

Axes: N examples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from stemma.layers.precision import autocast, choose_precision
from stemma.layers.weights import to_tensors
from stemma.runs.assignment import Assignment
from stemma.tasks.task import Task
from stemma.transfer.moving import Descent
from stemma.transfer.recipe import Lesson, recipe_for
from stemma.transfer.selection import drawn, hold_out
from stemma.transfer.settings import Config

POINTS = 32  # of a curve, ever further apart: the first updates gain most
JUDGED = 1000  # examples that the loss is of at most, drawn by lot


@dataclass(frozen=True)
class LossPoint:
    """The loss after so many updates, in nats."""

    updates: int
    loss: float


@dataclass(frozen=True)
class Saved:
    """How many updates it takes to come down to the lowest loss of a network from scratch."""

    loss: float  # that lowest one
    scratch: int  # updates it took from scratch
    finetuned: int | None  # and from the pre-trained network; None: never reached

    @property
    def ratio(self) -> float | None:
        """How many times fewer; None where it was never reached, or nothing was learnt from scratch."""
        return self.scratch / self.finetuned if self.finetuned and self.scratch else None


def loss_curve(
    run: Any, *, train: Sequence[Any], dev: Sequence[Any], task: Task, config: Config, value: float, seed: int
) -> tuple[LossPoint, ...]:
    """The loss on dev examples while `finetune` learns, with this value of its knob; watching changes nothing in what it learns.

    The config's mode is `finetune` or `scratch`, of a generation that descends.
    """
    targets = task.targets(train)
    assignment = Assignment(run.row, run.tokenizer, run.module(), task, targets, config)
    recipe = cast(Descent, recipe_for(assignment, config))  # all that moves and descends is one
    gold = task.gold(train, targets)
    learning, _ = hold_out(task.strata(gold), config.selection_share, config.selection_limit, config.seeds[0])
    judged = drawn(dev, JUDGED)
    held = Lesson(recipe.prepare(task.texts(judged)), task.gold(judged, targets))
    lesson = Lesson(recipe.prepare(task.texts(train)), gold)
    chosen = watched(recipe.batches(lesson, learning, seed).updates)
    batches = recipe.batches(held, np.arange(len(judged)), seed)
    found: list[LossPoint] = []

    def watch(updates: int, model: Any) -> None:
        if updates in chosen:
            found.append(LossPoint(updates, _mean_loss(model, [batches.batch(k) for k in range(batches.steps_in_epoch(0))], config)))

    recipe.watch = watch
    recipe.fit(lesson, learning, value, seed)
    return tuple(found)


def watched(updates: int) -> set[int]:
    """After which of so many updates a curve has a point: before the first, after the last, and ever more rarely between."""
    return {0, *np.geomspace(1, updates, POINTS).round().astype(int).tolist()}


def saved(finetuned: Sequence[LossPoint], scratch: Sequence[LossPoint]) -> Saved:
    """How many updates the curve from a pre-trained network needs to come down to the lowest point of that from scratch.

    The lowest point, not the last: a network from scratch that has learnt its few examples by heart ends above it.

    >>> down, slow = [LossPoint(0, 0.7), LossPoint(5, 0.2)], [LossPoint(0, 0.7), LossPoint(5, 0.6), LossPoint(20, 0.3), LossPoint(30, 0.4)]
    >>> saved(down, slow), saved(down, slow).ratio
    (Saved(loss=0.3, scratch=20, finetuned=5), 4.0)
    >>> saved(slow, down).finetuned is None
    True
    """
    lowest = min(scratch, key=lambda point: point.loss)
    reached = next((point.updates for point in finetuned if point.loss <= lowest.loss), None)
    return Saved(lowest.loss, lowest.updates, reached)


@torch.no_grad()  # not inference mode: what a network keeps of it could not be learnt through afterwards
def _mean_loss(model: Any, batches: Sequence[Any], config: Config) -> float:
    """The mean loss of all predictions of these batches, without dropout."""
    device = next(model.parameters()).device
    precision = choose_precision(config.precision, device)
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        with autocast(device, precision):
            loss = model.loss(to_tensors(batch, device))
        total, count = total + float(loss.mean) * loss.count, count + loss.count
    return total / count if count else math.nan
