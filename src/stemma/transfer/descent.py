"""A task put through the one training loop: how long, how fast, by which learner."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from stemma.layers.precision import autocast
from stemma.layers.threads import faster_threads
from stemma.training.backprop import Backprop
from stemma.training.facts import Update
from stemma.training.loop import Reached, train
from stemma.training.ranks import Ranks
from stemma.training.settings import Config as LoopConfig
from stemma.training.stopping import stopping
from stemma.transfer.batches import TaskBatches
from stemma.transfer.journal import Journal
from stemma.transfer.settings import Config


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


def updates(learner: Backprop, batches: TaskBatches, loop: LoopConfig, reached: Reached, journal: Journal | None) -> Iterator[Update]:
    """Makes the updates that are left, yielding a fact after each, and keeps their losses in `reached`.

    The `journal` saves what is learnt from time to time, and when a signal stops it: then Interrupted is raised.
    """
    with stopping() as stop:
        for fact in train(learner, batches, loop, loop.steps, reached, Ranks()):
            reached.losses.append(fact.loss)
            yield fact
            if journal and (journal.due or stop.is_set()):
                journal.save(learner, reached)
            if stop.is_set():
                raise journal.stopped() if journal else KeyboardInterrupt


def last_loss(reached: Reached) -> float:
    """The mean loss of the last tenth of the updates."""
    return float(np.mean(reached.losses[-max(1, len(reached.losses) // 10) :]))


@torch.inference_mode()
def threads_for(network: Any, lengths: np.ndarray, config: Config, precision: str) -> int:
    """One thread or all, whichever takes a batch of texts of these lengths (N) through the network sooner now."""
    device = next(network.parameters()).device
    if device.type != "cpu" or not len(lengths):
        return torch.get_num_threads()
    shape = (min(config.batch_size, len(lengths)), max(1, round(float(lengths.mean()))))
    batch = {name: torch.ones(shape, dtype=torch.long) for name in ("ids", "segments")}
    network.eval()
    with autocast(device, precision):
        return faster_threads(lambda: network.encode(batch))
