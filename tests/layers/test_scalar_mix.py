"""The scalar mix against its formula, written out."""

import pytest
import torch

from stemma.layers.scalar_mix import ScalarMix


def test_equals_the_formula():
    mix = ScalarMix(3)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.1, -1.0, 2.0]))
        mix.gamma.fill_(0.7)
    states = torch.randn(2, 5, 3, 4)
    shares = (mix.weights.exp() / mix.weights.exp().sum()).tolist()
    expected = 0.7 * sum(share * states[:, :, layer] for layer, share in enumerate(shares))
    torch.testing.assert_close(mix(states), expected)
    assert mix.shares() == pytest.approx(shares)


def test_begins_with_equal_shares():
    assert ScalarMix(4).shares() == [0.25] * 4
