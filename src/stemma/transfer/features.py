"""Frozen transfer: a fixed network's states, computed once, and one of two heads on them.

`linear`: logistic regression on the mean states of a few layers, the fit that knows no luck. `network`: one small task
network of the same size for every generation, on the states of all layers, so that generations can be compared by what
their states hold and not by how it is laid out. Axes: M rows of the linear model.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemma.layers.weights import weights
from stemma.objectives.batch import seed_for
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.fixed import FixedNetwork, HeadOnStates, Networked, Probed, SiteStates, chosen_layers
from stemma.runs.fixed_vectors import ProbedVectors
from stemma.runs.framing import Framed
from stemma.runs.linear import Dense
from stemma.runs.linear_head import LinearHead
from stemma.runs.moved import has_no_blocks
from stemma.tasks.task import Seat, Text
from stemma.training.facts import Report
from stemma.training.loop import Reached
from stemma.transfer.backbone import fresh
from stemma.transfer.batches import TaskBatches
from stemma.transfer.descent import last_loss, learner_of, loop_settings, threads_for, updates
from stemma.transfer.journal import Journal
from stemma.transfer.recipe import Lesson
from stemma.transfer.regression import MODELS, fit_rows, standardiser
from stemma.transfer.settings import Config


class Fixed:
    """The fixed network of each seed: the pre-trained one, or one newly drawn; and what was computed of its states."""

    def __init__(self, assignment: Assignment, config: Config) -> None:
        self._assignment, self._drawn, self._config = assignment, config.mode == "random", config
        self.pretrained = FixedNetwork(assignment, assignment.network)
        self._network_of: tuple[int | None, FixedNetwork] = (None, self.pretrained)
        self._kept: list[tuple[FixedNetwork, Framed, Any]] = []

    def of(self, seed: int) -> FixedNetwork:
        """The network that this seed's head stands on."""
        if self._drawn and self._network_of[0] != seed:
            network = fresh(self._assignment, seed)
            self._network_of = (seed, FixedNetwork(self._assignment, network))
        return self._network_of[1]

    def threads(self, lesson: Lesson) -> int:
        """Those that take a batch through the network sooner."""
        return threads_for(self.pretrained.network, lesson.data.lengths, self._config, self.pretrained.precision)

    def once(self, fixed: FixedNetwork, framed: Framed, compute: Callable[[], Any]) -> Any:
        """What `compute` gives of these texts, kept so that trials and seeds do not compute it again."""
        for known, texts, found in self._kept:
            if known is fixed and texts is framed:
                return found
        found = compute()
        self._kept = [*self._kept[-2:], (fixed, framed, found)]  # at most three: learning, selection and dev texts
        return found

    def facts(self, fixed: FixedNetwork, trained: int) -> dict[str, Any]:
        """What the report says of the network under a head of so many numbers."""
        names = [name for name, _ in fixed.network.named_parameters()]
        total = sum(parameter.numel() for parameter in fixed.network.parameters()) + trained
        return {
            "precision": fixed.precision,
            "loaded": [] if self._drawn else names,
            "new": names if self._drawn else [],
            "frozen": names,
            "parameters": {"total": total, "trained": trained},
        }


class LinearOnFeatures:
    """The recipe of `frozen` and `random` with the head `linear`."""

    knob = "C"
    grid = (0.001, 0.03, 1.0)

    def __init__(self, assignment: Assignment, config: Config) -> None:
        self._assignment = assignment
        self.deterministic = config.mode == "frozen"  # a convex head on fixed features knows no luck
        self._fixed = Fixed(assignment, config)
        self._layers = chosen_layers(config.layers, self._fixed.pretrained.depth)
        places = f"layer {', '.join(map(str, self._layers))}"
        summary = "" if has_no_blocks(assignment.network) else ", the network's own summary"
        units = f"states of {places} and the unit's place in its token"
        mean = f"u, v, |u - v| and u v of the halves' means of {places}" if assignment.of_pairs else f"mean of {places}"
        read = units if assignment.task.per == "unit" else f"{mean}{summary}"
        self.head = f"{MODELS[assignment.task.link(assignment.targets)]} on the standardised {read}"

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        return self._fixed.pretrained.prepare(texts)

    def threads(self, lesson: Lesson) -> int:
        """Those that take a batch through the network sooner."""
        return self._fixed.threads(lesson)

    def features(self, fixed: FixedNetwork, framed: Framed) -> Tensor:
        """What the linear model reads, computed once."""
        return self._fixed.once(fixed, framed, lambda: fixed.features(framed, self._layers))

    def fit(
        self, lesson: Lesson, rows: np.ndarray, c: float, seed: int, report: Report | None = None, journal: Journal | None = None
    ) -> Answers:
        """The head of this C on the rows' features."""
        began, fixed = time.perf_counter(), self._fixed.of(seed)
        features = self.features(fixed, lesson.data)
        head, mean, scale = fit_linear(features, fixed.starts(lesson.data), lesson.gold, rows, self._assignment, c)
        known = self._fixed.facts(fixed, head.weights.size + head.biases.size)
        facts = {
            "features": features.shape[1],
            "layers": list(self._layers),
            "seconds": time.perf_counter() - began,
            **known,
            "new": [*known["new"], "task.weights", "task.biases"],
        }
        return self._model(fixed, head, mean, scale, facts)

    def _model(self, fixed: FixedNetwork, head: LinearHead, mean: Tensor, scale: Tensor, facts: dict[str, Any]) -> Answers:
        return Probed(fixed, head, mean, scale, facts, self._layers, lambda framed: self.features(fixed, framed))


class LinearOnVectors(LinearOnFeatures):
    """The same of static vectors, whose tables answer by themselves, as they will when they are opened again."""

    def _model(self, fixed: FixedNetwork, head: LinearHead, mean: Tensor, scale: Tensor, facts: dict[str, Any]) -> Answers:
        return ProbedVectors.on(self._assignment, weights(fixed.network), head, mean.numpy(), scale.numpy(), facts)


class NetworkOnFeatures:
    """The recipe of `frozen` and `random` with the head `network`."""

    knob = "rate"
    grid = (5e-4, 1e-3, 3e-3)
    deterministic = False

    def __init__(self, assignment: Assignment, config: Config) -> None:
        self._assignment, self._config = assignment, config
        self._fixed = Fixed(assignment, config)
        with torch.random.fork_rng(devices=[]):
            self.head = self._head(self._fixed.pretrained).words

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        return self._fixed.pretrained.prepare(texts)

    def threads(self, lesson: Lesson) -> int:
        """Those that take a batch through the network sooner."""
        return self._fixed.threads(lesson)

    def fit(
        self, lesson: Lesson, rows: np.ndarray, rate: float, seed: int, report: Report | None = None, journal: Journal | None = None
    ) -> Networked:
        """Descends on the rows' labels at this peak rate; the states below do not move."""
        began, fixed = time.perf_counter(), self._fixed.of(seed)
        states = self._fixed.once(fixed, lesson.data, lambda: SiteStates(fixed, lesson.data, half=True))
        torch.manual_seed(seed_for(seed, "head"))
        model = HeadOnStates(self._head(fixed), *states.mean_and_scale(rows, self._config.batch_size))
        batches = TaskBatches(
            lesson.data.lengths,
            rows,
            self._config,
            seed,
            lambda chosen: states.batch(chosen) | {"labels": self._assignment.task.labels(lesson.gold[chosen])},
        )
        loop = loop_settings(self._config, batches, rate, seed)
        learner = learner_of(model, loop, fixed.device, "fp32")  # so small a network gains nothing by bf16
        reached = journal.take_up(learner) if journal else Reached()
        for fact in updates(learner, batches, loop, reached, journal):
            if report:
                report(fact)
        known = self._fixed.facts(fixed, sum(parameter.numel() for parameter in model.parameters()))
        facts = {
            "steps": loop.steps,
            "loss": last_loss(reached),
            "padding": batches.padding,
            "layer_weights": model.head.layer_weights(),
            "seconds": time.perf_counter() - began,
            **known,
            "new": [*known["new"], *(f"task.{name}" for name, _ in model.named_parameters())],
        }
        return Networked(fixed, model, facts, lambda framed: self._states(fixed, framed))

    def _states(self, fixed: FixedNetwork, framed: Framed) -> SiteStates:
        return self._fixed.once(fixed, framed, lambda: SiteStates(fixed, framed))

    def _head(self, fixed: FixedNetwork) -> Any:
        seat = Seat(fixed.network.width, fixed.depth, self._config.dropout)
        return self._assignment.task.network(seat, self._assignment.targets)


def fit_linear(
    table: Tensor, starts: np.ndarray, gold: np.ndarray, rows: np.ndarray, assignment: Assignment, c: float
) -> tuple[LinearHead, Tensor, Tensor]:
    """The head of this C on features (M F), and the mean and scale (F) that these are standardised by, all of the examples `rows`.

    Rows `starts[n]` to `starts[n+1]` of the table are those of example n, and `gold` (N) is what is right.
    """
    features = table[torch.from_numpy(places(rows, starts))]
    mean, scale = standardiser(features)
    task, targets = assignment.task, assignment.targets
    borders = np.concatenate([[0], np.cumsum(np.diff(starts)[rows])])
    design = Dense(features, mean, scale)
    head = fit_rows(design, task.rows(gold[rows]), len(targets["labels"]), c, task.link(targets), borders)
    return head, mean, scale


def places(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The rows of the linear model that belong to these examples, in their order."""
    return np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows]) if len(rows) else np.zeros(0, np.int64)
