# ruff: noqa: F722 (axis names stand in annotations)
"""The loss that crosses rooms, and cross-entropy over a big vocabulary.

Axes: N predictions, D width, V vocabulary. The softmax over the vocabulary is computed, and
differentiated, a few hundred predictions at a time: no N x V tensor is ever kept.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_LOGITS = 1 << 21  # logits held at a time: 256 predictions of 8,192 words, 4 MB in bfloat16


@dataclass(frozen=True, slots=True)
class Loss:
    """`mean` nats per prediction (a scalar tensor, with its graph), over `count` predictions.

    `parts` holds what a report shows separately: name -> (sum in nats, count), plain floats or
    detached scalar tensors.
    """

    mean: torch.Tensor
    count: int
    parts: dict[str, tuple[torch.Tensor | float, int]] = field(default_factory=dict)


def cross_entropy(
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], bias: Float[Tensor, " V"] | None, labels: Int[Tensor, " N"]
) -> Float[Tensor, ""]:
    """The sum over N of -log softmax(hidden weight' + bias)[label], in nats and float32.

    Under autocast the products are in its type, the softmax in float32.
    """
    return _CrossEntropy.apply(hidden, weight, bias, labels, _product_type(hidden))


@torch.no_grad()
def surprisal(
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], bias: Float[Tensor, " V"] | None, labels: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """-log softmax(hidden weight' + bias)[label] of each prediction, in nats; no gradient."""
    dtype = _product_type(hidden)
    weight = weight.to(dtype)
    nats = torch.empty(len(labels), device=hidden.device)
    for rows in _chunks(len(labels), len(weight)):
        log_softmax = _logits(hidden[rows].to(dtype), weight, bias).log_softmax(-1)
        nats[rows] = -log_softmax.gather(1, labels[rows, None]).squeeze(1)
    return nats


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradients during the forward pass, where the chunk's softmax is at hand."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, labels, dtype):  # type: ignore[no-untyped-def]
        wanted = any(ctx.needs_input_grad)
        table = weight.to(dtype)
        total = torch.zeros((), device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wanted else None
        d_weight = torch.zeros_like(weight) if wanted else None
        d_bias = torch.zeros_like(bias) if wanted and bias is not None else None
        for rows in _chunks(len(labels), len(weight)):
            states = hidden[rows].to(dtype)
            logits = _logits(states, table, bias)
            asked = labels[rows, None]
            peak = logits.amax(-1, keepdim=True)
            right = logits.gather(1, asked)
            share = logits.sub_(peak).exp_()
            mass = share.sum(-1, keepdim=True)
            total += (mass.log() + peak - right).sum()
            if not wanted:
                continue
            share.div_(mass)
            share.scatter_add_(1, asked, torch.full_like(right, -1.0))  # d loss / d logits = softmax - one hot
            if d_bias is not None:
                d_bias += share.sum(0)
            slope = share.to(dtype)
            d_hidden[rows] = slope @ table
            d_weight += slope.t() @ states
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total):  # type: ignore[no-untyped-def]
        gradients = [None if g is None else g * d_total for g in ctx.saved_tensors]
        return *gradients, None, None


def _logits(states: Tensor, table: Tensor, bias: Tensor | None) -> Tensor:
    logits = (states @ table.t()).float()
    return logits if bias is None else logits.add_(bias)


def _chunks(predictions: int, vocabulary: int) -> list[slice]:
    size = max(1, CHUNK_LOGITS // vocabulary)
    return [slice(first, min(first + size, predictions)) for first in range(0, predictions, size)]


def _product_type(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
