"""Probes by layer: what a linear model reads off the states of each layer of a fixed network (Tenney 2019, Hewitt & Liang 2019).

The model sees one layer's states and nothing else: the mean of a text's, or a unit's own and its place in its token. Beside it stands
the same model on networks newly drawn in the same shape, one a seed: what that gets, the words and the layout give without
pre-training. (Hewitt and Liang's control is another task on the same network, in which every word has a label drawn by lot.) Its C, and
the best layer, are chosen on a part of the examples that it learns from.

Axes: L layers, M rows of the linear model, F features, D width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemma.errors import UsageError
from stemma.evaluation.measures.intervals import Interval, difference_of, interval_of
from stemma.evaluation.measures.probe_files import LEAST, Answers, ProbeFile
from stemma.runs.assignment import Assignment
from stemma.runs.fixed import FixedNetwork
from stemma.runs.linear import Dense
from stemma.runs.run import Run
from stemma.transfer.backbone import fresh
from stemma.transfer.features import LinearOnFeatures, fit_linear, places
from stemma.transfer.recipe import refusal
from stemma.transfer.settings import Config

SEEDS = (1, 2, 3)  # of the networks that are newly drawn


@dataclass(frozen=True)
class ProbedLayer:
    """What one layer gives, what it gives without pre-training, and the difference."""

    value: Interval
    random: Interval  # its mean over the drawn networks
    gain: Interval
    c: float  # that was chosen


@dataclass(frozen=True)
class LayerProbes:
    """What a file says of every layer, the embeddings first."""

    file: str
    about: str
    metric: str  # in words
    share: bool  # it lies between 0 and 1
    examples: dict[str, int]
    floor: float  # what needs no reading gets
    layers: tuple[ProbedLayer, ...]
    best_layer: int  # chosen without a look at the examples that figures are of

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def probe(run: Run, file: ProbeFile, seeds: Sequence[int] = SEEDS) -> LayerProbes:
    """The probes of every layer of a run; UsageError where its network has no states for the file's task."""
    if refused := refusal(run.row, file.task):
        raise UsageError(f"{file.path}: {refused}", "a generation whose states can be read", "name a run of another generation")
    if run.row.learns == "count":
        raise UsageError(f"{file.path}: {run.row.name} counts: it has no states", "a run with states", "name a run of another generation")
    assignment = Assignment(run.row, run.tokenizer, run.module(), file.task, file.targets, Config(mode="frozen"))
    drawn = (FixedNetwork(assignment, fresh(assignment, seed)) for seed in seeds)
    return by_layer(file, FixedNetwork(assignment, assignment.network), drawn)


def by_layer(file: ProbeFile, network: FixedNetwork, drawn: Iterable[FixedNetwork]) -> LayerProbes:
    """The probes of every layer of a fixed network beside those of networks `drawn` in its shape, one at least."""
    own = [_chosen(file, network, *states) for states in _layers(file, network)]
    one_by_one = iter(drawn)
    first = next(one_by_one)
    controls = [[fit] for fit in (_chosen(file, first, *states) for states in _layers(file, first))]
    for other in one_by_one:  # with the C of the first, as in every transfer
        for fits, states in zip(controls, _layers(file, other), strict=True):
            fits.append(_fitted(file, other, *states, fits[0].c))
    return LayerProbes(
        file.path,
        file.about,
        file.metric.title,
        file.metric.share,
        file.sizes,
        file.floor,
        tuple(_probed(file, fit, fits) for fit, fits in zip(own, controls, strict=True)),
        int(np.argmax([fit.held for fit in own])),
    )


@dataclass(frozen=True)
class _Fit:
    """A linear model on one layer: its C, what it gets on the selection part, and its answers to the judged one."""

    c: float
    held: float
    loss: float  # on the selection part too, in nats a row; 0 where outputs are no chances of classes
    answers: Answers


def _probed(file: ProbeFile, own: _Fit, controls: Sequence[_Fit]) -> ProbedLayer:
    ours, theirs = (file.effects(file.judged, [fit.answers for fit in fits]) for fits in ([own], controls))
    value, random, gain = interval_of(ours), interval_of(theirs), difference_of(ours, theirs)
    return ProbedLayer(value, random, gain, own.c)


def _layers(file: ProbeFile, fixed: FixedNetwork) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Of each layer its features (M F) and the borders (N+1) of the examples among their rows; the texts are read once."""
    framed, width = fixed.prepare(file.texts), fixed.network.width
    starts, table = fixed.starts(framed), fixed.features(framed, range(fixed.depth))
    beside = table[:, fixed.depth * width :] if fixed.by_units else table[:, :0]  # places; the summary of a text is no layer's
    for layer in range(fixed.depth):
        yield torch.cat([table[:, layer * width : (layer + 1) * width], beside], 1), starts


def _chosen(file: ProbeFile, fixed: FixedNetwork, features: Tensor, starts: np.ndarray) -> _Fit:
    """The fit of the C that is best on the selection part, of equals the one that is least surprised there."""
    return max((_fitted(file, fixed, features, starts, c) for c in LinearOnFeatures.grid), key=lambda fit: (fit.held, -fit.loss))


def _fitted(file: ProbeFile, fixed: FixedNetwork, features: Tensor, starts: np.ndarray, c: float) -> _Fit:
    head, mean, scale = fit_linear(features, starts, file.gold, file.learning, fixed.assignment, c)
    found, outputs_of = [], []
    for examples in (file.selection, file.judged):
        design = Dense(features[torch.from_numpy(places(examples, starts))], mean, scale)
        outputs = head.outputs(design.times(torch.from_numpy(head.weights)).numpy())
        borders = np.concatenate([[0], np.cumsum(np.diff(starts)[examples])])
        found.append(file.decode(outputs, borders, examples))
        outputs_of.append(outputs)
    return _Fit(c, file.effects(file.selection, found[:1]).value, _loss(file, outputs_of[0]), found[1])


def _loss(file: ProbeFile, outputs: np.ndarray) -> float:
    """The mean nats of what is right on the selection part."""
    if file.task.link(file.targets) != "softmax":
        return 0.0
    right = file.task.rows(file.gold[file.selection])
    return float(-np.log(np.maximum(outputs[np.arange(len(right)), right], LEAST)).mean())
