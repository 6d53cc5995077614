"""The affine map that does not copy its bias."""

import pytest
import torch
from torch.nn import functional as F

from stemma.layers.dense import Dense


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_the_library_s_with_its_gradients(dtype):
    layer = Dense(20, 7).to(dtype)
    x = torch.randn(3, 5, 20, dtype=dtype, requires_grad=True)
    ours, theirs = layer(x), F.linear(x, layer.weight, layer.bias)
    # bfloat16 keeps 8 bits, and the sum is rounded once more than by the library
    torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=2**-7 if dtype == torch.bfloat16 else 1e-6)
    seed = torch.randn_like(ours)
    inputs = (x, layer.weight, layer.bias)
    for got, wanted in zip(torch.autograd.grad(ours, inputs, seed), torch.autograd.grad(theirs, inputs, seed), strict=True):
        torch.testing.assert_close(got, wanted)


def test_autocast_gives_its_type_and_float32_gradients():
    layer = Dense(20, 7)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.randn(3, 20))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.bias.grad.dtype == torch.float32
    torch.testing.assert_close(layer.bias.grad, torch.full((7,), 3.0))
