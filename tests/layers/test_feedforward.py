"""GELU in both forms against torch's and against the formula."""

import math

import pytest
import torch
from torch.nn import functional as F

from stemma.layers import feedforward
from stemma.layers.feedforward import activate

X = torch.cat([torch.linspace(-12, 12, 1001), torch.tensor([0.0, -300.0, 300.0])])


@pytest.fixture(params=[100, 10**6], ids=["chunks", "one chunk"], autouse=True)
def chunks(request, monkeypatch):
    monkeypatch.setattr(feedforward, "CHUNK", request.param)


def test_tanh_form_with_gradient_is_that_of_torch():
    ours, theirs = X.clone().requires_grad_(), X.clone().requires_grad_()
    one, other = activate(ours, "gelu_tanh"), F.gelu(theirs, approximate="tanh")
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    pull = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    slopes = [torch.autograd.grad((y * pull).sum(), x)[0] for y, x in ((one, ours), (other, theirs))]
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_as_near_as_torch_is():
    x = X.bfloat16().requires_grad_()
    exact = F.gelu(x.float(), approximate="tanh")
    error = (activate(x, "gelu_tanh").float() - exact).abs().max()
    assert error <= (F.gelu(x, approximate="tanh").float() - exact).abs().max()


@pytest.mark.parametrize(("activation", "expected"), [("gelu", 0.8413447), ("gelu_tanh", 0.8411920)])
def test_value_at_one(activation, expected):
    assert activate(torch.ones(1), activation).item() == pytest.approx(expected, abs=1e-6)
    assert activate(torch.ones(1, requires_grad=True), activation).item() == pytest.approx(expected, abs=1e-6)


def test_the_two_forms_differ_by_what_is_known():
    # Spec 09: the largest gap is 4.7e-4.
    gap = (activate(X, "gelu") - activate(X, "gelu_tanh")).abs().max().item()
    assert math.isclose(gap, 4.7e-4, abs_tol=2e-5)
