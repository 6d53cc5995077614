"""Standardised input of a linear map: of what was measured mean 0 and deviation 1; and the map absorbs it."""

import pytest
import torch
from torch import nn

from stemma.layers.standardised import FLOOR, Standardised


@pytest.fixture
def vectors():
    """Far from the origin, as a network's summaries of texts are: what they share is many times what tells them apart."""
    torch.manual_seed(4)
    return torch.randn(50, 7) * torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0, 1e-3, 0.0]) + torch.arange(7) * 10


def test_what_was_measured_has_mean_0_and_deviation_1(vectors):
    x = Standardised.of(vectors)(vectors)
    torch.testing.assert_close(x.mean(0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(x[:, :5].std(0, correction=0), torch.ones(5))
    largest = 1e-3 / (FLOOR * vectors.std(0, correction=0).square().mean().sqrt())  # hardly moves: not made as large as the others
    assert x[:, 5].std() < 2 * largest and not x[:, 6].any()


def test_nothing_is_made_more_than_ten_times_as_large():
    """Not even of vectors that are all the same."""
    torch.testing.assert_close(Standardised.of(torch.full((3, 4), 2.5))(torch.full((2, 4), 3.0)), torch.full((2, 4), 0.5 / FLOOR))


@pytest.mark.parametrize("behind", [0, 3])
def test_the_map_absorbs_it(vectors, behind):
    standardised, linear, more = Standardised.of(vectors), nn.Linear(7 + behind, 5), torch.randn(50, behind)
    before = linear(torch.cat([standardised(vectors), more], 1))
    standardised.absorb_into(linear)
    torch.testing.assert_close(linear(torch.cat([vectors, more], 1)), before, atol=1e-4, rtol=1e-4)  # float32 sums of numbers up to 60
