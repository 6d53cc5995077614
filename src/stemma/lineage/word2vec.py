"""word2vec (Mikolov, Chen, Corrado & Dean 2013; Mikolov, Sutskever et al. 2013). Parent: the neural language model (`nnlm`).

What it added: the hidden layer is gone; a word's vector is learnt by telling its true neighbours from
words drawn at random (negative sampling), so a corpus takes minutes. What it gave up: the order of the
neighbours, any probability of the text, and context: one vector a word, whatever its sense there.

With x an input row, y an output row and y_n the K negatives drawn from unigram^0.75:

    loss = -log s(x·y) - sum_n log s(-x·y_n)

Skip-gram: x is a word of the window, y the centre. CBOW: x is the mean of the window, y the centre.
Hierarchical softmax predicts instead, or as well, the turns on the target's path through a Huffman tree
(`word2vec_tree`). With subwords a word's vector is the mean of its own row and of its n-grams' (`word2vec_subwords`).

Deviates: skip-gram's input is the *context* word and its target the centre, as in word2vec.c; the paper
has it the other way round, which is the same set of pairs. Deviates: CBOW's error is added in full to
each word of the window, as in word2vec.c and gensim; the gradient of the mean would divide it.
Deviates: draws come from alias tables and the logistic function is exact, where word2vec.c has tables
of 1e8 and 1e3 slots. Deviates: with subwords, negatives are drawn as without them (fastText: count^0.5), and
n-grams that no word of the vocabulary has get no vector.
Deviates: `kernel = "block"` computes rounds of up to 256 tokens from the same start, and draws 16 negatives once for a block
of up to 64 tokens (CBOW: 16), each weighted by K / 16 for every prediction it serves: the published gradient in expectation.
`kernel = "plain"` does as published.

D width, V vocabulary, K negatives, N tokens, S sentences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np

from stemma.bounds import Buckets, Length, NonNegative, Width
from stemma.config import ReadIf
from stemma.errors import DataError, UsageError
from stemma.kernels.aligned import aligned_zeros
from stemma.layers.huffman import HuffmanTree, huffman
from stemma.layers.uniform import Uniform, spread
from stemma.layers.word_tables import COUNTS, WordTables
from stemma.lineage.network import Descended
from stemma.objectives.batch import Batch, seed_for

if TYPE_CHECKING:
    from stemma.kernels.word2vec_pairs import Text
    from stemma.kernels.word2vec_rounds import Pace
    from stemma.layers.shapes import Shapes
    from stemma.tokens.facts import TokenFacts


@dataclass(frozen=True)
class Config:
    """Defaults are those of word2vec.c for skip-gram."""

    max_length: ClassVar[int | None] = None  # any text fits
    architecture: Literal["skipgram", "cbow"] = "skipgram"
    width: Width = 100  # D, floats a vector
    window: Length = 5  # words on each side at most; the radius is uniform in 1..window
    output: Literal["negative", "hierarchical", "both"] = "negative"  # negative sampling, a tree's turns, or the sum of the two losses
    negatives: Annotated[Length, ReadIf("output", "negative", "both")] = 5  # K draws a prediction
    power: Annotated[NonNegative, ReadIf("output", "negative", "both")] = 0.75  # negatives ~ count^power (Mikolov 2013b, section 2.2)
    kernel: Literal["block", "plain"] = "block"  # plain: one pair after the other, as published; slower
    racing: bool = False  # threads write without waiting for each other (Hogwild): faster, not reproducible
    subwords: bool = False  # words are composed of their character n-grams too (fastText): unseen words get vectors
    shortest: Annotated[Length, ReadIf("subwords", True)] = 3  # characters of an n-gram, < and > at the word's ends included
    longest: Annotated[Length, ReadIf("subwords", True)] = 6
    buckets: Annotated[Buckets, ReadIf("subwords", True)] = 2_000_000  # rows that n-grams share by their hash; 4 x width bytes each

    def __post_init__(self) -> None:
        """Refuses what does not go together."""
        if self.subwords and self.output != "negative":
            raise UsageError(f"output = {self.output} with subwords", "negative sampling with subwords", "drop one of the two")
        if self.racing and (self.subwords or self.output != "negative"):
            raise UsageError("racing with a tree or subwords", "one thread: only negative sampling of whole words races", "drop racing")
        if self.longest < self.shortest:
            raise UsageError(f"longest = {self.longest} is below shortest = {self.shortest}", "the two in order", "raise model.longest")


class Word2Vec(WordTables):
    """Word vectors in `input` (V D); the targets' vectors in `output` (V D), the tree's inner nodes' in `nodes` (V D); `counts` (V).

    Rows of words that never occur (specials, and words without a count) are zero and stay so. With subwords, what is
    learnt stands in `subwords` (V + buckets, D), and `input` is composed of it.
    """

    vectors = ("input",)
    shaped_by = ("width", "output", "subwords", "shortest", "longest", "buckets")  # settings that a run going on from another keeps
    composed = True  # `input` is up to what the n-grams have learnt

    @classmethod
    def shapes(cls, config: Config, vocab_size: int) -> "Shapes":
        """What is learnt, and the counts of the corpus (V), specials zero."""
        words = (vocab_size, config.width)
        output = {"output": words} if config.output != "hierarchical" else {}
        nodes = {"nodes": words} if config.output != "negative" else {}
        subwords = {"subwords": (vocab_size + config.buckets, config.width)} if config.subwords else {}
        return {"input": words, **output, **nodes, **subwords, COUNTS: (vocab_size,)}

    @classmethod
    def drawn(cls, config: Config, tokens: "TokenFacts", draw: Uniform) -> Self:
        """Tables at the start of training."""
        counts = np.zeros(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(set(tokens.specials.values()))] = 0
        shapes = cls.shapes(config, len(counts))
        tables = {name: aligned_zeros(shape) for name, shape in shapes.items() if name != COUNTS} | {COUNTS: counts}
        draw(tables["input"])
        spread(tables["input"], 0.5 / config.width)
        tables["input"][counts == 0] = 0
        found = cls(config, tokens, tables)
        if config.subwords:
            found.spell_words(draw)
        return found

    @property
    def counts(self) -> np.ndarray:
        """How often the corpus has each word (V); 0 for specials."""
        return self.tables[COUNTS]

    def arrays(self) -> dict[str, np.ndarray]:
        """All tables, by name, as a run folder keeps them."""
        self._compose()
        return self.tables

    def take_up(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copies the tables that an interrupted run had saved."""
        super().take_up(arrays)
        self.composed = False

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Goes on from an earlier run's tables, whose words have the first ids here too.

        They keep their vectors, and counts are summed; words that it lacked stay as they were drawn. The tree is built
        anew from the summed counts, and its nodes, which mean other words now, begin at zero.
        """
        old = len(arrays[COUNTS])
        self.counts[:old] += arrays[COUNTS]
        if self.config.subwords:
            self.spell_words(draw)
        for name in ("input", "output"):
            if name in arrays:
                self.tables[name][:old] = arrays[name]
        if self.config.subwords:
            subwords, learnt = self.tables["subwords"], arrays["subwords"][old:]
            subwords[:old] = arrays["subwords"][:old]
            seen = learnt.any(1)
            subwords[len(self.counts) :][seen] = learnt[seen]

    def spell_words(self, draw: Uniform) -> None:
        """Draws the table of words and n-grams, zero where nothing will be learnt; fastText draws from twice word2vec's range."""
        self.__dict__.pop("grams", None)  # those of the counts as they were
        used, width = np.unique(self.grams[1]), self.config.width
        rows = np.empty((len(used), width), np.float32)
        draw(rows)
        self.tables["subwords"].fill(0)
        self.tables["subwords"][used] = (rows - np.float32(0.5)) * np.float32(2) / width
        self.composed = False

    def descend(self, batch: Batch, rate: float, seed: int, threads: int = 1) -> Descended:
        """One pass of the kernel over the chunk, in place; gives its exact mean loss a prediction.

        `batch` holds `words` (N) and `starts` (S+1); `rate` is the learning rate; at most `threads`
        are used. The result depends on tables, batch, rate and seed, and on `threads` only when `racing`.
        A vocabulary so small that blocks would overshoot on its frequent words goes through the plain kernel.
        """
        from stemma.kernels import word2vec_pairs as kernels  # compiled code: only where it is used

        words, starts = (np.asarray(batch[name]) for name in ("words", "starts"))
        config = self.config
        text = kernels.Text(words, *kernels.windows(starts, config.window, np.uint64(seed_for(seed, "radius"))))
        draws = np.uint64(seed_for(seed, "negatives"))
        if config.subwords:
            total, count = self._subwords(text, rate, draws)
        elif config.output != "negative":
            total, count = self._tree_and_words(text, rate, draws)
        else:
            total, count = self._words(text, rate, draws, threads)
        return Descended(total / max(count, 1), int(count))

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

    @cached_property
    def grams(self) -> tuple[np.ndarray, np.ndarray]:
        """(starts (V+1), rows) of each word's own row and those of its n-grams."""
        from stemma.kernels.character_ngrams import word_rows

        return word_rows(*self._ngrams(self.tokens.tokens), self.counts > 0)

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

    @cached_property
    def weights(self) -> np.ndarray:
        """How often each word is drawn (V), up to a factor; DataError where no word was counted."""
        weights: np.ndarray = self.counts.astype(np.float64) ** self.config.power * (self.counts > 0)
        if not weights.any():
            mend = "build the network with TokenFacts(counts=store.counts)"
            raise DataError("word2vec knows no word counts", "the counts of the token store", mend)
        return weights

    @cached_property
    def alias(self) -> tuple[np.ndarray, np.ndarray]:
        """The tables that negatives are drawn from."""
        from stemma.kernels.draws import alias_tables

        return alias_tables(self.weights)

    @cached_property
    def hottest_negative(self) -> float:
        """The share of the draws that the most frequent word has."""
        return float(self.weights.max() / self.weights.sum())

    @cached_property
    def pace(self) -> "Pace":
        """How many threads have turned out to be faster."""
        from stemma.kernels.word2vec_rounds import Pace

        return Pace()

    @cached_property
    def tree(self) -> HuffmanTree:
        """The tree of the words by their counts."""
        _ = self.weights  # raises where counts are missing
        return huffman(self.counts)

    def _words(self, text: "Text", rate: float, draws: np.uint64, threads: int) -> tuple[float, int]:
        from stemma.kernels import word2vec_pairs as kernels
        from stemma.kernels import word2vec_rounds as rounds
        from stemma.kernels.word2vec_blocks import Setting

        config, tables = self.config, (self.tables["input"], self.tables["output"])
        words, alias = text.words, self.alias
        hottest = np.bincount(words, minlength=1).max() / max(len(words), 1)
        tokens = rounds.tokens_a_round(rate, config.negatives, config.window, hottest, self.hottest_negative)
        if config.kernel == "plain" or tokens < rounds.LEAST:
            return kernels.PLAIN[config.architecture](*tables, *text, *alias, config.negatives, np.float32(rate), draws)
        setting, pace = Setting(config.negatives, config.window, np.float32(rate), draws), None if config.racing else self.pace
        return rounds.descend_chunk(config.architecture, tables, text, alias, setting, tokens, threads, pace)

    def _tree_and_words(self, text: "Text", rate: float, draws: np.uint64) -> tuple[float, int]:
        from stemma.kernels.word2vec_tree import descend_tree

        config, tree = self.config, self.tree
        both = config.output == "both"
        tables = tuple(self.tables[name] for name in ("input", "output" if both else "nodes", "nodes"))
        paths = (tree.starts, tree.nodes, tree.bits)
        negatives = config.negatives if both else 0
        return descend_tree(config.architecture, config.kernel, tables, text, paths, self.alias, negatives, rate, draws)

    def _subwords(self, text: "Text", rate: float, draws: np.uint64) -> tuple[float, int]:
        from stemma.kernels.word2vec_subwords import KERNELS

        config = self.config
        self.composed = False
        tables, plain = (self.tables["subwords"], self.tables["output"]), config.kernel == "plain"
        return KERNELS[config.architecture](*tables, text, self.grams, self.alias, config.negatives, np.float32(rate), draws, plain)
