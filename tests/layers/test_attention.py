"""Attention against torch's own, against a loop in NumPy, and its properties."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stemma.layers.attention import Cache, Mask, SelfAttention, attend, block_mask

B, H, T, K = 3, 2, 7, 5


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


@pytest.fixture(params=["sdpa", "explicit"])
def path(request):
    return request.param


def qkv(dtype=torch.float32):
    return [torch.randn(B, H, T, K, dtype=dtype, requires_grad=True) for _ in range(3)]


def by_hand(q, k, v, allowed):
    """Five lines of float64 NumPy; a query that may attend to nothing gets zeros."""
    q, k, v = (x.detach().numpy().astype(np.float64) for x in (q, k, v))
    out = np.zeros((B, T, H, K))
    for b, h, t in np.ndindex(B, H, T):
        keys = np.nonzero(allowed[b, t])[0]
        if len(keys):
            e = np.exp(q[b, h, t] @ k[b, h, keys].T / math.sqrt(K))
            out[b, t, h] = e / e.sum() @ v[b, h, keys]
    return out


SEGMENTS = torch.tensor([[1, 1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("causal", [False, True])
def test_segments_agree_with_a_loop(path, causal):
    q, k, v = qkv()
    same = (SEGMENTS[:, :, None] == SEGMENTS[:, None, :]) & (SEGMENTS[:, :, None] > 0)
    allowed = (same.tril() if causal else same).numpy()
    out = attend(q, k, v, block_mask(SEGMENTS, causal), path=path)
    np.testing.assert_allclose(out.detach().numpy(), by_hand(q, k, v, allowed), atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask_of", [lambda c: block_mask(None, c), lambda c: block_mask(SEGMENTS, c)])
def test_both_paths_agree_with_gradients(causal, mask_of):
    results = []
    q, k, v = qkv(torch.float64)
    pull = torch.randn(B, T, H, K, dtype=torch.float64)
    for path in ("sdpa", "explicit"):
        out = attend(q, k, v, mask_of(causal), path=path)
        results.append((out, *torch.autograd.grad((out * pull).sum(), (q, k, v))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-10)


def test_finite_differences(path):
    q, k, v = (torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(3))
    segments = torch.tensor([[1, 1, 0]])
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, block_mask(segments), path=path), (q, k, v), atol=1e-6)


def test_a_query_without_keys_gives_zeros_and_no_nan(path):
    q, k, v = qkv()
    out = attend(q, k, v, block_mask(SEGMENTS), path=path)
    assert (out[1, 5:] == 0).all()
    gradients = torch.autograd.grad(out.square().sum(), (q, k, v))
    assert all(g.isfinite().all() for g in gradients)
    assert (gradients[0][1, :, 5:] == 0).all()


def test_worked_example_of_the_sheet(path):
    q, k, v = torch.tensor([[[[1.0, 0.0]]]]), torch.eye(2)[None, None], torch.tensor([[[[1.0, 1.0], [3.0, 3.0]]]])
    torch.testing.assert_close(attend(q, k, v, Mask(None), path=path).flatten()[0], torch.tensor(1.6604770))


@pytest.mark.parametrize("queries", [1, 3, T])
def test_the_last_of_a_causal_masks_queries_stands_at_the_last_key(path, queries):
    q, k, v = qkv()
    mask = Mask(None, None, causal=True)
    whole = attend(q, k, v, mask, path=path)
    torch.testing.assert_close(attend(q[:, :, T - queries :], k, v, mask, path=path), whole[:, T - queries :], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "chunks", [[(7, 7, 7)], [(2, 2, 2), (1, 1, 1), (4, 4, 4)], [(4, 1, 2), (1, 1, 3), (2, 5, 2)], [(1, 6, 3), (6, 1, 4)]]
)
def test_rows_read_piece_by_piece_give_what_they_give_at_once(path, chunks):
    """Rows of equal and of unequal length, whose padding is wild, so that a weight on it would show."""
    layer = SelfAttention(H * K, H, 0.0, path).eval()
    x = torch.randn(B, T, H * K)
    expected, cache, read = layer(x, block_mask(None, causal=True)), Cache(B), [0] * B
    for counts in chunks:
        padded = torch.full((B, max(counts), H * K), 1e3)
        for row, count in enumerate(counts):
            padded[row, :count] = x[row, read[row] : read[row] + count]
        positions, mask = cache.place(counts, range(B), x.device)
        out = layer(padded, mask, cache)
        for row, count in enumerate(counts):
            assert positions[row, :count].tolist() == list(range(read[row], read[row] + count))
            torch.testing.assert_close(out[row, :count], expected[row, read[row] : read[row] + count], atol=1e-5, rtol=1e-4)
            read[row] += count
    assert cache.lengths == read == [T] * B


def test_rows_of_a_cache_are_copies_and_may_be_read_alone(path):
    layer = SelfAttention(H * K, H, 0.0, path).eval()
    x = torch.randn(B, T, H * K)
    expected, cache = layer(x, block_mask(None, causal=True)), Cache(B)
    layer(x[:, :4], cache.place([4] * B, range(B), x.device)[1], cache)
    turned = cache.rows([2, 0, 2])
    for held, rows in ((turned, [2, 0, 2]), (cache, [0, 1, 2])):  # the copy first: what it reads must not reach the other
        for row, origin in enumerate(rows):
            _, mask = held.place([3], [row], x.device)
            out = layer(x[origin : origin + 1, 4:], mask, held)
            torch.testing.assert_close(out[0], expected[origin, 4:], atol=1e-5, rtol=1e-4)


def test_equal_keys_give_the_mean_of_the_values(path):
    q, _, v = qkv()
    out = attend(q, torch.ones(B, H, T, K), v, Mask(None), path=path)
    torch.testing.assert_close(out, v.mean(2, keepdim=True).expand(B, H, T, K).transpose(1, 2), atol=1e-6, rtol=1e-5)


def test_order_of_keys_does_not_matter(path):
    q, k, v = qkv()
    order = torch.randperm(T)
    there = attend(q, k[:, :, order], v[:, :, order], Mask(None), path=path)
    torch.testing.assert_close(there, attend(q, k, v, Mask(None), path=path), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_layer_agrees_with_torch_multihead_attention(path, causal):
    width = H * K
    ours, theirs = SelfAttention(width, H, 0.1, path).eval(), torch.nn.MultiheadAttention(width, H, 0.1, batch_first=True).eval()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x = torch.randn(B, T, width)
    blocked = ~torch.ones(T, T, dtype=torch.bool).tril() if causal else None
    expected, _ = theirs(x, x, x, attn_mask=blocked, need_weights=False)
    torch.testing.assert_close(ours(x, block_mask(None, causal)), expected, atol=1e-6, rtol=1e-5)


def test_dropout_keeps_the_expectation_and_follows_the_seed():
    layer = SelfAttention(8, 2, 0.3, "explicit")
    x = torch.randn(1, 4, 8).expand(4000, -1, -1)
    torch.manual_seed(1)
    noisy = layer(x, Mask(None))
    torch.manual_seed(1)
    assert torch.equal(noisy, layer(x, Mask(None)))
    torch.testing.assert_close(noisy.mean(0), layer.eval()(x[:1], Mask(None))[0], atol=0.03, rtol=0)


def test_bfloat16_is_near_float32(path):
    layer = SelfAttention(64, 4, 0.0, path)
    x = torch.randn(B, T, 64)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x, block_mask(SEGMENTS))
    assert F.cosine_similarity(low.float().flatten(), layer(x, block_mask(SEGMENTS)).flatten(), dim=0) > 0.9999
