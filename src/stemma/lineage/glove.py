"""GloVe, global vectors (Pennington, Socher & Manning 2014). Parent: word2vec, by contrast.

What it added: the text is read once, into a table X of how near each two words stand to each other, and
vectors are fitted to log X by least squares; afterwards the text's length no longer matters. What it gave up: the
text as a stream; X must be counted, kept and visited again and again.

With w a word's vector, w~ a context word's, b their biases, and f(x) = min(1, (x / x_max)^alpha) (eq. 9):

    J = sum over X_ij > 0 of f(X_ij) (w_i·w~_j + b_i + b~_j - log X_ij)^2 / 2

Eq. 8 has no 1/2; this J is glove.c's, whose gradient has no 2, and its minimum is the same.
The vector of a word is w + w~ (section 4.2). Descent is AdaGrad as in Stanford's glove.c of today: gradients are
clipped, and biases move without the rate; `bias_eta` sets the rate of the first release.

The loss reported is the cost of one entry of X: a squared error, not nats, and the same figure as glove.c's.

Deviates: an iteration visits X tile after tile in an order drawn anew, where glove.c keeps one random order; `kernel = "exact"`
does as glove.c. Deviates: numbers are float32, in `exact` float64 as in glove.c. Deviates: an update that is not finite stops the
run, where glove.c leaves it out (so does `exact`).

V vocabulary, D width, P pairs.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from stemma.bounds import PositiveFloat, Width
from stemma.layers.word_tables import WordTables
from stemma.lineage.network import Descended
from stemma.objectives.batch import Batch, generator

if TYPE_CHECKING:
    from stemma.layers.shapes import Shapes
    from stemma.layers.uniform import Uniform
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


class GloVe(WordTables):
    """Vectors of words and of context words, `words` and `contexts` (V D), and their biases (V).

    Rows of words that never occur, or never beside another, are zero and stay so.
    """

    vectors = ("words", "contexts")

    @classmethod
    def shapes(cls, config: Config, vocab_size: int) -> "Shapes":
        """Of each table, in the order in which they are drawn."""
        words = (vocab_size, config.width)
        return {"words": words, "contexts": words, "word_biases": (vocab_size,), "context_biases": (vocab_size,)}

    @classmethod
    def drawn(cls, config: Config, tokens: "TokenFacts", draw: "Uniform") -> Self:
        """Tables at the start of training; without counts, all words but the specials are taken for known."""
        counts = np.ones(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(tokens.specials.values())] = 0
        real = np.float64 if config.kernel == "exact" else np.float32
        tables = {}
        for name, shape in cls.shapes(config, tokens.vocab_size).items():
            tables[name] = np.empty(shape, real)
            draw(tables[name])
            tables[name] -= real(0.5)
            tables[name] /= real(config.width)
            tables[name][counts == 0] = 0
        return cls(config, tokens, tables)

    def descend(self, batch: Batch, rate: float, seed: int, threads: int = 1) -> Descended:
        """One iteration over X, in place; gives the mean cost of an entry as it was when visited.

        `batch` is that of `objectives.cooccurrence`; `rate` is AdaGrad's eta. The result depends on tables, sums, batch, rate
        and seed, and never on `threads`.
        """
        lone = np.asarray(batch["lone"])
        for table in self.tables.values():
            table[lone] = 0
        visit = self._exact if self.config.kernel == "exact" else self._by_tiles
        cost, count = visit(batch, rate, seed, threads)
        return Descended(cost / count, count)

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """AdaGrad's sums of squared steps, by table; they begin at 1 (glove.c)."""
        return {name: np.ones_like(table) for name, table in self.tables.items()}

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """The sums: what a resumed run needs beside the tables."""
        return dict(self.sums)

    def restore_optimiser(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes up what `optimiser_state` gave."""
        self.sums = {name: np.array(arrays[name]) for name in self.tables}

    def _exact(self, batch: Batch, rate: float, seed: int, threads: int) -> tuple[float, int]:
        """Entry after entry, in one random order, the same in every iteration, as glove.c with one thread."""
        from stemma.kernels import glove as kernels  # compiled code: only where it is used
        from stemma.objectives.cooccurrence import entries

        config, weights, sums = self.config, self.tables, self.sums
        found = entries(batch)
        order = generator("glove", "order").permutation(len(found[0]))
        rates = (rate, config.bias_eta, config.clip, config.x_max, config.alpha)
        return kernels.exact(tuple(weights.values()), tuple(sums.values()), found, order, rates), len(order)

    def _by_tiles(self, batch: Batch, rate: float, seed: int, threads: int) -> tuple[float, int]:
        """Round after round in an order drawn anew; threads divide the tiles of a round between them."""
        from stemma.kernels import glove as kernels

        config, weights, sums = self.config, self.tables, self.sums
        lanes = (0,) * -(-config.width // kernels.LANES)
        table = kernels.packed(len(lanes), tuple(weights.values()), tuple(sums.values()))
        rates = tuple(map(np.float32, (rate, config.bias_eta, config.clip)))
        totals = np.zeros((len(batch["blocks"]), 2))
        with ThreadPoolExecutor(threads) as pool:
            for turn in generator(seed, "rounds").permutation(len(batch["rounds"]) - 1):
                first, last = map(int, batch["rounds"][turn : turn + 2])
                borders, places = np.array(batch["tiles"][first : last + 1]), np.array(batch["blocks"][first:last])
                pairs = self._weighted(batch, slice(borders[0], borders[-1]))
                rest = (borders - borders[0], pairs, bool(batch["symmetric"][0]), rates, totals[first:last])
                work = partial(kernels.descend_tiles, lanes, table, batch["members"], places, *rest, threads=threads)
                list(pool.map(work, range(threads)))
        kernels.unpack(len(lanes), table, tuple(weights.values()), tuple(sums.values()))
        cost, count = totals.sum(0)
        return float(cost), int(count)

    def _weighted(self, batch: Batch, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns, log x and f(x) of a part of X, read from disk."""
        rows, columns = np.array(batch["rows"][part]), np.array(batch["columns"][part])
        logs = np.log(batch["values"][part].astype(np.float32))
        alpha, limit = np.float32(self.config.alpha), np.float32(np.log(self.config.x_max))
        return rows, columns, logs, np.exp(np.minimum(alpha * (logs - limit), np.float32(0)))
