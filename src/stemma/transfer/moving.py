"""Fine-tuning: the network and its head move together, put through the one training loop."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from stemma.errors import UsageError
from stemma.layers.lora import adapt, adapters, largest_rank, merge
from stemma.layers.new_rows import join_rows, part_rows
from stemma.layers.precision import autocast, choose_precision
from stemma.layers.standardised import Standardised
from stemma.layers.weights import to_tensors
from stemma.nouns import counted
from stemma.objectives.batch import seed_for
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.moved import HeadedNetwork, Moved, batch_of, frame_moving, frames_of, has_no_blocks, new_tokens
from stemma.tasks.task import Seat, Text
from stemma.training.backprop import Backprop
from stemma.training.facts import Report
from stemma.training.loop import Reached
from stemma.training.ranks import Ranks
from stemma.training.settings import Config as LoopConfig
from stemma.transfer import depths
from stemma.transfer.backbone import fresh
from stemma.transfer.batches import TaskBatches
from stemma.transfer.descent import last_loss, learner_of, loop_settings, threads_for, updates
from stemma.transfer.journal import Journal
from stemma.transfer.load_layers import load_layers
from stemma.transfer.patience import Patient
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config, lowest

MEASURED = 256  # texts at least, where there are so many, by which the head's input is standardised
LORA_RATES = 2  # times the rates at which the whole network moves: adapters begin as zeros; at ten times, a tiny BERT learnt nothing

Watch = Callable[[int, Any], None]


def _unwatched(updates: int, model: Any) -> None:
    """What watches a descent that nobody watches."""


class Descent:
    """The recipe of `finetune` and `scratch` for every generation that descends."""

    knob = "rate"
    deterministic = False

    def __init__(self, assignment: Assignment, config: Config) -> None:
        self._assignment, self._config = assignment, config
        self.watch: Watch = _unwatched  # called with the updates made and the model, before the first update and after each
        network, task = assignment.network, assignment.task
        if config.auxiliary and not new_tokens(network, task):
            wrong = f"transfer.auxiliary = {config.auxiliary:g}: {assignment.row.name} predicts no next token of a task's text"
            raise UsageError(wrong, "a generation such as gpt, and a task of texts", "drop transfer.auxiliary")
        self.head = self._words()
        self.grid = tuple(rate * (LORA_RATES if config.lora else 1) for rate in rates_for(network))
        self._frames = frames_of(assignment)
        self._device = next(network.parameters()).device
        self._precision = choose_precision(config.precision, self._device)
        most = largest_rank(network, config.lora_feedforward)
        if config.lora and not most:
            wrong = f"transfer.lora = {config.lora}: {assignment.row.name} has no attention whose matrices adapters could stand beside"
            raise UsageError(wrong, "a generation built of such blocks, as bert, gpt or xlnet", "drop transfer.lora")
        if config.lora > most:
            wrong = f"transfer.lora = {config.lora}, and the smallest matrix that adapters stand beside has rank {most}"
            raise UsageError(wrong, "far fewer numbers than the matrix has (Hu 2021 tries 1 to 64)", "lower transfer.lora, as to 4 or 8")
        for name, layers in (("load_layers", config.load_layers), ("freeze_layers", config.freeze_layers)):
            depths.check_layers(network, name, lowest(name, layers))

    def prepare(self, texts: Sequence[Text]) -> Any:
        """Tokenises and frames."""
        return frame_moving(self._frames, self._assignment, texts)

    def threads(self, lesson: Lesson) -> int:
        """Those that take a batch through the network sooner."""
        return threads_for(self._assignment.network, lesson.data.lengths, self._config, self._precision)

    def fit(
        self, lesson: Lesson, rows: np.ndarray, rate: float, seed: int, report: Report | None = None, journal: Journal | None = None
    ) -> Answers:
        """Descends on the rows' labels at this peak rate."""
        config, began = self._config, time.perf_counter()
        model, transferred = self._model(seed)
        batches = self.batches(lesson, rows, seed)
        if config.standardise and not has_no_blocks(model.backbone):  # word vectors are small, and would leap
            self._standardise(model, batches)
        loop = loop_settings(config, batches, rate, seed)
        split = depths.parameter_groups(model, model.backbone, config.layer_decay, config.weight_decay, self._added)
        learner = self._learner(model, loop, split, lesson)
        reached, epoch = journal.take_up(learner) if journal else Reached(), batches.steps_in_epoch(0) / batches.parts
        self._freeze(model, reached.step / epoch)
        self.watch(reached.step, model)
        for fact in updates(learner, batches, loop, reached, journal):
            self.watch(fact.step, model)
            if config.unfreeze:
                self._freeze(model, fact.step / epoch)
            if report:
                report(fact)
            if isinstance(learner, Patient):
                learner.measure(reached)
        if isinstance(learner, Patient):
            learner.take_best()
        facts = {
            "steps": reached.step,
            "kept_step": reached.best_step or reached.step,
            "loss": last_loss(reached),
            "padding": batches.padding,
            "rates": {f"depth {group['depth']}": rate * group["scale"] for group in split},
            "seconds": time.perf_counter() - began,
            "precision": self._precision,
            **transferred,
            **self._counted(model, batches),
        }
        self._absorb(model)
        changed = [*merge(model.backbone), *(join_rows(model.backbone) if self._added else [])]
        still = [name for name, p in model.backbone.named_parameters() if not p.requires_grad and name not in changed]
        return self._learnt(model, facts | {"frozen": still})

    def batches(self, lesson: Lesson, rows: np.ndarray, seed: int) -> TaskBatches:
        """The rows of the lesson as the loop reads them."""
        task = self._assignment.task
        return TaskBatches(
            lesson.data.lengths,
            rows,
            self._config,
            seed,
            lambda chosen: batch_of(lesson.data, chosen, self._assignment) | {"labels": task.labels(lesson.gold[chosen])},
        )

    @torch.no_grad()
    def _standardise(self, model: Any, batches: TaskBatches) -> None:
        """Has the head read what is standardised over some of the texts, as the network reads them before it moves."""
        model.eval()
        found: list[torch.Tensor] = []
        for number in range(min(math.ceil(MEASURED / max(1, batches.size)), batches.steps_in_epoch(0))):
            batch = to_tensors(batches.batch(number), self._device)
            with autocast(self._device, self._precision):
                read = model.read(batch)[0].float()
            found.append(read[batch["columns"] >= 0] if model.per == "unit" else read)
        model.standardised = Standardised.of(torch.cat(found)).to(self._device)

    def _absorb(self, model: Any) -> None:
        """Ends that."""
        model.absorb()

    def _learner(self, model: Any, loop: LoopConfig, split: list[dict[str, Any]], lesson: Lesson) -> Backprop:
        """What moves the model's parameters; patient where it is to be measured on the way."""
        config, how = self._config, (loop, self._device, self._precision)
        if not config.patience or lesson.judge is None:
            return learner_of(model, *how, split)
        measure = partial(lesson.judge, self._learnt(model, {}))
        return Patient(measure, loop.steps, config.evaluations, config.patience, model, *how, Ranks(), split)

    def _words(self) -> str:
        """The head, and what it reads."""
        seat = Seat(self._assignment.network.width)
        with torch.random.fork_rng(devices=[]):
            return f"{self._read()}, {self._assignment.task.head(seat, self._assignment.targets).words}"

    def _headed(self, backbone: Any) -> Any:
        """The network with what learns the task on it, as a module with a `backbone`, a `loss` and its `predictions`."""
        return HeadedNetwork(backbone, self._assignment.task, self._assignment.targets, self._config.dropout, self._config.auxiliary)

    def _learnt(self, model: Any, facts: dict[str, Any]) -> Answers:
        """What answers by the model."""
        return Moved(self._assignment, model, self._frames, self._precision, facts)

    def _read(self) -> str:
        """What the head reads, in words."""
        network, task = self._assignment.network, self._assignment.task
        if task.per == "unit":
            return "the last layer's state at each unit's first token"
        if new_tokens(network, task):
            return "start/delimiter/classify tokens round the text, the last state at `classify`"
        return "the mean of the word vectors" if has_no_blocks(network) else "the network's own summary of the text"

    def _model(self, seed: int) -> tuple[Any, dict[str, Any]]:
        """The network to move, and which of its tensors were loaded and which drawn anew."""
        run, config = self._assignment, self._config
        part, anew = lowest("load_layers", config.load_layers), config.load_layers or config.mode == "scratch"
        backbone: Any = fresh(run, seed_for(seed, "network")) if anew else copy.deepcopy(run.network)
        names = [name for name, _ in backbone.named_parameters()]
        drawn = load_layers(backbone, run.network, part) if anew else []
        torch.manual_seed(seed_for(seed, "head"))
        model = self._headed(backbone)
        if config.lora:
            adapt(model.backbone, config.lora, config.lora_alpha, config.lora_feedforward)
        added = new_tokens(run.network, run.task)
        self._added = part_rows(model.backbone, added) if added and self._rests else []
        depths.freeze(model, self._still, self._only(model.backbone), self._added)
        grown = [f"{counted(added, 'row')} of the token table"] if added else []
        head = [name for name, _ in model.named_parameters() if not name.startswith("backbone.")]
        return model, {"loaded": [name for name in names if name not in drawn], "new": drawn + grown + adapters(model.backbone) + head}

    @property
    def _rests(self) -> bool:
        """Whether the embeddings stand still, be it for a time."""
        return bool(self._still or self._config.lora or self._config.unfreeze)

    @property
    def _still(self) -> int:
        """How many of the lowest layers never move."""
        return lowest("freeze_layers", self._config.freeze_layers)

    def _freeze(self, model: Any, epochs: float) -> None:
        """Fixes what does not move after so many epochs."""
        _, layers = depths.depths(model.backbone)
        fixed = depths.fixed_after(epochs, self._config.unfreeze, layers, self._still)
        depths.freeze(model, fixed, self._only(model.backbone), self._added)

    def _only(self, backbone: Any) -> list[str] | None:
        """What alone moves of the network: its adapters, and the layers drawn anew; None where it moves itself."""
        if not self._config.lora:
            return None
        loaded = lowest("load_layers", self._config.load_layers) or len(backbone.layers())
        return [*adapters(backbone), *(name for layer in backbone.layers()[loaded:] for name in layer.parameters)]

    def _counted(self, model: Any, batches: TaskBatches) -> dict[str, Any]:
        """Parameters that the loss reaches: pre-training heads that the task does not use count for nothing."""
        model.zero_grad(set_to_none=True)
        model.loss(to_tensors(batches.batch(0), self._device)).mean.backward()
        reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        model.zero_grad(set_to_none=True)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        unused = [name.removeprefix("backbone.") for name, p in model.named_parameters() if p.requires_grad and name not in reached]
        return {"parameters": {"total": sum(sizes.values()), "trained": sum(sizes[name] for name in reached)}, "unused": unused}


def rates_for(network: Any) -> tuple[float, ...]:
    """Peak learning rates to try.

    Small networks that saw our corpus alone need far more than the 2e-5 .. 5e-5 of BERT-base; a table of static vectors more still.
    """
    if has_no_blocks(network):
        return (3e-3, 1e-2, 3e-2)
    if network.width <= 320:
        return (5e-4, 1e-3, 2e-3)
    return (5e-5, 1e-4, 3e-4) if network.width <= 640 else (2e-5, 5e-5, 1e-4)
