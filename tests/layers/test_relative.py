"""Relative attention against its formula, key by key, with its gradients."""

import math

import pytest
import torch

from stemma.layers.attention import Mask
from stemma.layers.relative import Relation, RelativeAttention, distances, waves

B, T, M, D, H = 3, 5, 4, 12, 3  # rows, positions, memory, width, heads
K = D // H


def formula(attention, x, source, positions, types, allowed, backward):
    """Every score by itself: ((q + u) k + (q + v) r + (q + s) e) / sqrt(K), in loops; sums to no value where nothing is allowed."""
    rows = []
    for row in range(len(x)):
        queries = []
        for place, q in enumerate(attention.query(x[row]).view(-1, H, K)):
            heads = []
            for head in range(H):
                scores, values = [], []
                for key in range(source.shape[1]):
                    if not allowed[row, place, key]:
                        continue
                    k = attention.key(source[row, key]).view(H, K)[head]
                    apart = int(M + positions[row, place] - key) * (-1 if backward[row] else 1)
                    r = attention.distance(waves(torch.tensor([apart]), D)).view(H, K)[head]
                    other = int(types[row, M + positions[row, place]] != types[row, key])
                    u, v, s = (bias.view(H, K)[head] for bias in (attention.by_content, attention.by_distance, attention.by_segment))
                    score = (q[head] + u) @ k + (q[head] + v) @ r + (q[head] + s) @ attention.segments[other, head]
                    scores.append(score / math.sqrt(K))
                    values.append(attention.value(source[row, key]).view(H, K)[head])
                heads.append(torch.stack(scores).softmax(0) @ torch.stack(values) if scores else torch.zeros(K))
            queries.append(torch.cat(heads))
        rows.append(torch.stack(queries))
    return attention.out(torch.stack(rows))


@pytest.mark.parametrize("forward", [B, 1, 0], ids=["forward", "both ways", "backward"])
@pytest.mark.parametrize("picked", [False, True], ids=["whole rows", "some positions"])
def test_scores_are_those_of_the_formula(picked, forward):
    torch.manual_seed(0)
    attention = RelativeAttention(D, H, 0.0)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    positions = torch.tensor([[3, 0], [1, 4], [2, 3]]) if picked else torch.arange(T).expand(B, T)
    source = torch.randn(B, M + T, D, requires_grad=True)
    x = torch.randn(B, positions.shape[1], D, requires_grad=True)
    types = torch.tensor([0] * (M + 2) + [1] * (T - 2)).expand(B, -1)
    allowed = torch.rand(B, positions.shape[1], M + T) < 0.6
    allowed[1, 0] = False  # one query sees nothing
    backward = torch.arange(B) >= forward
    apart = (types.gather(1, M + positions)[:, :, None] != types[:, None, :]).float()
    relation = Relation(Mask(allowed[:, None], allowed.any(-1)), apart, positions if picked else None, forward or B, T)
    span = distances(T, M + T, x.device)
    table = torch.stack([waves(one, D) for one in [span] * (forward > 0) + [-span] * (forward < B)])

    ours = attention(x, attention.keys(source, table), relation)
    expected = formula(attention, x, source, positions, types, allowed, backward)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert (ours[1, 0] == 0).all()
    weights = attention.weights(x, attention.keys(source, table), relation)
    torch.testing.assert_close(weights.sum(-1), allowed.any(-1).float()[:, None].expand(B, H, -1))

    slopes = torch.randn_like(ours)
    leaves = [x, source, *attention.parameters()]
    for one, other in zip(torch.autograd.grad(ours, leaves, slopes), torch.autograd.grad(expected, leaves, slopes), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
