"""Word tables as a PyTorch module, for tasks that read them or move them. Axes: B batch, T positions, D width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.layers.blocks import Layer, layer
from stemma.layers.pooling import mean_state
from stemma.layers.word_tables import COUNTS, WordTables, bare


class WordModule(nn.Module):
    """A copy of the tables as parameters of the same names; counts are a buffer. An `Encoder` of one layer."""

    max_length: int | None = None  # any text fits
    task_tokens = 0
    frame = staticmethod(bare)

    def __init__(self, tables: WordTables) -> None:
        super().__init__()
        self.config, self.vectors = tables.config, tables.vectors
        self.width, self.vocab_size = tables.width, tables.vocab_size
        for name, table in tables.arrays().items():
            if name == COUNTS:
                self.register_buffer(name, torch.tensor(table))
            else:
                self.register_parameter(name, nn.Parameter(torch.tensor(table)))

    def encode(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Layer 0 alone: the vectors (B T D) of `ids` (B T)."""
        parts = [F.embedding(batch["ids"], self.get_parameter(name)) for name in self.vectors]
        return [sum(parts[1:], parts[0]).float()]

    def summary(self, states: list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """The mean (B D) of the words' vectors (fastText; Joulin 2017)."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """All tables; no task reads those that stand for targets, nodes or biases."""
        return [layer(self, "embeddings", *(name for name, _ in self.named_parameters())), layer(self, "top")]

    def task_input(self) -> "WordModule":
        """Itself: no special is added."""
        return self
