# ruff: noqa: F722 (axis names stand in annotations)
"""The loss that crosses rooms, and cross-entropy over a big vocabulary.

Axes: N predictions, D width, V vocabulary. The softmax over the vocabulary is computed, and
differentiated, a few hundred predictions at a time: no N x V tensor is ever kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from stemma.layers.fast import product_type

CHUNK = 1 << 23  # logits held at a time, in the type of the products: 1,024 predictions of 8,192 words
SOFTMAX = 1 << 18  # of these, how many are in float32 at once: few enough for a core's own cache


Carried = dict[str, torch.Tensor]  # recurrent memory, segment memory: named tensors without a graph


@dataclass(frozen=True, slots=True)
class Loss:
    """`mean` nats per prediction (a scalar tensor, with its graph), over `count` predictions.

    `parts` holds what the mean is made of and a report shows separately: name -> (sum in nats, with its graph where it is to
    be learnt from, count). The first is what `count` counts.
    """

    mean: torch.Tensor
    count: int
    parts: dict[str, tuple[torch.Tensor | float, int]] = field(default_factory=dict)
    carried: Carried | None = None  # what the next batch goes on from, cut from the graph
    weights: dict[str, float] = field(default_factory=dict)  # of the parts in the mean, where that is not 1

    @classmethod
    def of(
        cls, parts: dict[str, tuple[torch.Tensor, int]], carried: Carried | None = None, weights: dict[str, float] | None = None
    ) -> "Loss":
        """The loss whose mean is the sum of the parts' own means, each times its weight."""
        weights = weights or {}
        counts = {name: count for name, (_, count) in parts.items()}
        sums = {name: total for name, (total, _) in parts.items()}
        return cls(weighted_sum(sums, counts, weights), next(iter(counts.values())), dict(parts), carried, weights)

    def share(self, counts: Mapping[str, int]) -> torch.Tensor:
        """What this batch adds to the mean over a greater one, in which the parts have so many predictions in all."""
        return weighted_sum({name: total for name, (total, _) in self.parts.items()}, counts, self.weights)


def weighted_sum(sums: Mapping[str, Any], counts: Mapping[str, int], weights: Mapping[str, float]) -> Any:
    """The sum of the parts' means, each over its own count and times its weight (1 where none is given)."""
    means = (total / max(1, counts[name]) * weights.get(name, 1.0) for name, total in sums.items())
    return sum(means, start=0.0)


def cross_entropy(
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], bias: Float[Tensor, " V"] | None, labels: Int[Tensor, " N"]
) -> Float[Tensor, ""]:
    """The sum over N of -log softmax(hidden weight' + bias)[label], in nats and float32.

    Under autocast the products are in its type, the softmax in float32.
    """
    return _CrossEntropy.apply(hidden, weight, bias, labels, 0.0, product_type(hidden))[0]


def smoothed_cross_entropy(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    labels: Int[Tensor, " N"],
    smoothing: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(the sum over N of the cross-entropy with smoothed labels, that with the labels as they are, without a graph), in nats.

    The right token has the chance 1 - smoothing, all others share the rest evenly (Szegedy 2016, section 7, in the form of
    tensor2tensor, the Transformer's own code). PyTorch's `label_smoothing` shares it among all tokens, the right one too.
    """
    total, plain = _CrossEntropy.apply(hidden, weight, bias, labels, smoothing, product_type(hidden))
    return total, plain


def target_loss(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    labels: Int[Tensor, " N"],
    smoothing: float,
) -> Loss:
    """Of a target's tokens: the part `tokens` is of the labels as they are, `smoothing` what smoothed ones add (0: no such part)."""
    if not smoothing:
        return Loss.of({"tokens": (cross_entropy(hidden, weight, bias, labels), len(labels))})
    total, plain = smoothed_cross_entropy(hidden, weight, bias, labels, smoothing)
    return Loss.of({"tokens": (plain, len(labels)), "smoothing": (total - plain, len(labels))})  # the second carries the gradient of both


def soft_cross_entropy(own: Float[Tensor, "*shape K"], theirs: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape"]:
    """-sum over K of softmax(theirs) log softmax(own), in nats: of the chances that another's scores give (Hinton 2015, section 2).

    Where both are -inf, which stands for no outcome, nothing is added.
    """
    chances = theirs.softmax(-1)
    return -(chances * own.log_softmax(-1).masked_fill(chances == 0, 0.0)).sum(-1)


@torch.no_grad()
def surprisal(
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], bias: Float[Tensor, " V"] | None, labels: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """-log softmax(hidden weight' + bias)[label] of each prediction, in nats; no gradient."""
    dtype = product_type(hidden)
    table = weight.to(dtype)
    nats = torch.empty(len(labels), device=hidden.device)
    for rows in _slices(len(labels), CHUNK // len(weight)):
        logits = hidden[rows].to(dtype) @ table.t()
        nats[rows] = _softmax(logits, bias, labels[rows], slopes=False)[0]
    return nats


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradients during the forward pass, where the chunk's softmax is at hand."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, labels, smoothing, dtype):  # type: ignore[no-untyped-def]
        slopes = any(ctx.needs_input_grad)
        table = weight.to(dtype)
        total, plain = torch.zeros((), device=hidden.device), torch.zeros((), device=hidden.device)
        d_hidden, d_weight, d_bias = torch.empty_like(hidden), None, None
        for rows in _slices(len(labels), CHUNK // len(weight)):
            states = hidden[rows].to(dtype)
            logits = states @ table.t()
            nats, others = _softmax(logits, bias, labels[rows], slopes=slopes, smoothing=smoothing)
            plain += nats.sum()
            total += (1 - smoothing) * nats.sum() + smoothing * others.sum()
            if slopes:
                d_hidden[rows] = logits @ table  # `logits` now holds the loss's slopes by them
                d_weight = _plus(d_weight, (logits.t() @ states).to(weight.dtype))
                if bias is not None:
                    ones = torch.ones(1, len(logits), dtype=dtype, device=hidden.device)
                    d_bias = _plus(d_bias, (ones @ logits)[0].to(bias.dtype))
        if slopes:
            ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.mark_non_differentiable(plain)
        return total, plain

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total, _):  # type: ignore[no-untyped-def]
        gradients = [None if g is None else g * d_total.to(g.dtype) for g in ctx.saved_tensors]
        return *gradients, None, None, None


def _softmax(logits: Tensor, bias: Tensor | None, labels: Tensor, slopes: bool, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """(nats of each label (n,), the mean nats of all other tokens where there is `smoothing`).

    With `slopes`, `logits` (n, V) becomes softmax - the labels' chances, in place.
    """
    nats, others = torch.empty(len(labels), device=logits.device), torch.zeros(len(labels), device=logits.device)
    rest = smoothing / (logits.shape[1] - 1) if smoothing else 0.0  # the chance of each token that is not the label
    for rows in _slices(len(labels), SOFTMAX // logits.shape[1]):
        exact = logits[rows].float() if bias is None else logits[rows] + bias.float()
        label = labels[rows, None]
        shares = exact.softmax(-1)
        right = shares.gather(1, label)
        # Nearly out of float32's range, only logarithms still tell how small a share is.
        logs = right.log() if right.min() > 1e-30 else exact.log_softmax(-1).gather(1, label)
        nats[rows] = -logs.squeeze(1)
        if smoothing:
            every = (exact.gather(1, label).squeeze(1) + nats[rows]) - exact.mean(1)  # mean nats of all V tokens
            others[rows] = (every * exact.shape[1] - nats[rows]) / (exact.shape[1] - 1)
        if slopes:
            if smoothing:
                shares.sub_(rest)
            shares.scatter_add_(1, label, torch.full_like(right, smoothing + rest - 1.0))
            logits[rows] = shares
    return nats, others


def _plus(sum_so_far: Tensor | None, more: Tensor) -> Tensor:
    return more if sum_so_far is None else sum_so_far.add_(more)


def _slices(length: int, size: int) -> list[slice]:
    size = max(1, size)
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]
