# ruff: noqa: F722 (axis names stand in annotations)
"""GPT-2: the same language model, deeper and read by itself (Radford 2019, "Language Models are Unsupervised Multitask Learners").

Parent: GPT. It added norms before the sub-layers, so that states pass from block to block untouched and deep towers learn, tokens made
of bytes, so that no text is out of its vocabulary, and twice the context; it gave up the second, supervised stage, for a task is text to
go on with. Fine-tuning, which GPT brought, is possible with it all the same.

Axes: B batch, T positions, D width. `width`, `depth` and `heads` are the reference code's n_embd, n_layer, n_head.
The block is pre-norm: n = x + attention(LN(x)), y = n + feedforward(LN(n)); one more norm stands on top, before the head.

Weights begin N(0, 0.02), positions N(0, 0.01) as in the reference code (model.py); the matrices by which a sub-layer adds to the states
are divided by the root of how many add to them (section 2.3), so that the states' spread does not grow with the depth.

Deviates: dropout is GPT's, of which neither the paper nor its code says anything. Deviates: attention stays inside a document's part of a
row, where the original lets it cross (`objectives.causal`).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stemma.bounds import Length
from stemma.layers.attention import KeepsKeys, Mask, Traced
from stemma.layers.blocks import Layer, layer
from stemma.lineage import gpt
from stemma.lineage.gpt import GPT, STD
from stemma.tokens.facts import TokenFacts

POSITIONS_STD = 0.01  # of the normal that positions are drawn from


@dataclass(frozen=True)
class Config(gpt.Config):
    """The smallest of the paper's four sizes; the others, and those for a CPU, are in presets/gpt2.toml."""

    max_length: Length = 1024  # positions that have an embedding


class Block(gpt.Block):
    """Masked self-attention, then the feed-forward network, each reading normalised states and adding to them as they are."""

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask, cache: KeepsKeys | None = None, layer: int = 0) -> Float[Tensor, "B T D"]:
        """The states after this block; `cache` holds what was read before, and `layer` is this block's place in it."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask, cache, layer))
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))

    def trace(self, x: Float[Tensor, "B T D"], mask: Mask) -> Traced:
        """Where its attention looks."""
        return super().trace(self.attention_norm(x), mask)

    @torch.no_grad()
    def shrink(self, sums: int) -> None:
        """Divides what adds to the states by the root of the number of `sums` in the tower."""
        for adding in (self.attention.out, self.feedforward.down):
            adding.weight.div_(math.sqrt(sums))


class GPT2(GPT):
    """The pre-norm language model: GPT with its own block, and a norm on top."""

    block = Block

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__(config, tokens)
        self.positions.weight.detach().mul_(POSITIONS_STD / STD)
        for block in self.blocks:
            block.shrink(2 * config.depth)  # type: ignore[operator]

    def _last_norm(self, config: gpt.Config) -> nn.LayerNorm:
        """One of its own, on top."""
        self.norm = nn.LayerNorm(config.width, eps=1e-5)
        return self.norm

    def encode(self, batch: dict[str, Tensor]) -> list[Float[Tensor, "B T D"]]:
        """The embeddings, then the output of each block, the last one normalised as the head reads it."""
        *states, last = super().encode(batch)
        return [*states, self.norm(last)]

    def layers(self) -> list[Layer]:
        """The embeddings, the blocks, the norm on top; the head is the token table."""
        *below, _ = super().layers()
        return [*below, layer(self, "top", "norm")]

    def _tower(self, x: Tensor, mask: Mask, cache: KeepsKeys | None = None) -> Tensor:
        """The last block's output, normalised, (B, T, D)."""
        normed: Tensor = self.norm(super()._tower(x, mask, cache))
        return normed
