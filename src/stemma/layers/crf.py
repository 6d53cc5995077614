# ruff: noqa: F722 (axis names stand in annotations)
"""The linear-chain conditional random field: tags of a text chosen together, not one by one (Lafferty 2001; Lample 2016, section 2.2).

A path's score is the sum of its emissions, of one transition between each tag and the next, of `start` at its first tag and
`end` at its last. Rows are filled from the left: real positions come first, as `mask` says.

Axes: B batch, T positions, K tags.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

NEVER = float("-inf")


class Lawful(NamedTuple):
    """Which tags a path may begin with, and which may follow which; decoding gives no other path."""

    first: Bool[Tensor, " K"]
    following: Bool[Tensor, "K K"]  # row: the tag before


class ChainCRF(nn.Module):
    """The scores of a chain's steps: `start` (K), `transitions` (K K, row the tag before) and `end` (K)."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))  # zeros: at first a plain softmax at each position

    def log_likelihood(self, scores: Float[Tensor, "B T K"], tags: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, " B"]:
        """Nats of each row's tags given its emissions, never above 0; 0 for a row without real positions. Tags at padding are not read."""
        scores = _wide(scores)
        return self._path(scores, tags.masked_fill(~mask, 0), mask) - self._all_paths(scores, mask) * mask.any(1)

    def decode(self, scores: Float[Tensor, "B T K"], mask: Bool[Tensor, "B T"], lawful: Lawful | None = None) -> Int[Tensor, "B T"]:
        """The best path of each row; 0 at padding."""
        return best_path(_wide(scores), mask, self.start, self.transitions, self.end, lawful)

    def _path(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Float[Tensor, " B"]:
        emitted = (scores.gather(2, tags[..., None]).squeeze(2) * mask).sum(1)
        steps = (self.transitions[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]).sum(1)
        last = tags.gather(1, (mask.sum(1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        return emitted + steps + (self.start[tags[:, 0]] + self.end[last]) * mask.any(1)

    def _all_paths(self, scores: Tensor, mask: Tensor) -> Float[Tensor, " B"]:
        """The logarithm of the sum over all paths of their exponentiated scores (the forward algorithm)."""
        total = self.start + scores[:, 0]  # B K
        for t in range(1, scores.shape[1]):
            after = torch.logsumexp(total[:, :, None] + self.transitions, 1) + scores[:, t]
            total = torch.where(mask[:, t, None], after, total)
        return torch.logsumexp(total + self.end, 1)


def _wide(scores: Tensor) -> Tensor:
    """At least float32: half precision would lose the small ones among many exponentials."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


@torch.no_grad()
def best_path(
    scores: Float[Tensor, "B T K"],
    mask: Bool[Tensor, "B T"],
    start: Float[Tensor, " K"],
    transitions: Float[Tensor, "K K"],
    end: Float[Tensor, " K"],
    lawful: Lawful | None = None,
) -> Int[Tensor, "B T"]:
    """The best path of each row (Viterbi), 0 at padding; of equal paths one."""
    if lawful is not None:
        start, transitions = start.masked_fill(~lawful.first, NEVER), transitions.masked_fill(~lawful.following, NEVER)
    best, came_from = start + scores[:, 0], []
    for t in range(1, scores.shape[1]):
        value, before = (best[:, :, None] + transitions).max(1)  # B K
        best = torch.where(mask[:, t, None], value + scores[:, t], best)
        came_from.append(before)
    tag = (best + end).argmax(1)
    path = torch.zeros(mask.shape, dtype=torch.long, device=scores.device)
    for t in range(scores.shape[1] - 1, -1, -1):
        path[:, t] = torch.where(mask[:, t], tag, 0)
        if t:  # while a row is still padding, its last tag waits
            tag = torch.where(mask[:, t], came_from[t - 1].gather(1, tag[:, None]).squeeze(1), tag)
    return path
