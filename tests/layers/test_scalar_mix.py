"""The mix of layers: its formula, and its limits."""

import torch

from stemma.layers.scalar_mix import ScalarMix


def test_the_formula():
    torch.manual_seed(1)
    mix, states = ScalarMix(3).double(), torch.randn(2, 5, 3, 4, dtype=torch.double)
    torch.testing.assert_close(mix(states), states.mean(2))
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.3, -1.0, 2.0]))
        mix.gamma.fill_(1.7)
    shares = torch.tensor([0.3, -1.0, 2.0], dtype=torch.double).exp()
    shares /= shares.sum()
    torch.testing.assert_close(mix(states), 1.7 * sum(share * states[:, :, k] for k, share in enumerate(shares)))
    torch.testing.assert_close(mix.weights.softmax(0).sum(), torch.ones((), dtype=torch.double))


def test_one_layer_alone_when_its_share_is_all():
    mix, states = ScalarMix(3), torch.randn(2, 3, 4)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([-torch.inf, 0.0, -torch.inf]))
    torch.testing.assert_close(mix(states), states[:, 1])


def test_all_of_it_learns():
    mix = ScalarMix(2)
    mix(torch.randn(3, 2, 4)).square().sum().backward()
    assert (mix.weights.grad != 0).all()
    assert mix.gamma.grad != 0
