"""Attention against torch's own, against a loop in NumPy, and its properties."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stemma.layers.attention import Cache, CrossAttention, Mask, SelfAttention, attend, block_mask, cross_mask, traced

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


S = 4
SOURCES = torch.tensor([[1, 1, 2, 3], [2, 2, 1, 0], [1, 1, 1, 1]])  # SEGMENTS[1] ends in padding, all else finds its own segment
PADDED = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])  # the last source is empty


def seen(queries, keys):
    """What `cross_mask` promises, said without it: (B T S)."""
    shown = (torch.ones(B, S) if keys is None else keys)[:, None, :].expand(-1, T, -1)
    own = shown if queries is None else queries[:, :, None].expand(-1, -1, S)
    return (shown > 0) & (own > 0 if keys is None else own == shown)


CROSSINGS = [(None, None), (None, PADDED), (SEGMENTS, None), (SEGMENTS, SOURCES), (SEGMENTS, PADDED)]


def torch_cross(width, dropout=0.0):
    """torch's own layer and ours with its weights, in float64."""
    theirs = torch.nn.MultiheadAttention(width, H, dropout, batch_first=True).double()
    torch.nn.init.normal_(theirs.in_proj_bias), torch.nn.init.normal_(theirs.out_proj.bias)
    query, key_value = theirs.in_proj_weight.split([width, 2 * width])
    query_bias, key_value_bias = theirs.in_proj_bias.split([width, 2 * width])
    named = {"query.weight": query, "query.bias": query_bias, "key_value.weight": key_value, "key_value.bias": key_value_bias}
    ours = {path: CrossAttention(width, H, dropout, path).double() for path in ("sdpa", "explicit")}
    for layer in ours.values():
        layer.load_state_dict({**named, "out.weight": theirs.out_proj.weight, "out.bias": theirs.out_proj.bias})
    return theirs, ours


@pytest.mark.parametrize(("queries", "keys"), CROSSINGS)
def test_cross_attention_agrees_with_torch_forward_and_backward(path, queries, keys):
    """Where a query sees nothing torch gives NaN, so it is shown one key there, and its answer is replaced."""
    theirs, ours = torch_cross(H * K)
    layer, allowed = ours[path], seen(queries, keys)
    x, source = torch.randn(B, T, H * K, dtype=torch.float64), torch.randn(B, S, H * K, dtype=torch.float64)
    pull = torch.randn(B, T, H * K, dtype=torch.float64)
    alive = allowed.any(-1, keepdim=True)
    inputs = [t.clone().requires_grad_() for t in (x, source)]
    expected, weights = theirs(
        inputs[0], inputs[1], inputs[1], attn_mask=~(allowed | ~alive).repeat_interleave(H, 0), average_attn_weights=False
    )
    expected = torch.where(alive, expected, theirs.out_proj.bias)
    (expected * pull).sum().backward()
    mine = [t.clone().requires_grad_() for t in (x, source)]
    mask = cross_mask(queries, keys)
    out = layer(mine[0], layer.remember(mine[1]), mask)
    (out * pull).sum().backward()
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-8)
    for one, other in zip(mine, inputs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-10, rtol=1e-8)
    for tensors in ("weight", "bias"):
        both = torch.cat([getattr(layer.query, tensors).grad, getattr(layer.key_value, tensors).grad])
        torch.testing.assert_close(both, getattr(theirs, f"in_proj_{tensors}").grad, atol=1e-10, rtol=1e-8)
        torch.testing.assert_close(getattr(layer.out, tensors).grad, getattr(theirs.out_proj, tensors).grad, atol=1e-10, rtol=1e-8)
    shown = layer.trace(x, layer.remember(source), mask).weights
    torch.testing.assert_close(shown, weights * alive[:, None], atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(("queries", "keys"), CROSSINGS)
def test_a_query_that_sees_no_source_gets_zeros_and_no_nan(path, queries, keys):
    layer = CrossAttention(H * K, H, 0.0, path)
    x, source = torch.randn(B, T, H * K, requires_grad=True), torch.randn(B, S, H * K, requires_grad=True)
    out, dead = layer(x, layer.remember(source), cross_mask(queries, keys)), ~seen(queries, keys).any(-1)
    torch.testing.assert_close(out[dead], layer.out.bias.expand_as(out[dead]))
    gradients = torch.autograd.grad(out.square().sum(), (x, source))
    assert all(g.isfinite().all() for g in gradients)
    assert (gradients[0][dead] == 0).all()
    reached = seen(queries, keys).any(1)
    assert (gradients[1][~reached] == 0).all() and (gradients[1][reached] != 0).any(-1).all()


def test_a_source_is_remembered_once_for_all_its_queries_and_rows_may_be_chosen(path):
    layer = CrossAttention(H * K, H, 0.3, path).eval()
    x, source = torch.randn(B, T, H * K), torch.randn(B, S, H * K)
    memory, whole = layer.remember(source), layer(x, layer.remember(source), cross_mask(None, PADDED))
    for t in range(T):
        torch.testing.assert_close(layer(x[:, t : t + 1], memory, cross_mask(None, PADDED))[:, 0], whole[:, t], atol=1e-6, rtol=1e-5)
    rows = [1, 0, 1]
    torch.testing.assert_close(layer(x[rows], memory.rows(rows), cross_mask(None, PADDED[rows])), whole[rows], atol=1e-6, rtol=1e-5)


def test_padding_appended_to_a_source_changes_nothing(path):
    layer = CrossAttention(H * K, H, 0.0, path)
    x, source = torch.randn(B, T, H * K), torch.randn(B, S, H * K)
    longer = torch.cat([source, torch.full((B, 3, H * K), 1e3)], 1)
    segments = torch.tensor([1] * S + [0] * 3).expand(B, -1)
    expected = layer(x, layer.remember(source), cross_mask(None, None))
    torch.testing.assert_close(layer(x, layer.remember(longer), cross_mask(None, segments)), expected, atol=1e-6, rtol=1e-5)


def test_dropout_of_cross_attention_falls_on_the_weights():
    """Of one source position the weight is 1 before dropout: 0 or 2 after it, for a head's whole value alike."""
    layer = CrossAttention(8, 2, 0.5, "explicit")
    memory, x = layer.remember(torch.randn(1, 1, 8)), torch.randn(1, 5, 8)
    torch.nn.init.eye_(layer.out.weight), torch.nn.init.zeros_(layer.out.bias)
    value = memory.values.transpose(1, 2).flatten(2)  # (1, 1, 8)
    share = (layer(x, memory, Mask(None)) / value).view(5, 2, 4)
    assert all(abs(rounded) < 1e-4 or abs(rounded - 2) < 1e-4 for rounded in share.flatten().tolist())
    assert (share.amax(-1) - share.amin(-1) < 1e-4).all() and share.unique().numel() > 1


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("segments", [None, SEGMENTS])
def test_weights_are_what_the_values_are_mixed_by(path, causal, segments):
    q, k, v = qkv()
    mask = block_mask(segments, causal)
    weights = traced(q, k, v, mask).weights
    torch.testing.assert_close((weights @ v).transpose(1, 2), attend(q, k, v, mask, path=path), atol=1e-6, rtol=1e-5)
    total = weights.sum(-1)
    torch.testing.assert_close(total, (torch.ones(B, T) if segments is None else segments.gt(0).float())[:, None].expand_as(total))
    if causal:
        assert (weights.triu(1) == 0).all()
