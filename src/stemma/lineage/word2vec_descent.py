"""How word2vec's tables descend: the compiled kernels of its objectives, and what they draw from. The model stands in `word2vec`.

N tokens, V vocabulary, D width, L nodes of a path.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stemma.errors import DataError
from stemma.kernels import word2vec_pairs as kernels
from stemma.kernels import word2vec_rounds as rounds
from stemma.kernels.draws import alias_tables
from stemma.kernels.word2vec_blocks import Setting
from stemma.layers.huffman import HuffmanTree, huffman
from stemma.lineage.network import Descended
from stemma.objectives.batch import Batch, seed_for

if TYPE_CHECKING:
    from stemma.lineage.word2vec_tables import Tables


class Descent:
    """Moves `Tables` in place, chunk by chunk."""

    def __init__(self, tables: "Tables") -> None:
        self._held = tables
        self._pace = rounds.Pace()

    def __call__(self, batch: Batch, rate: float, seed: int, threads: int = 1) -> Descended:
        """As `Tables.descend`."""
        words, starts = (np.asarray(batch[name]) for name in ("words", "starts"))
        config = self._held.config
        text = kernels.Text(words, *kernels.windows(starts, config.window, np.uint64(seed_for(seed, "radius"))))
        draws = np.uint64(seed_for(seed, "negatives"))
        if config.subwords:
            total, count = self._subwords(text, rate, draws)
        elif config.output != "negative":
            total, count = self._tree_and_words(text, rate, draws)
        else:
            total, count = self._words(text, rate, draws, threads)
        return Descended(total / max(count, 1), int(count))

    @cached_property
    def weights(self) -> np.ndarray:
        """How often each word is drawn (V), up to a factor; DataError where no word was counted."""
        counts = self._held.counts
        weights: np.ndarray = counts.astype(np.float64) ** self._held.config.power * (counts > 0)
        if not weights.any():
            mend = "build the network with TokenFacts(counts=store.counts)"
            raise DataError("word2vec knows no word counts", "the counts of the token store", mend)
        return weights

    @cached_property
    def alias(self) -> tuple[np.ndarray, np.ndarray]:
        """The tables that negatives are drawn from."""
        return alias_tables(self.weights)

    @cached_property
    def hottest_negative(self) -> float:
        """The share of the draws that the most frequent word has."""
        return float(self.weights.max() / self.weights.sum())

    @cached_property
    def tree(self) -> HuffmanTree:
        """The tree of the words by their counts."""
        _ = self.weights  # tells of missing counts
        return huffman(self._held.counts)

    def _words(self, text: kernels.Text, rate: float, draws: np.uint64, threads: int) -> tuple[float, int]:
        config, tables = self._held.config, (self._held.tables["input"], self._held.tables["output"])
        words, alias = text.words, self.alias
        hottest = np.bincount(words, minlength=1).max() / max(len(words), 1)
        tokens = rounds.tokens_a_round(rate, config.negatives, config.window, hottest, self.hottest_negative)
        if config.kernel == "plain" or tokens < rounds.LEAST:
            return kernels.PLAIN[config.architecture](*tables, *text, *alias, config.negatives, np.float32(rate), draws)
        setting, pace = Setting(config.negatives, config.window, np.float32(rate), draws), None if config.racing else self._pace
        return rounds.descend_chunk(config.architecture, tables, text, alias, setting, tokens, threads, pace)

    def _tree_and_words(self, text: kernels.Text, rate: float, draws: np.uint64) -> tuple[float, int]:
        from stemma.kernels.word2vec_tree import descend_tree  # a dozen kernels more: only where they are used

        config, tree = self._held.config, self.tree
        both = config.output == "both"
        tables = tuple(self._held.tables[name] for name in ("input", "output" if both else "nodes", "nodes"))
        paths = (tree.starts, tree.nodes, tree.bits)
        negatives = config.negatives if both else 0
        return descend_tree(config.architecture, config.kernel, tables, text, paths, self.alias, negatives, rate, draws)

    def _subwords(self, text: kernels.Text, rate: float, draws: np.uint64) -> tuple[float, int]:
        from stemma.kernels.word2vec_subwords import KERNELS  # likewise

        config, held = self._held.config, self._held
        held.composed = False
        tables, plain = (held.tables["subwords"], held.tables["output"]), config.kernel == "plain"
        return KERNELS[config.architecture](*tables, text, held.grams, self.alias, config.negatives, np.float32(rate), draws, plain)
