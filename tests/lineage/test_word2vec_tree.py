"""word2vec's hierarchical softmax: its kernels against a NumPy reference, autograd and each other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.lineage.differentiable import Word2VecLoss

from stemma.errors import UsageError
from stemma.kernels import word2vec_pairs as kernels
from stemma.kernels.draws import draw_word, mix
from stemma.lineage.word2vec import Config, Word2Vec
from stemma.objectives.batch import seed_for
from stemma.runs.neighbours import neighbours, unit_rows

V, D, K = 23, 22, 5
BOTH = pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
OUTPUTS = pytest.mark.parametrize("output", ["hierarchical", "both"])


def network(architecture="skipgram", output="hierarchical", **options):
    """A network with all tables random, so that every gradient is alive."""
    torch.manual_seed(3)
    facts = SimpleNamespace(vocab_size=V, specials={"unk": 0, "bos": 1, "eos": 2}, counts=np.arange(V) ** 2 + 1)
    net = Word2VecLoss(Word2Vec, Config(architecture, **{"width": D, "window": 4, "output": output, "negatives": K, **options}), facts)
    with torch.no_grad():
        for table in net.parameters():
            table.normal_(0, 0.4)
    return net


def chunk(length=150, seed=0):
    draw = np.random.default_rng(seed)
    borders = np.unique(draw.integers(1, length, length // 12))
    return {"words": draw.integers(3, V, length).astype(np.int32), "starts": np.array([0, *borders, length])}


def reference_pair(x, nodes, tree, target, rate):
    """word2vec.c's hierarchical softmax for one input in float64; updates the nodes, gives (error, loss)."""
    error, loss = np.zeros(len(x)), 0.0
    for place in range(tree.starts[target], tree.starts[target + 1]):
        node, label = tree.nodes[place], 1 - tree.bits[place]
        probability = 1 / (1 + np.exp(-x @ nodes[node]))
        loss -= np.log(probability if label else 1 - probability)
        step = (label - probability) * rate
        error += step * nodes[node]
        nodes[node] = nodes[node] + step * x
    return error, loss


@BOTH
def test_plain_kernel_is_the_reference_step_by_step(architecture):
    net, batch, rate, seed = network(architecture, kernel="plain"), chunk(), 0.05, 5
    input, nodes, tree = *(p.detach().numpy().astype(np.float64) for p in (net.input, net.nodes)), net.tables.tree
    words, (low, high) = batch["words"], kernels.windows(batch["starts"], 4, np.uint64(seed_for(seed, "radius")))
    loss, count = 0.0, 0
    for i in range(len(words)):
        near = [j for j in range(low[i], high[i] + 1) if j != i]
        for group in [[j] for j in near] if architecture == "skipgram" else [near] * bool(near):
            error, cost = reference_pair(input[words[group]].mean(0), nodes, tree, words[i], rate)
            for word in words[group]:
                input[word] = input[word] + error
            loss, count = loss + cost, count + 1
    got = net.tables.descend(batch, rate, seed=seed)
    assert got.count == count and float(got.mean) == pytest.approx(loss / count, rel=1e-6)
    np.testing.assert_allclose(net.input.detach().numpy(), input, atol=2e-6)  # float32 against float64 over hundreds of steps
    np.testing.assert_allclose(net.nodes.detach().numpy(), nodes, atol=2e-6)


@BOTH
@OUTPUTS
def test_the_kernels_descend_what_autograd_sees(architecture, output):
    """At a tiny rate the change of every table is its gradient, for the plain kernel and the fast one."""
    batch = {"words": np.array([7, 4, 9], np.int32), "starts": np.array([0, 2, 3])}
    for kernel in ("plain", "block"):
        net, rate, seed = network(architecture, output, kernel=kernel), 1e-3, 11
        before = {name: table.detach().clone() for name, table in net.named_parameters()}
        first = seed_for(seed, "negatives")
        drawn = [draw_word(np.uint64(mix(np.uint64(first + k))), *net.tables.alias) for k in range(2 * K)]
        pairs = {"inputs": torch.tensor([[4], [7]]), "targets": torch.tensor([7, 4]), "negatives": torch.tensor(drawn).view(2, -1)}
        loss = net.loss(pairs)
        loss.mean.backward()
        got = net.tables.descend(batch, rate, seed=seed)
        assert got.count == loss.count == 2 and float(got.mean) == pytest.approx(float(loss.mean.detach()), rel=1e-2)
        for name, table in net.named_parameters():
            np.testing.assert_allclose((before[name] - table.detach()) / rate, table.grad * 2, atol=2e-2)  # second order in the rate


@OUTPUTS
def test_fast_is_plain_but_for_the_order_within_a_window(output):
    """Without a rate there is no order: losses are equal; at a small one so are the steps, to first order."""
    batch, steps = chunk(400, seed=2), {}
    for kernel in ("plain", "block"):
        net = network(output=output, kernel=kernel)
        still = net.tables.descend(batch, 0.0, seed=3)
        before = {name: table.detach().clone() for name, table in net.named_parameters()}
        net.tables.descend(batch, 1e-4, seed=3)
        steps[kernel] = float(still.mean), still.count, torch.cat([(t.detach() - before[n]) for n, t in net.named_parameters()])
    (plain, pairs, expected), (fast, count, got) = steps["plain"], steps["block"]
    assert count == pairs and fast == pytest.approx(plain, rel=1e-5)
    assert torch.norm(got - expected) < 1e-2 * torch.norm(expected)


def test_the_tree_gives_every_word_a_probability_and_they_sum_to_one():
    net = network()
    x, targets = net.input[5].detach(), torch.arange(3, V)
    owner, nodes, signs = net.turns(targets)
    turns = torch.nn.functional.logsigmoid(signs * (x * net.nodes[nodes].detach()).sum(-1))
    assert float(torch.zeros(len(targets)).index_add(0, owner, turns).exp().sum()) == pytest.approx(1, abs=1e-6)


@BOTH
@OUTPUTS
def test_words_of_a_topic_become_neighbours(architecture, output):
    draw, words = np.random.default_rng(1), []
    for _ in range(3000):
        topic = draw.integers(5)
        words.append([*draw.integers(5 + topic * 8, 13 + topic * 8, 6), 3 + draw.integers(2) if topic == 0 else 5 + topic * 8])
    flat = np.concatenate(words).astype(np.int32)
    facts = SimpleNamespace(vocab_size=45, specials={"unk": 0, "bos": 1, "eos": 2}, counts=np.bincount(flat, minlength=45))
    net = Word2VecLoss(Word2Vec, Config(architecture, width=D, window=4, output=output), facts)
    batch = {"words": flat, "starts": np.arange(0, len(flat) + 1, 7)}
    losses = [float(net.tables.descend(batch, 0.025, seed=s).mean) for s in range(10)]
    assert losses[-1] < losses[0]
    assert dict(neighbours(unit_rows(net.word_vectors()), 3, 44))[4] > 0.9  # planted synonyms
    assert hasattr(net, "output") == (output == "both")


@BOTH
def test_odd_chunks(architecture):
    net = network(architecture)
    for words, starts in (([], [0]), ([5], [0, 1]), ([5, 6, 7], [0, 1, 2, 3])):
        got = net.tables.descend({"words": np.array(words, np.int32), "starts": np.array(starts)}, 0.1, seed=1)
        assert got.count == 0 and float(got.mean) == 0


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UsageError, match="drop one of the two"):
        Config(output="both", subwords=True)
    with pytest.raises(UsageError, match="drop racing"):
        Config(output="hierarchical", racing=True)
