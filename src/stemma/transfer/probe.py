# ruff: noqa: F722 (axis names in annotations)
"""Frozen transfer: a fixed network's features, computed once, and a linear head fitted on them.

The network is in eval mode, no gradient is ever made, nothing of it is handed to an optimiser: after
any number of fits its tensors are bit-identical. Axes: N examples, L+1 layers, T positions, D width, F features.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stemma.corpus.task import Example
from stemma.errors import UsageError
from stemma.training.learners import to_tensors
from stemma.training.precision import autocast, choose_precision
from stemma.transfer.backbone import fresh
from stemma.transfer.batches import Framed, collate, frame, under_budget
from stemma.transfer.heads import last_state, mean_state, pooling_of
from stemma.transfer.linear import Dense, LinearHead, fit, standardiser
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config

HALF_OVER = 256 * 2**20  # bytes of float32 features above which they are kept in float16


@torch.inference_mode()
def layer_means(
    network: Any, framed: Framed, layers: Sequence[int], precision: str, pad: int, batch_tokens: int = 8192
) -> Float[Tensor, "N F"]:
    """The mean state of each text at each of the layers, side by side, then the generation's own summary.

    The summary is the pooler's vector where the network has one, and the last token's last state
    where it reads one way only; static vectors have none.
    """
    device = next(network.parameters()).device
    network.eval()
    lengths, order, parts = framed.lengths, [], []
    with autocast(device, precision):
        for rows in under_budget(lengths, np.arange(len(lengths)), batch_tokens):
            batch = to_tensors(collate(framed, rows, pad), device)
            features = _features(network, batch, layers).float().cpu()
            parts.append(features.half() if 4 * len(lengths) * features.shape[1] > HALF_OVER else features)
            order.append(rows)
    if not parts:
        return torch.zeros(0, 0)
    table = torch.empty(len(lengths), parts[0].shape[1], dtype=parts[0].dtype)
    for rows, part in zip(order, parts, strict=True):
        table[torch.from_numpy(rows)] = part
    return table


def chosen_layers(asked: Sequence[int], available: int) -> tuple[int, ...]:
    """The layers asked for (negative ones counted from the end), or the last four (Devlin 2018, table 7)."""
    if not asked:
        return tuple(range(max(available - 4, 1 if available > 1 else 0), available))
    for layer in asked:
        if not -available <= layer < available:
            raise UsageError(f"transfer.layers has {layer}", f"layers 0 to {available - 1}, or -{available} to -1", "mend transfer.layers")
    return tuple(sorted({layer % available for layer in asked}))


@dataclass
class Probed:
    """A fixed network with its fitted linear head."""

    recipe: "Probe"
    network: Any
    head: LinearHead
    mean: Tensor
    scale: Tensor
    facts: dict[str, Any]

    def probabilities(self, framed: Framed) -> np.ndarray:
        """Class probabilities (N K)."""
        if not len(framed.ids):
            return np.zeros((0, self.head.weights.shape[1]), dtype=np.float32)
        return self.head.probabilities(Dense(self.recipe.features(self.network, framed), self.mean, self.scale))

    def vectors(self, framed: Framed) -> np.ndarray:
        """The standardised features of each text (N F)."""
        return ((self.recipe.features(self.network, framed).float() - self.mean) / self.scale).numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        """The backbone's tensors under their own names, the head's under `task.`."""
        head = {"weights": self.head.weights, "biases": self.head.biases, "mean": self.mean, "scale": self.scale}
        backbone = {name: tensor.detach().cpu().numpy() for name, tensor in self.network.state_dict().items()}
        return backbone | {f"task.{name}": tensor.numpy() for name, tensor in head.items()}


class Probe:
    """The recipe of `frozen` and `random` for every generation that descends."""

    knob = "C"
    grid = (0.001, 0.03, 1.0)

    def __init__(self, run: Any, config: Config) -> None:
        self._run, self._config = run, config
        network = run.network
        self.deterministic = config.mode == "frozen"  # a convex head on fixed features knows no luck
        self._device = next(network.parameters()).device
        self._precision = choose_precision(config.precision, self._device)
        self._pad = run.tokenizer.specials.get("pad", 0)
        self._layers = chosen_layers(config.layers, self._available(network))
        summary = {"pooled token": ", the pooled token", "classify token": ", the last token", "mean": ""}[pooling_of(network)]
        self.head = f"multinomial logistic regression on the standardised mean of layer {', '.join(map(str, self._layers))}{summary}"
        self._network_of: tuple[int | None, Any] = (None, None)
        self._cached: list[tuple[Any, Framed, Tensor]] = []

    def prepare(self, examples: Sequence[Example]) -> Framed:
        """Tokenises and frames."""
        return frame(self._run.network, self._run.tokenizer, examples, self._config.max_length)

    def features(self, network: Any, framed: Framed) -> Tensor:
        """`layer_means` of the chosen layers, kept so that trials and seeds do not compute them again."""
        for known, texts, table in self._cached:
            if known is network and texts is framed:
                return table
        table = layer_means(network, framed, self._layers, self._precision, self._pad, self._config.batch_tokens)
        self._cached = [*self._cached[-2:], (network, framed, table)]  # at most three: learning, selection and dev texts
        return table

    def fit(self, lesson: Lesson, rows: np.ndarray, c: float, seed: int, told: Callable | None = None) -> Probed:
        """The head of this C on the rows' features."""
        began = time.perf_counter()
        network = self._network(seed)
        features = self.features(network, lesson.data)[torch.from_numpy(rows)]
        mean, scale = standardiser(features)
        head = fit(Dense(features, mean, scale), lesson.labels[rows], lesson.classes, c)
        names = [name for name, _ in network.named_parameters()]
        drawn = self._config.mode == "random"
        sizes = sum(parameter.numel() for parameter in network.parameters())
        trained = head.weights.numel() + head.biases.numel()
        facts = {
            "features": features.shape[1],
            "layers": list(self._layers),
            "seconds": time.perf_counter() - began,
            "precision": self._precision,
            "loaded": [] if drawn else names,
            "new": (names if drawn else []) + ["task.weights", "task.biases"],
            "frozen": names,
            "parameters": {"total": sizes + trained, "trained": trained},
        }
        return Probed(self, network, head, mean, scale, facts)

    def restore(self, arrays: dict[str, np.ndarray], classes: int, facts: dict[str, Any]) -> Probed:
        """The head from its saved tensors, on the run's network (which holds the saved backbone)."""
        weights, biases, mean, scale = (torch.tensor(arrays[f"task.{name}"]) for name in ("weights", "biases", "mean", "scale"))
        return Probed(self, self._run.network, LinearHead(weights, biases), mean, scale, facts)

    def _network(self, seed: int) -> Any:
        if self._config.mode == "frozen":
            return self._run.network
        if self._network_of[0] != seed:
            self._network_of = (seed, fresh(self._run, seed))
        return self._network_of[1]

    def _available(self, network: Any) -> int:
        with torch.inference_mode():
            batch = {name: torch.ones(1, 1, dtype=torch.long, device=self._device) for name in ("ids", "segments")}
            network.eval()
            return len(network.encode(batch))


def _features(network: Any, batch: dict[str, Tensor], layers: Sequence[int]) -> Tensor:
    states = network.encode(batch)
    parts = [mean_state(states[layer], batch["segments"]) for layer in layers]
    pooling = pooling_of(network)
    if pooling == "pooled token":
        parts.append(network.pooled(states[-1]))
    elif pooling == "classify token":
        parts.append(last_state(states[-1], batch["segments"]))
    return torch.cat([part.float() for part in parts], -1)
