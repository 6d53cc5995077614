# ruff: noqa: F722 (axis names stand in annotations)
"""Words read by their spelling: convolutions over characters, highway layers, a projection (Kim 2016; Peters 2018, section 3.4).

Axes: W words, L characters of a word, F filters, P width of the projection.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

BEGIN, END, BEGIN_WORD, END_WORD, PADDING = 256, 257, 258, 259, 260  # after the 256 bytes of UTF-8; END stands for a text's border
CHARACTERS = 261
LONGEST = 50  # ids of a word, its two borders included


def spell(words: Sequence[str]) -> Int[np.ndarray, "W L"]:
    """The words' ids, L = LONGEST: the first 48 bytes in UTF-8 between two borders, then padding."""
    cut = [word.encode("utf-8", "surrogatepass")[: LONGEST - 2] for word in words]
    lengths = np.array(list(map(len, cut)), np.int64)
    rows = np.full((len(cut), LONGEST), PADDING, np.int16)
    rows[:, 0] = BEGIN_WORD
    rows[:, 1:][np.arange(LONGEST - 1) < lengths[:, None]] = np.frombuffer(b"".join(cut), np.uint8)
    rows[np.arange(len(cut)), lengths + 1] = END_WORD
    return rows


def spell_border() -> list[int]:
    """The ids (LONGEST) of a text's border."""
    return [BEGIN_WORD, END, END_WORD] + [PADDING] * (LONGEST - 3)


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
        longest = int((spelled != PADDING).sum(1).max()) if len(spelled) else 0
        last = longest + len(self.filters)  # from there on all windows see the same as the one before
        x = self.characters(spelled[:, :last]).transpose(1, 2)  # (W, width, L)
        y = F.relu(torch.cat([convolve(x).amax(2) for convolve in self.filters], 1))  # (W F)
        for highway in self.highways:
            y = highway(y)
        return self.project(y)
