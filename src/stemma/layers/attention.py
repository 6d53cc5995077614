# ruff: noqa: F722 (axis names stand in annotations)
"""Attention: scaled dot products over a mask, multi-head, of a text to itself or to another (Vaswani 2017, section 3.2).

Axes: B batch, T query positions, S key positions, D width, H heads, K width of a head (D = H K).
Masks are boolean, True = may be attended to. A query that may attend to nothing gets zeros, and so
do its gradients. The other similarities of soft attention (dot, general, cosine, additive) stand in
`layers.soft_attention`, in its three stages.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from stemma.layers.fast import Dense, Positions, dense, keep_mask, product_type
from stemma.layers.soft_attention import normalise

Path = Literal["sdpa", "explicit"]
SHORT = 1024  # positions; longer rows have too many weights to keep


def fitting_path(device: torch.device, length: int) -> Path:
    """The faster path for rows of `length` positions: with dropout, on a CPU, the explicit one was it by 1.1x
    to 1.4x in fp32 and 1.5x to 2.5x in bf16 at 64 to 512 positions.

    A rule, not a timing: the same command must give the same weights on a busy machine too.
    """
    return "explicit" if device.type == "cpu" and length <= SHORT else "sdpa"


class Mask:
    """Who may attend to whom; made once for a batch and read by every layer.

    `allowed` (None: everyone, or under `causal` everyone before, the last query standing at the last key) ·
    `live`: queries that may attend to something (None: all of them).
    """

    def __init__(self, allowed: Bool[Tensor, "#B #H #T S"] | None, live: Bool[Tensor, "#B #T"] | None = None, causal: bool = False) -> None:
        self.allowed, self.live, self.causal = allowed, live, causal
        self._biases: dict[tuple[torch.dtype, int, int], Tensor] = {}

    def bias(self, dtype: torch.dtype, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """0 where attention is allowed and the type's lowest number elsewhere, to be added to scores."""
        if self.allowed is None and not self.causal:
            return None
        if torch.compiler.is_exporting():  # sizes are symbols then, which no dictionary takes
            return self._bias(dtype, queries, keys, device)
        place = dtype, queries, keys
        if place not in self._biases:
            self._biases[place] = self._bias(dtype, queries, keys, device)
        return self._biases[place]

    def _bias(self, dtype: torch.dtype, queries: int, keys: int, device: torch.device) -> Tensor:
        allowed = _past(queries, keys, device) if self.allowed is None else self.allowed
        bias = torch.zeros(allowed.shape, dtype=dtype, device=device)
        return bias.masked_fill_(~allowed, torch.finfo(dtype).min)

    def at(self, chosen: Positions) -> "Mask":
        """The mask of the chosen queries alone, (B, 1, M, S)."""
        assert not self.causal, "a causal mask has no rows to choose from"
        if self.allowed is None:
            return self
        rows = chosen.columns[:, None, :, None].expand(-1, self.allowed.shape[1], -1, self.allowed.shape[3])
        return Mask(self.allowed.gather(2, rows), None if self.live is None else self.live.gather(1, chosen.columns))

    def silence(self, x: Float[Tensor, "B T ..."]) -> Float[Tensor, "B T ..."]:
        """`x` with zeros at the queries that may attend to nothing."""
        return x if self.live is None else x * self.live.view(*self.live.shape, *[1] * (x.dim() - 2)).to(x.dtype)


def known_everywhere(mask: Bool[Tensor, "..."]) -> bool:
    """True where the mask holds everywhere, so that it need not be computed with.

    Of a graph that is being exported nothing is known: it must hold for other batches than the one that it is traced with.
    """
    return not torch.compiler.is_exporting() and bool(mask.all())


def block_mask(segments: Int[Tensor, "B T"] | None, causal: bool = False) -> Mask:
    """Attention inside equal segments only; segment 0 is padding, which is attended to by nobody real.

    Padding attends to padding, so that no softmax is empty, and its output is silenced.
    """
    if segments is None or known_everywhere(segments == 1):
        return Mask(None, None, causal)
    allowed = segments[:, None, :, None] == segments[:, None, None, :]  # (B, 1, T, T)
    if causal:
        allowed = allowed.tril()
    return Mask(allowed, _live(segments > 0))


def cross_mask(query_segments: Int[Tensor, "B T"] | None, key_segments: Int[Tensor, "B S"] | None) -> Mask:
    """What each query may see of another text's positions: those of its own segment, never padding (segment 0).

    Without query segments every query sees all of its row but padding; without key segments there is no padding.
    Queries that see nothing (padding, an empty source) see all, so that no softmax is empty, and are silenced.
    """
    if key_segments is None:
        return Mask(None, _live(query_segments > 0)) if query_segments is not None else Mask(None)
    allowed = key_segments[:, None, None, :] > 0  # (B, 1, 1, S)
    if query_segments is not None:
        allowed = allowed & (query_segments[:, None, :, None] == key_segments[:, None, None, :])  # (B, 1, T, S)
    seeing = allowed.any(-1)  # (B, 1, T)
    allowed = allowed | ~seeing[..., None]
    return Mask(None if known_everywhere(allowed) else allowed, _live(seeing[:, 0]))


def _live(queries: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"] | None:
    return None if known_everywhere(queries) else queries


def _past(queries: int, keys: int, device: torch.device) -> Bool[Tensor, "1 1 T S"]:
    """Each query's own key and those before it; the queries are the last of the positions."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)[None, None]


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B H S K"],
    v: Float[Tensor, "B H S K"],
    mask: Mask,
    dropout: float = 0.0,
    path: Path = "sdpa",
) -> Float[Tensor, "B T H K"]:
    """softmax(q k' / sqrt(K)) v for every head; `dropout` falls on the weights, as in tensor2tensor and BERT."""
    if path == "sdpa":
        allowed, causal = mask.allowed, mask.causal
        if causal and q.shape[2] < k.shape[2]:  # torch's own causal mask sets the first query at the first key
            allowed, causal = _past(q.shape[2], k.shape[2], q.device), False
        out = F.scaled_dot_product_attention(q, k, v, allowed, dropout, is_causal=causal)
    else:
        dtype = product_type(q)
        bias = mask.bias(dtype, q.shape[2], k.shape[2], q.device)
        out = _Explicit.apply(q.to(dtype), k.to(dtype), v.to(dtype), bias, dropout)
    return mask.silence(out.transpose(1, 2))


class Traced(NamedTuple):
    """What attention computes on its way, without dropout; weights in float32, zeros at what the mask forbids."""

    weights: Float[Tensor, "B H T S"]
    queries: Float[Tensor, "B H T K"]
    keys: Float[Tensor, "B H S K"]
    values: Float[Tensor, "B H S K"]


def traced(q: Float[Tensor, "B H T K"], k: Float[Tensor, "B H S K"], v: Float[Tensor, "B H S K"], mask: Mask) -> Traced:
    """softmax(q k' / sqrt(K)), by which `attend` mixes the values, beside what it is made of."""
    allowed = _past(q.shape[2], k.shape[2], q.device) if mask.causal and mask.allowed is None else mask.allowed
    weights = normalise(q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1), allowed)
    return Traced(mask.silence(weights.transpose(1, 2)).transpose(1, 2), q, k, v)


class _Explicit(torch.autograd.Function):
    """The formula as it stands, forward and backward: product, softmax, product.

    For short rows faster on a CPU than `scaled_dot_product_attention`, whose backward is slow in
    bfloat16 and which has no fast way with dropout. Keeps the weights, so memory grows with T S.
    """

    @staticmethod
    def forward(ctx, q, k, v, bias, dropout):  # type: ignore[no-untyped-def]
        ctx.scale = 1 / math.sqrt(q.shape[-1])
        q, k, v = q.contiguous() * ctx.scale, k.contiguous(), v.contiguous()
        scores = q @ k.transpose(-2, -1)
        weights = torch.softmax(scores if bias is None else scores.add_(bias), -1)
        keep = keep_mask(weights.shape, dropout, weights.dtype, weights.device) if dropout else None
        ctx.save_for_backward(q, k, v, weights, keep)
        return (weights if keep is None else weights * keep) @ v

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out):  # type: ignore[no-untyped-def]
        q, k, v, weights, keep = ctx.saved_tensors
        d_out = d_out.contiguous()
        d_weights = d_out @ v.transpose(-2, -1)
        if keep is None:
            d_v = weights.transpose(-2, -1) @ d_out
        else:
            d_v = (weights * keep).transpose(-2, -1) @ d_out
            d_weights.mul_(keep)
        d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        return (d_scores @ k).mul_(ctx.scale), d_scores.transpose(-2, -1) @ q, d_v, None, None


def _split(x: Float[Tensor, "B T parts H K"]) -> tuple[Float[Tensor, "B H T K"], ...]:
    return tuple(part.transpose(1, 2) for part in x.unbind(2))


class _Heads(torch.autograd.Function):
    """`_split`, whose gradients are copied once into their common place."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        return _split(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, *d_parts: Tensor):  # type: ignore[no-untyped-def]
        return torch.stack([part.transpose(1, 2) for part in d_parts], 2)


def _heads(x: Float[Tensor, "B T E"], heads: int, parts: int = 1) -> tuple[Float[Tensor, "B H T K"], ...]:
    """The `parts` that stand side by side in a projection (E = parts D), each cut into heads."""
    B, T, E = x.shape
    x = x.view(B, T, parts, heads, E // parts // heads)
    return _Heads.apply(x) if x.requires_grad else _split(x)


@runtime_checkable
class KeepsKeys(Protocol):
    """What self-attention reads on from."""

    def extend(self, layer: int, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"]) -> tuple[Tensor, Tensor]:
        """All keys and values of the layer, (B H S K), after the new ones were kept too."""


class Cache:
    """Keys and values of the positions read so far, per layer, so that a new position costs O(T).

    The place of a position in its row is its place here, so rows of unequal length have nothing but unwritten places
    at their ends, which no query reaches. First `place` tells how much each row reads, then every layer may `extend`.
    """

    SPARE = 2  # places made for each one needed: every key is copied about once while rows grow

    def __init__(self, rows: int) -> None:
        self.lengths = [0] * rows  # positions read so far, row by row
        self._kept: list[tuple[Tensor, Tensor]] = []  # keys, values of each layer, (B H places K)

    def rows(self, chosen: Sequence[int]) -> "Cache":
        """A copy of these rows, in this order; a row may stand several times."""
        copy = Cache(0)
        copy.lengths = [self.lengths[row] for row in chosen]
        if self._kept:
            places = torch.tensor(chosen, device=self._kept[0][0].device)
            copy._kept = [(keys.index_select(0, places), values.index_select(0, places)) for keys, values in self._kept]
        return copy

    def place(self, counts: Sequence[int], chosen: Sequence[int], device: torch.device) -> tuple[Int[Tensor, "B T"], Mask]:
        """(positions, mask) of the next `counts` tokens of the `chosen` rows, padded at their ends to the longest.

        Padding has the position of its row's last token. Rows that are all read, and alike, need no mask and no scattering.
        """
        starts = [self.lengths[row] for row in chosen]
        self._new, self._end = max(counts), max(map(sum, zip(starts, counts, strict=True)))
        self._chosen = None if len(chosen) == len(self.lengths) else torch.tensor(chosen, device=device)
        for row, start, count in zip(chosen, starts, counts, strict=True):
            self.lengths[row] = start + count
        if self._chosen is None and len(set(starts)) == 1 and len(set(counts)) == 1:
            self._written = None
            positions = torch.arange(starts[0], self._end, device=device).expand(len(starts), -1)  # (B T)
            return positions, Mask(None, None, causal=self._new > 1)
        columns, last = torch.arange(self._new, device=device), torch.tensor(counts, device=device)[:, None] - 1
        positions = torch.tensor(starts, device=device)[:, None] + columns.minimum(last)  # (B T)
        real = columns <= last  # (B T)
        self._written = real, torch.tensor(chosen, device=device)[:, None].expand_as(real)[real], positions[real]
        return positions, Mask((torch.arange(self._end, device=device) <= positions[:, :, None])[:, None])

    def extend(self, layer: int, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"]) -> tuple[Tensor, Tensor]:
        """All keys and values of the chosen rows in `layer`, (B H S K), after the new ones took their places."""
        if layer == len(self._kept):
            self._kept.append((self._room(k), self._room(v)))
        if self._kept[layer][0].shape[2] < self._end:
            self._kept[layer] = self._moved(self._kept[layer][0]), self._moved(self._kept[layer][1])
        keys, values = self._kept[layer]
        self._write(keys, k)
        self._write(values, v)
        keys, values = keys[:, :, : self._end], values[:, :, : self._end]
        return (keys, values) if self._chosen is None else (keys[self._chosen], values[self._chosen])

    def _room(self, like: Tensor) -> Tensor:
        """Zeros, for a weight of 0 times what memory happens to hold may be NaN."""
        return like.new_zeros(len(self.lengths), like.shape[1], self.SPARE * self._end, like.shape[3])

    def _moved(self, kept: Tensor) -> Tensor:
        room = self._room(kept)
        room[:, :, : kept.shape[2]] = kept
        return room

    def _write(self, kept: Tensor, new: Tensor) -> None:
        if self._written is None:
            kept[:, :, self._end - self._new : self._end] = new
        else:
            real, rows, places = self._written
            kept[rows, :, places] = new.transpose(1, 2)[real]


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float, path: Path = "sdpa") -> None:
        super().__init__()
        self.heads, self.dropout, self.path = heads, dropout, path
        self.qkv = Dense(width, 3 * width, parts=3)  # rows: all queries, all keys, all values
        self.out = Dense(width, width)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask, cache: KeepsKeys | None = None, layer: int = 0) -> Float[Tensor, "B T D"]:
        """Each position's mixture of what the mask shows it; with `cache`, of what was read before too."""
        q, k, v = _heads(self.qkv(x), self.heads, 3)
        if cache is None:
            return self.out(self._attend(q, k, v, mask).flatten(2))
        k, v = cache.extend(layer, k, v)  # only read on, never learnt from, so by the path that copies no key: 5x for one query
        return self.out(attend(q, k, v, mask, path="sdpa").flatten(2))

    def at(self, chosen: Positions, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "N D"]:
        """What `forward` gives at the chosen positions, computed for these queries alone."""
        D = x.shape[-1]
        (q,) = _heads(dense(chosen.rows(x), self.qkv.weight[:D], self.qkv.bias[:D]), self.heads)
        k, v = _heads(dense(x, self.qkv.weight[D:], self.qkv.bias[D:]), self.heads, 2)
        context = self._attend(q, k, v, mask.at(chosen)).flatten(2)  # (B, M, D)
        return self.out(context[chosen.real])

    def trace(self, x: Float[Tensor, "B T D"], mask: Mask) -> Traced:
        """How much of each position `forward` mixes into each, head by head."""
        q, k, v = _heads(self.qkv(x), self.heads, 3)
        return traced(q, k, v, mask)

    def scores(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T T"]:
        """Q k' / sqrt(K) of every query with every key, before mask and softmax."""
        D = x.shape[-1]
        q, k = _heads(dense(x, self.qkv.weight[: 2 * D], self.qkv.bias[: 2 * D]), self.heads, 2)
        return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        return attend(q, k, v, mask, self.dropout if self.training else 0.0, self.path)


class KeysValues(NamedTuple):
    """What a layer of cross-attention keeps of a source, computed once however many queries follow."""

    keys: Float[Tensor, "B H S K"]
    values: Float[Tensor, "B H S K"]

    def rows(self, chosen: Sequence[int]) -> "KeysValues":
        """A copy of these rows alone, in this order; a row may stand several times (beams)."""
        places = torch.tensor(chosen, device=self.keys.device)
        return KeysValues(self.keys.index_select(0, places), self.values.index_select(0, places))


class CrossAttention(nn.Module):
    """Multi-head attention of one text's positions to another's states (encoder-decoder attention)."""

    def __init__(self, width: int, heads: int, dropout: float, path: Path = "sdpa") -> None:
        super().__init__()
        self.heads, self.dropout, self.path = heads, dropout, path
        self.query = Dense(width, width)
        self.key_value = Dense(width, 2 * width, parts=2)  # rows: all keys, all values
        self.out = Dense(width, width)

    def remember(self, states: Float[Tensor, "B S D"]) -> KeysValues:
        """The keys and values of the source's states; their gradients flow back into the source."""
        keys, values = _heads(self.key_value(states), self.heads, 2)
        return KeysValues(keys.contiguous(), values.contiguous())  # copied once here, not at every query

    def forward(self, x: Float[Tensor, "B T D"], memory: KeysValues, mask: Mask) -> Float[Tensor, "B T D"]:
        """Each position's mixture of the source, by `cross_mask`; where it sees nothing, the bias of `out` alone."""
        (q,) = _heads(self.query(x), self.heads)
        context = attend(q, memory.keys, memory.values, mask, self.dropout if self.training else 0.0, self.path)
        return self.out(context.flatten(2))

    def trace(self, x: Float[Tensor, "B T D"], memory: KeysValues, mask: Mask) -> Traced:
        """How much of each source position `forward` mixes into each position, head by head."""
        (q,) = _heads(self.query(x), self.heads)
        return traced(q, memory.keys, memory.values, mask)
