"""The pieces that are there for speed alone, against the plain operations that they stand for."""

import math

import pytest
import torch
from torch.nn import functional as F

from stemma.layers import fast
from stemma.layers.attention import SelfAttention, block_mask
from stemma.layers.fast import Dense, Dropout, Positions, activate, dropout, keep_mask

X = torch.cat([torch.linspace(-12, 12, 1001), torch.tensor([0.0, -300.0, 300.0])])
CPU = torch.device("cpu")
B, T, D = 3, 7, 8
SEGMENTS = torch.tensor([[1, 1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
UNEVEN = torch.tensor([[0, 1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dense_equals_the_library_s_with_its_gradients(dtype):
    layer = Dense(20, 7).to(dtype)
    x = torch.randn(3, 5, 20, dtype=dtype, requires_grad=True)
    ours, theirs = layer(x), F.linear(x, layer.weight, layer.bias)
    # bfloat16 keeps 8 bits, and the sum is rounded once more than by the library
    torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=2**-7 if dtype == torch.bfloat16 else 1e-6)
    seed = torch.randn_like(ours)
    inputs = (x, layer.weight, layer.bias)
    for got, expected in zip(torch.autograd.grad(ours, inputs, seed), torch.autograd.grad(theirs, inputs, seed), strict=True):
        torch.testing.assert_close(got, expected)


def test_under_autocast_dense_gives_its_type_and_float32_gradients():
    layer = Dense(20, 7)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.randn(3, 20))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.bias.grad.dtype == torch.float32
    torch.testing.assert_close(layer.bias.grad, torch.full((7,), 3.0))


@pytest.fixture(params=[100, 10**6], ids=["chunks", "one chunk"])
def chunks(request, monkeypatch):
    monkeypatch.setattr(fast, "CHUNK", request.param)


@pytest.mark.usefixtures("chunks")
def test_tanh_form_with_gradient_is_that_of_torch():
    ours, theirs = X.clone().requires_grad_(), X.clone().requires_grad_()
    one, other = activate(ours, "gelu_tanh"), F.gelu(theirs, approximate="tanh")
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    pull = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    slopes = [torch.autograd.grad((y * pull).sum(), x)[0] for y, x in ((one, ours), (other, theirs))]
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("chunks")
def test_bfloat16_is_as_near_as_torch_is():
    x = X.bfloat16().requires_grad_()
    exact = F.gelu(x.float(), approximate="tanh")
    error = (activate(x, "gelu_tanh").float() - exact).abs().max()
    assert error <= (F.gelu(x, approximate="tanh").float() - exact).abs().max()


@pytest.mark.parametrize(("activation", "expected"), [("gelu", 0.8413447), ("gelu_tanh", 0.8411920)])
def test_gelu_at_one(activation, expected):
    assert activate(torch.ones(1), activation).item() == pytest.approx(expected, abs=1e-6)
    assert activate(torch.ones(1, requires_grad=True), activation).item() == pytest.approx(expected, abs=1e-6)


def test_the_two_forms_of_gelu_differ_by_what_is_known():
    # Spec 09: the largest gap is 4.7e-4.
    gap = (activate(X, "gelu") - activate(X, "gelu_tanh")).abs().max().item()
    assert math.isclose(gap, 4.7e-4, abs_tol=2e-5)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_keeps_its_rate_and_scale(rate, dtype):
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
def test_masks_of_any_size(shape):
    assert keep_mask(shape, 0.1, torch.float32, CPU).shape == torch.Size(shape)


def test_same_seed_same_mask():
    torch.manual_seed(3)
    first = keep_mask((50,), 0.5, torch.float32, CPU)
    other = keep_mask((50,), 0.5, torch.float32, CPU)
    torch.manual_seed(3)
    assert torch.equal(first, keep_mask((50,), 0.5, torch.float32, CPU))
    assert not torch.equal(first, other)


def test_dropout_does_nothing_in_evaluation_or_at_rate_zero():
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert dropout(x, 0.0, training=True) is x


def test_gradient_follows_the_mask():
    x = torch.ones(200, requires_grad=True)
    y = dropout(x, 0.5, training=True)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("chosen", [UNEVEN, torch.ones(B, T, dtype=torch.bool)], ids=["uneven", "all"])
@pytest.mark.parametrize("segments", [None, SEGMENTS], ids=["whole rows", "packed"])
@pytest.mark.parametrize("path", ["sdpa", "explicit"])
def test_attention_at_chosen_positions_is_that_of_all(chosen, segments, path):
    torch.manual_seed(3)
    layer = SelfAttention(D, 2, 0.1, path).double().eval()
    x, mask = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True), block_mask(segments)
    some, whole = layer.at(Positions(chosen), x, mask), layer(x, mask)[chosen]
    torch.testing.assert_close(some, whole)
    learned = [x, *layer.parameters()]
    for one, other in zip(torch.autograd.grad(some.sin().sum(), learned), torch.autograd.grad(whole.sin().sum(), learned), strict=True):
        torch.testing.assert_close(one, other)


def test_states_and_picks_keep_the_order_of_the_rows():
    x = torch.arange(B * T * 1.0).view(B, T, 1)
    chosen = Positions(UNEVEN)
    states = chosen.states(x)
    assert states.flatten().tolist() == [1, 4, 6, 7]
    assert chosen.pick(states, torch.tensor([7, 4])).flatten().tolist() == [7, 4]
    assert chosen.rows(x)[chosen.real].flatten().tolist() == [1, 4, 6, 7]
