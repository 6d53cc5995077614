# ruff: noqa: F722 (axis names stand in annotations)
"""Relative attention: scores by content, by distance and by segment (Dai 2019, section 3.3; Yang 2019, section 2.5).

A query at position i scores a key at position j by

    ((q_i + u) k_j + (q_i + v) r_{i-j} + (q_i + s) e_{ij}) / sqrt(K)

where r_{i-j} is a projection of the sinusoids of the distance alone, e_{ij} one of two vectors that tell whether both stand in one
segment, and u, v, s are learnt, each layer its own. No absolute position enters, so that states of an earlier stretch of text can
stand before the keys (`memory`), and a row may be shifted at will.

All distances of a row are scored in one product, as if each query stood at each of them; `_shift` then reads, for each query, its own
stretch of the result, without a copy where the queries stand one after the other (Dai 2019, appendix B).

Axes: B batch, Q queries, T positions of a row, S keys (those of the memory first), P distances, D width, H heads, K width of a head
(D = H K), R directions of reading. Inside, heads stand first, so that all rows of a head meet its distances in one product.
A query that may attend to nothing gets zeros, and so do its gradients.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from stemma.layers.attention import Mask
from stemma.layers.fast import keep_mask, product_type


def waves(distances: Int[Tensor, " P"], width: int) -> Float[Tensor, "P D"]:
    """The sines, then the cosines, of each distance p times 10000^(-2k / D), k = 0, 1, ...

    >>> waves(torch.tensor([0, 1]), 4)[0].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    rates = 10000.0 ** (-torch.arange(0, width, 2, device=distances.device) / width)
    angles = distances[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


def distances(queries: int, keys: int, device: torch.device) -> Int[Tensor, " P"]:
    """All that a row of so many positions has to so many keys, that many positions the last of them; the greatest first."""
    return torch.arange(keys - 1, -queries, -1, device=device)


class Relation(NamedTuple):
    """How a batch's queries stand to its keys; made once and read by every layer."""

    mask: Mask  # who may attend to whom
    apart: Float[Tensor, "B Q S"] | None  # 1 where query and key stand in different segments; None: nowhere
    columns: Int[Tensor, "B Q"] | None  # the positions of the queries; None: all T, in order
    forward: int  # of the B rows, how many are read from left to right: the first ones
    length: int  # T


class Keys(NamedTuple):
    """What queries meet in one layer."""

    keys: Float[Tensor, "H B S K"]
    values: Float[Tensor, "H B S K"]
    distances: Float[Tensor, "R H P K"]


class _Scored(NamedTuple):
    """What scores are made of: queries as they meet content, distances and segments, scaled, in the type of the products."""

    content: Float[Tensor, "H B Q K"]
    distance: Float[Tensor, "H B Q K"]
    keys: Float[Tensor, "H B S K"]
    distances: Float[Tensor, "R H P K"]
    other: Float[Tensor, "H B Q"]  # what a key of another segment adds
    apart: Float[Tensor, "B Q S"] | None
    bias: Float[Tensor, "1 #B #Q S"] | None  # of the mask
    relation: Relation


class RelativeAttention(nn.Module):
    """Multi-head attention by content, distance and segment; no projection has a bias (Dai 2019)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.distance, self.out = (nn.Linear(width, width, bias=False) for _ in range(5))
        self.by_content, self.by_distance, self.by_segment = (nn.Parameter(torch.empty(width)) for _ in range(3))  # u, v, s
        self.segments = nn.Parameter(torch.empty(2, heads, width // heads))  # e: the same segment, another one

    def keys(self, source: Float[Tensor, "B S D"], waves: Float[Tensor, "R P D"]) -> Keys:
        """The keys and values of these states, and what the distances are scored by."""
        return Keys(*self.read(source), self.far(waves))

    def read(self, source: Float[Tensor, "B S D"]) -> tuple[Float[Tensor, "H B S K"], Float[Tensor, "H B S K"]]:
        """The keys and values of these states."""
        return self._heads(self.key(source)), self._heads(self.value(source))

    def far(self, waves: Float[Tensor, "R P D"]) -> Float[Tensor, "R H P K"]:
        """What the distances are scored by."""
        distances = self.distance(waves.to(self.distance.weight.dtype))  # (R, P, D)
        R, P, D = distances.shape
        return distances.view(R, P, self.heads, D // self.heads).transpose(1, 2)

    def forward(self, x: Float[Tensor, "B Q D"], keys: Keys, relation: Relation) -> Float[Tensor, "B Q D"]:
        """Each query's mixture of the values that the mask shows it."""
        mixed = _Relative.apply(*self._scored(x, keys, relation), keys.values, self.dropout if self.training else 0.0)
        return self.out(relation.mask.silence(mixed.permute(1, 2, 0, 3)).flatten(2))

    def weights(self, x: Float[Tensor, "B Q D"], keys: Keys, relation: Relation) -> Float[Tensor, "B H Q S"]:
        """How much of each key `forward` mixes into each query, without dropout; zeros where the mask forbids."""
        weights = _weights(*self._scored(x, keys, relation)).permute(1, 2, 0, 3).float()  # (B, Q, H, S)
        return relation.mask.silence(weights).transpose(1, 2)

    def _scored(self, x: Tensor, keys: Keys, relation: Relation) -> _Scored:
        q = self._heads(self.query(x))  # (H, B, Q, K)
        H, _, Q, K = q.shape
        scale, dtype = 1 / math.sqrt(K), product_type(q)
        content, distance, segment = (
            (q + bias.view(H, 1, 1, K).to(q.dtype)) * scale for bias in (self.by_content, self.by_distance, self.by_segment)
        )
        # A row's softmax does not mind what all its scores have in common, so that only the difference of the two vectors counts.
        other = (segment @ (self.segments[1] - self.segments[0]).view(H, 1, K, 1).to(q.dtype)).squeeze(3)  # (H, B, Q)
        apart = None if relation.apart is None else relation.apart.to(dtype)
        bias = relation.mask.bias(dtype, Q, keys.keys.shape[2], x.device)
        bias = None if bias is None else bias.transpose(0, 1)  # (1, B, Q, S)
        met = keys.keys.to(dtype), keys.distances.to(dtype)
        return _Scored(content.to(dtype), distance.to(dtype), *met, other.to(dtype), apart, bias, relation)

    def _heads(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "H B T K"]:
        B, T, D = x.shape
        return x.view(B, T, self.heads, D // self.heads).permute(2, 0, 1, 3).contiguous()


def _shift(by_distance: Float[Tensor, "H B Q P"], keys: int, relation: Relation) -> Float[Tensor, "H B Q S"]:
    """Of each query's scores at all distances, those of its own distances to the keys; a view where the queries are a whole row."""
    H, B, Q, P = by_distance.shape
    if relation.columns is not None:
        return by_distance.gather(3, _places(relation.columns, relation.length, keys).expand(H, -1, -1, -1))
    if torch.compiler.is_exporting():  # graphs of other programs know no strides
        columns = torch.arange(Q, device=by_distance.device)[None]
        return by_distance.gather(3, _places(columns, Q, keys).expand(H, B, -1, -1))
    return by_distance.as_strided((H, B, Q, keys), (B * Q * P, Q * P, P - 1, 1), Q - 1)


def _places(columns: Int[Tensor, "B Q"], length: int, keys: int) -> Int[Tensor, "1 B Q S"]:
    """Where among the distances each query's own to each key stands; the queries stand at `columns` of `length` positions."""
    first = length - 1 - columns
    return (first[..., None] + torch.arange(keys, device=first.device))[None]


def _at_distances(queries: Float[Tensor, "H B Q K"], keys: Float[Tensor, "R H P K"], forward: int) -> Float[Tensor, "H B Q P"]:
    """Every query's score at every distance; rows read from right to left have distances of their own."""
    H, B, Q, K = queries.shape
    P = keys.shape[2]
    found = queries.new_empty(H, B, Q, P)
    for direction, rows in enumerate((slice(forward), slice(forward, B))[: len(keys)]):
        some = queries[:, rows]
        found[:, rows] = (some.reshape(H, -1, K) @ keys[direction].mT).view(H, some.shape[1], Q, P)
    return found


def _weights(
    content: Tensor,
    distance: Tensor,
    keys: Tensor,
    distances: Tensor,
    other: Tensor,
    apart: Tensor | None,
    bias: Tensor | None,
    relation: Relation,
) -> Float[Tensor, "H B Q S"]:
    """The softmax of all scores, whose parts are those of `_Scored`."""
    scores = content @ keys.mT
    scores += _shift(_at_distances(distance, distances, relation.forward), keys.shape[2], relation)
    if apart is not None:
        scores.addcmul_(other[..., None], apart)
    return torch.softmax(scores if bias is None else scores.add_(bias), -1)


class _Relative(torch.autograd.Function):
    """The formula as it stands, forward and backward; keeps the weights, so that memory grows with Q S."""

    @staticmethod
    def forward(ctx, content, distance, keys, distances, other, apart, bias, relation, values, dropout):  # type: ignore[no-untyped-def]
        values = values.to(keys.dtype)
        weights = _weights(content, distance, keys, distances, other, apart, bias, relation)
        keep = keep_mask(weights.shape, dropout, weights.dtype, weights.device) if dropout else None
        ctx.relation = relation
        ctx.save_for_backward(content, distance, keys, distances, apart, values, weights, keep)
        return (weights if keep is None else weights * keep) @ values

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out):  # type: ignore[no-untyped-def]
        content, distance, keys, distances, apart, values, weights, keep = ctx.saved_tensors
        d_out = d_out.contiguous()
        d_weights = d_out @ values.mT
        d_values = (weights if keep is None else weights * keep).mT @ d_out
        if keep is not None:
            d_weights.mul_(keep)
        d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        d_distance, d_distances = _back_from_distances(d_scores, distance, distances, ctx.relation)
        d_other = None if apart is None else (d_scores * apart).sum(-1)
        return d_scores @ keys, d_distance, d_scores.mT @ content, d_distances, d_other, None, None, None, d_values, None


def _back_from_distances(d_scores: Tensor, queries: Tensor, keys: Tensor, relation: Relation) -> tuple[Tensor, Tensor]:
    """The slopes by queries (H B Q K) and distances (R H P K): the way back through `_shift` and `_at_distances`."""
    H, B, Q, K = queries.shape
    S, P = d_scores.shape[3], keys.shape[2]
    d_found = d_scores.new_zeros(H, B, Q, P)
    if relation.columns is None:
        _shift(d_found, S, relation).copy_(d_scores)
    else:
        d_found.scatter_(3, _places(relation.columns, relation.length, S).expand(H, -1, -1, -1), d_scores)
    d_queries, d_keys = torch.empty_like(queries), torch.empty_like(keys, memory_format=torch.contiguous_format)
    for direction, rows in enumerate((slice(relation.forward), slice(relation.forward, B))[: len(keys)]):
        slopes = d_found[:, rows].reshape(H, -1, P)
        d_queries[:, rows] = (slopes @ keys[direction]).view(H, -1, Q, K)
        d_keys[direction] = slopes.mT @ queries[:, rows].reshape(H, -1, K)
    return d_queries, d_keys
