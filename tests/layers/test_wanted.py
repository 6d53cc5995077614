"""A layer at some positions gives what the whole layer gives there."""

import pytest
import torch

from stemma.layers.attention import SelfAttention, block_mask
from stemma.layers.wanted import Wanted

B, T, D = 3, 7, 8
SEGMENTS = torch.tensor([[1, 1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
UNEVEN = torch.tensor([[0, 1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("wanted", [UNEVEN, torch.ones(B, T, dtype=torch.bool)], ids=["uneven", "all"])
@pytest.mark.parametrize("segments", [None, SEGMENTS], ids=["whole rows", "packed"])
@pytest.mark.parametrize("path", ["sdpa", "explicit"])
def test_attention_at_wanted_positions_is_that_of_all(wanted, segments, path):
    torch.manual_seed(3)
    layer = SelfAttention(D, 2, 0.1, path).double().eval()
    x, mask = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True), block_mask(segments)
    some, whole = layer.at(Wanted(wanted), x, mask), layer(x, mask)[wanted]
    torch.testing.assert_close(some, whole)
    learned = [x, *layer.parameters()]
    for one, other in zip(torch.autograd.grad(some.sin().sum(), learned), torch.autograd.grad(whole.sin().sum(), learned), strict=True):
        torch.testing.assert_close(one, other)


def test_states_and_picks_keep_the_order_of_the_rows():
    x = torch.arange(B * T * 1.0).view(B, T, 1)
    wanted = Wanted(UNEVEN)
    states = wanted.states(x)
    assert states.flatten().tolist() == [1, 4, 6, 7]
    assert wanted.pick(states, torch.tensor([7, 4])).flatten().tolist() == [7, 4]
    assert wanted.rows(x)[wanted.real].flatten().tolist() == [1, 4, 6, 7]
