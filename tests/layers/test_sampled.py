"""Sampled softmax: the draws, the loss against the same in float64 by autograd, and what it converges to."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stemma.layers.sampled import Proposal, sampled_cross_entropy

N, V, D, S = 5, 23, 7, 11
COUNTS = torch.arange(V).float() ** 2  # word 0 is never drawn


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(N, D), torch.randn(V, D), torch.randn(V), torch.randint(1, V, (N,))


def reference(hidden, weight, bias, labels, words, raised):
    """The loss as its formula reads, one prediction after the other."""
    total = 0.0
    for state, label in zip(hidden, labels.tolist(), strict=True):
        right = state @ weight[label] + bias[label]
        pairs = [(word, lift) for word, lift in zip(words.tolist(), raised, strict=True) if word != label]
        scores = [state @ weight[word] + bias[word] + lift for word, lift in pairs]
        total = total - right + torch.stack([right, *scores]).logsumexp(0)
    return total


def test_loss_and_gradients_are_those_of_the_formula() -> None:
    hidden, weight, bias, labels = (t.double() if t.is_floating_point() else t for t in inputs())
    proposal = Proposal(COUNTS, 0.75)
    torch.manual_seed(9)
    words, raised = proposal.draw(S)
    labels[0] = words[0]  # an accidental hit
    theirs = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    expected = reference(*theirs, labels, words, raised)
    expected.backward()
    ours = [t.float().requires_grad_() for t in (hidden, weight, bias)]
    torch.manual_seed(9)
    got = sampled_cross_entropy(*ours, labels, Proposal(COUNTS, 0.75), S)
    (got * 1.0).backward()
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, other.grad, atol=2e-5)  # float32 against float64


def test_words_are_hit_as_often_as_assumed() -> None:
    torch.manual_seed(0)
    proposal, hits = Proposal(COUNTS, 0.75), torch.zeros(V)
    corrections = torch.full((V,), torch.inf)
    for _ in range(4000):
        words, raised = proposal.draw(S)
        hits[words] += 1
        corrections[words] = raised
    chances = COUNTS.double() ** 0.75 / (COUNTS.double() ** 0.75).sum()
    expected = 4000 * (1 - (1 - chances) ** S)
    assert hits[0] == 0
    np.testing.assert_allclose(4000 * (-corrections[1:]).exp(), expected[1:], rtol=1e-5)
    spread = (expected * (1 - expected / 4000)).sqrt()
    assert ((hits - expected)[1:].abs() < 4 * spread[1:]).all()


def test_it_learns_what_the_whole_softmax_learns() -> None:
    """Biases alone, fitted to labels of known frequencies, become their logarithms, though the proposal is another."""
    chances = torch.softmax(torch.linspace(0, 3, V - 1), 0)
    torch.manual_seed(1)
    proposal, bias = Proposal(COUNTS.flip(0), 0.5), torch.zeros(V, requires_grad=True)
    optimiser = torch.optim.Adam([bias], betas=(0.9, 0.99))
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        labels = torch.multinomial(chances, 1000, replacement=True)
        loss = sampled_cross_entropy(torch.zeros(1000, 1), torch.zeros(V, 1), bias, labels, proposal, 400)
        optimiser.zero_grad()
        (loss / 1000).backward()
        optimiser.step()
    np.testing.assert_allclose(torch.softmax(bias[: V - 1].detach(), 0), chances, rtol=0.1, atol=2e-3)


def test_bfloat16_is_near() -> None:
    hidden, weight, bias, labels = inputs(3)
    losses = []
    for enabled in (False, True):
        torch.manual_seed(4)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(sampled_cross_entropy(hidden, weight, bias, labels, Proposal(COUNTS, 0.75), S).item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_it_comes_near_the_whole_loss_from_below() -> None:
    hidden, weight, bias, labels = inputs(5)
    whole = F.cross_entropy((hidden @ weight.T + bias)[:, 1:], labels - 1, reduction="sum").item()
    proposal = Proposal(COUNTS, 0.75)
    torch.manual_seed(0)
    means = [
        np.mean([sampled_cross_entropy(hidden, weight, bias, labels, proposal, size).item() for _ in range(50)]) for size in (10, 30_000)
    ]
    assert means[0] < means[1] < whole + 0.05 and means[1] == pytest.approx(whole, abs=0.2)
