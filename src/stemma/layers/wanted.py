# ruff: noqa: F722 (axis names stand in annotations)
"""Some positions of a batch: where the last layer need be computed, when nothing else is asked of it.

Axes: B rows, T positions, D width, N wanted positions in all, M the most in one row, P positions picked.
A masked language model asks 15 positions in 100: of its last layer, the keys and values are needed
everywhere, all else only there. The results are those of the whole layer, exactly.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Wanted:
    """The places where `wanted` is true, row by row."""

    def __init__(self, wanted: Bool[Tensor, "B T"]) -> None:
        counts = wanted.sum(1)
        most = int(counts.max())
        # A stable sort puts the wanted columns first and leaves them in order; short rows are filled up.
        self.columns = wanted.byte().argsort(dim=1, descending=True, stable=True)[:, :most]  # (B, M)
        self.real = torch.arange(most, device=wanted.device) < counts[:, None]  # (B, M)
        self._flat = wanted.flatten().nonzero().squeeze(1)  # (N,)
        self._rank = wanted.flatten().cumsum(0) - 1  # (B T,) of each wanted position among them

    def rows(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B M D"]:
        """The states at the wanted columns of each row, filled up where a row wants fewer than M (`real` tells)."""
        return x.gather(1, self.columns[:, :, None].expand(-1, -1, x.shape[2]))

    def states(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """The states at all wanted positions."""
        return x.flatten(0, 1)[self._flat]

    def pick(self, states: Float[Tensor, "N D"], flat: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Of such states, those at the flat positions row * T + column, each of which must be wanted."""
        return states[self._rank[flat]]
