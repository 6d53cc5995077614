"""The Huffman tree over words: the frequent ones near the root, so that a text takes few decisions (Huffman 1952).

Hierarchical softmax predicts, at each inner node from the root to a word's leaf, whether the path turns to the
second child: P(word) is the product of the turns' probabilities (Morin & Bengio 2005; Mikolov 2013b, section 2.1).

The tree is the one that word2vec.c builds, ties included. V words, L leaves, L - 1 inner nodes.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HuffmanTree:
    """The path of word w: `nodes[starts[w]:starts[w + 1]]`, root first, and the turn taken at each, `bits` of the same place."""

    starts: np.ndarray  # (V + 1) int64
    nodes: np.ndarray  # (all paths) int32: inner nodes in the order they were made; the root is L - 2
    bits: np.ndarray  # (all paths) uint8: 1 where the path goes on to the child of the greater count

    @property
    def lengths(self) -> np.ndarray:
        """(V) decisions of each word; 0 for a word that is no leaf."""
        return np.diff(self.starts)


def huffman(counts: np.ndarray) -> HuffmanTree:
    """The tree whose leaves are the words with a count above 0; other words have an empty path.

    Among equal counts the later word counts as the smaller, as after word2vec.c's sort by descending count.
    """
    counts = np.asarray(counts, np.int64)
    leaves = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    parents, turns = _joined(counts[leaves].tolist())
    return _paths(len(counts), leaves, parents, turns)


def _joined(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(2 L - 1) parent and turn of each node: leaves by descending count first, then inner nodes as they are made.

    Inner nodes are made in ascending order of count, so that the two smallest nodes stand at the two pointers:
    no heap is needed (van Leeuwen 1976). An inner node goes before a leaf of the same count.
    """
    leaves = len(counts)
    weights = [*counts, *[0] * max(0, leaves - 1)]
    parents, turns = np.zeros(len(weights), np.int64), np.zeros(len(weights), np.uint8)
    leaf, inner = leaves - 1, leaves

    def smallest(made: int) -> int:
        nonlocal leaf, inner
        if leaf >= 0 and (inner == made or weights[leaf] < weights[inner]):
            leaf -= 1
            return leaf + 1
        inner += 1
        return inner - 1

    for made in range(leaves, len(weights)):
        first, second = smallest(made), smallest(made)
        weights[made] = weights[first] + weights[second]
        parents[first] = parents[second] = made
        turns[second] = 1
    return parents, turns


def _paths(words: int, leaves: np.ndarray, parents: np.ndarray, turns: np.ndarray) -> HuffmanTree:
    root = len(parents) - 1
    lengths = np.zeros(words, np.int64)
    climbing = np.arange(len(leaves))  # the node that each leaf's path has reached, all leaves in step
    while (below := climbing != root).any():
        lengths[leaves[below]] += 1
        climbing = np.where(below, parents[climbing], root)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    nodes, bits = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.uint8)
    climbing, place = np.arange(len(leaves)), starts[leaves + 1] - 1  # paths are filled from their ends
    while (below := climbing != root).any():
        nodes[place[below]] = parents[climbing[below]] - len(leaves)
        bits[place[below]] = turns[climbing[below]]
        climbing, place = np.where(below, parents[climbing], root), place - 1
    return HuffmanTree(starts, nodes, bits)
