"""The smallest network that carries state from batch to batch, and text for it: a cell over characters, read in columns.

Axes: B columns, T positions, D width, V vocabulary.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.layers.blocks import Layer, layer
from stemma.layers.loss import Carried, Loss
from stemma.objectives.batch import Batch

B, T, D, V = 3, 5, 7, 11


class Cell(nn.Module):
    """h = tanh(W h + E x); the state goes from batch to batch, in `kind`."""

    def __init__(self, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.table = nn.Embedding(V, D)
        self.blocks = nn.ModuleList([nn.Linear(D, D)])
        self.head = nn.Linear(D, V)
        self.unread = nn.Linear(2, 2)  # never reached by the loss
        self.kind = kind

    def layers(self) -> list[Layer]:
        return [layer(self, "embeddings", "table"), layer(self, "block 1", "blocks.0", block=True), layer(self, "top", "head", "unread")]

    def loss(self, batch: dict[str, Tensor], carried: Carried | None = None) -> Loss:
        ids, labels = batch["ids"], batch["labels"]
        state = ids.new_zeros((len(ids), D), dtype=torch.float32) if carried is None else carried["state"].float()
        nats = torch.zeros(())
        for at in range(ids.shape[1]):
            state = torch.tanh(self.blocks[0](state) + self.table(ids[:, at]))
            nats = nats + F.cross_entropy(self.head(state), labels[:, at], reduction="sum")
        return Loss.of({"tokens": (nats, labels.numel())}, {"state": state.detach().to(self.kind)})

    def predictions(self, batch: dict[str, Tensor]) -> dict[str, int]:
        return {"tokens": batch["labels"].numel()}


class Columns:
    """The objective: windows of a text in columns, split among the ranks."""

    def __init__(self, seed: int = 0, columns: int = B, windows: int = 40) -> None:
        ids = np.random.default_rng(seed).integers(0, V, (columns, windows * T + 1))
        self.ids, self.windows = np.sort(ids.reshape(columns, -1), axis=1), windows

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        share = np.array_split(self.ids, ranks)[rank]
        at = step % self.windows * T
        return {"ids": share[:, at : at + T].copy(), "labels": share[:, at + 1 : at + T + 1].copy()}

    def steps_in_epoch(self, epoch: int) -> int:
        return self.windows

    def epoch_of(self, step: int) -> tuple[int, int]:
        return divmod(step, self.windows)

    def real_tokens(self, batch: Batch) -> int:
        return batch["ids"].size

    def ledger(self) -> dict[str, int]:
        return {"tokens": self.ids.size, "used": self.ids.size}


def drawn(seed: int = 0, **options: Any) -> Cell:
    """A cell whose weights depend on the seed alone."""
    torch.manual_seed(seed)
    return Cell(**options)
