"""word2vec: the kernels against a NumPy reference, autograd and each other; what it learns; what it refuses."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch
from tests.lineage.differentiable import Word2VecLoss

from stemma.errors import DataError, UsageError
from stemma.kernels import word2vec_pairs as kernels
from stemma.kernels import word2vec_rounds as fast
from stemma.kernels.draws import draw_word, mix
from stemma.kernels.word2vec_rows import gather, scatter
from stemma.lineage.word2vec import Config, Word2Vec
from stemma.objectives.batch import seed_for
from stemma.runs.neighbours import neighbours, unit_rows

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
V, D, N = 23, 20, 150
BOTH = pytest.mark.parametrize("architecture", ["skipgram", "cbow"])


def facts(counts):
    return SimpleNamespace(vocab_size=len(counts), specials=SPECIALS, counts=counts)


def network(architecture="skipgram", scale=1.0, counts=None, **options):
    """A network with both tables random, so that every gradient is alive."""
    torch.manual_seed(3)
    counts = np.arange(V) * 3 + 1 if counts is None else counts
    net = Word2VecLoss(Word2Vec, Config(architecture, **{"width": D, "window": 4, **options}), facts(counts))
    with torch.no_grad():
        net.input.normal_(0, scale)
        net.output.normal_(0, scale)
    return net


def nearest(net, word, k=10):
    return neighbours(unit_rows(net.word_vectors()), word, k)


def chunk(length=N, seed=0, vocab_size=V):
    draw = np.random.default_rng(seed)
    borders = np.unique(draw.integers(1, length, length // 12))
    return {"words": draw.integers(3, vocab_size, length).astype(np.int32), "starts": np.array([0, *borders, length])}


def draws(net, seed, first, count):
    """The plain kernel's negatives number `first`, `first` + 1, ..."""
    first += seed_for(seed, "negatives")
    return [draw_word(np.uint64(mix(np.uint64(first + k))), *net.tables.alias) for k in range(count)]


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
    got = net.tables.descend(batch, 0.05, seed=5)
    assert got.count == count and float(got.mean) == pytest.approx(loss / count, rel=1e-6)
    np.testing.assert_allclose(net.input.detach().numpy(), input, atol=2e-6)  # float32 against float64 over 600 steps
    np.testing.assert_allclose(net.output.detach().numpy(), output, atol=2e-6)


def test_fast_loss_is_the_torch_loss_at_rate_zero():
    net, batch = network(scale=0.3), chunk(700)
    torch.manual_seed(0)
    fast = np.mean([float(net.tables.descend(batch, 0.0, seed=s).mean) for s in range(200)])
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
    got = net.tables.descend(batch, rate, seed=seed)
    assert got.count == loss.count == 2 and float(got.mean) == pytest.approx(float(loss.mean.detach()), rel=1e-2)
    np.testing.assert_allclose((before - net.input.detach()) / rate, net.input.grad * 2, atol=2e-2)  # second order in the rate


@BOTH
def test_planted_synonyms_become_neighbours(architecture):
    draw, words = np.random.default_rng(1), []
    for _ in range(3000):
        topic = draw.integers(5)
        words.append([*draw.integers(5 + topic * 8, 13 + topic * 8, 6), 3 + draw.integers(2) if topic == 0 else 5 + topic * 8])
    flat = np.concatenate(words).astype(np.int32)
    net = Word2VecLoss(Word2Vec, Config(architecture, width=D, window=4), facts(np.bincount(flat, minlength=45)))
    batch = {"words": flat, "starts": np.arange(0, len(flat) + 1, 7)}
    losses = [float(net.tables.descend(batch, 0.02, seed=s).mean) for s in range(15)]
    assert losses[-1] < losses[0]
    assert dict(nearest(net, 3, 44))[4] > 0.9
    assert fast.tokens_a_round(0.02, 5, 4, 0.03, net.tables.hottest_negative) >= fast.LEAST  # the block kernel did it


def test_encode_looks_up_rows_and_lets_gradients_through():
    net = network().tables.as_module()
    ids = torch.tensor([[3, 9, 5], [4, 4, 22]])
    (vectors,) = net.encode({"ids": ids})
    vectors.sum().backward()
    assert vectors.shape == (2, 3, D) and torch.equal(vectors[1, 1], net.input[4]) and float(net.input.grad[4].sum()) == 2 * D
    assert net.frame([4, 5], [6]) == ([4, 5, 6], [0, 0, 1])


def test_words_without_training_have_no_vector():
    counts = np.arange(V)
    net = Word2VecLoss(Word2Vec, Config(width=D), facts(counts))
    assert not net.input[:3].any() and net.input[3:].any(1).all()
    with pytest.raises(UsageError, match="ask for another word"):
        nearest(net, 1)
    assert 1 not in dict(nearest(net, 5, V)) and 5 not in dict(nearest(net, 5, V))


def test_a_network_without_counts_says_what_to_give_it():
    net = Word2VecLoss(Word2Vec, Config(width=D), SimpleNamespace(vocab_size=V, specials=SPECIALS, counts=None))
    with pytest.raises(DataError, match=r"TokenFacts\(counts=store.counts\)"):
        net.tables.descend(chunk(), 0.1, seed=1)


def change(kernel, architecture, seed, rate, batch, threads=1, **options):
    """What one step adds to both tables, and its loss."""
    net = network(architecture, scale=0.4, kernel=kernel, **options)
    if kernel == "block":
        assert fast.tokens_a_round(rate, 5, 4, 0.3, 0.3) >= fast.LEAST  # else the plain kernel would stand in
    before = torch.cat([net.input.detach().clone(), net.output.detach().clone()])
    loss = net.tables.descend(batch, rate, seed=seed, threads=threads)
    return (torch.cat([net.input.detach(), net.output.detach()]) - before).double() / rate, loss


@BOTH
def test_fast_equals_plain_in_expectation(architecture):
    """Mean step of many seeds, at a rate too small for second-order terms; 200 tokens cross block edges and sentences.

    Blocks share their negatives and their start (`Deviates`).
    """
    batch, seeds = chunk(200, vocab_size=9), 800  # few words: negatives often hit the target and must be skipped alike
    plain, block = ([change(kernel, architecture, seed, 2e-5, batch) for seed in range(seeds)] for kernel in ("plain", "block"))
    assert all(a.count == b.count for (_, a), (_, b) in zip(plain, block, strict=True))  # no pair is lost at a block's edge
    losses = [np.array([float(loss.mean) for _, loss in runs]) for runs in (plain, block)]
    assert abs(np.diff([x.mean() for x in losses])[0]) < 4 * np.hypot(*(x.std() for x in losses)) / seeds**0.5
    steps = [torch.stack([step for step, _ in runs]) for runs in (plain, block)]
    error = (steps[0].std(0) ** 2 + steps[1].std(0) ** 2).sum().sqrt() / seeds**0.5  # of the difference of two means
    gap = torch.norm(steps[0].mean(0) - steps[1].mean(0))
    assert gap < 2 * error and error < 0.05 * torch.norm(steps[0].mean(0))


@BOTH
def test_every_pair_is_counted_whatever_the_block(architecture):
    net, batch = network(architecture), chunk(1001)
    low, high = kernels.windows(batch["starts"], 4, np.uint64(seed_for(5, "radius")))
    expected = (high - low).sum() if architecture == "skipgram" else (high > low).sum()
    assert net.tables.descend(batch, 0.0, seed=5).count == expected


@BOTH
def test_threads_change_nothing_unless_they_race(architecture):
    batch = chunk(3000)
    alone = change("block", architecture, 3, 1e-3, batch, 1)
    for threads in (2, 3, 4):
        together = change("block", architecture, 3, 1e-3, batch, threads)
        assert torch.equal(alone[0], together[0]) and float(alone[1].mean) == float(together[1].mean)
    raced, loss = change("block", architecture, 3, 1e-3, batch, 2, racing=True)
    assert loss.count == alone[1].count and torch.norm(raced - alone[0]) < 0.5 * torch.norm(alone[0])


def test_the_faster_number_of_threads_is_taken_and_the_other_tried_again():
    pace, taken = fast.Pace(), []
    for turn in range(100):
        taken.append(pace.plan(4, 80))
        for threads, rounds in taken[-1]:
            pace.record(threads, rounds * (5.0 if threads == 4 and turn < 60 else 2.0), rounds)
    assert taken[0] == [(1, 10), (4, 70)]  # both are tried at once
    assert taken[1:16] == [[(1, 80)]] * 15 and taken[16] == [(4, 10), (1, 70)] and taken[17] == [(1, 80)]
    assert taken[64] == [(4, 10), (1, 70)] and taken[65:80] == [[(4, 80)]] * 15  # as fast now: several are taken
    assert fast.Pace().plan(1, 80) == [(1, 80)] and fast.Pace().plan(4, 3) == [(4, 3)]


@BOTH
def test_a_tiny_vocabulary_does_not_overshoot(architecture):
    words = np.random.default_rng(0).integers(3, 6, 40_000).astype(np.int32)
    net = Word2VecLoss(Word2Vec, Config(architecture, width=D), facts(np.bincount(words, minlength=6)))
    losses = [float(net.tables.descend({"words": words, "starts": np.array([0, len(words)])}, 0.1, seed=s).mean) for s in range(8)]
    assert max(losses) < 6 * np.log(2) + 0.01  # the loss of untrained vectors


@BOTH
def test_odd_chunks(architecture):
    net = network(architecture)
    for words, starts in (([], [0]), ([], [0, 0, 0]), ([5], [0, 1]), ([5, 6, 7], [0, 1, 2, 3])):
        got = net.tables.descend({"words": np.array(words, np.int32), "starts": np.array(starts)}, 0.1, seed=1)
        assert got.count == 0 and float(got.mean) == 0
    long = net.tables.descend({"words": chunk(5000)["words"], "starts": np.array([0, 5000])}, 1e-3, seed=1)
    assert long.count > 4990  # one sentence of 5000 words is not cut


def test_windows_are_uniform_and_stay_in_their_sentence():
    starts = np.array([0, 60_000, 60_003])
    low, high = kernels.windows(starts, 5, np.uint64(9))
    radius = (high - np.arange(60_003))[100:59_000]
    assert np.abs(np.bincount(radius, minlength=6)[1:] / len(radius) - 0.2).max() < 0.01
    assert low[60_000:].min() == 60_000 and high[:60_000].max() == 59_999 and high.max() == 60_002


def test_negatives_follow_the_power_of_the_counts():
    counts = np.array([0, 0, 0, 1000, 100, 10, 1, 0, 50])
    net = Word2VecLoss(Word2Vec, Config(width=D), facts(counts))
    drawn = np.bincount([draw_word(np.uint64(mix(np.uint64(n))), *net.tables.alias) for n in range(60_000)], minlength=9)
    expected = counts**0.75 / (counts**0.75).sum() * 60_000
    assert (drawn[counts == 0] == 0).all()
    assert ((drawn - expected)[counts > 0] ** 2 / expected[counts > 0]).sum() < 18.5  # chi-square, 4 degrees of freedom, p = 0.001


def test_the_rate_is_the_step():
    batch = chunk(200)
    small, large = (change("block", "skipgram", 2, rate, batch)[0] for rate in (1e-4, 1e-3))
    assert torch.norm(small - large) < 0.05 * torch.norm(small)


def test_rows_are_reached_without_counting_references():
    """A count is one place in memory: threads that move rows would wait for each other at every one of them."""

    @numba.njit(nogil=True)
    def move(lanes, rows, words, buffer):
        gather(lanes, rows, words, buffer)
        scatter(lanes, rows, words, buffer, 0, 2)

    rows, words = np.ones((6, 20), np.float32), np.array([4, 1, 4], np.int32)
    buffer = np.zeros(3 * 32, np.float32)
    move((0,) * (20 // 4), rows, words, buffer)
    assert rows[:, 0].tolist() == [1, 1, 1, 1, 3, 1]  # row 1 belongs to the other thread
    assert "call void @NRT_incref" not in move.inspect_llvm(move.signatures[0])
