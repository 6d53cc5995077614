"""GloVe's tables, without PyTorch: what is learnt, as arrays, drawn, read and asked. The model itself stands in `glove`.

V vocabulary, D width, T positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from stemma.bounds import PositiveFloat, Width
from stemma.layers.shapes import check_shapes
from stemma.layers.uniform import Uniform

if TYPE_CHECKING:
    from torch import nn

    from stemma.lineage.glove_descent import Descent
    from stemma.lineage.network import Descended
    from stemma.objectives.batch import Batch
    from stemma.tokens.facts import TokenFacts


@dataclass(frozen=True)
class Config:
    """Defaults are those of the paper (section 4.2) and, where it is silent, of glove.c."""

    max_length: ClassVar[int | None] = None  # any text fits
    width: Width = 100  # D, floats a vector
    x_max: PositiveFloat = 100.0  # entries of X from here on weigh 1; 10 for texts of a few million words
    alpha: PositiveFloat = 0.75  # how fast the weight falls below
    clip: PositiveFloat = 100.0  # of each component of a gradient, before the rate
    bias_eta: PositiveFloat = 1.0  # rate of the biases; glove.c's first release had 0.05
    kernel: Literal["tiles", "exact"] = "tiles"  # exact: one entry after the other in float64, as published; slower


class Tables:
    """Vectors of words and of context words, `words` and `contexts` (V D), and their biases (V).

    Rows of words that never occur, or never beside another, are zero and stay so.
    """

    max_length: int | None = None  # any text fits
    task_tokens = 0
    composes = False

    def __init__(self, config: Config, tokens: "TokenFacts", tables: Mapping[str, np.ndarray]) -> None:
        """Takes the `tables` by name, as they are; RunError where one is missing or has another shape."""
        self.config, self.tables = config, dict(tables)
        check_shapes({name: table.shape for name, table in tables.items()}, _shapes(config, tokens.vocab_size))

    @classmethod
    def from_arrays(cls, config: Config, tokens: "TokenFacts", arrays: Mapping[str, np.ndarray]) -> Self:
        """The tables of a finished run, to be read: they may be mapped from its file."""
        return cls(config, tokens, arrays)

    @classmethod
    def drawn(cls, config: Config, tokens: "TokenFacts", draw: Uniform) -> Self:
        """Tables at the start of training; without counts, all words but the specials are taken for known."""
        counts = np.ones(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(tokens.specials.values())] = 0
        real = np.float64 if config.kernel == "exact" else np.float32
        tables = {}
        for name, shape in _shapes(config, tokens.vocab_size).items():
            numbers = (draw(int(np.prod(shape)), real).reshape(len(counts), -1) - real(0.5)) / real(config.width)
            tables[name] = (numbers * (counts > 0)[:, None].astype(real)).reshape(shape)
        return cls(config, tokens, tables)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return len(self.tables["words"])

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(table.size for table in self.tables.values())

    def arrays(self) -> dict[str, np.ndarray]:
        """All tables, by name, as a run folder keeps them."""
        return self.tables

    def take_up(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copies the tables that an interrupted run had saved."""
        check_shapes({name: array.shape for name, array in arrays.items()}, _shapes(self.config, self.vocab_size))
        for name, array in arrays.items():
            np.copyto(self.tables[name], array)

    def descend(self, batch: "Batch", rate: float, seed: int, threads: int = 1) -> "Descended":
        """One iteration over X, in place; gives the mean cost of an entry as it was when visited.

        `batch` is that of `objectives.cooccurrence`; `rate` is AdaGrad's eta. The result depends on tables, sums, batch, rate
        and seed, and never on `threads`.
        """
        return self.descent(batch, rate, seed, threads)

    @cached_property
    def descent(self) -> "Descent":
        """What descends, with the sums of squared steps."""
        from stemma.lineage.glove_descent import Descent  # compiled code: only where it is used

        return Descent(self)

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """AdaGrad's sums of squared steps, by table: what a resumed run needs beside the weights."""
        return dict(self.descent.sums)

    def restore_optimiser(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes up what `optimiser_state` gave."""
        self.descent.sums = {name: np.array(arrays[name]) for name in self.tables}

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """Ids and types of a text or a pair; no special is added."""
        return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors w + w~ (T D) of the words."""
        vectors: np.ndarray = (self.tables["words"][ids] + self.tables["contexts"][ids]).astype(np.float32, copy=False)
        return vectors

    def word_vectors(self) -> np.ndarray:
        """The vectors w + w~ (V D) that words are compared by."""
        vectors: np.ndarray = self.tables["words"] + self.tables["contexts"]
        return vectors

    def compose(self, word: str) -> None:
        """None: a word that was never seen has no vector."""

    def as_module(self, tokens: "TokenFacts") -> "nn.Module":
        """The same network as PyTorch moves it, with weights of its own."""
        from stemma.layers.weights import module_with
        from stemma.lineage.glove import GloVe

        return module_with(lambda: GloVe(self.config, tokens), self.tables)


def _shapes(config: Config, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Of each table, in the order in which they are drawn."""
    words = (vocab_size, config.width)
    return {"words": words, "contexts": words, "word_biases": (vocab_size,), "context_biases": (vocab_size,)}
