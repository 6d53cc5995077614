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

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.bounds import PositiveFloat, Width
from stemma.kernels import glove as kernels
from stemma.layers.blocks import Layer, layer
from stemma.layers.loss import Carried, Loss
from stemma.layers.pooling import mean_state
from stemma.objectives.batch import Batch, generator
from stemma.objectives.cooccurrence import entries

if TYPE_CHECKING:
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


class GloVe(nn.Module):
    """Vectors of words and of context words (V D), and their biases (V).

    Rows of words that never occur, or never beside another, are zero and stay so.
    """

    max_length: int | None = None  # any text fits
    task_tokens = 0
    composes = False

    def __init__(self, config: Config, tokens: "TokenFacts") -> None:
        super().__init__()
        self.config = config
        counts = np.ones(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(tokens.specials.values())] = 0  # without counts, all other words are taken for known
        real = torch.float64 if config.kernel == "exact" else torch.float32
        known = torch.from_numpy(counts > 0)[:, None].to(real)

        def drawn(width: int) -> nn.Parameter:
            return nn.Parameter((torch.rand((tokens.vocab_size, width), dtype=real) - 0.5) / config.width * known)

        self.words, self.contexts = drawn(config.width), drawn(config.width)
        self.word_biases, self.context_biases = (nn.Parameter(drawn(1).detach()[:, 0].clone()) for _ in range(2))
        self._sums: dict[str, np.ndarray] = {}  # of squared steps (AdaGrad), by parameter; from the first step on

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return len(self.words)

    def descend(self, batch: Batch, rate: float, seed: int, threads: int = 1) -> Loss:
        """One iteration over X, in place; gives the mean cost of an entry as it was when visited.

        `batch` is that of `objectives.cooccurrence`; `rate` is AdaGrad's eta. The result depends on parameters, sums, batch, rate
        and seed, and never on `threads`.
        """
        with torch.no_grad():
            for parameter in self.parameters():
                parameter[torch.from_numpy(np.array(batch["lone"]))] = 0
        visit = self._exact if self.config.kernel == "exact" else self._by_tiles
        cost, count = visit(batch, rate, seed, threads)
        return Loss(torch.tensor(cost / count), count, {"cost": (cost, count)})

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

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """AdaGrad's sums of squared steps, by parameter: what a resumed run needs beside the weights."""
        return dict(self._sums)

    def restore_optimiser(self, arrays: dict[str, np.ndarray]) -> None:
        """Takes up what `optimiser_state` gave."""
        self._sums = {name: np.array(arrays[name]) for name, _ in self.named_parameters()}

    def _tables(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Parameters and sums as arrays to be updated in place; sums begin at 1 (glove.c)."""
        weights = {name: parameter.detach().numpy() for name, parameter in self.named_parameters()}
        self._sums = self._sums or {name: np.ones_like(array) for name, array in weights.items()}
        return weights, self._sums

    def _exact(self, batch: Batch, rate: float, seed: int, threads: int) -> tuple[float, int]:
        """Entry after entry, in one random order, the same in every iteration, as glove.c with one thread."""
        config, (weights, sums) = self.config, self._tables()
        found = entries(batch)
        order = generator("glove", "order").permutation(len(found[0]))
        rates = (rate, config.bias_eta, config.clip, config.x_max, config.alpha)
        return kernels.exact(tuple(weights.values()), tuple(sums.values()), found, order, rates), len(order)

    def _by_tiles(self, batch: Batch, rate: float, seed: int, threads: int) -> tuple[float, int]:
        """Round after round in an order drawn anew; threads divide the tiles of a round between them."""
        config, (weights, sums) = self.config, self._tables()
        lanes = (0,) * -(-config.width // kernels.LANES)
        table = kernels.packed(len(lanes), tuple(weights.values()), tuple(sums.values()))
        rates = tuple(map(np.float32, (rate, config.bias_eta, config.clip)))
        told = np.zeros((len(batch["blocks"]), 2))
        with ThreadPoolExecutor(threads) as pool:
            for turn in generator(seed, "rounds").permutation(len(batch["rounds"]) - 1):
                first, last = map(int, batch["rounds"][turn : turn + 2])
                borders, places = np.array(batch["tiles"][first : last + 1]), np.array(batch["blocks"][first:last])
                pairs = self._weighed(batch, slice(borders[0], borders[-1]))
                rest = (borders - borders[0], pairs, bool(batch["symmetric"][0]), rates, told[first:last])
                work = partial(kernels.descend_tiles, lanes, table, batch["members"], places, *rest, threads=threads)
                list(pool.map(work, range(threads)))
        kernels.unpack(len(lanes), table, tuple(weights.values()), tuple(sums.values()))
        cost, count = told.sum(0)
        return float(cost), int(count)

    def _weighed(self, batch: Batch, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns, log x and f(x) of a part of X, read from disk."""
        rows, columns = np.array(batch["rows"][part]), np.array(batch["columns"][part])
        logs = np.log(batch["values"][part].astype(np.float32))
        alpha, limit = np.float32(self.config.alpha), np.float32(np.log(self.config.x_max))
        return rows, columns, logs, np.exp(np.minimum(alpha * (logs - limit), np.float32(0)))
