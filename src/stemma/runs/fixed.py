# ruff: noqa: F722 (axis names in annotations)
"""A fixed network with a fitted head: its states, computed once, and the two heads that read them.

The network is in eval mode, no gradient is ever made, nothing of it is handed to an optimiser: after any number of fits
its tensors are bit-identical. A site is a state that a head reads: each token of a text, or each unit.
Axes: N examples, B batch, L layers, T positions, S sites, D width, F features, M rows of the linear model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from stemma.layers.loss import Carried, Loss
from stemma.layers.pooling import matched, mean_state
from stemma.layers.precision import autocast, choose_precision
from stemma.layers.weights import load_weights, to_tensors, weights
from stemma.lineage.network import Frames
from stemma.objectives.batch import Batch
from stemma.runs.alike import alike
from stemma.runs.assignment import Assignment
from stemma.runs.framing import Framed, collate_halves, collate_units, collate_windows, frame, framed_together, under_budget
from stemma.runs.linear import Dense
from stemma.runs.linear_head import LinearHead, check_shapes
from stemma.runs.moved import at_units, batch_of, has_no_blocks, mean_window
from stemma.runs.settings import chosen_layers
from stemma.tasks.task import PLACES, Seat, Text

HALF_OVER = 256 * 2**20  # bytes of float32 features above which they are kept in float16
KEPT = 2 * 2**30  # bytes of states kept at most; more are computed anew each time they are read
Tensors = dict[str, Tensor]


class FixedNetwork:
    """The network of an assignment, never moved, and what heads read of it."""

    def __init__(self, assignment: Assignment, network: Any) -> None:
        self.assignment, self.network = assignment, network
        self.device = next(network.parameters()).device
        self.precision = choose_precision(assignment.settings.precision, self.device)
        self.depth = self._depth()

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        assignment, settings = self.assignment, self.assignment.settings
        return frame(self.network, assignment.tokenizer, texts, settings.max_length, assignment.speller, stride=settings.stride)

    @property
    def by_units(self) -> bool:
        """Whether sites are units; else the tokens of each window, one a text or one a candidate."""
        return self.assignment.task.per == "unit"

    def counts(self, framed: Framed) -> np.ndarray:
        """Sites of each text, or of each window (N)."""
        return framed.unit_counts if self.by_units else np.array([length for own in framed.windows for length in own], dtype=np.int64)

    def starts(self, framed: Framed) -> np.ndarray:
        """Borders (N+1) of the texts among the rows of `features`."""
        return np.concatenate([[0], np.cumsum(framed.unit_counts)]) if self.by_units else framed.window_starts

    def batch(self, framed: Framed, rows: Sequence[int] | np.ndarray) -> Tensors:
        """The batch of these texts, of pairs with their `halves`."""
        batch = batch_of(framed, rows, self.assignment)
        return to_tensors(batch | collate_halves(framed, rows) if self.assignment.of_pairs else batch, self.device)

    @torch.inference_mode()
    def features(self, framed: Framed, layers: Sequence[int]) -> Float[Tensor, "M F"]:
        """What the linear model reads, a row a text (or a candidate): the mean state at each layer, then the network's own summary.

        Static vectors have none. Of pairs the means u and v of both halves, |u - v| and u v stand for the mean (Conneau 2017, section 3.2).
        Or a row a unit: its states at the layers, then its place in its token, one column a place.
        """
        self.network.eval()
        starts = self.starts(framed)
        table: Tensor | None = None
        with autocast(self.device, self.precision):
            for rows in alike(framed.lengths.tolist(), self.assignment.settings.batch_tokens):
                batch = self.batch(framed, rows)
                windows = np.diff(framed.window_starts)[rows].tolist()
                found = self.batch_features(batch, layers).cpu()
                if self.by_units:
                    parts = [row[real] for row, real in zip(found, batch["sites"].cpu(), strict=True)]
                else:
                    parts = list(found.split(windows))
                if table is None:
                    table = _empty(int(starts[-1]), parts[0].shape[1])
                for row, part in zip(rows, parts, strict=True):
                    table[starts[row] : starts[row + 1]] = part
        return torch.zeros(0, 0) if table is None else table

    def states(self, framed: Framed, rows: np.ndarray) -> Float[Tensor, "B S L D"]:
        """The states of all layers at the sites of these texts, or of all their windows."""
        batch = self.batch(framed, rows)
        with torch.inference_mode(), autocast(self.device, self.precision):
            self.network.eval()
            return self.batch_states(batch)["states"]

    def batch_features(self, batch: Tensors, layers: Sequence[int]) -> Float[Tensor, "*B F"]:
        """The same of a batch: of each window, or of each unit (B U)."""
        states = self.network.encode(batch)
        if self.by_units:
            found = [at_units(states[layer], batch["columns"]).float() for layer in layers]
            return torch.cat([*found, nn.functional.one_hot(batch["places"], PLACES).float()], -1)
        if self.assignment.of_pairs:
            halves = [batch["halves"] == half for half in (1, 2)]
            parts = [matched(*(mean_state(states[layer].float(), half) for half in halves)) for layer in layers]
        else:
            parts = [mean_state(states[layer], batch["segments"]) for layer in layers]
        if not has_no_blocks(self.network):
            parts.append(self.network.summary(states, batch))
        return torch.cat([part.float() for part in parts], -1)

    def batch_states(self, batch: Tensors) -> Tensors:
        """What the task network reads of a batch: `states` (B S L D), `sites` (B S), and `known` (B S), the sites that have a state."""
        states = torch.stack(self.network.encode(batch), 2)
        if self.by_units:
            return {"states": at_units(states, batch["columns"]), "sites": batch["sites"], "known": batch["columns"] >= 0}
        real = batch["segments"] > 0
        return {"states": states, "sites": real, "known": real}

    @torch.inference_mode()
    def count_features(self, layers: Sequence[int]) -> int:
        """The columns of `features`."""
        if self.by_units:
            return len(layers) * int(self.network.width) + PLACES
        batch = self._smallest()
        return self.batch_features(batch | {"halves": batch["segments"]}, layers).shape[1]

    @torch.inference_mode()
    def _depth(self) -> int:
        """Layers whose states can be read, the embeddings included."""
        return len(self.network.encode(self._smallest()))

    def _smallest(self) -> Tensors:
        """A text of one token, for the network to be read once; in eval mode from here on."""
        self.network.eval()
        return {name: torch.ones(1, 1, dtype=torch.long, device=self.device) for name in ("ids", "segments")}


def _empty(rows: int, width: int) -> Float[Tensor, "M F"]:
    return torch.empty(rows, width, dtype=torch.half if 4 * rows * width > HALF_OVER else torch.float32)


@dataclass
class Probed:
    """A fixed network with its fitted linear head; `kept` gives what the head reads where it was computed already, copies compute it."""

    fixed: FixedNetwork
    head: LinearHead
    mean: Tensor
    scale: Tensor
    facts: dict[str, Any]
    layers: tuple[int, ...]
    kept: Callable[[Framed], Tensor] | None = None

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The head from its saved tensors, on the network, which gets the saved weights."""
        load_weights(assignment.network, {name: array for name, array in arrays.items() if not name.startswith("task.")})
        fixed = FixedNetwork(assignment, assignment.network)
        weights, biases = (np.array(arrays[f"task.{name}"]) for name in ("weights", "biases"))
        mean, scale = (torch.tensor(arrays[f"task.{name}"]) for name in ("mean", "scale"))
        layers = chosen_layers(assignment.settings.layers, fixed.depth)
        features, classes = fixed.count_features(layers), biases.size
        expected = {"weights": (features, classes), "biases": (classes,), "mean": (features,), "scale": (features,)}
        check_shapes(arrays, {f"task.{name}": shape for name, shape in expected.items()})
        head = LinearHead(weights, biases, assignment.task.link(assignment.targets))
        return cls(fixed, head, mean, scale, facts, layers)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"kept": None}

    @property
    def assignment(self) -> Assignment:
        """The network's."""
        return self.fixed.assignment

    @property
    def frames(self) -> Frames:
        """The network itself."""
        return self.fixed.network  # type: ignore[no-any-return]

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.fixed.network  # type: ignore[no-any-return]

    def scores(self, batch: Tensors) -> Float[Tensor, "*B K"]:
        """The linear model's, of each window, or of each unit."""
        weights, biases = (torch.from_numpy(part).float() for part in (self.head.weights, self.head.biases))
        return (self.fixed.batch_features(batch, self.layers) - self.mean) / self.scale @ weights + biases

    def read_off(self, scores: Tensor, batch: Tensors) -> list[Any]:
        """What the scores stand for, by the head's link."""
        if self.fixed.by_units:
            scores, counts = scores[batch["sites"]], batch["sites"].sum(1)
        else:
            counts = (batch["windows"] >= 0).sum(1) if "windows" in batch else torch.ones(len(scores), dtype=torch.long)
        starts = np.concatenate([[0], np.cumsum(counts.numpy())])
        return self.assignment.task.from_rows(self.head.linked(scores.numpy()), starts, self.assignment.targets)

    def features(self, framed: Framed) -> Float[Tensor, "M F"]:
        """What the head reads."""
        return self.kept(framed) if self.kept else self.fixed.features(framed, self.layers)

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        return self.fixed.prepare(texts)

    def together(self, several: Sequence[Framed]) -> list[Framed]:
        """All as one."""
        return framed_together(several)

    def answers(self, framed: Framed) -> list[Any]:
        """The task's answer to each text."""
        task, targets, starts = self.fixed.assignment.task, self.fixed.assignment.targets, self.fixed.starts(framed)
        if not starts[-1]:
            return task.from_rows(np.zeros((0, self.head.weights.shape[1]), dtype=np.float32), starts, targets)
        products = Dense(self.features(framed), self.mean, self.scale).times(torch.from_numpy(self.head.weights))
        return task.quoted(task.from_rows(self.head.outputs(products.numpy()), starts, targets), framed.texts)

    def vectors(self, framed: Framed) -> np.ndarray:
        """The standardised features of each text (N F); of units or candidates their mean."""
        starts = torch.from_numpy(self.fixed.starts(framed))
        if not framed.ids:
            return np.zeros((0, len(self.mean)), np.float32)
        rows = (self.features(framed).float() - self.mean) / self.scale
        if self.fixed.assignment.task.per == "text":
            return rows.numpy()
        return torch.stack([part.sum(0) / max(1, len(part)) for part in rows.tensor_split(starts[1:-1])]).numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        """The network's tensors under their own names, the head's under `task.`."""
        head = {"weights": self.head.weights, "biases": self.head.biases, "mean": self.mean.numpy(), "scale": self.scale.numpy()}
        return weights(self.fixed.network) | {f"task.{name}": array for name, array in head.items()}


class SiteStates:
    """The states of prepared texts, computed once and kept where they fit, so that epochs do not compute them again.

    The states of a text stand in one row; those of one read with candidates in a row for each. `half` keeps them in half precision:
    good enough to learn from, but answers would move by 1e-4 with it.
    """

    def __init__(self, fixed: FixedNetwork, framed: Framed, half: bool = False) -> None:
        self.fixed, self.framed, self.counts = fixed, framed, fixed.counts(framed)
        self._dtype = np.dtype(np.float16 if half else np.float32)
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])
        self._first = np.arange(len(framed.ids) + 1) if fixed.by_units else framed.window_starts  # borders of the texts among the rows
        size = self._dtype.itemsize * int(self._starts[-1]) * fixed.depth * fixed.network.width
        self._table = self._computed() if size <= KEPT else None

    def batch(self, rows: np.ndarray) -> Batch:
        """`states` (B S L D) of the sites, `sites` (B S), `known` (B S): that a site has a state, and of units `places`."""
        own = self._rows_of(rows)
        counts = self.counts[own]
        sites = np.arange(max([1, *counts.tolist()])) < counts[:, None]
        more = collate_units(self.framed, rows) if self.fixed.by_units else {}
        if self.fixed.assignment.of_pairs:
            more = collate_halves(self.framed, rows)
        if self.fixed.assignment.task.per == "candidate":
            more |= collate_windows(self.framed, rows)
        known = more["columns"] >= 0 if self.fixed.by_units else sites
        return more | {"states": self._padded(rows, own, sites), "sites": sites, "known": known}

    def mean_and_scale(self, rows: np.ndarray, size: int) -> tuple[Float[Tensor, "L D"], Float[Tensor, "L D"]]:
        """Of every number in the known states of these texts, read `size` texts at a time; one that is constant keeps scale 1."""
        total, squares, count = 0.0, 0.0, 0
        for first in range(0, len(rows), size):
            batch = self.batch(rows[first : first + size])
            states = batch["states"][batch["known"]].astype(np.float64)  # (sites, L, D)
            total, squares, count = total + states.sum(0), squares + (states**2).sum(0), count + len(states)
        mean = torch.as_tensor(total / max(1, count))
        scale = (torch.as_tensor(squares / max(1, count)) - mean**2).clamp(min=0).sqrt()
        return mean.float(), torch.where(scale > 1e-6 * (1 + mean.abs()), scale, torch.ones_like(scale)).float()

    def _rows_of(self, texts: np.ndarray) -> np.ndarray:
        """The rows of these texts, one after the other."""
        return np.concatenate([np.arange(self._first[text], self._first[text + 1]) for text in texts]) if len(texts) else texts

    def _padded(self, texts: np.ndarray, rows: np.ndarray, sites: np.ndarray) -> np.ndarray:
        if self._table is None:
            return self.fixed.states(self.framed, texts).float().cpu().numpy()[:, : sites.shape[1]]
        padded = np.zeros((*sites.shape, *self._table.shape[1:]), dtype=self._table.dtype)
        padded[sites] = np.concatenate([self._table[self._starts[row] : self._starts[row + 1]] for row in rows])
        return padded

    def _computed(self) -> np.ndarray:
        """The states of all texts one after the other."""
        table = np.zeros((self._starts[-1], self.fixed.depth, self.fixed.network.width), dtype=self._dtype)
        lengths, budget = self.framed.lengths, self.fixed.assignment.settings.batch_tokens
        for texts in under_budget(lengths, np.arange(len(lengths)), budget):
            states = self.fixed.states(self.framed, texts).float().cpu().numpy()
            for row, own in zip(self._rows_of(texts).tolist(), states, strict=True):
                table[self._starts[row] : self._starts[row + 1]] = own[: self.counts[row]]
        return table


class HeadOnStates(nn.Module):
    """The task network on standardised states; `loss` is what it descends on."""

    mean: Tensor
    scale: Tensor

    def __init__(self, head: Any, mean: Float[Tensor, "L D"], scale: Float[Tensor, "L D"]) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The head's loss."""
        return self.head.loss(self.standardised(batch), batch)

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """The head's."""
        return self.head.predictions(batch)

    def scores(self, batch: Tensors) -> Tensor:
        """The head's scores."""
        return self.head.scores(self.standardised(batch), batch)  # type: ignore[no-any-return]

    def answer(self, batch: Tensors) -> list[Any]:
        """The task's answer to each text."""
        return self.head.answers(self.scores(batch), batch)  # type: ignore[no-any-return]

    def standardised(self, batch: Tensors) -> Float[Tensor, "B S L D"]:
        """The states with mean 0 and scale 1; zeros where a site has none."""
        return ((batch["states"].float() - self.mean) / self.scale) * batch["known"][..., None, None]


@dataclass
class Networked:
    """A fixed network with the task network fitted on its states; `kept` gives those computed already, copies compute them."""

    fixed: FixedNetwork
    model: HeadOnStates
    facts: dict[str, Any]
    kept: Callable[[Framed], SiteStates] | None = None

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The task network from its saved tensors, on the network, which gets the saved weights."""
        load_weights(assignment.network, {name: array for name, array in arrays.items() if not name.startswith("task.")})
        fixed = FixedNetwork(assignment, assignment.network)
        empty = torch.zeros(fixed.depth, fixed.network.width)
        model = HeadOnStates(assignment.task.network(Seat(fixed.network.width, fixed.depth), assignment.targets), empty, empty.clone())
        load_weights(model, {name.removeprefix("task."): array for name, array in arrays.items() if name.startswith("task.")})
        return cls(fixed, model.to(fixed.device), facts)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"kept": None}

    @property
    def assignment(self) -> Assignment:
        """The network's."""
        return self.fixed.assignment

    @property
    def frames(self) -> Frames:
        """The network itself."""
        return self.fixed.network  # type: ignore[no-any-return]

    @property
    def module(self) -> nn.Module:
        """The network and the task network."""
        return nn.ModuleList([self.fixed.network, self.model])

    def scores(self, batch: Tensors) -> Tensor:
        """The task network's."""
        return self.model.scores(batch | self.fixed.batch_states(batch))

    def read_off(self, scores: Tensor, batch: Tensors) -> list[Any]:
        """The task network's answers."""
        return self.model.head.answers(scores, batch)  # type: ignore[no-any-return]

    def states(self, framed: Framed) -> SiteStates:
        """The states that the task network reads."""
        return self.kept(framed) if self.kept else SiteStates(self.fixed, framed)

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        return self.fixed.prepare(texts)

    def together(self, several: Sequence[Framed]) -> list[Framed]:
        """All as one."""
        return framed_together(several)

    def answers(self, framed: Framed) -> list[Any]:
        """The task's answer to each text."""
        return self.fixed.assignment.task.quoted(self._over(framed, self.model.answer), framed.texts)

    def vectors(self, framed: Framed) -> np.ndarray:
        """The mean of each text's standardised states, its layers in the shares that the task network gives them (N D)."""
        shares = torch.tensor(self.model.head.layer_weights(), device=self.fixed.device)

        def mean(batch: Tensors) -> list[np.ndarray]:
            mixed = torch.einsum("l,bsld->bsd", shares, self.model.standardised(batch))
            found = mixed.sum(1) / batch["known"].sum(1, keepdim=True).clamp(min=1)
            return list((mean_window(found, batch["windows"]) if "windows" in batch else found).cpu().numpy())

        return np.array(self._over(framed, mean), dtype=np.float32).reshape(len(framed.ids), self.fixed.network.width)

    def arrays(self) -> dict[str, np.ndarray]:
        """The network's tensors under their own names, the head's under `task.`."""
        return weights(self.fixed.network) | {f"task.{name}": array for name, array in weights(self.model).items()}

    @torch.inference_mode()
    def _over(self, framed: Framed, read: Callable[[Tensors], list[Any]]) -> list[Any]:
        """What `read` gives of each text, in their order."""
        self.model.eval()
        states, found = self.states(framed), [None] * len(framed.ids)
        budget = max(1, self.fixed.assignment.settings.batch_tokens // self.fixed.depth)
        for rows in under_budget(framed.lengths, np.arange(len(framed.ids)), budget):
            for row, answer in zip(rows.tolist(), read(to_tensors(states.batch(rows), self.fixed.device)), strict=True):
                found[row] = answer
        return found
