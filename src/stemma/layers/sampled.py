# ruff: noqa: F722 (axis names stand in annotations)
"""Sampled softmax: the normaliser estimated from words drawn at random, the same ones for all predictions of a step.

S draws from q hit a word with the chance p = 1 - (1 - q)^S. Each word that was hit stands for 1/p of its kind: its
logit s becomes s - log p (Horvitz & Thompson 1952); frequent words, hit almost surely, stand for themselves alone. A
draw that is the prediction's own target is left out, the target is always in. So the sum of the exponentials is
right on average (Bengio & Senécal 2008), and the loss comes near the whole softmax's, a little below it. For
training only: a perplexity needs the whole sum.

Axes: N predictions, D width, V vocabulary, S draws, U different words among them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from stemma.layers.fast import product_type

ROWS = 256  # predictions whose softmax is computed at a time: 1,024 draws of these fit a core's own cache


class Proposal:
    """q, the chances of being drawn: proportional to `counts` (V) to the `power`; a word of count 0 is never drawn."""

    def __init__(self, counts: Float[Tensor, " V"], power: float) -> None:
        chances = counts.double() ** power * (counts > 0)
        self.chances = chances / chances.sum()  # (V)
        self._sums = self.chances.cumsum(0)

    def draw(self, size: int) -> tuple[Int[Tensor, " U"], Float[Tensor, " U"]]:
        """The different words of `size` draws from torch's generator, ascending, and -log p of each."""
        drawn = torch.searchsorted(self._sums, torch.rand(size, dtype=torch.float64, device=self._sums.device) * self._sums[-1], right=True)
        words = drawn.unique()
        return words, -(-torch.expm1(size * torch.log1p(-self.chances[words]))).log().float()


def sampled_cross_entropy(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"],
    labels: Int[Tensor, " N"],
    proposal: Proposal,
    size: int,
) -> Float[Tensor, ""]:
    """The sum over N of -log softmax(hidden weight' + bias)[label], estimated by `size` draws from torch's generator, in nats."""
    words, raised = proposal.draw(size)
    return _Sampled.apply(hidden, weight, bias[words] + raised, bias[labels], labels, words, product_type(hidden))


class _Sampled(torch.autograd.Function):
    """Computes the gradients during the forward pass, where each slice's softmax is at hand."""

    @staticmethod
    def forward(ctx, hidden, weight, word_bias, label_bias, labels, words, dtype):  # type: ignore[no-untyped-def]
        states, drawn, own = hidden.to(dtype), weight[words].to(dtype), weight[labels].to(dtype)
        right = (states * own).sum(-1, dtype=torch.float32) + label_bias  # (N)
        slopes = states @ drawn.t()  # (N U), logits as yet
        total = torch.zeros((), device=hidden.device)
        right_slopes = torch.empty_like(right)
        column = torch.searchsorted(words, labels).clamp(max=len(words) - 1)  # where the label is, if it was drawn
        hit = words[column] == labels
        for first in range(0, len(labels), ROWS):
            rows = slice(first, first + ROWS)
            logits = slopes[rows].float() + word_bias
            mine = hit[rows].nonzero().squeeze(1)
            logits[mine, column[rows][mine]] = -torch.inf
            whole = torch.logaddexp(logits.logsumexp(-1), right[rows])
            total += (whole - right[rows]).sum()
            slopes[rows] = (logits - whole[:, None]).exp_()
            right_slopes[rows] = (right[rows] - whole).exp() - 1
        d_hidden = (slopes @ drawn).to(hidden.dtype) + right_slopes[:, None] * own
        d_drawn = (slopes.t() @ states).to(weight.dtype)
        ctx.save_for_backward(d_hidden, d_drawn, slopes.sum(0, dtype=torch.float32), right_slopes, states, words, labels)
        ctx.shape = weight.shape
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total):  # type: ignore[no-untyped-def]
        d_hidden, d_drawn, word_slopes, right_slopes, states, words, labels = ctx.saved_tensors
        d_weight = d_drawn.new_zeros(ctx.shape).index_add_(0, words, d_drawn * d_total)
        d_weight.index_add_(0, labels, (right_slopes * d_total)[:, None] * states.to(d_drawn.dtype))
        return d_hidden * d_total, d_weight, word_slopes * d_total, right_slopes * d_total, None, None, None
