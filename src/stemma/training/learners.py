"""The two manners of descending, behind one call: `step(batches, rate, seed) -> Step`.

`Backprop` differentiates the network's `loss` and updates by an optimiser of the table; `ByHand` lets a network that
writes its own gradients (`descend`) update itself.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from stemma.errors import RunError, UsageError
from stemma.layers.loss import Carried, Loss, weighed
from stemma.layers.weights import load_weights, to_tensors, weights
from stemma.lineage.table import DescendsByHand, Network
from stemma.nouns import counted
from stemma.objectives.batch import Batch
from stemma.training.optimisers import Group, Optimiser
from stemma.training.precision import autocast
from stemma.training.ranks import Ranks
from stemma.training.settings import Config

Arrays = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Step:
    """What one update saw, in all processes: mean loss in nats, how many predictions, and the parts of the loss."""

    loss: float
    count: int
    parts: dict[str, float] = field(default_factory=dict)  # name -> mean


class Learner(Protocol):
    """A network with the state of its optimiser, and what one batch leaves to the next."""

    network: nn.Module

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """One update from the micro-batches, whose own `rate_scale`, if any, multiplies the rate."""

    def state(self) -> Arrays:
        """All that a resumed run needs, in named groups; `model` holds the weights to keep.

        Every rank calls it; the first gets all of it and the others nothing.
        """

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave; every rank calls it, with the same arrays."""

    def evaluating(self) -> AbstractContextManager[None]:
        """The weights to evaluate and keep stand in the network within this context."""

    def judge(self, loss: float) -> None:
        """Hears the held-out loss, in nats; every rank calls it, with the same loss."""


class Backprop:
    """Gradients by autograd, updates by the optimiser that the settings name.

    `groups` replaces the two parameter groups; a group's `scale` multiplies the rate (layer-wise rates).
    """

    def __init__(
        self,
        network: nn.Module,
        settings: Config,
        device: torch.device,
        precision: str,
        ranks: Ranks,
        groups: list[Group] | None = None,
    ) -> None:
        self.network = network.to(device)
        self._settings, self._device, self._precision, self._ranks = settings, device, precision, ranks
        self._optimiser = Optimiser(network, settings, groups)
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._carried: Carried | None = None
        self._loss: Callable[..., Loss] = cast(Network, network).loss
        if settings.compile:
            self._loss = torch.compile(_Loss(network))
        if ranks.count > 1:
            wrapped = self._loss if isinstance(self._loss, nn.Module) else _Loss(network)
            self._loss = nn.parallel.DistributedDataParallel(wrapped, find_unused_parameters=True)

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """One update: that of one batch made of all the micro-batches of all processes, each part's mean over all its predictions."""
        torch.manual_seed(seed)
        self.network.train()
        tensors = [to_tensors(batch, self._device) for batch in batches]
        counts = self._predictions(tensors)
        sums = dict.fromkeys(counts, 0.0)
        for batch, inputs in zip(batches, tensors, strict=True):
            with autocast(self._device, self._precision):
                loss = self._loss(inputs, self._carried)
            self._carried = loss.carried
            if not np.isfinite(float(loss.mean.detach())):
                raise NotFinite(batch)
            (loss.share(counts) * self._ranks.count).backward()  # DDP takes the mean over processes, and this is a sum
            for name, (total, _) in loss.parts.items():
                sums[name] += float(cast(torch.Tensor, total).detach())
        self._update(rate * _rate_scale(batches), batches[-1])
        sums = dict(zip(sums, self._ranks.total(list(sums.values())), strict=True))
        means = {name: total / max(1, counts[name]) for name, total in sums.items()}
        return Step(float(weighed(sums, counts, loss.weights)), next(iter(counts.values())), means)

    def _predictions(self, batches: list[dict[str, torch.Tensor]]) -> dict[str, int]:
        """How many predictions each part of the loss has in these batches and in those of the other processes."""
        counts: dict[str, int] = {}
        for batch in batches:
            for name, count in cast(Network, self.network).predictions(batch).items():
                counts[name] = counts.get(name, 0) + count
        return {name: int(count) for name, count in zip(counts, self._ranks.total(list(counts.values())), strict=True)}

    def _update(self, rate: float, batch: Batch) -> None:
        norm = nn.utils.clip_grad_norm_(self._parameters, self._settings.clip or float("inf"))
        if not torch.isfinite(norm):
            raise NotFinite(batch)
        self._optimiser.update(rate)

    def evaluating(self) -> AbstractContextManager[None]:
        """The averaged weights, where the optimiser averages and has begun to."""
        return self._optimiser.average.swapped() if self._optimiser.average else nullcontext()

    def judge(self, loss: float) -> None:
        """Tells an optimiser that averages; others do not mind."""
        if self._optimiser.average:
            self._optimiser.average.judge(loss)

    def state(self) -> Arrays:
        """The weights to keep, the optimiser's state, and what each rank's last batch left."""
        memories = self._ranks.gather(_arrays(self._carried)) if self._carried else []
        if not self._ranks.first:
            return {}
        with self.evaluating():
            model = weights(self.network)
            if self._optimiser.average and self._optimiser.average.count:
                model = {name: array.copy() for name, array in model.items()}  # the mean is about to leave the network
        carried = {f"carried-{rank}": memory for rank, memory in enumerate(memories)}
        return {"model": model, "optimiser": self._optimiser.state(), **carried}

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave; one with memories needs as many ranks as there were."""
        memories = sum(group.startswith("carried-") for group in arrays)
        if memories not in (0, self._ranks.count):
            wrong = f"the state was saved by {counted(memories, 'process', 'processes')}, and {self._ranks.count} would go on from it"
            raise RunError(wrong, "as many, each with its own memory", f"run it with {counted(memories, 'process', 'processes')}")
        load_weights(self.network, arrays["model"])
        self._optimiser.restore(arrays["optimiser"])
        self._carried = _tensors(arrays[f"carried-{self._ranks.rank}"], self._device) if memories else None


class ByHand:
    """For networks that write their own gradients and update in place."""

    def __init__(self, network: nn.Module, threads: int, ranks: Ranks) -> None:
        if ranks.count > 1:
            raise UsageError("this generation learns with threads, not with processes", "one process", "run it without torchrun")
        self.network, self._threads = network, threads
        self._descending = cast(DescendsByHand, network)

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """Descends along each batch in turn."""
        total, summed = 0, 0.0
        for number, batch in enumerate(batches):
            loss = self._descending.descend(batch, rate * _rate_scale([batch]), seed + number, self._threads)
            if not np.isfinite(float(loss.mean)):
                raise NotFinite(batch)
            total, summed = total + loss.count, summed + float(loss.mean) * loss.count
        return Step(summed / max(1, total), total)

    def evaluating(self) -> AbstractContextManager[None]:
        """The weights as they are."""
        return nullcontext()

    def judge(self, loss: float) -> None:
        """The loss changes nothing."""

    def state(self) -> Arrays:
        """The weights, and what the network keeps beside them."""
        kept = self._descending.optimiser_state()
        return {"model": weights(self.network)} | ({"optimiser": kept} if kept else {})

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave."""
        load_weights(self.network, arrays["model"])
        self._descending.restore_optimiser(arrays.get("optimiser", {}))


class NotFinite(RunError):
    """The loss or its gradient is NaN or infinite; `batch` is the one that showed it."""

    def __init__(self, batch: Batch) -> None:
        super().__init__("the loss is not finite", "a finite loss", "lower training.rate, or set training.precision to fp32")
        self.batch = batch


class _Loss(nn.Module):
    """`network.loss` as a forward call, which is what DDP and compile wrap."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: dict[str, torch.Tensor], carried: Carried | None) -> Loss:
        return cast(Network, self.network).loss(batch, carried)


def _rate_scale(batches: list[Batch]) -> float:
    """What the batches multiply the rate by, in the mean: of windows of drawn lengths, length / base (Merity 2017, section 5)."""
    scales = [float(batch["rate_scale"]) for batch in batches if "rate_scale" in batch]
    return sum(scales) / len(scales) if scales else 1.0


def _arrays(carried: Carried) -> dict[str, np.ndarray]:
    """The tensors as arrays; NumPy has no bfloat16, whose bits then stand as whole numbers under `name:bfloat16`."""
    short = {name: tensor.dtype == torch.bfloat16 for name, tensor in carried.items()}
    return {
        f"{name}:bfloat16" if short[name] else name: (tensor.view(torch.int16) if short[name] else tensor).cpu().numpy()
        for name, tensor in carried.items()
    }


def _tensors(arrays: Mapping[str, np.ndarray], device: torch.device) -> Carried:
    """What `_arrays` was given."""
    found = {name: torch.tensor(array, device=device) for name, array in arrays.items()}
    return {
        name.removesuffix(":bfloat16"): tensor.view(torch.bfloat16) if name.endswith(":bfloat16") else tensor
        for name, tensor in found.items()
    }
