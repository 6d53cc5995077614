"""word2vec (Mikolov, Chen, Corrado & Dean 2013; Mikolov, Sutskever et al. 2013). Parent: the neural language model (`nnlm`).

What it added: the hidden layer is gone; a word's vector is learnt by telling its true neighbours from
words drawn at random (negative sampling), so a corpus takes minutes. What it gave up: the order of the
neighbours, any probability of the text, and context: one vector a word, whatever its sense there.

With x an input row, y an output row and y_n the K negatives drawn from unigram^0.75:

    loss = -log s(x·y) - sum_n log s(-x·y_n)

Skip-gram: x is a word of the window, y the centre. CBOW: x is the mean of the window, y the centre.

Deviates: skip-gram's input is the *context* word and its target the centre, as in word2vec.c; the paper
has it the other way round, which is the same set of pairs. Deviates: CBOW's error is added in full to
each word of the window, as in word2vec.c and gensim; the gradient of the mean would divide it.
Deviates: draws come from alias tables and the logistic function is exact, where word2vec.c has tables
of 1e8 and 1e3 slots.

B batch, T positions, D width, V vocabulary, P predictions, C words of a context, K negatives, N tokens, S sentences.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.config import NonNegative, Positive
from stemma.errors import DataError
from stemma.layers.loss import Loss
from stemma.lineage import word2vec_blocks as blocks
from stemma.lineage import word2vec_kernels as kernels
from stemma.objectives.batch import seed_for

if TYPE_CHECKING:
    from stemma.tokens.tokenizer import TokenFacts


@dataclass(frozen=True)
class Config:
    """Defaults are those of word2vec.c for skip-gram."""

    architecture: Literal["skipgram", "cbow"] = "skipgram"
    width: Positive = 100  # D, floats a vector
    window: Positive = 5  # words on each side at most; the radius is uniform in 1..window
    negatives: Positive = 5  # K draws a prediction
    power: NonNegative = 0.75  # negatives ~ count^power (Mikolov 2013b, section 2.2)
    kernel: Literal["block", "plain"] = "block"  # plain: one pair after the other, as published; slower
    racing: bool = False  # threads write without waiting for each other (Hogwild): faster, not reproducible


class Word2Vec(nn.Module):
    """Word vectors in `input` (V D); the targets' vectors in `output` (V D).

    Rows of words that never occur (specials, and words without a count) are zero and stay so.
    """

    max_length: int | None = None  # any text fits
    counts: Tensor  # (V,) of the corpus, specials zero

    def __init__(self, config: Config, tokens: "TokenFacts") -> None:
        super().__init__()
        self.config, self.specials = config, frozenset(tokens.specials.values())
        shape = (tokens.vocab_size, config.width)
        counts = np.zeros(shape[0], np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(self.specials)] = 0
        self.register_buffer("counts", torch.from_numpy(counts))
        self.input = nn.Parameter(_table((torch.rand(shape) - 0.5) / config.width * (self.counts > 0)[:, None]))
        self.output = nn.Parameter(_table(torch.zeros(shape)))
        self._tables: tuple[np.ndarray, np.ndarray] | None = None  # made at the first step, from the counts of that time
        self._hottest_negative = 0.0
        self._pace = blocks.Pace()

    def descend(self, batch: dict[str, Tensor], rate: float, seed: int, threads: int = 1) -> Loss:
        """One pass of the kernel over the chunk, in place; gives its exact mean loss a prediction.

        `batch` holds `words` (N) and `starts` (S+1) on the CPU; `rate` is the learning rate; at most `threads`
        are used. The result depends on parameters, batch, rate and seed, and on `threads` only when `racing`.
        A vocabulary so small that blocks would overshoot on its frequent words goes through the plain kernel.
        """
        words, starts = (np.asarray(batch[name]) for name in ("words", "starts"))
        config, tables = self.config, (self.input.detach().numpy(), self.output.detach().numpy())
        alias = self._alias()
        text = (words, *kernels.windows(starts, config.window, np.uint64(seed_for(seed, "radius"))))
        draws = np.uint64(seed_for(seed, "negatives"))
        hottest = np.bincount(words, minlength=1).max() / max(len(words), 1)
        tokens = blocks.tokens_a_round(rate, config.negatives, config.window, hottest, self._hottest_negative)
        if config.kernel == "plain" or tokens < blocks.LEAST:
            total, count = kernels.PLAIN[config.architecture](*tables, *text, *alias, config.negatives, np.float32(rate), draws)
        else:
            threads, start = threads if config.racing else self._pace.choose(threads), time.perf_counter()
            rest = (config.negatives, config.window, np.float32(rate), draws, tokens, threads, config.racing)
            total, count = blocks.descend_blocks(config.architecture, tables, text, alias, *rest)
            self._pace.record(threads, time.perf_counter() - start, len(words))
        mean = torch.tensor(total / max(count, 1))
        return Loss(mean, int(count), {self.config.architecture: (float(total), int(count))})

    def loss(self, batch: dict[str, Tensor]) -> Loss:
        """The same objective, differentiable, on `inputs`, `targets`, `negatives` of the batch or on fresh draws."""
        drawn = batch if "targets" in batch else self.draw(batch)
        inputs, targets, negatives = drawn["inputs"], drawn["targets"], drawn["negatives"]
        real = (inputs >= 0)[:, :, None]  # (P C 1)
        x = (self.input[inputs.clamp(min=0)] * real).sum(1) / real.sum(1)  # (P D)
        positive = (x * self.output[targets]).sum(-1)  # (P)
        negative = torch.einsum("pd,pkd->pk", x, self.output[negatives])  # (P K)
        skipped = negatives == targets[:, None]
        total = F.softplus(-positive).sum() + F.softplus(negative).masked_fill(skipped, 0).sum()
        return Loss(total / max(len(targets), 1), len(targets))

    def draw(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Predictions of a chunk from torch's generator: `inputs` (P C), -1 where empty; `targets` (P); `negatives` (P K)."""
        words, starts, window = batch["words"].long(), batch["starts"], self.config.window
        place = torch.arange(len(words))
        sentence = torch.searchsorted(starts, place, right=True)
        radius = torch.randint(1, window + 1, (len(words),))
        offsets = torch.tensor([o for o in range(-window, window + 1) if o])
        near = place[:, None] + offsets  # (N 2*window)
        inside = (near >= 0) & (near < len(words)) & (offsets.abs() <= radius[:, None])
        near = near.clamp(0, max(len(words) - 1, 0))
        inside &= sentence[near] == sentence[:, None]
        if self.config.architecture == "skipgram":
            inputs, targets = words[near[inside]][:, None], words[:, None].expand_as(near)[inside]
        else:
            some = inside.any(1)
            inputs, targets = words[near].masked_fill(~inside, -1)[some], words[some]
        size = (len(targets), self.config.negatives)
        weights = self._weights()
        negatives = torch.multinomial(weights, max(len(targets), 1) * size[1], replacement=True)[: size[0] * size[1]].view(size)
        return {"inputs": inputs, "targets": targets, "negatives": negatives}

    def encode(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Layer 0 alone: the vectors (B T D) of `ids` (B T)."""
        return [F.embedding(batch["ids"], self.input)]

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """Ids and types of a text or a pair; no special is added."""
        return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())

    def word_vectors(self) -> np.ndarray:
        """The vectors (V D) that words are compared by."""
        return self.input.detach().cpu().numpy()

    def _weights(self) -> Tensor:
        weights = self.counts.double() ** self.config.power * (self.counts > 0)
        if not weights.any():
            mend = "build the network with TokenFacts(counts=store.counts)"
            raise DataError("word2vec knows no word counts", "the counts of the token store", mend)
        return weights

    def _alias(self) -> tuple[np.ndarray, np.ndarray]:
        if self._tables is None:
            weights = self._weights()
            self._tables = kernels.alias_tables(weights.numpy())
            self._hottest_negative = float(weights.max() / weights.sum())
        return self._tables


def _table(rows: Tensor) -> Tensor:
    """`rows` in memory of NumPy's, which asks Linux for huge pages where torch doesn't: 5 % faster at width 300."""
    return torch.from_numpy(np.array(rows.numpy()))
