# ruff: noqa: F722 (axis names stand in annotations)
"""A network that moved with its head: how texts run through both. Axes: B examples, W windows, T positions, U units, D width."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stemma.layers.loss import Carried, Loss
from stemma.layers.precision import autocast, choose_precision
from stemma.layers.standardised import Standardised
from stemma.layers.weights import load_weights, to_tensors, weights
from stemma.lineage.network import Frames
from stemma.objectives.batch import IGNORE, Batch
from stemma.runs.alike import alike
from stemma.runs.assignment import Assignment
from stemma.runs.framing import Framed, collate, collate_units, collate_windows, frame, framed_together
from stemma.tasks.task import Seat, Targets, Task, Text

Tensors = dict[str, Tensor]


class Resting(nn.Module):
    """A network that learns while some of its layers stand still: those are in evaluation mode, without dropout."""

    resting: tuple[nn.Module, ...] = ()  # the modules of these layers

    def train(self, mode: bool = True) -> Self:
        """Puts all but these into the mode."""
        super().train(mode)
        for module in self.resting:
            module.eval()
        return self


class HeadedNetwork(Resting):
    """A backbone with the task's head on it; `loss` is what fine-tuning descends on.

    The head reads the backbone's summary of a text (of a pair in both orders their sum: Radford 2018, figure 1; of
    candidates one each), or its last states at the units. `auxiliary` is the weight of the language-model
    loss of the same text (Radford 2018, eq. 5; 0: off), for backbones that have next-token `logits`. While it learns, the head may read
    what is `standardised`.
    """

    def __init__(self, backbone: nn.Module, task: Task, targets: Targets, dropout: float, auxiliary: float = 0.0) -> None:
        super().__init__()
        network: Any = backbone
        self.per = task.per
        if new := new_tokens(network, task):
            network.grow(new)
        self.backbone, self.auxiliary = network, auxiliary
        self.standardised: Standardised | None = None
        self.head: Any = task.head(Seat(network.width, dropout=dropout, zeros=has_no_blocks(network)), targets)

    def read(self, batch: Tensors) -> tuple[Float[Tensor, "*shape D"], Float[Tensor, "B T D"]]:
        """(what the head reads, the last layer's states)."""
        states = self.backbone.encode(batch)
        found = self._read(states, batch)
        return (found if self.standardised is None else self.standardised(found)), states[-1]

    def absorb(self) -> None:
        """From here on the head reads states as they are, and gives of them what it gave of the standardised ones."""
        if self.standardised is not None:
            self.standardised.absorb_into(self.head.reader)
            self.standardised = None

    def _read(self, states: list[Tensor], batch: Tensors) -> Float[Tensor, "*shape D"]:
        if self.per == "unit":
            return at_units(states[-1], batch["columns"])
        summary: Tensor = self.backbone.summary(states, batch)  # (W, D)
        both = self.per == "text" and "windows" in batch
        return at_windows(summary, batch["windows"]).sum(1) if both else summary

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The head's loss in nats, plus `auxiliary` times the language-model loss."""
        read, last = self.read(batch)
        task = self.head.loss(read, batch)
        if not self.auxiliary:
            return task
        language = self._language_loss(last, batch), len(batch["ids"])
        return Loss.of(task.parts | {"language": language}, weights=task.weights | {"language": self.auxiliary})

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """The head's; and the texts, each with a language-model loss, where that counts."""
        return self.head.predictions(batch) | ({"language": len(batch["ids"])} if self.auxiliary else {})

    def _language_loss(self, hidden: Tensor, batch: Tensors) -> Tensor:
        """The sum over texts of each text's mean next-token loss; the first token is not predicted."""
        following = batch["ids"][:, 1:].masked_fill(batch["segments"][:, 1:] == 0, IGNORE)
        logits = self.backbone.logits(hidden[:, :-1]).float()
        nats = F.cross_entropy(logits.flatten(0, 1), following.flatten(), ignore_index=IGNORE, reduction="none")
        counts = (following != IGNORE).sum(1).clamp(min=1)
        return (nats.view(following.shape).sum(1) / counts).sum()


@dataclass
class Moved:
    """A fine-tuned network, ready to answer."""

    assignment: Assignment
    model: HeadedNetwork
    frames: Frames
    precision: str
    facts: dict[str, Any]

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The fine-tuned network from its saved tensors; the assignment's network gives the shape alone."""
        frames, device = frames_of(assignment), next(assignment.network.parameters()).device
        model = HeadedNetwork(assignment.network, assignment.task, assignment.targets, dropout=0.0)
        load_weights(model.backbone, {name: array for name, array in arrays.items() if not name.startswith("task.")})
        load_weights(model.head, {name.removeprefix("task."): array for name, array in arrays.items() if name.startswith("task.")})
        return cls(assignment, model.to(device), frames, choose_precision(assignment.settings.precision, device), facts)

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        return frame_moving(self.frames, self.assignment, texts)

    def together(self, several: Sequence[Framed]) -> list[Framed]:
        """All as one."""
        return framed_together(several)

    @property
    def module(self) -> HeadedNetwork:
        """The network with its head."""
        return self.model

    def scores(self, batch: Tensors) -> Tensor:
        """The head's."""
        return self.model.head.scores(self.model.read(batch)[0], batch)  # type: ignore[no-any-return]

    def read_off(self, scores: Tensor, batch: Tensors) -> list[Any]:
        """The head's answers."""
        return self.model.head.answers(scores, batch)  # type: ignore[no-any-return]

    def answers(self, framed: Framed) -> list[Any]:
        """The task's answer to each text."""
        answers = self._over(framed, lambda batch: self.read_off(self.scores(batch), batch))
        return self.assignment.task.quoted(answers, framed.texts)

    def vectors(self, framed: Framed) -> np.ndarray:
        """What the head reads of each text (N D); of units or candidates their mean."""
        return np.array(self._over(framed, self._vectors), dtype=np.float32).reshape(len(framed.ids), self.model.backbone.width)

    def arrays(self) -> dict[str, np.ndarray]:
        """The backbone's tensors under their own names, the head's under `task.`."""
        return weights(self.model.backbone) | {f"task.{name}": array for name, array in weights(self.model.head).items()}

    def _vectors(self, batch: Tensors) -> list[np.ndarray]:
        read = self.model.read(batch)[0].float()
        if self.model.per == "unit":
            read = read.sum(1) / batch["sites"].sum(1, keepdim=True).clamp(min=1)
        if self.model.per == "candidate":
            read = mean_window(read, batch["windows"])
        return list(read.cpu().numpy())

    @torch.inference_mode()
    def _over(self, framed: Framed, read: Callable[[Tensors], list[Any]]) -> list[Any]:
        """What `read` gives of each text, in their order."""
        device, settings = next(self.model.parameters()).device, self.assignment.settings
        self.model.eval()
        found = [None] * len(framed.ids)
        with autocast(device, self.precision):
            for rows in alike(framed.lengths.tolist(), settings.batch_tokens):
                batch = batch_of(framed, rows, self.assignment)
                for row, answer in zip(rows, read(to_tensors(batch, device)), strict=True):
                    found[row] = answer
        return found


def frame_moving(frames: Frames, assignment: Assignment, texts: Sequence[Text]) -> Framed:
    """Tokenises and frames for a network that moves: a symmetric pair in both orders where the paper of its task tokens does so."""
    both, settings = bool(new_tokens(assignment.network, assignment.task)), assignment.settings
    return frame(frames, assignment.tokenizer, texts, settings.max_length, assignment.speller, both, settings.stride)


def frames_of(assignment: Assignment) -> Frames:
    """What frames the texts while the network moves; to be taken before the network has grown."""
    return assignment.network.task_input() if new_tokens(assignment.network, assignment.task) else assignment.network


def new_tokens(network: Any, task: Task) -> int:
    """How many tokens the task's input adds: those of a text as a whole; units are read where they stand."""
    return 0 if task.per == "unit" else network.task_tokens


def has_no_blocks(network: Any) -> bool:
    """True of a table of word vectors: it has embeddings, and perhaps a top, and nothing between."""
    return len(network.layers()) <= 2


def batch_of(framed: Framed, rows: Sequence[int] | np.ndarray, assignment: Assignment) -> Batch:
    """The batch of these examples, with their units where the task answers for units."""
    batch = collate(framed, rows, assignment.pad)
    if assignment.task.per == "unit":
        return batch | collate_units(framed, rows)
    apart = assignment.task.per == "candidate" or len(batch["ids"]) > len(rows)
    return batch | collate_windows(framed, rows) if apart else batch


def at_windows(summary: Float[Tensor, "W D"], windows: Tensor) -> Float[Tensor, "B K D"]:
    """What stands at these windows; zeros at -1."""
    return summary[windows.clamp(min=0)].masked_fill((windows < 0)[..., None], 0.0)


def mean_window(vectors: Float[Tensor, "W D"], windows: Tensor) -> Float[Tensor, "B D"]:
    """The mean over each example's windows."""
    return at_windows(vectors, windows).sum(1) / (windows >= 0).sum(1, keepdim=True)


def at_units(states: Float[Tensor, "W T *shape"], columns: Tensor) -> Float[Tensor, "B U *shape"]:
    """The states at the units' columns, which count through all windows; zeros at -1."""
    found = states.flatten(0, 1)[columns.clamp(min=0)]
    return found.masked_fill((columns < 0).view(*columns.shape, *[1] * (states.ndim - 2)), 0.0)
