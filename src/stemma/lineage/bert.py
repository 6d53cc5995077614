# ruff: noqa: F722 (axis names stand in annotations)
"""BERT: deep bidirectional pre-training (Devlin 2018).

Parent: the Transformer's encoder. It added pre-training with context from both sides, by predicting
masked tokens and whether sentence B follows A; it gave up scoring and generating text.

Axes: B batch, T positions, D width, H heads, E width of the token table's rows (here D), V vocabulary, M masked positions,
N sentence pairs.
`width` is the paper's H, `depth` its L, `heads` its A. Post-norm blocks as in the Transformer; the
embeddings are normalised too; the head for masked tokens is dense, gelu, norm, then the token table
with a free bias. Segment embeddings are `types` here, since a row may hold several segments.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.bounds import BelowOne, Depth, Length, NonNegative, Width
from stemma.errors import DataError, UsageError
from stemma.layers.attention import Mask, Path, SelfAttention, block_mask, fitting_path
from stemma.layers.blocks import Called, FeedForward, Layer, layer
from stemma.layers.fast import Activation, Dense, Dropout, Positions, activate
from stemma.layers.frequencies import begin_with_bias
from stemma.layers.loss import Carried, Loss, cross_entropy, surprisal
from stemma.layers.positions import sinusoids
from stemma.layers.uniform import Uniform
from stemma.layers.weights import take_over
from stemma.lineage.network import AttentionMap
from stemma.lineage.sized import Sized, check_heads, closed
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
STD = 0.02  # of the truncated normal that all weights are drawn from, cut at two of these
EPS = 1e-12  # of the layer norms (modeling.py)


@dataclass(frozen=True)
class Config:
    """BERT-base; `small` and `tiny` are in presets/bert.toml."""

    width: Width = 768  # numbers in a state; a multiple of `heads`
    depth: Depth = 12  # blocks
    heads: Width = 12  # attention heads
    inner: Width = 3072  # width inside the feed-forward network
    max_length: Length = 512  # positions that have an embedding
    dropout: BelowOne = 0.1  # on embeddings, attention weights and both sub-layers' outputs
    activation: Literal["gelu", "gelu_tanh"] = "gelu"  # exact, as published checkpoints are read; or Google's code
    waves: NonNegative = 0.0  # root mean square of the sinusoids that the learned positions begin as; 0: drawn by lot, as the paper has it
    frequencies: bool = False  # the head begins by predicting each token by its frequency in the text; the paper's begins without
    attention: Literal["auto", "sdpa", "explicit"] = "auto"  # how attention is computed; auto: the faster one here, recorded


class Block(nn.Module):
    """Self-attention, then the feed-forward network, each added and normalised."""

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads, config.dropout, path)
        self.attention_norm = nn.LayerNorm(config.width, eps=EPS)
        self.feedforward = FeedForward(config.width, config.inner, config.activation)
        self.feedforward_norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        """The states after this block."""
        return self._finish(x, self.attention(x, mask))

    def at(self, chosen: Positions, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "N D"]:
        """What `forward` gives at the chosen positions, at their cost alone."""
        return self._finish(chosen.states(x), self.attention.at(chosen, x, mask))

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.attention_norm(x + self.dropout(attended))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))


class MaskedHead(nn.Module):
    """States at masked positions -> states as wide as the token table's rows (E), which they are compared with, and its free bias."""

    def __init__(self, width: int, outputs: int, activation: Activation, vocab_size: int) -> None:
        super().__init__()
        self.activation = activation
        self.dense = Dense(width, outputs)
        self.norm = nn.LayerNorm(outputs, eps=EPS)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape E"]:
        """What the token table is compared with."""
        return self.norm(activate(self.dense(x), self.activation))


class BERT(Sized, nn.Module):
    """The bidirectional encoder with its two pre-training heads."""

    task_tokens = 0
    shaped_by: tuple[str, ...] = ("width", "inner", "depth", "heads", "max_length", "activation")

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        check(config, tokens)
        path: Path = "sdpa" if config.attention == "auto" else config.attention
        self.config, self.specials = config, dict(tokens.specials)
        self.tokens = nn.Embedding(tokens.vocab_size, config.width)
        self.positions = nn.Embedding(config.max_length, config.width)
        self.types = nn.Embedding(2, config.width)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, path) for _ in range(config.depth))
        self.pooler = nn.Linear(config.width, config.width)
        self.masked_head = MaskedHead(config.width, config.width, config.activation, tokens.vocab_size)
        self.next_head = nn.Linear(config.width, 2)  # 0: B follows A, 1: B is drawn from elsewhere, or A follows B
        self.apply(initialise)
        begin_as_waves(self.positions, config.waves)
        if config.frequencies:
            begin_with_bias(self.masked_head.bias, tokens.counts)

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config with the way of attention that is the faster one on this device."""
        return config if config.attention != "auto" else replace(config, attention=fitting_path(device, config.max_length))

    @property
    def tower(self) -> Sequence[Block]:
        """The blocks in the order in which states pass through them."""
        return list(self.blocks)  # type: ignore[arg-type]

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(`[CLS] ids [SEP]` or `[CLS] ids [SEP] other [SEP]`, types: 1 in `other` and its [SEP])."""
        framed, types = closed(ids, other, self.specials["sep"])
        return [self.specials["cls"], *framed], [0, *types]

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean over masked positions of -log P(label), plus, where pairs are given, the mean over pairs.

        Reads `ids`, `labels` (B T), if present `positions`, `segments`, `types` (B T), and for pairs
        `next` or `order` (N,) with `cls` (N,), the flat position of each pair's [CLS]: row * T + column.
        """
        labels = batch["labels"]
        predicted = labels != IGNORE
        counts = self.predictions(batch)
        if not counts["masked"]:
            raise DataError("a batch asks for no prediction: all its labels are ignored", "one label or more", "leave such batches out")
        cls = batch.get("cls")
        chosen = Positions(predicted if cls is None else predicted.flatten().index_fill(0, cls, True).view_as(predicted))
        states = self._last(batch, chosen)  # (N, D)
        masked = chosen.pick(states, predicted.flatten().nonzero().squeeze(1))
        total = cross_entropy(self._compared(masked), self.tokens.weight, self.masked_head.bias, labels[predicted])
        sums = {"masked": total}
        if cls is not None:
            first = torch.tanh(self.pooler(chosen.pick(states, cls)))
            pairs = _pair_labels(batch)
            sums[pairs] = F.cross_entropy(self.next_head(first).float(), batch[pairs], reduction="sum")
        return Loss.of({name: (nats, counts[name]) for name, nats in sums.items()})

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Masked positions, and pairs where they are given."""
        pairs = {_pair_labels(batch): len(batch["cls"])} if "cls" in batch else {}
        return {"masked": int((batch["labels"] != IGNORE).sum()), **pairs}

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B T D"]]:
        """The embeddings, then the output of each block."""
        mask = block_mask(batch.get("segments"))
        layers = [self._embed(batch)]
        for block in self.tower:
            layers.append(block(layers[-1], mask))
        return layers

    def pooled(self, hidden: Float[Tensor, "B T D"], cls: Int[Tensor, " N"] | None = None) -> Float[Tensor, "N D"]:
        """The tanh of a dense layer on the state of [CLS]: each row's first position, or the flat positions `cls`."""
        first = hidden[:, 0] if cls is None else hidden.flatten(0, 1)[cls]
        return torch.tanh(self.pooler(first))

    def summary(self, states: list[Float[Tensor, "B T D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The pooled state of [CLS] (section 4.1)."""
        return self.pooled(states[-1])

    def layers(self) -> list[Layer]:
        """The embeddings, the blocks, then the pooler and the pre-training heads."""
        blocks = [layer(self, f"block {n + 1}", f"blocks.{n}", block=True, called=Called(b, ("at",))) for n, b in enumerate(self.blocks)]
        bottom = layer(self, "embeddings", "tokens", "positions", "types", "norm", "dropout")
        return [bottom, *blocks, layer(self, "top", "pooler", "masked_head", "next_head")]

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Begins with an earlier run's weights; new tokens, after those that it had, stay as they were drawn."""
        take_over(self, arrays, ("tokens.weight", "masked_head.bias"))

    def task_input(self) -> "BERT":
        """Itself: [CLS] and [SEP] are there from the start."""
        return self

    def logits(self, hidden: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape V"]:
        """Scores of every token from states of the last layer."""
        return F.linear(self._compared(hidden), self.tokens.weight, self.masked_head.bias)

    def scores(self, states: list[Float[Tensor, "B T D"]], block: int) -> Float[Tensor, "B H T T"]:
        """The scores of each head of a block (1: the lowest), before mask and softmax; `states` are those that `encode` gave."""
        scores: Tensor = self.tower[block - 1].attention.scores(states[block - 1])
        return scores

    def check_fills(self) -> None:
        """UsageError where the head for masked tokens is empty."""
        if not self.masked_head.norm.weight.any():
            mend = "use embed or finetune, or convert a folder saved with its head (BertForMaskedLM, BertForPreTraining)"
            raise UsageError("the model came without its head for masked tokens", "a model with that head", mend)

    @torch.no_grad()
    def fill(self, batch: Tensors) -> Float[Tensor, "M V"]:
        """Scores of every token at each [MASK] of `ids`, row by row."""
        self.check_fills()
        return self.logits(self._last(batch, Positions(batch["ids"] == self.specials["mask"])))

    def attention_batch(self, ids: Sequence[int], other: Sequence[int] | None = None) -> Tensors:
        """The framed text or pair as a batch of one row, for `attention`."""
        framed, types = self.frame(ids, other)
        device = self.tokens.weight.device
        return {"ids": torch.tensor([framed], device=device), "types": torch.tensor([types], device=device)}

    @torch.no_grad()
    def attention(self, batch: Tensors) -> list[AttentionMap]:
        """Where each position looks, block by block: anywhere in its text or pair."""
        ids, mask = batch["ids"], block_mask(batch.get("segments"))
        maps = list[AttentionMap]()
        for block, x in zip(self.tower, self.encode(batch), strict=False):  # the last state is no block's input
            maps.append(AttentionMap("encoder self", len(maps) + 1, ids, ids, *block.attention.trace(x, mask)))
        return maps

    @torch.no_grad()
    def label_nats(self, batch: Tensors) -> Float[Tensor, " M"]:
        """Nats of each label that is not IGNORE, row by row."""
        self.check_fills()
        predicted = batch["labels"] != IGNORE
        states = self._compared(self._last(batch, Positions(predicted)))
        return surprisal(states, self.tokens.weight, self.masked_head.bias, batch["labels"][predicted])

    def _embed(self, batch: Tensors) -> Tensor:
        """Token, position and type embeddings, summed and normalised, (B, T, D)."""
        return self._placed(self.tokens(batch["ids"]), batch)

    def _placed(self, tokens: Tensor, batch: Tensors) -> Tensor:
        """The embedded tokens plus the embeddings of their positions and types, normalised."""
        ids, positions, types = batch["ids"], batch.get("positions"), batch.get("types")
        if positions is None:
            if ids.shape[1] > self.max_length:
                raise UsageError(f"{ids.shape[1]} positions", f"{self.max_length} at most (model.max_length)", "cut the text into pieces")
            positions = torch.arange(ids.shape[1], device=ids.device)
        if types is None:
            types = torch.zeros_like(ids)
        return self.dropout(self.norm(tokens + self.positions(positions) + self.types(types)))

    def _compared(self, hidden: Tensor) -> Tensor:
        """States of the last layer (... D) as they are compared with the token table's rows (... E)."""
        compared: Tensor = self.masked_head(hidden)
        return compared

    def _last(self, batch: Tensors, chosen: Positions) -> Tensor:
        """The last block's states at the chosen positions, (N, D)."""
        mask = block_mask(batch.get("segments"))
        x, (*below, last) = self._embed(batch), self.tower
        for block in below:
            x = block(x, mask)
        return last.at(chosen, x, mask)


def _pair_labels(batch: Tensors) -> str:
    """The name of the pairs' labels."""
    return "order" if "order" in batch else "next"


def check(config: Config, tokens: TokenFacts) -> None:
    """UsageError where the heads do not share the width, or the tokenizer lacks what frames and masks a text."""
    check_heads(config)
    missing = [name for name in ("cls", "sep", "mask") if name not in tokens.specials]
    if missing:
        wrong = f"the tokenizer has no {missing[0]!r} token"
        raise UsageError(wrong, "a tokenizer with cls, sep and mask", "set tokenizer.kind to wordpiece or unigram")


def begin_as_waves(positions: nn.Embedding, size: float) -> None:
    """Has the table of positions begin as sinusoids of this root mean square; 0 leaves it as it was drawn.

    Of positions drawn by lot no two are alike, and a head that looks at a neighbour must learn each pair of them; of sinusoids it is one
    map for all. A masked language model predicts by the frequencies of words until some head has found the neighbours.
    """
    if size and not positions.weight.is_meta:
        with torch.no_grad():
            positions.weight.copy_(sinusoids(*positions.weight.shape) * (size * math.sqrt(2)))


def initialise(module: nn.Module) -> None:
    """Weights from the truncated normal, biases 0; norms keep gain 1 and bias 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=STD, a=-2 * STD, b=2 * STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
