# ruff: noqa: F722 (axis names stand in annotations)
"""Adaptive softmax (Grave et al. 2017): frequent words are scored at once, rare ones in clusters that are seldom opened.

The head is a softmax over the shortlist of frequent words and one entry a cluster; a cluster has a softmax of its own over
its words, on states of fewer numbers the rarer its words are. P(word) is the head's share, or the share of the word's cluster times its
share there: exact probabilities, which sum to one.

Axes: N predictions, D width, V vocabulary, K clusters.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.errors import UsageError
from stemma.layers.loss import cross_entropy, surprisal

SHRINK = 4  # each cluster's states have as many times fewer numbers than those before (Grave 2017, section 4.3)


class Tail(nn.Module):
    """A cluster of rare words."""

    def __init__(self, width: int, inner: int, words: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, inner, bias=False)
        self.words = nn.Linear(inner, words, bias=False)


class _Part(NamedTuple):
    """Some predictions' part of the loss: a softmax over the head or over one cluster."""

    rows: Tensor  # (n) which predictions
    states: Tensor  # (n, width of the part)
    weight: Tensor
    bias: Tensor | None
    labels: Tensor  # (n) within the part


class AdaptiveSoftmax(nn.Module):
    """The output layer over words whose `counts` (V) tell the frequent from the rare.

    `cutoffs` are the ranks where the shortlist and each cluster but the last end. The head's biases begin at the counts' shares.
    """

    words: Tensor  # (V) by rank, the most frequent first
    ranks: Tensor  # (V) by word

    def __init__(self, width: int, counts: Int[Tensor, " V"], cutoffs: Sequence[int]) -> None:
        super().__init__()
        if not cutoffs or not all(a < b for a, b in pairwise([0, *cutoffs, len(counts)])):
            wrong = f"cutoffs {list(cutoffs)} in a vocabulary of {len(counts):,}"
            raise UsageError(wrong, "rising ranks within the vocabulary", "leave model.cutoffs out: they are then chosen by its size")
        self.cutoffs = list(cutoffs)
        self.register_buffer("words", counts.argsort(descending=True, stable=True))
        self.register_buffer("ranks", self.words.argsort())
        self.head = nn.Linear(width, cutoffs[0] + len(cutoffs))
        sizes = [b - a for a, b in pairwise([*cutoffs, len(counts)])]
        self.tails = nn.ModuleList(Tail(width, max(1, width // SHRINK ** (k + 1)), size) for k, size in enumerate(sizes))
        ranked = counts.clamp(min=1)[self.words].double()
        shares = [ranked[: cutoffs[0]], *(part.sum()[None] for part in ranked[cutoffs[0] :].split(sizes))]
        with torch.no_grad():
            self.head.bias.copy_((torch.cat(shares) / ranked.sum()).log())

    def cross_entropy(self, hidden: Float[Tensor, "N D"], labels: Int[Tensor, " N"]) -> Float[Tensor, ""]:
        """The sum over N of -log P(label), in nats and float32."""
        parts = self._parts(hidden, labels)
        return torch.stack([cross_entropy(part.states, part.weight, part.bias, part.labels) for part in parts]).sum()

    @torch.no_grad()
    def surprisal(self, hidden: Float[Tensor, "N D"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """-log P(label) of each prediction, in nats; no gradient."""
        nats = torch.zeros(len(labels), device=hidden.device)
        for part in self._parts(hidden, labels):
            nats[part.rows] += surprisal(part.states, part.weight, part.bias, part.labels)
        return nats

    def log_probabilities(self, hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """The logarithm of every word's probability, in the order of the vocabulary."""
        head = self.head(hidden).float().log_softmax(-1)
        short = self.cutoffs[0]
        tails = [
            tail.words(tail.project(hidden)).float().log_softmax(-1) + head[:, short + k, None] for k, tail in enumerate(self._tails())
        ]
        return torch.cat([head[:, :short], *tails], 1)[:, self.ranks]

    def _parts(self, hidden: Tensor, labels: Tensor) -> Iterator[_Part]:
        """The head, which all predictions need, then each cluster that one of them needs."""
        ranks = self.ranks[labels]
        cluster = torch.bucketize(ranks, torch.tensor(self.cutoffs, device=ranks.device), right=True)  # 0: the shortlist
        head_labels = torch.where(cluster == 0, ranks, self.cutoffs[0] - 1 + cluster)
        yield _Part(torch.arange(len(labels), device=ranks.device), hidden, self.head.weight, self.head.bias, head_labels)
        for k, tail in enumerate(self._tails()):
            rows = (cluster == k + 1).nonzero().squeeze(1)
            if len(rows):
                yield _Part(rows, tail.project(hidden.index_select(0, rows)), tail.words.weight, None, ranks[rows] - self.cutoffs[k])

    def _tails(self) -> Iterator[Tail]:
        yield from self.tails  # type: ignore[misc]


def fitting_cutoffs(vocab_size: int) -> tuple[int, ...]:
    """Where to cut a vocabulary: a twentieth of it is the shortlist, what follows up to a fifth one cluster, the rest another."""
    return tuple(sorted({max(1, vocab_size // 20), max(2, vocab_size // 5)}))
