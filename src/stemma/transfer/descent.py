"""A task put through the one training loop: how long, how fast, by which learner."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from stemma.training.facts import Fact
from stemma.training.learners import Backprop
from stemma.training.ranks import Ranks
from stemma.training.settings import Config as LoopConfig
from stemma.transfer.batches import TaskBatches
from stemma.transfer.settings import Config

Told = Callable[[Fact], None]


def loop_settings(config: Config, batches: TaskBatches, rate: float, seed: int) -> LoopConfig:
    """The section `training` of the loop that learns the task."""
    return LoopConfig(
        steps=batches.updates,
        rate=rate,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        clip=config.clip,
        seed=seed,
        accumulate=batches.parts,
    )


def learner_of(
    model: nn.Module, loop: LoopConfig, device: torch.device, precision: str, groups: list[dict[str, Any]] | None = None
) -> Backprop:
    """What moves the model's parameters that may move, by AdamW; `groups` gives them rates of their own."""
    return Backprop(model, loop, device, precision, Ranks(), groups)
