"""Word vectors as tables of NumPy's, without PyTorch: what word2vec and GloVe share, beside what and how they learn.

V vocabulary, D width, T positions.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.layers.shapes import check_shapes

if TYPE_CHECKING:
    from stemma.layers.shapes import Shapes
    from stemma.layers.word_module import WordModule
    from stemma.tokens.facts import TokenFacts

COUNTS = "counts"  # the one table that is not learnt: how often the corpus has each word


def bare(ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
    """Ids and types of a text or a pair, as every generation's `frame` gives them: no special is added."""
    return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())


class WordTables(ABC):
    """Tables by name, each with a row for each word; `vectors` names those whose sum is the words' vectors.

    A generation adds the shapes that its config sets, how its tables are drawn, and how they descend.
    """

    max_length: int | None = None  # any text fits
    task_tokens = 0
    vectors: tuple[str, ...]
    frame = staticmethod(bare)

    def __init__(self, config: Any, tokens: "TokenFacts", tables: Mapping[str, np.ndarray]) -> None:
        """Takes the `tables` by name, as they are; RunError where one is missing or has another shape."""
        self.config, self.tokens, self.tables = config, tokens, dict(tables)
        self._check(tables)

    @classmethod
    def from_arrays(cls, config: Any, tokens: "TokenFacts", arrays: Mapping[str, np.ndarray]) -> "WordTables":
        """The tables of a finished run, to be read: they may be mapped from its file."""
        return cls(config, tokens, arrays)

    @classmethod
    @abstractmethod
    def shapes(cls, config: Any, vocab_size: int) -> "Shapes":
        """The shape of each table, in the order of the file."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        width: int = self.config.width
        return width

    @property
    def vocab_size(self) -> int:
        """Rows of a table of words."""
        return len(self.tables[self.vectors[0]])

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(table.size for name, table in self.tables.items() if name != COUNTS)

    def arrays(self) -> dict[str, np.ndarray]:
        """All tables, by name, as a run folder keeps them."""
        return self.tables

    def take_up(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copies the tables that an interrupted run had saved."""
        self._check(arrays)
        for name, array in arrays.items():
            np.copyto(self.tables[name], array)

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """What a resumed run needs beside the tables: nothing, where plain gradient descent is all."""
        return {}

    def restore_optimiser(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes up what `optimiser_state` gave; RunError for anything else."""
        check_shapes({name: array.shape for name, array in arrays.items()}, {})

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors (T D) of the words."""
        return self._summed([self.arrays()[name][ids] for name in self.vectors])

    def word_vectors(self) -> np.ndarray:
        """The vectors (V D) that words are compared by."""
        return self._summed([self.arrays()[name] for name in self.vectors])

    @property
    def composes(self) -> bool:
        """True where `compose` gives vectors to words never seen."""
        return False

    def compose(self, word: str) -> np.ndarray | None:
        """The vector (D) of a word that was never seen; None where none can be composed."""
        return None

    def as_module(self) -> "WordModule":
        """The same vectors as PyTorch moves them, with weights of their own."""
        from stemma.layers.word_module import WordModule

        return WordModule(self)

    def _check(self, arrays: Mapping[str, np.ndarray]) -> None:
        check_shapes({name: array.shape for name, array in arrays.items()}, self.shapes(self.config, self.tokens.vocab_size))

    @staticmethod
    def _summed(parts: list[np.ndarray]) -> np.ndarray:
        summed: np.ndarray = sum(parts[1:], parts[0]).astype(np.float32, copy=False)
        return summed
