# ruff: noqa: F722 (axis names stand in annotations)
"""Words read by their spelling: convolutions over characters, highway layers, a projection (Kim 2016; Peters 2018, section 3.4).

There are so few characters that what a filter makes of each, at each place of its window, is a small table: on a CPU the sums of a
convolution are looked up there (`kernels.character_windows`), and the slope goes to the largest alone. Twenty times as fast.

Axes: W words, L characters of a word, F filters, P width of the projection, C characters that there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BEGIN, END, BEGIN_WORD, END_WORD, PADDING = (
    256,
    257,
    258,
    259,
    260,
)  # after the 256 bytes of UTF-8; BEGIN and END are a text's borders
CHARACTERS = 261
LONGEST = 50  # ids of a word, its two borders included


def spell(words: Sequence[str] | Sequence[bytes]) -> Int[np.ndarray, "W L"]:
    """The words' ids, L = LONGEST: the first 48 bytes, of text in UTF-8, between two borders, then padding."""
    whole = [word if isinstance(word, bytes) else word.encode("utf-8", "surrogatepass") for word in words]
    cut = [word[: LONGEST - 2] for word in whole]
    lengths = np.array(list(map(len, cut)), np.int64)
    rows = np.full((len(cut), LONGEST), PADDING, np.int32)  # processes cannot send each other int16
    rows[:, 0] = BEGIN_WORD
    rows[:, 1:][np.arange(LONGEST - 1) < lengths[:, None]] = np.frombuffer(b"".join(cut), np.uint8)
    rows[np.arange(len(cut)), lengths + 1] = END_WORD
    return rows


def spell_border(border: int) -> list[int]:
    """The ids (LONGEST) of a text's border, BEGIN or END."""
    return [BEGIN_WORD, border, END_WORD] + [PADDING] * (LONGEST - 3)


class Highway(nn.Module):
    """g * relu(transform(x)) + (1 - g) * x with g = sigmoid(gate(x)), whose bias begins at -2 (Srivastava 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.transform = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)
        nn.init.zeros_(self.transform.bias)

    def forward(self, x: Float[Tensor, "W F"]) -> Float[Tensor, "W F"]:
        """The layer's output."""
        g = torch.sigmoid(self.gate(x))
        return g * F.relu(self.transform(x)) + (1 - g) * x


class CharacterCNN(nn.Module):
    """A vector for each spelling; `filters` is how many there are of width 1, 2, ... A filter's largest value counts, padding included."""

    def __init__(self, width: int, filters: Sequence[int], highways: int, projection: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(CHARACTERS, width)
        nn.init.uniform_(self.characters.weight, -1.0, 1.0)
        self.filters = nn.ModuleList(nn.Conv1d(width, number, place + 1) for place, number in enumerate(filters))
        self.highways = nn.ModuleList(Highway(sum(filters)) for _ in range(highways))
        self.project = nn.Linear(sum(filters), projection)

    def forward(self, spelled: Int[Tensor, "W L"]) -> Float[Tensor, "W P"]:
        """Each word's vector."""
        y = F.relu(torch.cat(self._largest(spelled), 1))  # (W F)
        for highway in self.highways:
            y = highway(y)
        return self.project(y)

    def _largest(self, spelled: Int[Tensor, "W L"]) -> list[Tensor]:
        """What the filters of each width find in the words."""
        ends = (spelled != PADDING).sum(1)
        if torch.compiler.is_exporting():
            return [convolve(self.characters(spelled).transpose(1, 2)).amax(2) for convolve in self.filters]
        if spelled.device.type == "cpu":
            return [self._looked_up(convolve, spelled, ends) for convolve in self.filters]
        last = int(ends.max()) + len(self.filters) if len(spelled) else 0  # from there on all windows see the same as the one before
        x = self.characters(spelled[:, :last]).transpose(1, 2)  # (W, width, L)
        return [convolve(x).amax(2) for convolve in self.filters]

    def _looked_up(self, convolve: Any, spelled: Int[Tensor, "W L"], ends: Int[Tensor, " W"]) -> Float[Tensor, "W F"]:
        table = self.characters.weight @ convolve.weight.permute(2, 1, 0)  # (places, C, F)
        return _Largest.apply(table.float(), spelled, ends) + convolve.bias


class _Largest(torch.autograd.Function):
    """Each filter's largest sum over a word's windows, by what the table (places, C, F) has of each character at each place."""

    @staticmethod
    def forward(ctx, table, spelled, ends):  # type: ignore[no-untyped-def]
        from stemma.kernels.character_windows import largest  # compiled code: only where it is used

        found = table.new_empty(len(spelled), table.shape[2])
        places = torch.empty(found.shape, dtype=torch.int32)
        largest(*(part.numpy() for part in (spelled, ends, table.contiguous(), found, places)))
        ctx.save_for_backward(spelled, places)
        ctx.shape = table.shape
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, d_found):  # type: ignore[no-untyped-def]
        from stemma.kernels.character_windows import largest_back

        spelled, places = ctx.saved_tensors
        d_table = d_found.new_zeros(ctx.shape)
        largest_back(*(part.numpy() for part in (spelled, places, d_found.contiguous(), d_table)))
        return d_table, None, None
