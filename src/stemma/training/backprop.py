"""Descending by backpropagation: the learner that differentiates, and how its settings are settled on this machine."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from stemma.errors import RunError
from stemma.layers.loss import Carried, Loss, weighted_sum
from stemma.layers.threads import computing_with, faster_threads
from stemma.layers.weights import check_memory, load_weights, to_tensors, torch_uniform, weights
from stemma.lineage.table import Generation, Network
from stemma.nouns import counted
from stemma.objectives.batch import Batch, seed_for
from stemma.objectives.objective import Objective
from stemma.tokens.facts import TokenFacts
from stemma.training.held_out import held_out_loss
from stemma.training.learners import Arrays, Learner, NotFinite, Others, Step, rate_scale
from stemma.training.optimisers import Group, Optimiser
from stemma.training.precision import autocast, choose_device, choose_precision
from stemma.training.ranks import Ranks
from stemma.training.reading_cost import reading_cost
from stemma.training.settings import Config, Device, HandConfig

if TYPE_CHECKING:
    from stemma.training.sharding import Shards


class Differentiating:
    """The `Manner` of networks that autograd moves."""

    def computing(self, threads: int) -> AbstractContextManager[None]:
        """PyTorch with so many threads, or with as many as it has."""
        return computing_with(threads or torch.get_num_threads())

    def use(self, threads: int) -> None:
        """From here on with so many."""
        torch.set_num_threads(threads)

    def settled(self, row: Generation, model: Any, training: HandConfig, tokens: TokenFacts, ranks: Ranks) -> tuple[Any, HandConfig]:
        """The config of the model and that of training with device and precision chosen."""
        assert isinstance(training, Config)
        device = choose_device(training.device, ranks.local)
        precision = choose_precision(training.precision, device)
        training = dataclasses.replace(training, device=cast(Device, device.type), precision=precision)
        model = row.load_network().settle(model, device)
        if device.type == "cpu":  # weights, slopes, and at least one mean of slopes
            check_memory(lambda: row.load_network()(model, tokens), copies=3)
        return model, training

    def threads(self, training: HandConfig, ranks: Ranks, make: Callable[[], Learner], batch: Callable[[], Batch]) -> int:
        """How many threads are faster: tried on a learner that is thrown away."""
        assert isinstance(training, Config)
        if training.device != "cpu" or training.compile or ranks.count > 1:
            return torch.get_num_threads()
        learner, first, rate = make(), [batch()], training.rate * 1e-3
        return faster_threads(lambda: learner.step(first, rate, seed_for(training.seed, "timing")))

    def learner(self, row: Generation, model: Any, training: HandConfig, tokens: TokenFacts, ranks: Ranks, others: Others) -> "Backprop":
        """A network drawn anew, or going on from an earlier run's weights, and its optimiser; a student has its teacher beside it."""
        assert isinstance(training, Config)
        torch.manual_seed(seed_for(training.seed, "init"))
        network = row.load_network()(model, tokens)
        device = choose_device(training.device, ranks.local)
        if others.earlier is not None:
            network.take_over(others.earlier, torch_uniform)
        if others.teacher is not None:
            network.follow(cast(nn.Module, others.teacher).to(device).eval())
        return Backprop(network, training, device, training.precision, ranks)

    def evaluate(self, learner: Learner, objective: Objective, training: HandConfig, ranks: Ranks) -> tuple[float, dict[str, float]]:
        """As `evaluate`."""
        assert isinstance(training, Config)
        return evaluate(cast(Backprop, learner), objective, training, ranks)


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
        self._sharded = settings.sharding == "full" and ranks.count > 1
        if self._sharded:
            from stemma.training.sharding import shard  # seconds of PyTorch's own loading

            shard(network)
        self._optimiser = Optimiser(network, settings, groups, self._sharded)
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._carried: Carried | None = None
        self._loss: nn.Module = _Loss(network)
        if settings.compile:
            self._loss = cast(nn.Module, torch.compile(self._loss))
        if ranks.count > 1 and not self._sharded:
            self._loss = nn.parallel.DistributedDataParallel(self._loss, find_unused_parameters=True)

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def kept_mib(self) -> float:
        """The weights and the optimiser's tensors, in this process."""
        if self.shards:
            return self.shards.mib
        return sum(tensor.nbytes for tensor in (*self.network.state_dict().values(), *self._optimiser.tensors().values())) / 2**20

    @property
    def shards(self) -> "Shards | None":
        """This process's part of the network and of the optimiser's state, where they are in shards."""
        if not self._sharded:
            return None
        from stemma.training.sharding import Shards

        return Shards(self.network, self._optimiser)

    def reading_cost(self) -> dict[str, float]:
        """As `reading_cost` measures it; nothing where no process has all weights."""
        return {} if self._sharded else reading_cost(self.network, self._precision)

    def step(self, batches: list[Batch], rate: float, seed: int) -> Step:
        """One update: that of one batch made of all the micro-batches of all processes, each part's mean over all its predictions.

        A process without predictions, as where a batch has fewer rows than there are processes, takes part with nothing.
        """
        torch.manual_seed(seed)
        self.network.train()
        tensors = [to_tensors(batch, self._device) for batch in batches]
        own = [cast(Network, self.network).predictions(inputs) for inputs in tensors]
        counts = self._over_all(own)
        if self._sharded:
            asks = [any(predictions.values()) for predictions in own]
            tensors = [to_tensors(batch, self._device) for batch in self._with_lent(batches, asks)]
        sums, weights = dict.fromkeys(counts, 0.0), dict[str, float]()
        for batch, inputs, predictions in zip(batches, tensors, own, strict=True):
            none = any(counts.values()) and not any(predictions.values())
            lent = none and self._sharded
            with autocast(self._device, self._precision):
                loss: Loss = self._loss(inputs, None if lent else self._carried, tuple(counts) if none and not lent else ())
            weights = loss.weights or weights
            if lent:
                (loss.share(counts) * 0.0).backward()
                continue
            self._carried = loss.carried
            if not np.isfinite(float(loss.mean.detach())):
                raise NotFinite(batch)
            (loss.share(counts) * self._ranks.count).backward()  # the mean over processes is taken of it, and this is a sum
            for name, (total, _) in loss.parts.items():
                sums[name] += float(cast(torch.Tensor, total).detach())
        self._update(rate * rate_scale(batches), batches[-1])
        sums = dict(zip(sums, self._ranks.total(list(sums.values())), strict=True))
        means = {name: total / max(1, counts[name]) for name, total in sums.items()}
        return Step(float(weighted_sum(sums, counts, weights)), next(iter(counts.values())), means)

    def _over_all(self, batches: list[dict[str, int]]) -> dict[str, int]:
        """How many predictions each part of the loss has, of those in each batch here, and in those of the other processes."""
        counts: dict[str, int] = {}
        for predictions in batches:
            for name, count in predictions.items():
                counts[name] = counts.get(name, 0) + count
        return {name: int(count) for name, count in zip(counts, self._ranks.total(list(counts.values())), strict=True)}

    def _with_lent(self, batches: list[Batch], asks: list[bool]) -> list[Batch]:
        """The batches, another process's in place of those that ask for no prediction.

        Weights in shards are gathered by all processes at once, so that each must compute as much as the others.
        """
        count, places, found = self._ranks.count, len(batches), list(batches)
        flags = np.zeros((count, places))
        flags[self._ranks.rank] = asks
        every = np.array(self._ranks.total(flags.ravel().tolist())).reshape(count, places) > 0
        for place in range(places):
            if every[:, place].any() and not every[:, place].all():
                lent = self._ranks.agree(batches[place], int(every[:, place].argmax()))
                found[place] = batches[place] if asks[place] else lent
        return found

    def _update(self, rate: float, batch: Batch) -> None:
        slopes = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = nn.utils.get_total_norm(slopes)
        if self._sharded:
            from stemma.training.sharding import whole

            norm = whole(norm)
        nn.utils.clip_grads_with_norm_(self._parameters, self._settings.clip or float("inf"), norm)
        if not torch.isfinite(norm):
            raise NotFinite(batch)
        self._optimiser.update(rate)

    def evaluating(self) -> AbstractContextManager[None]:
        """The averaged weights, where the optimiser averages and has begun to."""
        return self._optimiser.average.swapped() if self._optimiser.average else nullcontext()

    def judge(self, loss: float) -> None:
        """Hands the loss to an optimiser that averages; others do not need it."""
        if self._optimiser.average:
            self._optimiser.average.judge(loss)

    def state(self) -> Arrays:
        """The weights to keep, the optimiser's state, and what each rank's last batch left; of those in `shards` the last alone."""
        memories = self._ranks.gather(_arrays(self._carried or {}))
        if not self._ranks.first:
            return {}
        carried = {f"carried-{rank}": memory for rank, memory in enumerate(memories) if any(memories)}
        if self._sharded:
            return carried
        with self.evaluating():
            model = weights(self.network)
            if self._optimiser.average and self._optimiser.average.count:
                model = {name: array.copy() for name, array in model.items()}  # the mean is about to leave the network
        return {"model": model, "optimiser": self._optimiser.state(), **carried}

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes up a state that `state` gave; one with memories needs as many ranks as there were."""
        memories = sum(group.startswith("carried-") for group in arrays)
        if memories not in (0, self._ranks.count):
            wrong = f"the state was saved by {counted(memories, 'process', 'processes')}, and {self._ranks.count} would go on from it"
            raise RunError(wrong, "as many, each with its own memory", f"run it with {counted(memories, 'process', 'processes')}")
        if self.shards and "model" in arrays:
            self.shards.restore(arrays)
        elif not self.shards:
            load_weights(self.network, arrays["model"])
            self._optimiser.restore(arrays["optimiser"])
        self._carried = (_tensors(arrays[f"carried-{self._ranks.rank}"], self._device) or None) if memories else None


def evaluate(learner: Backprop, objective: Objective, config: Config, ranks: Ranks) -> tuple[float, dict[str, float]]:
    """`held_out_loss` of the weights that are kept, of which the learner hears. Every rank calls it; what the first measures counts."""
    mean, parts = float("nan"), dict[str, float]()
    if ranks.first or learner.shards:  # of weights in shards every process must compute with its own
        with learner.evaluating():
            mean, parts = held_out_loss(learner.network, objective, config.evaluation_tokens, config.precision)
    ranks.wait()
    mean = ranks.agree(mean)
    learner.judge(mean)
    return mean, parts


class _Loss(nn.Module):
    """`network.loss` as a forward call, which is what DDP and compile wrap."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: dict[str, torch.Tensor], carried: Carried | None, idle: tuple[str, ...]) -> Loss:
        """`idle` names the parts of the loss where the batch asks for none of them: each is then 0, whatever the weights are."""
        if not idle:
            return cast(Network, self.network).loss(batch, carried)
        nothing = sum((weight.flatten()[:0].sum() for weight in self.network.parameters() if weight.requires_grad), torch.zeros(()))
        return Loss.of(dict.fromkeys(idle, (nothing, 0)), carried)


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
