# ruff: noqa: F722 (axis names stand in annotations)
"""A one-way network as one that writes a target for a source, by the input transformation of GPT (Radford 2018, section 3.3).

A pair is read as `start source delimiter target classify`, the three tokens that fine-tuning adds; the target and the `classify` that
ends it are predicted, the source is not. So it offers what `lineage.network.Translates` says.

Deviates: the paper classifies at `classify`; here it is written, and ends the target.
Axes: B pairs, S source positions, T target positions, D width, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from stemma.layers.loss import Carried, Loss
from stemma.lineage.network import Memory
from stemma.objectives.batch import IGNORE
from stemma.objectives.translation import Marks

Tensors = Mapping[str, Tensor]


class Prefixed:
    """Writes with `network`, whose vocabulary had `vocab_size` tokens before it grew; it grows here unless it has."""

    def __init__(self, network: Any, vocab_size: int) -> None:
        if network.vocab_size == vocab_size:
            network.grow(network.task_tokens)
        self.network, self._known = network, vocab_size
        self._start, self._delimiter, self.end = (vocab_size + k for k in range(3))

    @staticmethod
    def marks(vocab_size: int) -> Marks:
        """The ids that stand round the texts of a pair."""
        return Marks(end=vocab_size + 2, begin=vocab_size + 1, padding=0)

    @property
    def max_length(self) -> int:
        """Positions of a source and of a target, a token before or behind each: half of the network's."""
        most: int = self.network.max_length
        return most // 2

    @property
    def width(self) -> int:
        """D."""
        width: int = self.network.width
        return width

    @property
    def opening(self) -> list[int]:
        """What every target begins with."""
        return [self._delimiter]

    @property
    def unwritten(self) -> list[int]:
        """What a target never has in it."""
        return [self.network.eos, self._start, self._delimiter]

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """`start ids`, to which a target is written."""
        framed = [self._start, *ids] if other is None else [self._start, *ids, self._delimiter, *other]
        return framed, [0] * len(framed)

    def eval(self) -> None:
        """Puts the network into use."""
        self.network.eval()

    def parameters(self) -> Iterator[nn.Parameter]:
        """The network's."""
        found: Iterator[nn.Parameter] = self.network.parameters()
        return found

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean nats of the targets' tokens and their ends, of pairs as `objectives.translation.paired` has them."""
        rows, labels = [], []
        sources, targets = batch["segments"].sum(1) - 1, batch["target_segments"].sum(1)  # the source's end is not read
        for row in range(len(sources)):
            source, target = int(sources[row]), int(targets[row])
            ids = batch["ids"][row, :source]
            rows.append(torch.cat([ids.new_tensor([self._start]), ids, batch["target_ids"][row, :target]]))
            labels.append(torch.cat([ids.new_full((1 + source,), IGNORE), batch["labels"][row, :target]]))
        segments = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        joined = {
            "ids": pad_sequence(rows, batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORE),
            "segments": segments,
        }
        loss: Loss = self.network.loss(joined, carried)
        return loss

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels that are not IGNORE."""
        return {"tokens": int((batch["labels"] != IGNORE).sum())}

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B S D"]]:
        """The states of the sources and their ends."""
        states: list[Tensor] = self.network.encode({"ids": batch["ids"], "segments": batch["segments"]})
        return states

    def summary(self, states: list[Float[Tensor, "B S D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The network's own summary of the sources."""
        found: Tensor = self.network.summary(states, batch)
        return found

    def read_sources(self, sources: Sequence[Sequence[int]]) -> Memory:
        """What the network keeps of the framed sources."""
        memory: Memory = self.network.advance(sources)[1]
        return memory

    def advance(self, prompts: Sequence[Sequence[int]], memory: Any = None) -> tuple[Float[Tensor, "B V"], Any]:
        """The network's, of which only tokens of text and the end may come next."""
        scores, memory = self.network.advance(prompts, memory)
        scores = scores.clone()
        scores[:, self.unwritten] = -torch.inf
        return scores, memory
