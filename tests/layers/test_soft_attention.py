"""Soft attention against loops in NumPy, and the properties of its stages; the six steps against the fast layer."""

import math

import numpy as np
import pytest
import torch

from stemma.errors import UsageError
from stemma.layers.attention import SelfAttention, block_mask
from stemma.layers.soft_attention import EPS, SoftAttention, mix, normalise, similarity, six_steps

B, T, S, Q, K, A = 2, 3, 5, 4, 6, 7
NAMES = ["dot", "scaled_dot", "general", "additive", "concat", "cosine"]
ALLOWED = torch.tensor([[[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], [[1] * S] * T], dtype=torch.bool)  # a query without keys


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(11)


def made(name, dtype=torch.float64):
    """The similarity, queries, and keys of a width that it takes."""
    width = K if name in ("dot", "scaled_dot", "cosine") else Q
    queries, keys = torch.randn(B, T, width, dtype=dtype), torch.randn(B, S, K, dtype=dtype)
    return similarity(name, width, K, A).to(dtype), queries.requires_grad_(), keys.requires_grad_()


def score_by_hand(name, weights, q, k):
    """One query with one key, as the papers write it."""
    match name:
        case "dot":
            return q @ k
        case "scaled_dot":
            return q @ k / math.sqrt(len(k))
        case "general":
            return q @ weights["map.weight"] @ k / math.sqrt(len(q))
        case "cosine":
            return weights["scale"] * (q @ k) / (max(np.linalg.norm(q), EPS) * max(np.linalg.norm(k), EPS))
        case "additive":
            return weights["score.weight"][0] @ np.tanh(weights["query.weight"] @ q + weights["query.bias"] + weights["key.weight"] @ k)
        case "concat":
            return weights["score.weight"][0] @ np.tanh(weights["joined.weight"] @ np.concatenate([q, k]))


def by_hand(name, module, queries, keys, allowed):
    """(scores, weights, output) query by query, key by key."""
    weights = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    q, k = queries.detach().numpy(), keys.detach().numpy()
    scores, shares, out = np.zeros((B, T, S)), np.zeros((B, T, S)), np.zeros((B, T, K))
    for b, t in np.ndindex(B, T):
        for s in range(S):
            scores[b, t, s] = score_by_hand(name, weights, q[b, t], k[b, s])
        total = sum(math.exp(scores[b, t, s]) for s in range(S) if allowed[b, t, s])
        for s in range(S):
            if allowed[b, t, s]:
                shares[b, t, s] = math.exp(scores[b, t, s]) / total
                out[b, t] += shares[b, t, s] * k[b, s]
    return scores, shares, out


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_agrees_with_a_loop(name):
    module, queries, keys = made(name)
    scores, weights, out = by_hand(name, module, queries, keys, ALLOWED)
    np.testing.assert_allclose(module(queries, module.remember(keys)).detach().numpy(), scores, atol=1e-10)
    attention = SoftAttention(module)
    mixed, shares = attention(queries, attention.remember(keys), ALLOWED)
    np.testing.assert_allclose(shares.detach().numpy(), weights, atol=1e-10)
    np.testing.assert_allclose(mixed.detach().numpy(), out, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_finite_differences(name):
    module, queries, keys = made(name)
    attention = SoftAttention(module)

    def whole(queries, keys, *_):
        """Both outputs; the parameters are those of the module, which gradcheck moves in place."""
        return attention(queries, attention.remember(keys), ALLOWED)

    assert torch.autograd.gradcheck(whole, (queries, keys, *module.parameters()), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_without_keys_gives_zeros_and_no_nan(name):
    module, queries, keys = made(name, torch.float32)
    attention = SoftAttention(module)
    out, weights = attention(queries, attention.remember(keys), ALLOWED)
    assert (out[0, 2] == 0).all() and (weights[~ALLOWED] == 0).all()
    torch.testing.assert_close(weights.sum(-1), ALLOWED.any(-1).float())
    gradients = torch.autograd.grad(out.square().sum(), (queries, keys, *module.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (gradients[0][0, 2] == 0).all() and (gradients[1][0, 2] == 0).all()  # it sees nothing; nobody sees that key


def test_worked_example_of_the_sheet():
    q, keys, values = torch.tensor([[[1.0, 0.0]]]), torch.eye(2)[None], torch.tensor([[[1.0], [3.0]]])
    for name, weights, output in (("dot", (0.7310586, 0.2689414), 1.5378828), ("scaled_dot", (0.6697615, 0.3302385), 1.6604770)):
        function = similarity(name, 2, 2, A)
        found = normalise(function(q, function.remember(keys)))
        torch.testing.assert_close(found.flatten(), torch.tensor(weights), atol=1e-7, rtol=0)
        torch.testing.assert_close(mix(found, values).item(), output, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_may_be_turned_padded_or_read_a_query_at_a_time(name):
    module, queries, keys = made(name)
    attention = SoftAttention(module)
    expected, weights = attention(queries, attention.remember(keys))
    order = torch.randperm(S)
    turned, turned_weights = attention(queries, attention.remember(keys[:, order]))
    torch.testing.assert_close(turned, expected)
    torch.testing.assert_close(turned_weights, weights[..., order])
    padded, real = torch.cat([keys, 1e3 * torch.ones(B, 2, K).double()], 1), torch.arange(S + 2)[None, None] < S
    torch.testing.assert_close(attention(queries, attention.remember(padded), real)[0], expected)
    source = attention.remember(keys)
    for t in range(T):
        torch.testing.assert_close(attention(queries[:, t : t + 1], source)[0][:, 0], expected[:, t])
    torch.testing.assert_close(attention(queries[[1, 0, 1]], source.rows([1, 0, 1]))[0], expected[[1, 0, 1]])


@pytest.mark.parametrize("name", NAMES)
def test_equal_keys_give_the_mean_of_the_values(name):
    module, queries, keys = made(name)
    values = torch.randn(B, S, 2, dtype=torch.float64)
    weights = normalise(module(queries, module.remember(keys[:, :1].expand(-1, S, -1))))
    torch.testing.assert_close(mix(weights, values), values.mean(1, keepdim=True).expand(-1, T, -1))


def test_a_constant_added_to_all_scores_changes_nothing():
    scores = torch.randn(B, T, S, dtype=torch.float64)
    torch.testing.assert_close(normalise(scores + 5.0, ALLOWED), normalise(scores, ALLOWED))


def test_cosine_does_not_depend_on_length_and_bears_zero_vectors():
    module, queries, keys = made("cosine")
    scores = module(queries, module.remember(keys))
    torch.testing.assert_close(module(3 * queries, module.remember(0.1 * keys)), scores)
    assert scores.abs().max() <= module.scale
    zeros = torch.zeros(B, T, K, requires_grad=True)
    module.float()
    out = module(zeros, module.remember(torch.zeros(B, S, K, requires_grad=True)))
    assert (out == 0).all() and torch.autograd.grad(out.sum(), zeros)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_are_normalised_in_float32(dtype):
    scores = (torch.randn(B, T, 300) * 4).to(dtype)
    weights = normalise(scores)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, normalise(scores.float()), atol=0, rtol=0)
    masked = normalise(scores, torch.zeros(1, 1, 300, dtype=torch.bool))
    assert (masked == 0).all()
    assert mix(weights, torch.randn(B, 300, 2).to(dtype)).dtype == dtype


@pytest.mark.parametrize("causal", [False, True])
def test_six_steps_are_those_of_the_fast_layer(causal):
    """What is looked at is what the network computes: the outputs of all heads, through the layer's last map, are its own."""
    layer = SelfAttention(12, 3, 0.2, "explicit").eval()
    x = torch.randn(B, S, 12)
    mask = block_mask(None, causal)
    _, queries, keys, values = layer.trace(x, mask)
    steps = six_steps(queries, keys, values, torch.ones(S, S, dtype=torch.bool).tril() if causal else None)
    torch.testing.assert_close(layer.out(steps.output.transpose(1, 2).flatten(2)), layer(x, mask))
    torch.testing.assert_close(steps.weights, layer.trace(x, mask).weights)
    torch.testing.assert_close(steps.scores, torch.einsum("bhtk,bhsk->bhts", queries, keys))
    torch.testing.assert_close(steps.scaled, steps.scores / 2)  # heads of width 4
    torch.testing.assert_close(steps.weighted[1, 2, 3, 1], steps.weights[1, 2, 3, 1] * values[1, 2, 1])


def test_scores_of_wide_vectors_need_the_division():
    """If components have variance 1, q.k has variance K: undivided scores saturate the softmax."""
    steps = six_steps(torch.randn(200, 256), torch.randn(200, 256), torch.randn(200, 2))
    assert steps.scores.var().item() == pytest.approx(256, rel=0.1) and steps.scaled.var().item() == pytest.approx(1, rel=0.1)
    assert normalise(steps.scores).amax(-1).mean() > 0.8 > 0.2 > steps.weights.amax(-1).mean()


@pytest.mark.parametrize("name", ["dot", "scaled_dot", "cosine"])
def test_widths_that_cannot_be_compared_are_refused(name):
    with pytest.raises(UsageError, match="choose general or additive"):
        similarity(name, 5, 7, A)
