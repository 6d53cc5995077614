# ruff: noqa: F722 (axis names stand in annotations)
"""A token table of which only the last rows learn, those that a task added. Axes: V rows, N of them new, D width."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class NewRows(nn.Module):
    """A table whose last rows are a parameter of their own, so that they move where the others stand still."""

    def __init__(self, table: nn.Embedding, new: int) -> None:
        super().__init__()
        self.table = table
        self.rows = nn.Parameter(table.weight.detach()[-new:].clone())

    @property
    def num_embeddings(self) -> int:
        """V."""
        return self.table.num_embeddings

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """All rows, for a head that is tied to them."""
        return torch.cat([self.table.weight[: -len(self.rows)], self.rows])

    def forward(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """The rows of these tokens."""
        first = self.num_embeddings - len(self.rows)
        new = F.embedding((ids - first).clamp(min=0), self.rows)
        return torch.where((ids < first)[..., None], self.table(ids), new)


def part_rows(network: Any, new: int) -> list[str]:
    """Takes the last rows of the network's token table (`lineage.network.Grows`) out of it, and names the parameter that they are."""
    network.tokens = NewRows(network.tokens, new)
    return ["tokens.rows"]


@torch.no_grad()
def join_rows(network: Any) -> list[str]:
    """Puts them back, and names the table."""
    table, rows = network.tokens.table, network.tokens.rows
    table.weight[-len(rows) :] = rows
    network.tokens = table
    return ["tokens.weight"]
