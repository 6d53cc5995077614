"""Fine-tuning: a classifying network and its task batches, put through the one training loop."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stemma.corpus.task import Example
from stemma.objectives.batch import Batch, generator, seed_for
from stemma.training.learners import Backprop, load_weights, to_tensors, weights
from stemma.training.loop import Reached, train
from stemma.training.precision import autocast, choose_precision
from stemma.training.ranks import Ranks
from stemma.training.settings import Config as LoopConfig
from stemma.training.settings import Fact
from stemma.transfer import groups
from stemma.transfer.backbone import fresh
from stemma.transfer.batches import Framed, collate, frame, padding_share, shuffled, under_budget
from stemma.transfer.heads import TOLD, Classifying, framer, pooling_of
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config

Told = Callable[[Fact], None]


class TaskBatches:
    """The objective of the loop: labelled batches, a pure function of the seed and the step."""

    def __init__(self, lesson: Lesson, rows: np.ndarray, config: Config, seed: int, pad: int) -> None:
        self._framed, self._labels, self._rows, self._seed, self._pad = lesson.data, lesson.labels, rows, seed, pad
        self._lengths = lesson.data.lengths
        longest = int(self._lengths[rows].max()) if len(rows) else 1
        self.parts = max(1, math.ceil(config.batch_size * longest / config.batch_tokens))  # micro-batches an update
        self._size = max(1, config.batch_size // self.parts)
        self._epoch, self._batches = -1, []  # type: int, list[np.ndarray]

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The micro-batch `step`."""
        a_epoch = self.steps_in_epoch(0)
        epoch, at = divmod(step, a_epoch)
        rows = self.epoch(epoch)[at]
        return collate(self._framed, rows, self._pad) | {"labels": self._labels[rows]}

    def steps_in_epoch(self, epoch: int) -> int:
        """Micro-batches of an epoch."""
        full, rest = divmod(len(self._rows), self._size)
        return full + (rest > 0)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, micro-batch within it)."""
        return divmod(step, self.steps_in_epoch(0))

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of the batch, padding never."""
        return int((batch["segments"] > 0).sum())

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the examples' tokens: it reads them all."""
        tokens = int(self._lengths[self._rows].sum())
        return {"tokens": tokens, "used": tokens}

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Rows of each micro-batch of an epoch."""
        if epoch != self._epoch:
            rng = generator("transfer", self._seed, "epoch", epoch)
            self._epoch, self._batches = epoch, shuffled(self._lengths, self._rows, self._size, rng)
        return self._batches

    @property
    def padding(self) -> float:
        """The share of padding in the first epoch."""
        return padding_share(self._framed, self.epoch(0))


@dataclass
class Moved:
    """A fine-tuned network, ready to predict."""

    model: Classifying
    precision: str
    pad: int
    batch_tokens: int
    facts: dict[str, Any]

    @torch.inference_mode()
    def probabilities(self, framed: Framed) -> np.ndarray:
        """Class probabilities (N K)."""
        return self._over(framed, lambda batch: self.model(batch).softmax(-1))

    @torch.inference_mode()
    def vectors(self, framed: Framed) -> np.ndarray:
        """The vector of each text that the head reads (N D)."""
        return self._over(framed, self.model.states)

    def arrays(self) -> dict[str, np.ndarray]:
        """The backbone's tensors under their own names, the head's under `task.`."""
        return weights(self.model.backbone) | {f"task.{name}": array for name, array in weights(self.model.head).items()}

    def _over(self, framed: Framed, read: Callable[[dict], torch.Tensor]) -> np.ndarray:
        device = next(self.model.parameters()).device
        self.model.eval()
        lengths, parts, places = framed.lengths, [], []
        with autocast(device, self.precision):
            for rows in under_budget(lengths, np.arange(len(lengths)), self.batch_tokens):
                parts.append(read(to_tensors(collate(framed, rows, self.pad), device)).float().cpu().numpy())
                places.append(rows)
        if not parts:
            return np.zeros((0, self.model.head.out_features), dtype=np.float32)
        return np.concatenate(parts)[np.argsort(np.concatenate(places))]


class Descent:
    """The recipe of `finetune` and `scratch` for every generation that descends."""

    knob = "rate"
    deterministic = False

    def __init__(self, run: Any, config: Config) -> None:
        self._run, self._config = run, config
        network = run.network
        self._pooling = pooling_of(network)
        self.head = TOLD[self._pooling]
        self.grid = rates_for(network, self._pooling)
        self._framer = framer(network)
        self._device = next(network.parameters()).device
        self._precision = choose_precision(config.precision, self._device)
        self._pad = run.tokenizer.specials.get("pad", 0)

    def prepare(self, examples: Sequence[Example]) -> Framed:
        """Tokenises and frames."""
        return frame(self._framer, self._run.tokenizer, examples, self._config.max_length)

    def fit(self, lesson: Lesson, rows: np.ndarray, rate: float, seed: int, told: Told | None = None) -> Moved:
        """Descends on the rows' labels at this peak rate."""
        config, began = self._config, time.perf_counter()
        model, transferred = self._model(lesson.classes, seed)
        batches = TaskBatches(lesson, rows, config, seed, self._pad)
        steps = max(math.ceil(config.epochs * batches.steps_in_epoch(0) / batches.parts), config.updates)
        loop = LoopConfig(
            steps=steps,
            rate=rate,
            warmup=config.warmup,
            weight_decay=config.weight_decay,
            clip=config.clip,
            seed=seed,
            accumulate=batches.parts,
        )
        split = groups.parameter_groups(model, model.backbone, config.layer_decay, config.weight_decay)
        learner = Backprop(model, loop, self._device, self._precision, Ranks(), split)
        losses, epoch = [], batches.steps_in_epoch(0) / batches.parts
        transferred["frozen"] = self._freeze(model, 0.0)
        for fact in train(learner, batches, loop, steps, Reached(), Ranks()):
            losses.append(fact.loss)
            if config.unfreeze:
                transferred["frozen"] = self._freeze(model, fact.step / epoch)
            if told:
                told(fact)
        facts = {
            "steps": steps,
            "loss": float(np.mean(losses[-max(1, len(losses) // 10) :])),
            "padding": batches.padding,
            "rates": {f"depth {group['depth']}": rate * group["scale"] for group in split},
            "seconds": time.perf_counter() - began,
            "precision": self._precision,
            **transferred,
        }
        return Moved(model, self._precision, self._pad, config.batch_tokens, facts | self._counted(model, batches))

    def restore(self, arrays: dict[str, np.ndarray], classes: int, facts: dict[str, Any]) -> Moved:
        """The fine-tuned network from its saved tensors."""
        model = Classifying(self._run.network, classes, self._config.dropout, self._config.auxiliary)
        load_weights(model.backbone, {name: array for name, array in arrays.items() if not name.startswith("task.")})
        load_weights(model.head, {name.removeprefix("task."): array for name, array in arrays.items() if name.startswith("task.")})
        return Moved(model.to(self._device), self._precision, self._pad, self._config.batch_tokens, facts)

    def _model(self, classes: int, seed: int) -> tuple[Classifying, dict[str, Any]]:
        """The network to move, and which of its tensors were loaded and which drawn anew."""
        config, scratch = self._config, self._config.mode == "scratch"
        backbone = fresh(self._run, seed_for(seed, "network")) if scratch else copy.deepcopy(self._run.network)
        torch.manual_seed(seed_for(seed, "head"))
        new = groups.redraw(backbone, fresh(self._run, seed_for(seed, "network")), config.redraw) if config.redraw and not scratch else []
        model = Classifying(backbone, classes, config.dropout, config.auxiliary)
        groups.freeze(model.backbone, self._most)
        names = [name for name, _ in model.backbone.named_parameters()]
        grown = ["3 rows of the token table"] if self._pooling == "classify token" else []
        loaded = [] if scratch else [name for name in names if name not in new]
        return model, {"loaded": loaded, "new": (names if scratch else new) + grown + ["head.weight", "head.bias"]}

    @property
    def _most(self) -> int | None:
        """The top blocks that may move; None: everything."""
        return None if self._config.moving < 0 or self._config.mode == "scratch" else self._config.moving

    def _freeze(self, model: Classifying, epochs: float) -> list[str]:
        """Fixes what does not move after so many epochs, and names it."""
        every = 0.0 if self._config.mode == "scratch" else self._config.unfreeze
        _, layers = groups.depths(model.backbone)
        return groups.freeze(model.backbone, groups.moving_after(epochs, every, layers, self._most))

    def _counted(self, model: Classifying, batches: TaskBatches) -> dict[str, Any]:
        """Parameters that the loss reaches: pre-training heads that the task does not use count for nothing."""
        model.zero_grad(set_to_none=True)
        model.loss(to_tensors(batches.batch(0), self._device)).mean.backward()
        reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        model.zero_grad(set_to_none=True)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        unused = [name.removeprefix("backbone.") for name, p in model.named_parameters() if p.requires_grad and name not in reached]
        return {"parameters": {"total": sum(sizes.values()), "trained": sum(sizes[name] for name in reached)}, "unused": unused}


def rates_for(network: Any, pooling: str) -> tuple[float, ...]:
    """Peak learning rates to try. Small networks that saw our corpus alone want far more than the
    2e-5 .. 5e-5 of BERT-base; a table of static vectors more still."""
    if pooling == "mean":
        return (3e-3, 1e-2, 3e-2)
    width = network.config.width
    if width <= 320:
        return (2e-4, 5e-4, 1e-3)
    return (5e-5, 1e-4, 3e-4) if width <= 640 else (2e-5, 5e-5, 1e-4)
