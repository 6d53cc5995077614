"""word2vec's tables, without PyTorch: what is learnt, as arrays, drawn, read and asked. The model itself stands in `word2vec`.

V vocabulary, D width, T positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from stemma.bounds import Buckets, Length, NonNegative, Width
from stemma.errors import UsageError
from stemma.layers.shapes import check_shapes
from stemma.layers.uniform import Uniform, spread

if TYPE_CHECKING:
    from torch import nn

    from stemma.lineage.network import Descended
    from stemma.lineage.word2vec_descent import Descent
    from stemma.objectives.batch import Batch
    from stemma.tokens.facts import TokenFacts


@dataclass(frozen=True)
class Config:
    """Defaults are those of word2vec.c for skip-gram."""

    max_length: ClassVar[int | None] = None  # any text fits
    architecture: Literal["skipgram", "cbow"] = "skipgram"
    width: Width = 100  # D, floats a vector
    window: Length = 5  # words on each side at most; the radius is uniform in 1..window
    output: Literal["negative", "hierarchical", "both"] = "negative"  # negative sampling, a tree's turns, or the sum of the two losses
    negatives: Length = 5  # K draws a prediction
    power: NonNegative = 0.75  # negatives ~ count^power (Mikolov 2013b, section 2.2)
    kernel: Literal["block", "plain"] = "block"  # plain: one pair after the other, as published; slower
    racing: bool = False  # threads write without waiting for each other (Hogwild): faster, not reproducible
    subwords: bool = False  # words are composed of their character n-grams too (fastText): unseen words get vectors
    shortest: Length = 3  # characters of an n-gram, < and > at the word's ends included
    longest: Length = 6
    buckets: Buckets = 2_000_000  # rows that the n-grams share by their hash; each takes 4 x width bytes

    def __post_init__(self) -> None:
        """Refuses what does not go together."""
        if self.subwords and self.output != "negative":
            raise UsageError(f"output = {self.output} with subwords", "negative sampling with subwords", "drop one of the two")
        if self.racing and (self.subwords or self.output != "negative"):
            raise UsageError("racing with a tree or subwords", "one thread: only negative sampling of whole words races", "drop racing")
        if self.longest < self.shortest:
            raise UsageError(f"longest = {self.longest} is below shortest = {self.shortest}", "the two in order", "raise model.longest")


class Tables:
    """Word vectors in `input` (V D); the targets' vectors in `output` (V D), the tree's inner nodes' in `nodes` (V D); `counts` (V).

    Rows of words that never occur (specials, and words without a count) are zero and stay so. With subwords, what is
    learnt stands in `subwords` (V + buckets, D), and `input` is composed of it.
    """

    max_length: int | None = None  # any text fits
    task_tokens = 0
    shaped_by = ("width", "output", "subwords", "shortest", "longest", "buckets")  # settings that a run going on from another keeps

    def __init__(self, config: Config, tokens: "TokenFacts", tables: Mapping[str, np.ndarray]) -> None:
        """Takes the `tables` by name, as they are; RunError where one is missing or has another shape."""
        self.config, self._facts, self.tables = config, tokens, dict(tables)
        check_shapes({name: table.shape for name, table in tables.items()}, _shapes(config, tokens.vocab_size))
        self.composed = True  # `input` is up to what the n-grams have learnt

    @classmethod
    def from_arrays(cls, config: Config, tokens: "TokenFacts", arrays: Mapping[str, np.ndarray]) -> Self:
        """The tables of a finished run, to be read: they may be mapped from its file."""
        return cls(config, tokens, arrays)

    @classmethod
    def drawn(cls, config: Config, tokens: "TokenFacts", draw: Uniform) -> Self:
        """Tables at the start of training."""
        counts = np.zeros(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(set(tokens.specials.values()))] = 0
        tables = {name: np.empty(shape, np.float32) for name, shape in _learnt(config, len(counts)).items()}
        for table in tables.values():
            table.fill(0)
        tables["input"][:] = spread(draw(counts.size * config.width, np.float32), 0.5 / config.width).reshape(-1, config.width)
        tables["input"][counts == 0] = 0
        found = cls(config, tokens, {**tables, "counts": counts})
        if config.subwords:
            found.spell(draw)
        return found

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return len(self.tables["input"])

    @property
    def counts(self) -> np.ndarray:
        """How often the corpus has each word (V); 0 for specials."""
        return self.tables["counts"]

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(table.size for name, table in self.tables.items() if name != "counts")

    def arrays(self) -> dict[str, np.ndarray]:
        """All tables, by name, as a run folder keeps them."""
        self._compose()
        return self.tables

    def take_up(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copies the tables that an interrupted run had saved."""
        check_shapes({name: array.shape for name, array in arrays.items()}, _shapes(self.config, self.vocab_size))
        for name, array in arrays.items():
            np.copyto(self.tables[name], array)
        self.composed = False

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Goes on from an earlier run's tables, whose words have the first ids here too.

        They keep their vectors, and counts are summed; words that it lacked stay as they were drawn. The tree is built
        anew from the summed counts, and its nodes, which mean other words now, begin at zero.
        """
        old = len(arrays["counts"])
        self.counts[:old] += arrays["counts"]
        if self.config.subwords:
            self.spell(draw)
        for name in ("input", "output"):
            if name in arrays:
                self.tables[name][:old] = arrays[name]
        if self.config.subwords:
            subwords, learnt = self.tables["subwords"], arrays["subwords"][old:]
            subwords[:old] = arrays["subwords"][:old]
            seen = learnt.any(1)
            subwords[len(self.counts) :][seen] = learnt[seen]

    def spell(self, draw: Uniform) -> None:
        """Draws the table of words and n-grams, zero where nothing will be learnt; fastText draws from twice word2vec's range."""
        self.__dict__.pop("grams", None)  # those of the counts as they were
        used, width = np.unique(self.grams[1]), self.config.width
        self.tables["subwords"].fill(0)
        self.tables["subwords"][used] = (draw(len(used) * width, np.float32).reshape(-1, width) - np.float32(0.5)) * np.float32(2) / width
        self.composed = False

    def descend(self, batch: "Batch", rate: float, seed: int, threads: int = 1) -> "Descended":
        """One pass of the kernel over the chunk, in place; gives its exact mean loss a prediction.

        `batch` holds `words` (N) and `starts` (S+1); `rate` is the learning rate; at most `threads`
        are used. The result depends on tables, batch, rate and seed, and on `threads` only when `racing`.
        A vocabulary so small that blocks would overshoot on its frequent words goes through the plain kernel.
        """
        return self.descent(batch, rate, seed, threads)

    @cached_property
    def descent(self) -> "Descent":
        """What descends, with what it draws from: made at the first step, from the counts of that time."""
        from stemma.lineage.word2vec_descent import Descent  # compiled code: only where it is used

        return Descent(self)

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Nothing: plain gradient descent remembers nothing."""
        return {}

    def restore_optimiser(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Nothing to take up."""

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """Ids and types of a text or a pair; no special is added."""
        return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors (T D) of the words."""
        self._compose()
        return self.tables["input"][ids]

    def word_vectors(self) -> np.ndarray:
        """The vectors (V D) that words are compared by."""
        self._compose()
        return self.tables["input"]

    @property
    def composes(self) -> bool:
        """True where `compose` gives vectors to words never seen."""
        return self.config.subwords

    def compose(self, word: str) -> np.ndarray | None:
        """The vector (D) of a word never seen, from the n-grams it shares with words that were; None where it shares none."""
        if not self.config.subwords:
            return None
        _, hashes = self._ngrams([word])
        rows = self.tables["subwords"][len(self.counts) + hashes.astype(np.int64)]
        return rows.mean(0) if rows.any() else None

    def as_module(self, tokens: "TokenFacts") -> "nn.Module":
        """The same network as PyTorch moves it, with weights of its own."""
        from stemma.layers.weights import module_with
        from stemma.lineage.word2vec import Word2Vec

        return module_with(lambda: Word2Vec(self.config, tokens), self.arrays())

    @cached_property
    def grams(self) -> tuple[np.ndarray, np.ndarray]:
        """(starts (V+1), rows) of each word's own row and those of its n-grams."""
        from stemma.kernels.character_ngrams import word_rows

        return word_rows(*self._ngrams(self._facts.tokens), self.counts > 0)

    def _ngrams(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(starts, hashes) of the words' character n-grams."""
        from stemma.kernels.character_ngrams import hashed_ngrams

        config = self.config
        coded = [word.encode("utf-8", "surrogatepass") for word in words]
        return hashed_ngrams(coded, config.shortest, config.longest, config.buckets)

    def _compose(self) -> None:
        """Brings `input` up to what the n-grams have learnt since."""
        if self.config.subwords and not self.composed:
            from stemma.kernels.word2vec_subwords import compose_all

            compose_all(self.tables["subwords"], *self.grams, self.tables["input"])
            self.composed = True


def _learnt(config: Config, vocab_size: int) -> dict[str, tuple[int, int]]:
    """The shapes of what is learnt, in the order of the file."""
    words = (vocab_size, config.width)
    output = {"output": words} if config.output != "hierarchical" else {}
    nodes = {"nodes": words} if config.output != "negative" else {}
    subwords = {"subwords": (vocab_size + config.buckets, config.width)} if config.subwords else {}
    return {"input": words, **output, **nodes, **subwords}


def _shapes(config: Config, vocab_size: int) -> dict[str, tuple[int, ...]]:
    return {**_learnt(config, vocab_size), "counts": (vocab_size,)}
