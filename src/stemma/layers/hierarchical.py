# ruff: noqa: F722 (axis names stand in annotations)
"""Hierarchical softmax: a word's probability is the product of the turns on its path through a Huffman tree.

P(word) = prod sigma(±(v_node·h + c_node)), minus where the path turns to the second child: it sums to one over the
words whatever the weights, and takes about log2 V nodes instead of V words (Morin & Bengio 2005).

Axes: N predictions, D width, V vocabulary, I inner nodes, P decisions of all predictions.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from stemma.layers.fast import product_type
from stemma.layers.huffman import huffman


class Paths:
    """The path of every word, for words with a count above 0."""

    def __init__(self, counts: Int[Tensor, " V"]) -> None:
        tree = huffman(counts.cpu().numpy())
        device = counts.device
        self.starts, self.lengths = (torch.from_numpy(a).to(device) for a in (tree.starts[:-1].copy(), tree.lengths))  # (V)
        self.nodes = torch.from_numpy(tree.nodes.astype(np.int64)).to(device)  # (all paths)
        self.signs = torch.from_numpy(1.0 - 2.0 * tree.bits.astype(np.float32)).to(device)  # (all paths)

    def of(self, words: Int[Tensor, " N"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
        """Of each decision of the words: whose it is (0 to N - 1), and its place in `nodes` and `signs`."""
        lengths = self.lengths[words]
        whose = torch.repeat_interleave(torch.arange(len(words), device=words.device), lengths)
        before = lengths.cumsum(0) - lengths
        return whose, torch.arange(len(whose), device=words.device) + (self.starts[words] - before)[whose]

    def log_odds(self, counts: Int[Tensor, " V"]) -> Float[Tensor, " I"]:
        """The biases of the inner nodes that alone give every word its share of `counts`."""
        weights = torch.repeat_interleave(counts.double(), self.lengths)
        sides = torch.zeros(2, int(self.nodes.max()) + 1 if len(self.nodes) else 0, dtype=torch.float64, device=counts.device)
        sides.view(-1).index_add_(0, self.nodes + (self.signs < 0) * sides.shape[1], weights)
        return (sides[0] / sides[1]).log().float()


def path_surprisal(
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "I D"], bias: Float[Tensor, " I"], labels: Int[Tensor, " N"], paths: Paths
) -> Float[Tensor, " N"]:
    """-log P(label) of each prediction, in nats and float32, differentiable."""
    dtype = product_type(hidden)
    whose, place = paths.of(labels)
    nodes = paths.nodes[place]
    # index_select, not []: its gradient is several times faster
    both = hidden.to(dtype).index_select(0, whose) * weight.to(dtype).index_select(0, nodes)  # (P D)
    logits = both.sum(-1).float() + bias.index_select(0, nodes)
    steps = F.softplus(-paths.signs[place] * logits)
    return torch.zeros(len(labels), device=hidden.device).index_add(0, whose, steps)


def log_probabilities(
    hidden: Float[Tensor, " D"], weight: Float[Tensor, "I D"], bias: Float[Tensor, " I"], paths: Paths
) -> Float[Tensor, " V"]:
    """The log P of every word after one state; -inf for words that have no path."""
    words = torch.arange(len(paths.starts), device=hidden.device)
    whose, place = paths.of(words)
    logits = F.linear(hidden, weight, bias).float()  # (I)
    steps = F.logsigmoid(paths.signs[place] * logits[paths.nodes[place]])
    found = torch.zeros(len(words), device=hidden.device).index_add(0, whose, steps)
    return found.masked_fill(paths.lengths == 0, -torch.inf)
