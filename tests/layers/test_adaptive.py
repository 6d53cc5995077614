"""Adaptive softmax: torch.nn.AdaptiveLogSoftmaxWithLoss on the same weights, exact probabilities, and where it begins."""

import numpy as np
import pytest
import torch
from torch import nn

from stemma.errors import UsageError
from stemma.layers.adaptive import AdaptiveSoftmax, fitting_cutoffs

N, D, V = 9, 32, 41
CUTOFFS = [5, 17]
COUNTS = torch.from_numpy(np.random.default_rng(3).permutation(V))  # words aren't in the order of their counts


def made(counts: torch.Tensor = COUNTS) -> tuple[AdaptiveSoftmax, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(D, counts, CUTOFFS)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return layer, torch.randn(N, D), torch.randint(0, V, (N,))


def reference(layer: AdaptiveSoftmax) -> nn.AdaptiveLogSoftmaxWithLoss:
    theirs = nn.AdaptiveLogSoftmaxWithLoss(D, V, CUTOFFS, div_value=4.0, head_bias=True)
    with torch.no_grad():
        theirs.head.weight.copy_(layer.head.weight)
        theirs.head.bias.copy_(layer.head.bias)
        for tail, other in zip(layer.tails, theirs.tail, strict=True):
            other[0].weight.copy_(tail.project.weight)
            other[1].weight.copy_(tail.words.weight)
    return theirs


def test_loss_probabilities_and_gradients_are_those_of_torchs_own() -> None:
    layer, hidden, labels = made()
    theirs = reference(layer)
    ours, others = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    total = layer.cross_entropy(ours, labels)
    right, mean = theirs(others, layer.ranks[labels])
    torch.testing.assert_close(total, mean * N, atol=1e-4, rtol=0)
    torch.testing.assert_close(layer.surprisal(hidden, labels), -right, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.log_probabilities(hidden), theirs.log_prob(hidden)[:, layer.ranks], atol=1e-5, rtol=0)
    total.backward()
    (mean * N).backward()
    torch.testing.assert_close(ours.grad, others.grad, atol=1e-5, rtol=0)
    pairs = [(layer.head.weight, theirs.head.weight), (layer.head.bias, theirs.head.bias)]
    for tail, other in zip(layer.tails, theirs.tail, strict=True):
        pairs += [(tail.project.weight, other[0].weight), (tail.words.weight, other[1].weight)]
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_probabilities_sum_to_one_and_surprisal_is_their_logarithm() -> None:
    layer, hidden, _ = made()
    chances = layer.log_probabilities(hidden[:1])[0]
    assert chances.exp().sum().item() == pytest.approx(1, abs=1e-6)
    every = layer.surprisal(hidden[:1].expand(V, D), torch.arange(V))
    torch.testing.assert_close(every, -chances, atol=1e-5, rtol=0)


def test_the_most_frequent_words_are_the_shortlist() -> None:
    layer, _, _ = made()
    assert set(layer.words[: CUTOFFS[0]].tolist()) == set(COUNTS.topk(CUTOFFS[0]).indices.tolist())
    assert (layer.words[layer.ranks] == torch.arange(V)).all()


def test_without_weights_it_gives_clusters_their_share_of_the_counts() -> None:
    layer = AdaptiveSoftmax(D, COUNTS, CUTOFFS)
    for tail in layer.tails:
        nn.init.zeros_(tail.words.weight)
    chances = layer.log_probabilities(torch.zeros(1, D))[0].exp()[layer.words]
    shares = COUNTS.clamp(min=1)[layer.words].double() / COUNTS.clamp(min=1).sum()
    torch.testing.assert_close(chances[:5].double(), shares[:5], atol=1e-6, rtol=0)
    for first, last in ((5, 17), (17, V)):
        assert chances[first:last].sum().item() == pytest.approx(shares[first:last].sum().item(), abs=1e-6)


def test_a_cluster_that_nobody_needs_has_no_gradient() -> None:
    layer, hidden, _ = made()
    layer.cross_entropy(hidden, layer.words[: CUTOFFS[0]].repeat(2)[:N]).backward()
    assert all(parameter.grad is None for parameter in layer.tails.parameters())
    assert layer.head.weight.grad is not None


def test_bfloat16_is_near() -> None:
    layer, hidden, labels = made()
    with torch.autocast("cpu", torch.bfloat16):
        near = layer.cross_entropy(hidden, labels)
    assert near.item() == pytest.approx(layer.cross_entropy(hidden, labels).item(), rel=0.02)


@pytest.mark.parametrize("cutoffs", [(), (5, 5), (7, 3), (5, V), (0, 4)])
def test_cutoffs_that_do_not_rise_within_the_vocabulary_are_refused(cutoffs: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"leave model\.cutoffs out"):
        AdaptiveSoftmax(D, COUNTS, cutoffs)


@pytest.mark.parametrize("size", [3, 4, 27, 300, 50_000])
def test_fitting_cutoffs_fit_every_vocabulary(size: int) -> None:
    AdaptiveSoftmax(4, torch.zeros(size, dtype=torch.long), fitting_cutoffs(size))
