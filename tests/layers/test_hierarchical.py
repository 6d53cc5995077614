"""Hierarchical softmax: exact probabilities, gradients, and the biases that stand for frequencies."""

import numpy as np
import pytest
import torch

from stemma.layers.hierarchical import Paths, log_probabilities, path_surprisal

N, V, D = 6, 13, 5
COUNTS = torch.tensor([0, 9, 4, 0, 30, 1, 1, 2, 8, 5, 5, 3, 12])
LEAVES = 11


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(N, D), torch.randn(LEAVES - 1, D), torch.randn(LEAVES - 1)


def test_the_words_probabilities_sum_to_one_whatever_the_weights() -> None:
    hidden, weight, bias = inputs()
    paths = Paths(COUNTS)
    for state in hidden:
        chances = log_probabilities(state, weight, bias, paths).exp()
        assert chances.sum().item() == pytest.approx(1, abs=1e-6)
        assert (chances[COUNTS == 0] == 0).all()


def test_a_words_surprisal_is_its_probability() -> None:
    hidden, weight, bias = inputs(1)
    paths, labels = Paths(COUNTS), torch.tensor([4, 5, 12, 1, 4, 7])
    nats = path_surprisal(hidden, weight, bias, labels, paths)
    alone = [-log_probabilities(state, weight, bias, paths)[label] for state, label in zip(hidden, labels, strict=True)]
    torch.testing.assert_close(nats, torch.stack(alone))


def test_gradients_are_finite_differences() -> None:
    hidden, weight, bias = (t.double().requires_grad_() for t in inputs(2))
    paths, labels = Paths(COUNTS), torch.tensor([4, 5, 12, 1, 4, 7])

    def total(hidden, weight, bias):
        whose, place = paths.of(labels)
        logits = (hidden[whose] * weight[paths.nodes[place]]).sum(-1) + bias[paths.nodes[place]]
        return torch.nn.functional.softplus(-paths.signs[place] * logits).sum()

    assert torch.autograd.gradcheck(total, (hidden, weight, bias))
    exact = torch.autograd.grad(total(hidden, weight, bias), (hidden, weight, bias))
    ours = [t.detach().float().requires_grad_() for t in (hidden, weight, bias)]
    path_surprisal(*ours, labels, paths).sum().backward()
    for mine, other in zip(ours, exact, strict=True):
        np.testing.assert_allclose(mine.grad, other, atol=1e-5)


def test_log_odds_alone_give_the_words_frequencies() -> None:
    paths = Paths(COUNTS)
    bias = paths.log_odds(COUNTS)
    chances = log_probabilities(torch.zeros(D), torch.zeros(LEAVES - 1, D), bias, paths).exp()
    torch.testing.assert_close(chances, COUNTS / COUNTS.sum())
