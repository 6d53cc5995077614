"""Cross-entropy against torch's, in chunks and in one."""

import pytest
import torch
from torch.nn import functional as F

from stemma.layers import loss
from stemma.layers.loss import cross_entropy, smoothed_cross_entropy, surprisal

N, D, V = 13, 6, 29


@pytest.fixture(params=[1, 100, 10**6], ids=["row by row", "chunks of three", "one chunk"])
def chunks(request, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK", request.param)
    monkeypatch.setattr(loss, "SOFTMAX", request.param // 2)


def tensors(bias, dtype=torch.float64):
    torch.manual_seed(5)
    hidden, weight = torch.randn(N, D, dtype=dtype, requires_grad=True), torch.randn(V, D, dtype=dtype, requires_grad=True)
    return hidden, weight, torch.randn(V, dtype=dtype, requires_grad=True) if bias else None, torch.randint(V, (N,))


@pytest.mark.parametrize("bias", [False, True])
def test_value_and_gradients(chunks, bias):
    hidden, weight, free, labels = tensors(bias, torch.float32)
    learned = [x for x in (hidden, weight, free) if x is not None]
    total = cross_entropy(hidden, weight, free, labels)
    expected = F.cross_entropy(F.linear(hidden, weight, free), labels, reduction="sum")
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=1e-6)
    ours, theirs = torch.autograd.grad(total / N, learned), torch.autograd.grad(expected / N, learned)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_smoothed_labels(chunks, bias):
    """The right token has 1 - 0.1, the 28 others share 0.1: beside PyTorch's cross-entropy with these chances spelled out."""
    hidden, weight, free, labels = tensors(bias, torch.float32)
    learned = [x for x in (hidden, weight, free) if x is not None]
    chances = torch.full((N, V), 0.1 / (V - 1)).scatter_(1, labels[:, None], 0.9)
    expected = F.cross_entropy(F.linear(hidden, weight, free), chances, reduction="sum")
    total, plain = smoothed_cross_entropy(hidden, weight, free, labels, 0.1)
    torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(plain, cross_entropy(hidden, weight, free, labels).detach(), atol=1e-5, rtol=1e-6)
    assert not plain.requires_grad
    ours, theirs = torch.autograd.grad(total / N, learned), torch.autograd.grad(expected / N, learned)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_surprisal_is_the_loss_of_each(chunks):
    hidden, weight, free, labels = tensors(True)
    expected = F.cross_entropy(F.linear(hidden, weight, free), labels, reduction="none").float()
    torch.testing.assert_close(surprisal(hidden, weight, free, labels), expected)


def test_without_gradients(chunks):
    hidden, weight, free, labels = tensors(True)
    with torch.no_grad():
        total = cross_entropy(hidden, weight, free, labels)
    torch.testing.assert_close(total, surprisal(hidden, weight, free, labels).sum(), atol=1e-4, rtol=0)


def test_large_logits_do_not_overflow():
    hidden, weight, _, labels = tensors(False, torch.float32)
    total = cross_entropy(1000 * hidden, weight, None, labels)
    total.backward()
    assert total.isfinite() and hidden.grad.isfinite().all()


def test_autocast_is_near_float32():
    hidden, weight, free, labels = tensors(True, torch.float32)
    exact = cross_entropy(hidden, weight, free, labels)
    with torch.autocast("cpu", torch.bfloat16):
        near = cross_entropy(hidden, weight, free, labels)
    assert near.dtype == torch.float32
    assert near.item() == pytest.approx(exact.item(), rel=5e-3)
    for one, other in zip(torch.autograd.grad(near, (hidden, weight)), torch.autograd.grad(exact, (hidden, weight)), strict=True):
        assert one.dtype == torch.float32
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.9995


def test_backward_twice_gives_the_same():
    hidden, weight, free, labels = tensors(True)
    total = cross_entropy(hidden, weight, free, labels)
    first = torch.autograd.grad(total, hidden, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(total, hidden)[0])
