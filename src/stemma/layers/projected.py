# ruff: noqa: F722 (axis names stand in annotations)
"""LSTM whose output is projected and clipped (Sak 2014; Peters 2018): the state h is narrower than the cells.

The gates are those of `layers.recurrent`; the cells are clipped to +-`clip` after each update, and so is h = project(o * tanh(c)).
torch's own `proj_size` has neither clip.

Axes: B rows, T positions, D width of the input, C cells, P width of the projection.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stemma.layers.recurrent import State


class ProjectedLSTM(nn.Module):
    """One layer, from the left to the right."""

    def __init__(self, width: int, cells: int, projection: int, clip: float) -> None:
        super().__init__()
        self.cells, self.projection, self.clip = cells, projection, clip
        self.inputs = nn.Parameter(torch.empty(4 * cells, width))
        self.recurrent = nn.Parameter(torch.empty(4 * cells, projection))
        self.bias = nn.Parameter(torch.zeros(4 * cells))
        self.project = nn.Parameter(torch.empty(projection, cells))
        for weight in (self.inputs, self.recurrent, self.project):
            nn.init.xavier_uniform_(weight)
        nn.init.ones_(self.bias.data[cells : 2 * cells])  # forget gates begin open

    def forward(self, x: Float[Tensor, "B T D"], state: State | None = None) -> tuple[Float[Tensor, "B T P"], State]:
        """The outputs h_1 .. h_T and the state after them, having begun from `state` (None: from zeros)."""
        h, c = state or (x.new_zeros(len(x), self.projection), x.new_zeros(len(x), self.cells))
        outputs = []
        for step in F.linear(x, self.inputs, self.bias).unbind(1):  # the inputs' part of all steps in one product
            i, f, g, o = (step + F.linear(h, self.recurrent)).chunk(4, 1)
            c = (torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)).clamp(-self.clip, self.clip)
            h = F.linear(torch.sigmoid(o) * torch.tanh(c), self.project).clamp(-self.clip, self.clip)
            outputs.append(h)
        return torch.stack(outputs, 1), State(h, c)
