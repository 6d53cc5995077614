"""Dropout: rate, scale, independence, seed."""

import pytest
import torch

from stemma.layers.dropout import Dropout, dropout, keep_mask

CPU = torch.device("cpu")


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rate_and_scale(rate, dtype):
    torch.manual_seed(0)
    keep = keep_mask((1000, 401), rate, dtype, CPU)
    dropped = (keep == 0).double().mean().item()
    error = 5 * (rate * (1 - rate) / keep.numel()) ** 0.5  # five standard errors
    assert abs(dropped - rate) < error + (0.002 if dtype == torch.bfloat16 else 1e-5)  # what the docstring says it deviates by
    nothing, scale = keep.unique().tolist()
    assert nothing == 0
    assert scale == pytest.approx(1 / (1 - rate), rel=2**-8 if dtype == torch.bfloat16 else 1e-6)
    assert keep.double().mean().item() == pytest.approx(1, abs=error * scale)


def test_every_place_of_a_draw_is_dropped_equally_often():
    # One 64-bit draw serves four elements: each quarter must be as random as the others.
    torch.manual_seed(0)
    shares = (keep_mask((100_000, 4), 0.5, torch.float32, CPU) == 0).float()
    assert (shares.mean(0) - 0.5).abs().max() < 0.01
    assert torch.corrcoef(shares.t()).fill_diagonal_(0).abs().max() < 0.02


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 7, 1), (0, 4)])
def test_any_size(shape):
    assert keep_mask(shape, 0.1, torch.float32, CPU).shape == torch.Size(shape)


def test_same_seed_same_mask():
    torch.manual_seed(3)
    first = keep_mask((50,), 0.5, torch.float32, CPU)
    other = keep_mask((50,), 0.5, torch.float32, CPU)
    torch.manual_seed(3)
    assert torch.equal(first, keep_mask((50,), 0.5, torch.float32, CPU))
    assert not torch.equal(first, other)


def test_nothing_happens_in_evaluation_or_at_rate_zero():
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert dropout(x, 0.0, training=True) is x


def test_gradient_follows_the_mask():
    x = torch.ones(200, requires_grad=True)
    y = dropout(x, 0.5, training=True)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
