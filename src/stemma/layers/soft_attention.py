# ruff: noqa: F722 (axis names stand in annotations)
"""Soft attention in its three stages: similarity, normalisation, weighted sum; and self-attention in six steps.

1. e_i = F(q, k_i): how well the query fits each key. `Similarity` lists the functions.
2. a = softmax(e) over the keys that may be attended to.
3. output = sum_i a_i v_i.

In an encoder-decoder the query is the decoder's state, keys and values are the encoder's states (Bahdanau 2014; Luong 2015).
In self-attention all three come from the same text, and the three stages become `six_steps` (Vaswani 2017). What networks
of many heads compute with stands in `layers.attention`, to whose speed nothing here comes near; a test holds the two equal.

Axes: B batch, T queries, S keys, Q width of a query, K of a key, V of a value, R of what is remembered of a key, A inner width.
Masks are boolean, True = may be attended to. A query that may attend to nothing gets zeros, and so do its gradients.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.errors import UsageError

SimilarityName = Literal["dot", "scaled_dot", "general", "additive", "concat", "cosine"]
SHARPNESS = 10.0  # where the cosine's scale begins: at 1 all weights would be nearly equal, for a cosine lies in -1 .. 1
EPS = 1e-6  # the least length of a vector in a cosine: float16 still holds it


class Similarity(nn.Module):
    """Stage 1. What depends on the keys alone is computed once for a source: `similarity(queries, similarity.remember(keys))`."""

    def remember(self, keys: Float[Tensor, "B S K"]) -> Float[Tensor, "B S R"]:
        """What `forward` needs of the keys; the keys themselves where nothing can be computed beforehand."""
        return keys

    def forward(self, queries: Float[Tensor, "B T Q"], remembered: Float[Tensor, "B S R"]) -> Float[Tensor, "B T S"]:
        """The product q.k of each query with each remembered key."""
        return queries @ remembered.transpose(1, 2)


class Dot(Similarity):
    """e = q.k (Luong 2015): for queries and keys of one width."""


class ScaledDot(Similarity):
    """e = q.k / sqrt(K) (Vaswani 2017, eq. 1), so that scores do not grow with the width and saturate the softmax."""

    def remember(self, keys: Float[Tensor, "B S K"]) -> Float[Tensor, "B S K"]:
        """The keys over sqrt(K)."""
        return keys / math.sqrt(keys.shape[-1])


class General(Similarity):
    """e = q' W k (Luong 2015): a dot product after the keys were mapped to the queries' space.

    `map` is sqrt(Q) W. Adam moves all numbers by like amounts, whatever their slopes, and a score sums Q K of them: of W itself, a few
    steps would drive every score so far that the softmax stays on one key for good.
    """

    def __init__(self, query_width: int, key_width: int) -> None:
        super().__init__()
        self.map = nn.Linear(key_width, query_width, bias=False)

    def remember(self, keys: Float[Tensor, "B S K"]) -> Float[Tensor, "B S Q"]:
        """W k."""
        return self.map(keys) / math.sqrt(self.map.out_features)


class Cosine(Similarity):
    """e = g q.k / (max(|q|, EPS) max(|k|, EPS)) (Graves 2014, eq. 6), g being learnt as `scale`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(SHARPNESS))

    def remember(self, keys: Float[Tensor, "B S K"]) -> Float[Tensor, "B S K"]:
        """The keys at length 1."""
        return F.normalize(keys, dim=-1, eps=EPS)

    def forward(self, queries: Float[Tensor, "B T K"], remembered: Float[Tensor, "B S K"]) -> Float[Tensor, "B T S"]:
        """The scaled cosines."""
        return super().forward(self.scale * F.normalize(queries, dim=-1, eps=EPS), remembered)


class Additive(Similarity):
    """e = v' tanh(W q + U k + b) (Bahdanau 2014, appendix A.1.2), a network with one hidden layer of `inner` units (A)."""

    def __init__(self, query_width: int, key_width: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, inner)  # W and b
        self.key = nn.Linear(key_width, inner, bias=False)  # U
        self.score = nn.Linear(inner, 1, bias=False)  # v

    def remember(self, keys: Float[Tensor, "B S K"]) -> Float[Tensor, "B S A"]:
        """U k."""
        return self.key(keys)

    def forward(self, queries: Float[Tensor, "B T Q"], remembered: Float[Tensor, "B S A"]) -> Float[Tensor, "B T S"]:
        """The network's output for each query with each key."""
        hidden = torch.tanh(self.query(queries)[:, :, None] + remembered[:, None])  # (B, T, S, A)
        return self.score(hidden).squeeze(-1)


class Concat(Similarity):
    """e = v' tanh(W [q; k]) (Luong 2015): the additive function without b, its two matrices in one."""

    def __init__(self, query_width: int, key_width: int, inner: int) -> None:
        super().__init__()
        self.joined = nn.Linear(query_width + key_width, inner, bias=False)  # W
        self.score = nn.Linear(inner, 1, bias=False)  # v

    def remember(self, keys: Float[Tensor, "B S K"]) -> Float[Tensor, "B S A"]:
        """The keys' part of W [q; k]."""
        return F.linear(keys, self.joined.weight[:, -keys.shape[-1] :])

    def forward(self, queries: Float[Tensor, "B T Q"], remembered: Float[Tensor, "B S A"]) -> Float[Tensor, "B T S"]:
        """The network's output for each query with each key."""
        mapped = F.linear(queries, self.joined.weight[:, : queries.shape[-1]])  # (B, T, A)
        return self.score(torch.tanh(mapped[:, :, None] + remembered[:, None])).squeeze(-1)


def similarity(name: SimilarityName, query_width: int, key_width: int, inner: int) -> Similarity:
    """The similarity function called `name`; `inner` is the hidden width of `additive` and `concat`, unused by the others.

    UsageError where a function that compares vectors directly is given two widths.
    """
    if name in ("dot", "scaled_dot", "cosine") and query_width != key_width:
        wrong = f"{name} attention of queries of width {query_width} to keys of width {key_width}"
        raise UsageError(wrong, "one width for both", "choose general or additive, or make the widths equal")
    match name:
        case "dot":
            return Dot()
        case "scaled_dot":
            return ScaledDot()
        case "general":
            return General(query_width, key_width)
        case "cosine":
            return Cosine()
        case "additive":
            return Additive(query_width, key_width, inner)
        case "concat":
            return Concat(query_width, key_width, inner)
    raise UsageError(f"there is no similarity {name!r}", f"one of {', '.join(get_args(SimilarityName))}", "choose one of these")


def normalise(scores: Float[Tensor, "*heads T S"], allowed: Bool[Tensor, "*#heads #T S"] | None = None) -> Float[Tensor, "*heads T S"]:
    """Stage 2: the softmax over the allowed keys, in float32 where the scores have fewer bits; exactly 0 at all others.

    The row of a query without any allowed key is all zeros, and no gradient passes it.
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    if allowed is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)  # -inf would make an empty row NaN
    return weights.masked_fill(~allowed, 0.0)


def mix(weights: Float[Tensor, "*heads T S"], values: Float[Tensor, "*heads S V"]) -> Float[Tensor, "*heads T V"]:
    """Stage 3: the sum of the values, each by its weight, in the values' type."""
    return weights.to(values.dtype) @ values


class Source(NamedTuple):
    """What a decoder keeps of a source for all its steps: what the similarity remembers of the keys, and the values."""

    keys: Float[Tensor, "B S R"]
    values: Float[Tensor, "B S V"]

    def rows(self, chosen: Sequence[int]) -> "Source":
        """A copy of these rows alone, in this order; a row may stand several times (beams)."""
        return Source(self.keys[list(chosen)], self.values[list(chosen)])


class SoftAttention(nn.Module):
    """The three stages over one source, whose states are keys and values at once."""

    def __init__(self, similarity: Similarity) -> None:
        super().__init__()
        self.similarity = similarity

    def remember(self, states: Float[Tensor, "B S K"]) -> Source:
        """The source's part of the work, done once; gradients flow back into `states`."""
        return Source(self.similarity.remember(states), states)

    def forward(
        self, queries: Float[Tensor, "B T Q"], source: Source, allowed: Bool[Tensor, "#B #T S"] | None = None
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T S"]]:
        """(each query's mixture of the values, the weights in float32 that it was mixed by)."""
        weights = normalise(self.similarity(queries, source.keys), allowed)
        return mix(weights, source.values), weights


class SixSteps(NamedTuple):
    """Scaled dot-product attention laid open: every tensor on the way, for any number of heads."""

    queries: Float[Tensor, "*heads T K"]  # 1. each position's query, key and value
    keys: Float[Tensor, "*heads S K"]
    values: Float[Tensor, "*heads S V"]
    scores: Float[Tensor, "*heads T S"]  # 2. the product of every query with every key
    scaled: Float[Tensor, "*heads T S"]  # 3. divided by sqrt(K)
    weights: Float[Tensor, "*heads T S"]  # 4. the softmax over the keys
    weighted: Float[Tensor, "*heads T S V"]  # 5. every value times its weight
    output: Float[Tensor, "*heads T V"]  # 6. their sum


def six_steps(
    queries: Float[Tensor, "*heads T K"],
    keys: Float[Tensor, "*heads S K"],
    values: Float[Tensor, "*heads S V"],
    allowed: Bool[Tensor, "*#heads #T S"] | None = None,
) -> SixSteps:
    """The steps of (self-)attention, one after the other; step 5 takes T S V numbers, so this is for looking, not for training."""
    scores = queries @ keys.transpose(-2, -1)
    scaled = scores / math.sqrt(queries.shape[-1])
    weights = normalise(scaled, allowed)
    weighted = weights[..., None].to(values.dtype) * values[..., None, :, :]
    return SixSteps(queries, keys, values, scores, scaled, weights, weighted, weighted.sum(-2))
