"""word2vec: the kernels against a NumPy reference, autograd and each other; what it learns; what it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stemma.errors import DataError, UsageError
from stemma.lineage import word2vec_kernels as kernels
from stemma.lineage.word2vec import Config, Word2Vec
from stemma.objectives.batch import seed_for

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
V, D, N = 23, 20, 150
BOTH = pytest.mark.parametrize("architecture", ["skipgram", "cbow"])


def facts(counts):
    return SimpleNamespace(vocab_size=len(counts), specials=SPECIALS, counts=counts)


def network(architecture="skipgram", scale=1.0, counts=None, **options):
    """A network with both tables random, so that every gradient is alive."""
    torch.manual_seed(3)
    counts = np.arange(V) * 3 + 1 if counts is None else counts
    net = Word2Vec(Config(architecture, **{"width": D, "window": 4, **options}), facts(counts))
    with torch.no_grad():
        net.input.normal_(0, scale)
        net.output.normal_(0, scale)
    return net


def chunk(length=N, seed=0, vocab_size=V):
    draw = np.random.default_rng(seed)
    borders = np.unique(draw.integers(1, length, length // 12))
    return {"words": draw.integers(3, vocab_size, length).astype(np.int32), "starts": np.array([0, *borders, length])}


def draws(net, seed, first, count):
    """The plain kernel's negatives number `first`, `first` + 1, ..."""
    first += seed_for(seed, "negatives")
    return [kernels.draw_word(np.uint64(kernels.mix(np.uint64(first + k))), *net._alias()) for k in range(count)]


def reference_step(input, output, contexts, target, negatives, rate):
    """word2vec.c's step for one prediction in float64: `contexts` is one word (skip-gram) or a window (CBOW)."""
    x, error, loss = input[contexts].mean(0), np.zeros(input.shape[1]), 0.0
    for label, word in [(1, target)] + [(0, n) for n in negatives if n != target]:
        probability = 1 / (1 + np.exp(-x @ output[word]))
        loss -= np.log(probability if label else 1 - probability)
        step = (label - probability) * rate
        error += step * output[word]
        output[word] = output[word] + step * x
    for word in contexts:
        input[word] = input[word] + error
    return loss


def reference(net, batch, rate, seed):
    """The whole chunk by `reference_step`, with the kernels' own draws."""
    input, output = (p.detach().numpy().astype(np.float64) for p in (net.input, net.output))
    words, (low, high) = batch["words"], kernels.windows(batch["starts"], net.config.window, np.uint64(seed_for(seed, "radius")))
    loss, count = 0.0, 0
    for i in range(len(words)):
        near = [j for j in range(low[i], high[i] + 1) if j != i]
        for group in [[j] for j in near] if net.config.architecture == "skipgram" else [near] * bool(near):
            negatives = draws(net, seed, count * net.config.negatives, net.config.negatives)
            loss += reference_step(input, output, words[group], words[i], negatives, rate)
            count += 1
    return input, output, loss, count


@BOTH
def test_plain_kernel_is_the_reference_step_by_step(architecture):
    net, batch = network(architecture, scale=0.5, kernel="plain"), chunk()
    input, output, loss, count = reference(net, batch, 0.05, seed=5)
    got = net.descend(batch, 0.05, seed=5)
    assert got.count == count and float(got.mean) == pytest.approx(loss / count, rel=1e-6)
    np.testing.assert_allclose(net.input.detach().numpy(), input, atol=2e-6)  # float32 against float64 over 600 steps
    np.testing.assert_allclose(net.output.detach().numpy(), output, atol=2e-6)


def test_fast_loss_is_the_torch_loss_at_rate_zero():
    net, batch = network(scale=0.3), chunk(700)
    torch.manual_seed(0)
    fast = np.mean([float(net.descend(batch, 0.0, seed=s).mean) for s in range(200)])
    torch_form = np.mean([float(net.loss({k: torch.from_numpy(v) for k, v in batch.items()}).mean.detach()) for _ in range(50)])
    assert fast == pytest.approx(torch_form, rel=0.01)


@BOTH
def test_the_kernels_descend_what_autograd_sees(architecture):
    """At a tiny rate the change of a row is its gradient; CBOW adds the window's error undivided (`Deviates`)."""
    net = network(architecture, scale=0.5, kernel="plain")
    batch = {"words": np.array([7, 4, 9], np.int32), "starts": np.array([0, 2, 3])}
    drawn = {"inputs": torch.tensor([[4], [7]]), "targets": torch.tensor([7, 4])}
    before, rate, seed = net.input.detach().clone(), 1e-3, 11
    negatives = torch.tensor(draws(net, seed, 0, 2 * net.config.negatives)).view(2, -1)
    loss = net.loss({**drawn, "negatives": negatives})
    loss.mean.backward()
    got = net.descend(batch, rate, seed=seed)
    assert got.count == loss.count == 2 and float(got.mean) == pytest.approx(float(loss.mean.detach()), rel=1e-2)
    np.testing.assert_allclose((before - net.input.detach()) / rate, net.input.grad * 2, atol=2e-2)  # second order in the rate


@BOTH
def test_planted_synonyms_become_neighbours(architecture):
    draw, words = np.random.default_rng(1), []
    for _ in range(3000):
        topic = draw.integers(5)
        words.append([*draw.integers(5 + topic * 8, 13 + topic * 8, 6), 3 + draw.integers(2) if topic == 0 else 5 + topic * 8])
    flat = np.concatenate(words).astype(np.int32)
    net = Word2Vec(Config(architecture, width=D, window=4), facts(np.bincount(flat, minlength=45)))
    batch = {"words": flat, "starts": np.arange(0, len(flat) + 1, 7)}
    losses = [float(net.descend(batch, 0.05, seed=s).mean) for s in range(6)]
    assert losses[-1] < losses[0]
    assert dict(net.nearest(3, 44))[4] > 0.9


def test_encode_looks_up_rows_and_lets_gradients_through():
    net = network()
    ids = torch.tensor([[3, 9, 5], [4, 4, 22]])
    (vectors,) = net.encode({"ids": ids})
    vectors.sum().backward()
    assert vectors.shape == (2, 3, D) and torch.equal(vectors[1, 1], net.input[4]) and float(net.input.grad[4].sum()) == 2 * D
    assert net.frame([4, 5], [6]) == ([4, 5, 6], [0, 0, 1])


def test_words_without_training_have_no_vector():
    counts = np.arange(V)
    net = Word2Vec(Config(width=D), facts(counts))
    assert not net.input[:3].any() and net.input[3:].any(1).all()
    with pytest.raises(UsageError, match="ask for another word"):
        net.nearest(1)
    assert 1 not in dict(net.nearest(5, V)) and 5 not in dict(net.nearest(5, V))


def test_a_network_without_counts_says_what_to_give_it():
    net = Word2Vec(Config(width=D), SimpleNamespace(vocab_size=V, specials=SPECIALS, counts=None))
    with pytest.raises(DataError, match=r"TokenFacts\(counts=store.counts\)"):
        net.descend(chunk(), 0.1, seed=1)
