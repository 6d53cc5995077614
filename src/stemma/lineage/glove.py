"""GloVe, global vectors (Pennington, Socher & Manning 2014). Parent: word2vec, by contrast.

What it added: the text is read once, into a table X of how near each two words stand to each other, and
vectors are fitted to log X by least squares; afterwards the text's length no longer matters. What it gave up: the
text as a stream; X must be counted, kept and visited again and again.

With w a word's vector, w~ a context word's, b their biases, and f(x) = min(1, (x / x_max)^alpha) (eq. 9):

    J = sum over X_ij > 0 of f(X_ij) (w_i·w~_j + b_i + b~_j - log X_ij)^2 / 2

Eq. 8 has no 1/2; this J is glove.c's, whose gradient has no 2, and its minimum is the same.
The vector of a word is w + w~ (section 4.2). Descent is AdaGrad as in Stanford's glove.c of today: gradients are
clipped, and biases move without the rate; `bias_eta` sets the rate of the first release.

The loss told is the cost of one entry of X: a squared error, not nats, and the same figure as glove.c's.

Deviates: an iteration visits X tile after tile in an order drawn anew, where glove.c keeps one random order; `kernel = "exact"`
does as glove.c. Deviates: numbers are float32, in `exact` float64 as in glove.c. Deviates: an update that is not finite stops the
run, where glove.c leaves it out (so does `exact`).

B batch, T positions, D width, V vocabulary, P pairs.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.layers.blocks import Layer, layer
from stemma.layers.loss import Carried, Loss
from stemma.layers.pooling import mean_state
from stemma.layers.weights import torch_uniform
from stemma.lineage.glove_tables import Config, Tables
from stemma.objectives.cooccurrence import entries

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts

__all__ = ["Config", "GloVe", "Tables"]


class GloVe(nn.Module):
    """The `Tables` as parameters, for what differentiates: a task that moves them, and the loss as the paper has it."""

    max_length: int | None = None  # any text fits
    task_tokens = 0
    composes = False
    words: nn.Parameter
    contexts: nn.Parameter
    word_biases: nn.Parameter
    context_biases: nn.Parameter

    def __init__(self, config: Config, tokens: "TokenFacts") -> None:
        super().__init__()
        self.config = config
        self._tables = Tables.drawn(config, tokens, torch_uniform)
        for name, table in self._tables.tables.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(table)))

    def __getstate__(self) -> dict[str, Any]:
        """A copy has its own parameters, and looks at those."""
        bare = copy.copy(self._tables)
        bare.__dict__.pop("descent", None)
        bare.tables = {name: np.empty(0) for name in self._tables.tables}
        return {**self.__dict__, "_tables": bare}

    @property
    def tables(self) -> Tables:
        """The parameters as tables, in the same memory, so that those may descend."""
        own = dict(self.named_parameters())
        self._tables.tables = {name: own[name].detach().cpu().numpy() for name in self._tables.tables}
        return self._tables

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return len(self.words)

    def loss(self, batch: dict[str, Tensor], carried: Carried | None = None) -> Loss:
        """The same objective, differentiable: the mean cost of an entry of X."""
        rows, columns, values = (torch.from_numpy(array) for array in entries({name: np.asarray(array) for name, array in batch.items()}))
        config = self.config
        score = (self.words[rows] * self.contexts[columns]).sum(1) + self.word_biases[rows] + self.context_biases[columns]  # (P)
        weight = (values / config.x_max).clamp(max=1) ** config.alpha
        return Loss((weight * (score - values.log()) ** 2 / 2).mean(), len(values))

    def encode(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Layer 0 alone: the vectors w + w~ (B T D) of `ids` (B T)."""
        return [(F.embedding(batch["ids"], self.words) + F.embedding(batch["ids"], self.contexts)).float()]

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors w + w~ (T D) of the words."""
        return self.tables.vectors_of(ids)

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """Ids and types of a text or a pair; no special is added."""
        return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())

    def summary(self, states: list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """The mean (B D) of the words' vectors (fastText; Joulin 2017)."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The vectors and their biases."""
        return [layer(self, "embeddings", "words", "contexts", "word_biases", "context_biases"), layer(self, "top")]

    def task_input(self) -> "GloVe":
        """Itself: no special is added."""
        return self

    def word_vectors(self) -> np.ndarray:
        """The vectors w + w~ (V D) that words are compared by."""
        return (self.words + self.contexts).detach().cpu().numpy()

    def compose(self, word: str) -> None:
        """None: a word that was never seen has no vector."""

    def as_module(self, tokens: "TokenFacts") -> "GloVe":
        """Itself."""
        return self
