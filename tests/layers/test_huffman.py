"""The Huffman tree: by hand, against a heap, and by the properties that make it one."""

import heapq
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.layers.huffman import HuffmanTree, huffman


def path(tree: HuffmanTree, word: int) -> tuple[list[int], list[int]]:
    own = slice(tree.starts[word], tree.starts[word + 1])
    return tree.nodes[own].tolist(), tree.bits[own].tolist()


def test_a_tree_built_by_hand() -> None:
    """Counts 7 3 2 2: node 0 = words 3 + 2 (4), node 1 = word 1 + node 0 (7), the root = node 1 + word 0, inner before leaf at 7."""
    tree = huffman(np.array([7, 3, 2, 2]))
    assert path(tree, 0) == ([2], [1])
    assert path(tree, 1) == ([2, 1], [0, 0])
    assert path(tree, 2) == ([2, 1, 0], [0, 1, 1])
    assert path(tree, 3) == ([2, 1, 0], [0, 1, 0])


def test_words_in_any_order_and_without_a_count() -> None:
    tree = huffman(np.array([0, 2, 7, 0, 3, 2]))
    assert tree.lengths.tolist() == [0, 3, 1, 0, 2, 3]
    assert path(tree, 4) == ([2, 1], [0, 0])


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [0, 5]])
def test_fewer_than_two_words_need_no_decision(counts: list[int]) -> None:
    tree = huffman(np.array(counts, np.int64))
    assert not tree.lengths.any() and len(tree.nodes) == len(tree.bits) == 0


COUNTS = st.lists(st.integers(0, 10**9), min_size=2, max_size=60).filter(lambda counts: np.count_nonzero(counts) > 1)


@given(COUNTS)
def test_it_is_a_whole_tree_of_least_cost(counts: list[int]) -> None:
    tree = huffman(np.array(counts))
    leaves = [word for word, count in enumerate(counts) if count]
    assert sum(Fraction(1, 2 ** int(tree.lengths[word])) for word in leaves) == 1  # Kraft
    for a in leaves:
        assert all(tree.lengths[a] <= tree.lengths[b] for b in leaves if counts[a] > counts[b])
    heap = [counts[word] for word in leaves]
    heapq.heapify(heap)
    cost = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        cost += joined
        heapq.heappush(heap, joined)
    assert sum(counts[word] * int(tree.lengths[word]) for word in leaves) == cost


@given(COUNTS, st.integers(0, 2**32 - 1))
def test_the_words_probabilities_sum_to_one(counts: list[int], seed: int) -> None:
    tree = huffman(np.array(counts))
    leaves = np.count_nonzero(counts)
    assert set(tree.nodes.tolist()) == set(range(leaves - 1))
    right = np.random.default_rng(seed).random(leaves - 1)  # of turning to the second child at each inner node
    steps = np.where(tree.bits == 1, right[tree.nodes], 1 - right[tree.nodes])
    total = sum(steps[tree.starts[w] : tree.starts[w + 1]].prod() for w, count in enumerate(counts) if count)
    assert total == pytest.approx(1, abs=1e-12)


def test_a_big_vocabulary_takes_a_moment() -> None:
    counts = 10**7 // np.arange(1, 100_001)
    tree = huffman(counts)
    entropy = -(counts / counts.sum() * np.log2(counts / counts.sum())).sum()
    assert entropy <= (counts * tree.lengths).sum() / counts.sum() < entropy + 1
