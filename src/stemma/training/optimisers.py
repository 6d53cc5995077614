"""Optimisers: one table of how each is made and what it keeps, and the ones that torch lacks.

An option of the section `training` that is left out is the optimiser's own (`settings.OWN`). Whatever the optimiser, weight decay
is on matrices alone, and a group's `scale` multiplies the rate.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stemma.errors import UsageError
from stemma.layers.fast import Dense
from stemma.lineage.table import Encoder
from stemma.training.precision import choose_precision
from stemma.training.settings import INTERVAL, Config, OptimiserName

Group = dict[str, Any]  # `params`, `weight_decay`, and where wanted `scale`
Coefficients = tuple[tuple[float, float, float], ...]
# Each step's are those with the least greatest error, for singular values that began between 0.01 and 1 and are where the steps
# before left them (Amsel 2025, Polar Express); the first step's argument is divided by 1.01, lest bfloat16 round above 1.
# All end within 0.27 of 1; Jordan's own (3.4445, -4.7750, 2.0315) take five steps to come within 0.32.
POLAR: Coefficients = ((8.0133, -22.9259, 16.5995), (3.6366, -2.7219, 0.5365), (2.6613, -1.9771, 0.4526))


@dataclass(frozen=True)
class Kind:
    """A row of the table: how the optimiser is made, and what it keeps of each parameter, under torch's names."""

    make: Callable[[nn.Module, list[Group], Config], list[torch.optim.Optimizer]]
    keeps: tuple[str, ...]
    averages: bool = False  # the mean of the weights is what is evaluated and kept, once the held-out loss stops falling (`Average`)


class Optimiser:
    """The optimiser that `config` names, over a network's parameters, with its state by their names.

    `groups` replaces the two parameter groups, matrices and the others. Raises UsageError for muon where the network has no blocks.
    """

    def __init__(self, network: nn.Module, config: Config, groups: list[Group] | None = None, sharded: bool = False) -> None:
        """`sharded`: the network's weights are in shards (`training.sharding`)."""
        self._kind = OPTIMISERS[config.optimiser]
        self._parts = self._kind.make(network, groups or _matrices_and_others(network, config), config)
        for part in self._parts:
            if isinstance(part, UncorrectedAdam | Muon):
                part.sharded = sharded
        self._names: dict[torch.Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
        after = config.steps - round(config.average * config.steps) if config.average else None
        averages = self._kind.averages or config.average
        self.average = Average(dict(network.named_parameters()), after) if averages else None

    def update(self, rate: float) -> None:
        """One update along the gradients, which are then let go of."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * group.get("scale", 1.0)
            part.step()
            part.zero_grad(set_to_none=True)
        if self.average:
            self.average.add()

    def state(self) -> dict[str, np.ndarray]:
        """All that an optimiser restored by it needs to go on bit for bit, as `what/parameter`."""
        kept = {name: tensor.cpu().numpy() for name, tensor in self.tensors().items()}
        return kept | (self.average.state() if self.average else {})

    def tensors(self) -> dict[str, torch.Tensor]:
        """What it keeps of each parameter, as `what/parameter`: the tensors themselves."""
        every = chain.from_iterable(part.state.items() for part in self._parts)
        return {f"{key}/{self._names[parameter]}": values[key] for parameter, values in every for key in self._kind.keeps if key in values}

    def restore(self, arrays: Mapping[str, np.ndarray | torch.Tensor]) -> None:
        """Takes up what `state` gave; the network holds its weights already."""
        for part in self._parts:
            plain = part.state_dict()
            plain["state"] = {
                place: found
                for place, parameter in enumerate(chain.from_iterable(group["params"] for group in part.param_groups))
                if (found := self._kept(arrays, parameter))
            }
            part.load_state_dict(plain)  # puts each tensor where this optimiser wants it
        if self.average:
            self.average.restore(cast(Mapping[str, np.ndarray], arrays))

    def _kept(self, arrays: Mapping[str, np.ndarray | torch.Tensor], parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {key: arrays[place] for key in self._kind.keeps if (place := f"{key}/{self._names[parameter]}") in arrays}
        return {key: value if isinstance(value, torch.Tensor) else torch.tensor(value) for key, value in found.items()}


class Average:
    """The mean of the weights since an update, or since the held-out loss stopped falling.

    `after` so many updates: the mean of the last weights (Vaswani 2017, section 6.1). Deviates: of every update's, where the paper's is
    that of a few checkpoints among them. None: NT-ASGD (Merity 2017, algorithm 1). Training goes on from the weights themselves; the
    mean is what is evaluated and kept.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], after: int | None = None) -> None:
        self._parameters, self._means = dict(parameters), dict[str, torch.Tensor]()
        self._after, self._updates = after, 0
        self._losses: list[float] = []  # of the evaluations so far, nats
        self.count = 0  # weights that the mean is over; 0: not begun

    def judge(self, loss: float) -> None:
        """Begins the mean when the loss is above the best of all evaluations but the last five, unless updates say when."""
        if self._after is None and not self.count and len(self._losses) > INTERVAL and loss > min(self._losses[:-INTERVAL]):
            self._begin(1)
        self._losses.append(loss)

    def add(self) -> None:
        """Takes the weights as they are now into the mean."""
        self._updates += 1
        if self._after is not None and self._updates == self._after + 1:
            self._begin(1)
        elif self.count:
            self.count += 1
            means, weights = list(self._means.values()), [parameter.detach() for parameter in self._parameters.values()]
            torch._foreach_lerp_(means, weights, 1 / self.count)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The mean, where it has begun, stands in the network within this context."""
        if not self.count:
            yield
            return
        kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._put(self._means)
        try:
            yield
        finally:
            self._put(kept)

    def state(self) -> dict[str, np.ndarray]:
        """The losses, and the weights that training goes on from; the mean itself is what the network is saved as."""
        weights = {f"weights/{name}": parameter.detach().cpu().numpy() for name, parameter in self._parameters.items()}
        heard = {"average/losses": np.array(self._losses, dtype=np.float64), "average/count": np.array(self.count)}
        heard["average/updates"] = np.array(self._updates)
        return heard | (weights if self.count else {})

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes up what `state` gave; the network holds the mean."""
        self._losses, self._updates = [float(loss) for loss in arrays["average/losses"]], int(arrays["average/updates"])
        if count := int(arrays["average/count"]):
            self._begin(count)
            self._put({name: torch.tensor(arrays[f"weights/{name}"]) for name in self._parameters})

    def _begin(self, count: int) -> None:
        self.count = count
        self._means = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[name])


class UncorrectedAdam(torch.optim.Optimizer):
    """Adam without correction of the early moments' bias, its decay inside the update (google-research/bert, optimization.py).

    With `trust`, LAMB (You 2020, algorithm 2): each matrix's update is made as long as the matrix itself, times the rate.
    Vectors move as they do without. No norm is clamped (google-research/albert, lamb_optimizer.py). Matrices that stand one above
    the other in a weight (`trust` says how many, where that is not one) have lengths of their own, as they have there.
    """

    def __init__(
        self, groups: list[Group], betas: tuple[float, float], epsilon: float, trust: Mapping[torch.Tensor, int] | None = None
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})
        self._betas, self._epsilon, self._trust = betas, epsilon, trust
        self.sharded = False  # the weights are in shards: matrices, whose lengths are needed, are put together for it

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update along the gradients."""
        for group in self.param_groups:
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moving:
                continue
            updates = self._updates(moving)
            if group["weight_decay"]:
                torch._foreach_add_(updates, moving, alpha=group["weight_decay"])
            if self._trust is not None:
                updates = self._lengthened(moving, updates, self._trust)
            torch._foreach_add_(moving, updates, alpha=-group["lr"])

    def _lengthened(self, moving: list[nn.Parameter], updates: list[torch.Tensor], trust: Mapping[torch.Tensor, int]) -> list[torch.Tensor]:
        counts = [trust.get(parameter, 1) for parameter in moving]
        if not self.sharded:
            _lengthen(moving, updates, counts)
            return updates
        from stemma.training.sharding import parted_like, whole

        gathered = [whole(update) for update in updates]
        _lengthen([whole(parameter) for parameter in moving], gathered, counts)
        return [parted_like(update, parameter) for update, parameter in zip(gathered, moving, strict=True)]

    def _updates(self, moving: list[nn.Parameter]) -> list[torch.Tensor]:
        """The step mean / (sqrt(mean square) + epsilon) of each parameter's slopes."""
        for parameter in moving:
            if not self.state[parameter]:
                self.state[parameter] = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
        slopes = [cast(torch.Tensor, parameter.grad) for parameter in moving]
        means = [self.state[parameter]["exp_avg"] for parameter in moving]
        squares = [self.state[parameter]["exp_avg_sq"] for parameter in moving]
        torch._foreach_lerp_(means, slopes, 1 - self._betas[0])
        torch._foreach_mul_(squares, self._betas[1])
        torch._foreach_addcmul_(squares, slopes, slopes, value=1 - self._betas[1])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, self._epsilon)
        return list(torch._foreach_div(means, roots))


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal (Jordan 2024), each update as long as AdamW's would be (Liu 2025, section 2.2).

    Matrices of one shape are worked on together, in `dtype`. Those that stand one above the other in a weight (`parts`: how
    many there are, where that is not one) are made orthogonal each by itself: queries, keys and values are three maps.
    """

    def __init__(
        self,
        groups: list[Group],
        momentum: float,
        dtype: torch.dtype = torch.bfloat16,
        parts: Mapping[torch.Tensor, int] | None = None,
        coefficients: Coefficients = POLAR,
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})
        self._momentum, self._dtype, self._parts, self._coefficients = momentum, dtype, parts or {}, coefficients
        self.sharded = False  # the weights are in shards: the matrices of one shape at a time are put together in every process

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update along the gradients."""
        for group in self.param_groups:
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moving:
                continue
            if group["weight_decay"]:
                torch._foreach_mul_(moving, 1 - group["lr"] * group["weight_decay"])
            averaged = self._averaged(moving)
            if self.sharded:
                self._move_shards(moving, averaged, group["lr"])
            else:
                self._move(moving, averaged, [self._parts.get(parameter, 1) for parameter in moving], group["lr"])

    def _move(self, moving: Sequence[torch.Tensor], averaged: list[torch.Tensor], parts: list[int], rate: float) -> None:
        for weights, updates in _alike(moving, averaged, parts):
            length = 0.2 * math.sqrt(max(updates.shape[1:]))  # AdamW's root mean square is about 0.2
            steps = orthogonal(updates.to(self._dtype), self._coefficients).to(weights[0].dtype)
            torch._foreach_add_(weights, list(steps.unbind()), alpha=-rate * length)

    def _move_shards(self, moving: list[nn.Parameter], averaged: list[torch.Tensor], rate: float) -> None:
        """As `_move`: no shard of a matrix is orthogonal by itself, so every process computes whole steps, and takes its part of them."""
        from stemma.training.sharding import parted_like, whole

        shapes: dict[torch.Size, list[tuple[nn.Parameter, torch.Tensor]]] = {}
        for parameter, update in zip(moving, averaged, strict=True):
            shapes.setdefault(parameter.shape, []).append((parameter, update))
        for pairs in shapes.values():
            gathered = [whole(update) for _, update in pairs]
            steps = [torch.zeros_like(update) for update in gathered]
            self._move(steps, gathered, [self._parts.get(parameter, 1) for parameter, _ in pairs], rate)
            for (parameter, _), step in zip(pairs, steps, strict=True):
                parameter.add_(parted_like(step, parameter))

    def _averaged(self, moving: list[nn.Parameter]) -> list[torch.Tensor]:
        """Nesterov's look ahead along the mean of each parameter's slopes."""
        for parameter in moving:
            if not self.state[parameter]:
                self.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}
        slopes = [cast(torch.Tensor, parameter.grad) for parameter in moving]
        means = [self.state[parameter]["momentum_buffer"] for parameter in moving]
        torch._foreach_lerp_(means, slopes, 1 - self._momentum)
        return list(torch._foreach_lerp(slopes, means, self._momentum))


def _alike(
    weights: Sequence[torch.Tensor], updates: list[torch.Tensor], parts: list[int]
) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
    """(views of the weights, their updates (N R C)) of all the matrices of one shape, none taller than wide; each weight has `parts`."""
    shapes: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for whole, update, count in zip(weights, updates, parts, strict=True):
        for weight, part in zip(*(tensor.chunk(count) for tensor in (whole, update)), strict=True):
            lying = (weight, part) if part.shape[0] <= part.shape[1] else (weight.t(), part.t())
            shapes.setdefault(lying[0].shape, []).append(lying)
    for pairs in shapes.values():
        yield [weight for weight, _ in pairs], torch.stack([part for _, part in pairs])


def orthogonal(matrices: torch.Tensor, coefficients: Coefficients = POLAR) -> torch.Tensor:
    """The matrices (N R C), R at most C, with singular values of about 1: x -> a x + b x^3 + c x^5, once for each (a, b, c).

    The iteration of Newton and Schulz, which needs products alone. In bfloat16 or float32, as the matrices are.
    """
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for a, b, c in coefficients:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def block_matrices(network: Encoder) -> list[nn.Parameter]:
    """The two-dimensional weights of the network's blocks: no token table, no head."""
    return [parameter for layer in network.layers() if layer.block for parameter in layer.parameters.values() if parameter.ndim == 2]


def _matrices_and_others(network: nn.Module, config: Config) -> list[Group]:
    """Decay is on matrices alone (Loshchilov & Hutter 2019; Devlin 2018 leaves out norms and biases)."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]


def _lengthen(weights: Sequence[torch.Tensor], updates: list[torch.Tensor], parts: list[int]) -> None:
    """Multiplies each matrix's update by |matrix| / |update|, where neither is 0; `parts` of them stand in each weight."""
    for weight, update, count in zip(weights, updates, parts, strict=True):
        if weight.ndim > 1:
            for matrix, step in zip(*(tensor.chunk(count) for tensor in (weight, update)), strict=True):
                length, reach = matrix.norm(), step.norm()
                step.mul_(torch.where((length > 0) & (reach > 0), length / reach, 1.0))


def _parts(network: nn.Module) -> dict[torch.Tensor, int]:
    """How many matrices stand one above the other in each of the network's fused weights: queries, keys and values."""
    return {module.weight: module.parts for module in network.modules() if isinstance(module, Dense)}


def _adamw(network: nn.Module, groups: list[Group], config: Config) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(groups, lr=config.rate, betas=_betas(config), eps=_epsilon(config), fused=True)]


def _bert_adam(network: nn.Module, groups: list[Group], config: Config) -> list[torch.optim.Optimizer]:
    return [UncorrectedAdam(groups, _betas(config), _epsilon(config))]


def _lamb(network: nn.Module, groups: list[Group], config: Config) -> list[torch.optim.Optimizer]:
    return [UncorrectedAdam(groups, _betas(config), _epsilon(config), _parts(network))]


def _adagrad(network: nn.Module, groups: list[Group], config: Config) -> list[torch.optim.Optimizer]:
    return [torch.optim.Adagrad(groups, lr=config.rate, eps=_epsilon(config))]


def _sgd(network: nn.Module, groups: list[Group], config: Config) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum or 0.0)]


def _muon(network: nn.Module, groups: list[Group], config: Config) -> list[torch.optim.Optimizer]:
    """Muon on the blocks' matrices, in the precision of the products, AdamW on the rest; each where it has something to move."""
    blocks = {id(parameter) for parameter in block_matrices(cast(Encoder, network))}
    if not blocks:
        raise UsageError("optimiser muon for a network without blocks", "a network with blocks", "set training.optimiser to adamw")
    times = (config.muon_rate or config.rate) / config.rate
    chosen, rest = [], []
    for group in groups:
        inside = [parameter for parameter in group["params"] if id(parameter) in blocks]
        outside = [parameter for parameter in group["params"] if id(parameter) not in blocks]
        chosen += [{**group, "params": inside, "scale": times * group.get("scale", 1.0)}] if inside else []
        rest += [{**group, "params": outside}] if outside else []
    device = next(network.parameters()).device
    dtype = torch.bfloat16 if choose_precision(config.precision, device) == "bf16" else torch.float32
    muon = [Muon(chosen, cast(float, config.momentum), dtype, _parts(network))] if chosen else []
    return [*muon, *(_adamw(network, rest, config) if rest else [])]


def _betas(config: Config) -> tuple[float, float]:
    return cast(tuple[float, float], config.betas)


def _epsilon(config: Config) -> float:
    return cast(float, config.epsilon)


OPTIMISERS: dict[OptimiserName, Kind] = {
    "adamw": Kind(_adamw, ("step", "exp_avg", "exp_avg_sq")),  # Loshchilov & Hutter 2019
    "bert-adam": Kind(_bert_adam, ("exp_avg", "exp_avg_sq")),  # Devlin 2018
    "lamb": Kind(_lamb, ("exp_avg", "exp_avg_sq")),  # You 2020
    "adagrad": Kind(_adagrad, ("step", "sum")),  # Duchi 2011
    "sgd": Kind(_sgd, ("momentum_buffer",)),
    "asgd": Kind(_sgd, (), averages=True),  # Merity 2017
    "muon": Kind(_muon, ("momentum_buffer", "step", "exp_avg", "exp_avg_sq")),
}
