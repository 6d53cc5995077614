"""GloVe: its kernels against a NumPy transcription, autograd and each other; what it learns; threads and resume."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.lineage.differentiable import GloVeLoss

from stemma.kernels import glove as kernels
from stemma.lineage.glove import Config, GloVe
from stemma.objectives.cooccurrence import Config as Counting
from stemma.objectives.cooccurrence import Cooccurrence, entries

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
V, D = 61, 20


def counted(folder, symmetric=True, vocab_size=V, sentences=400, seed=0, words=None):
    """The batch of a made-up text, in many small tiles."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 30, sentences)
    ids = (3 + draw.zipf(1.3, lengths.sum()) % (vocab_size - 3)).astype(np.uint16) if words is None else words
    header = {"fingerprint": "f", "tokenizer": "t"}
    starts = np.concatenate([[0], np.cumsum(lengths)])
    store = SimpleNamespace(ids=ids, sentence_starts=starts, counts=np.bincount(ids, minlength=vocab_size), header=header)
    facts = SimpleNamespace(vocab_size=vocab_size, specials=SPECIALS, counts=store.counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemma.objectives.cooccurrence.BLOCK", 8)
        objective = Cooccurrence(store, facts, Counting(symmetric=symmetric, window=5), seed=0)
        objective.prepare(folder, 1, lambda _: None)
    return objective.batch(0), facts


def network(facts, scale=0.0, seed=3, **options):
    torch.manual_seed(seed)
    net = GloVeLoss(GloVe, Config(**{"width": D, "x_max": 10.0, **options}), facts)
    if scale:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_(0, scale)
    return net


def reference(weights, sums, found, order, eta, bias_eta, clip, x_max, alpha):
    """glove.c's step in NumPy, record by record."""
    cost = 0.0
    for i, j, x in zip(*(array[order] for array in found), strict=True):
        w, c = weights[0][i].copy(), weights[1][j].copy()
        diff = w @ c + weights[2][i] + weights[3][j] - np.log(x)
        step = diff * min(1.0, (x / x_max) ** alpha)
        cost += 0.5 * step * diff
        for side, row, other in ((0, i, c), (1, j, w)):
            t = eta * np.clip(step * other, -clip, clip)
            weights[side][row] -= t / np.sqrt(sums[side][row])
            sums[side][row] += t**2
        for side, row in ((2, i), (3, j)):
            weights[side][row] -= bias_eta * step / np.sqrt(sums[side][row])
            sums[side][row] += (bias_eta * step) ** 2
    return cost


def tables(seed=0, scale=0.5):
    draw = np.random.default_rng(seed)
    weights = tuple(draw.normal(0, scale, shape) for shape in ((V, D), (V, D), V, V))
    return weights, tuple(np.ones_like(array) for array in weights)


@pytest.mark.parametrize(("bias_eta", "clip"), [(1.0, 100.0), (0.05, 0.3)])
def test_exact_is_the_transcription_of_the_c_program(tmp_path, bias_eta, clip):
    batch, _ = counted(tmp_path / "x")
    found = entries(batch)
    order = np.random.default_rng(1).permutation(len(found[0]))[:1000]
    (ours, our_sums), (theirs, their_sums) = tables(), tables()
    rates = (0.05, bias_eta, clip, 10.0, 0.75)
    cost = kernels.exact(ours, our_sums, found, order, rates)
    assert cost == pytest.approx(reference(theirs, their_sums, found, order, *rates), rel=1e-12)
    for a, b in zip((*ours, *our_sums), (*theirs, *their_sums), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10, rtol=0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bias_eta", "clip"), [(1.0, 100.0), (0.05, 0.3)])
def test_tiles_are_the_exact_steps_in_the_order_of_the_tiles(tmp_path, monkeypatch, symmetric, bias_eta, clip):
    """Round after round, and within a pair of both orders (i, j) before (j, i)."""
    batch, facts = counted(tmp_path / "x", symmetric)
    net = network(facts, 0.5, bias_eta=bias_eta, clip=clip)
    weights = tuple(p.detach().numpy().astype(np.float64) for p in net.parameters())
    sums = tuple(np.ones_like(array) for array in weights)
    monkeypatch.setattr("stemma.lineage.glove.generator", lambda *_: SimpleNamespace(permutation=np.arange))
    rows, columns, values = entries(batch)
    pairs = len(batch["rows"])
    mirrored = pairs + np.cumsum(rows[:pairs] != columns[:pairs]) - 1
    order = [n for p in range(pairs) for n in ((p, mirrored[p]) if symmetric and rows[p] != columns[p] else (p,))]
    cost = reference(weights, sums, (rows, columns, values), np.array(order), 0.05, bias_eta, clip, 10.0, 0.75)
    got = net.tables.descend(batch, 0.05, seed=1)
    assert got.count == len(rows) and float(got.mean) == pytest.approx(cost / len(rows), rel=1e-4)
    for ours, theirs in zip(
        (*net.parameters(), *map(torch.from_numpy, net.tables.optimiser_state().values())), (*weights, *sums), strict=True
    ):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-5, atol=2e-4)  # float32 against float64 over thousands of steps


def test_the_step_is_the_gradient_of_the_loss(tmp_path):
    """With sums of 1 and a tiny rate a row moves against the gradient of J, weights by eta^2-free first order."""
    batch, facts = counted(tmp_path / "x")
    rate = 1e-7
    net = network(facts, 0.5, kernel="exact", bias_eta=rate)
    loss = net.loss({name: torch.from_numpy(np.array(array)) for name, array in batch.items()})
    loss.mean.backward()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    got = net.tables.descend(batch, rate, seed=0)
    assert float(got.mean) == pytest.approx(float(loss.mean.detach()), rel=1e-3)
    for name, parameter in net.named_parameters():
        expected = parameter.grad.numpy() * loss.count
        np.testing.assert_allclose((before[name] - parameter.detach()).numpy() / rate, expected, rtol=1e-3, atol=1e-2)


def test_the_loss_has_the_gradient_of_finite_differences(tmp_path):
    batch, facts = counted(tmp_path / "x", sentences=5)
    net, tensors = network(facts, 0.5, kernel="exact"), {name: torch.from_numpy(np.array(array)) for name, array in batch.items()}
    assert torch.autograd.gradcheck(lambda *_: net.loss(tensors).mean, tuple(net.parameters()), atol=1e-6)


def test_threads_change_nothing(tmp_path):
    batch, facts = counted(tmp_path / "x")
    nets = [network(facts, 0.3) for _ in range(3)]
    losses = [float(net.tables.descend(batch, 0.05, seed=9, threads=threads).mean) for net, threads in zip(nets, (1, 2, 5), strict=True)]
    assert len(set(losses)) == 1
    for net in nets[1:]:
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), nets[0].parameters(), strict=True))


@pytest.mark.parametrize("kernel", ["tiles", "exact"])
def test_it_goes_on_with_its_sums_to_the_same_bits(tmp_path, kernel):
    batch, facts = counted(tmp_path / "x")
    whole, first, second = (network(facts, kernel=kernel) for _ in range(3))
    for step in range(4):
        whole.tables.descend(batch, 0.05, seed=step)
    for step in range(2):
        first.tables.descend(batch, 0.05, seed=step)
    second.load_state_dict(first.state_dict())
    second.tables.restore_optimiser({name: array.copy() for name, array in first.tables.optimiser_state().items()})
    for step in (2, 3):
        second.tables.descend(batch, 0.05, seed=step)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))
    assert not set(whole.state_dict()) - {"words", "contexts", "word_biases", "context_biases"}  # the sums are not in the model


def test_both_kernels_come_to_the_same_cost(tmp_path):
    batch, facts = counted(tmp_path / "x", sentences=1500)
    costs = []
    for kernel in ("tiles", "exact"):
        net = network(facts, kernel=kernel)
        costs.append([float(net.tables.descend(batch, 0.05, seed=step).mean) for step in range(30)])
    assert costs[0][-1] == pytest.approx(costs[1][-1], rel=0.05)  # as seen while the rows move: another order, another path
    assert all(np.diff(costs[1]) < 0) and costs[0][-1] < 0.5 * costs[0][0]


@pytest.mark.parametrize("kernel", ["tiles", "exact"])
def test_a_planted_table_is_recovered(tmp_path, kernel):
    """log X of rank 3 is fitted to 0.05 everywhere when every entry has the weight 1 (x_max below all of them)."""
    draw = np.random.default_rng(0)
    batch, facts = counted(tmp_path / "x")
    left, right = draw.normal(0, 0.7, (V, 3)), draw.normal(0, 0.7, (V, 3))
    ids = [batch["members"][batch["blocks"][np.repeat(np.arange(len(batch["blocks"])), np.diff(batch["tiles"])), side]] for side in (0, 1)]
    rows, columns = (ids[side][np.arange(len(batch["rows"])), batch[name]] for side, name in ((0, "rows"), (1, "columns")))
    planted = np.exp((left[rows] * right[columns]).sum(1) + (left[columns] * right[rows]).sum(1))  # alike in both orders
    batch = {**batch, "values": planted}
    net = network(facts, kernel=kernel, x_max=1e-9)
    for step in range(400):
        net.tables.descend(batch, 0.2, seed=step)
    score = (net.words[rows] * net.contexts[columns]).sum(1) + net.word_biases[rows] + net.context_biases[columns]
    assert np.abs(score.detach().numpy() - np.log(planted)).max() < 0.05


def test_a_network_without_counts_draws_every_word_but_the_specials():
    net = network(SimpleNamespace(vocab_size=V, specials=SPECIALS, counts=None))
    assert not net.word_vectors()[:3].any() and net.word_vectors()[3:].any(1).all()


def test_words_alone_have_no_vector_and_vectors_are_sums(tmp_path):
    draw = np.random.default_rng(0)
    words = draw.integers(3, V - 1, 40).astype(np.uint16)
    words[-1] = V - 1
    store = SimpleNamespace(
        ids=words,
        sentence_starts=np.array([0, 39, 40]),
        counts=np.bincount(words, minlength=V),
        header={"fingerprint": "f", "tokenizer": "t"},
    )
    facts = SimpleNamespace(vocab_size=V, specials=SPECIALS, counts=store.counts)
    objective = Cooccurrence(store, facts, Counting(), seed=0)
    objective.prepare(tmp_path / "x", 1, lambda _: None)
    net = network(facts)
    net.tables.descend(objective.batch(0), 0.05, seed=0)
    vectors = net.word_vectors()
    assert vectors.shape == (V, D) and not vectors[[0, 1, 2, V - 1]].any()
    assert vectors[store.counts > 0][:-1].any(1).all()
    ids = torch.tensor([[3, 9, 5], [4, 4, 22]])
    module = net.tables.as_module()
    (encoded,) = module.encode({"ids": ids})
    assert encoded.shape == (2, 3, D) and np.array_equal(encoded.detach().numpy(), vectors[ids])
    encoded.sum().backward()
    assert float(module.words.grad[4].sum()) == float(module.contexts.grad[4].sum()) == 2 * D
    assert module.frame([4, 5], [6]) == ([4, 5, 6], [0, 0, 1])
