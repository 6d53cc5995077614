"""The two manners of descending, behind one call: `step(batches, rate, seed) -> Step`.

`Backprop` differentiates the network's `loss` and updates by AdamW; `ByHand` lets a network that
writes its own gradients (`descend`) update itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from stemma.errors import RunError, UsageError
from stemma.layers.weights import load_weights, to_tensors, weights
from stemma.objectives.batch import Batch
from stemma.training.precision import autocast
from stemma.training.ranks import Ranks

Arrays = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Step:
    """What one update saw: mean loss in nats, how many predictions, and the parts of the loss."""

    loss: float
    count: int
    parts: dict[str, float] = field(default_factory=dict)  # name -> mean


class Learner(Protocol):
    """A network with the state of its optimiser."""

    network: nn.Module

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step: ...
    def state(self) -> Arrays: ...
    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None: ...


class Backprop:
    """Gradients by autograd, updates by AdamW with decay on matrices alone (Loshchilov & Hutter 2019).

    `groups` replaces the two parameter groups; a group's `scale` multiplies the rate (layer-wise rates).
    """

    def __init__(
        self,
        network: nn.Module,
        settings: Any,
        device: torch.device,
        precision: str,
        ranks: Ranks,
        groups: list[dict[str, Any]] | None = None,
    ) -> None:
        self.network = network.to(device)
        self._settings, self._device, self._precision = settings, device, precision
        matrices = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups = groups or [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=settings.rate, betas=settings.betas, eps=settings.epsilon, fused=True)
        self._names = {id(p): name for name, p in network.named_parameters()}
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._loss: nn.Module = _Loss(network)
        if settings.compile:
            self._loss = torch.compile(self._loss)  # type: ignore[assignment]
        if ranks.count > 1:
            self._loss = nn.parallel.DistributedDataParallel(self._loss, find_unused_parameters=True)

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """One update from the micro-batches; each counts by its number of predictions."""
        torch.manual_seed(seed)
        self.network.train()
        total, summed = 0, 0.0
        sums: dict[str, Any] = {}
        counts: dict[str, int] = {}
        for batch in batches:
            with autocast(self._device, self._precision):
                loss = self._loss(to_tensors(batch, self._device))
            mean = float(loss.mean.detach())
            if not np.isfinite(mean):
                raise NotFinite(batch)
            (loss.mean * (loss.count if len(batches) > 1 else 1)).backward()
            total, summed = total + loss.count, summed + mean * loss.count
            for name, (value, count) in loss.parts.items():
                sums[name] = sums.get(name, 0.0) + float(value)
                counts[name] = counts.get(name, 0) + count
        self._update(rate, 1 / total if len(batches) > 1 else 1.0, batches[-1])
        return Step(summed / total, total, {name: sums[name] / max(1, counts[name]) for name in sums})

    def _update(self, rate: float, scale: float, batch: Batch) -> None:
        if scale != 1.0:
            torch._foreach_mul_([p.grad for p in self._parameters if p.grad is not None], scale)
        norm = nn.utils.clip_grad_norm_(self._parameters, self._settings.clip or float("inf"))
        if not torch.isfinite(norm):
            raise NotFinite(batch)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def state(self) -> Arrays:
        """Weights and AdamW's moments, as arrays."""
        moments = {}
        for parameter, values in self._optimiser.state.items():
            for key, value in values.items():
                moments[f"{key}/{self._names[id(parameter)]}"] = torch.as_tensor(value).cpu().numpy()
        return {"model": weights(self.network), "optimiser": moments}

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave."""
        load_weights(self.network, arrays["model"])
        moments = arrays["optimiser"]
        for parameter in self._parameters:
            name = self._names[id(parameter)]
            if f"exp_avg/{name}" in moments:
                self._optimiser.state[parameter] = {
                    key: torch.tensor(moments[f"{key}/{name}"], device=self._device) for key in ("step", "exp_avg", "exp_avg_sq")
                }


class ByHand:
    """For networks that write their own gradients and update in place.

    One that keeps sums of its own beside the weights (AdaGrad's) tells them by `optimiser_state` and takes them up by `restore_optimiser`.
    """

    def __init__(self, network: nn.Module, threads: int, ranks: Ranks) -> None:
        if ranks.count > 1:
            raise UsageError("this generation learns with threads, not with processes", "one process", "run it without torchrun")
        self.network, self._threads = network, threads

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """Descends along each batch in turn."""
        total, summed = 0, 0.0
        for number, batch in enumerate(batches):
            loss = self.network.descend(batch, rate, seed + number, self._threads)  # type: ignore[operator]
            if not np.isfinite(float(loss.mean)):
                raise NotFinite(batch)
            total, summed = total + loss.count, summed + float(loss.mean) * loss.count
        return Step(summed / max(1, total), total)

    def state(self) -> Arrays:
        """The weights, and what the network keeps beside them."""
        sums = {"optimiser": self.network.optimiser_state()} if hasattr(self.network, "optimiser_state") else {}  # type: ignore[operator]
        return {"model": weights(self.network), **sums}

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave."""
        load_weights(self.network, arrays["model"])
        if "optimiser" in arrays:
            self.network.restore_optimiser(arrays["optimiser"])  # type: ignore[operator]


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

    def forward(self, batch: dict[str, torch.Tensor]) -> Any:
        return self.network.loss(batch)  # type: ignore[operator]
