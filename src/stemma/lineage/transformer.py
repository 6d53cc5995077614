# ruff: noqa: F722 (axis names stand in annotations)
"""The Transformer: an encoder and a decoder of attention alone (Vaswani 2017, "Attention Is All You Need"). Parent: seq2seq (`seq2seq`).

What it added: states that are made by attending, in several heads, to all positions at once, so that no position waits for the one
before and any two are one step apart; waves that tell positions. What it gave up: the recurrent state, and with it texts of any
length at a constant cost a word.

An encoder block is self-attention, then the position-wise network; a decoder block has attention to the encoder's states between
the two, and its self-attention sees no later position. `norm` is where layer norms stand: `post`, the paper's LN(x + f(x)), or `pre`,
x + f(LN(x)) with one more norm on top of each tower, as the paper's own code came to have it: it learns without a long warm-up.

The loss is that of labels smoothed by `smoothing` (section 5.4); its part `tokens` is the plain one, which perplexity comes from.

Deviates: smoothing leaves none of its share to the label itself, as tensor2tensor's does not, where Szegedy 2016, whom the paper cites,
gives all tokens alike. Deviates: attention's own weights are dropped out too, as tensor2tensor does; the decoder begins with the end-of-
text token, or the begin token where the tokenizer has one. Matrices begin as Glorot's uniform ones, tables normal with width^-0.5.

B batch, S source positions, T target positions, D width, V vocabulary, R rows that are written. `width` is the paper's d_model,
`inner` its d_ff, `heads` its h, `depth` its N.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.bounds import BelowOne, Depth, DepthOrNone, Length, Width
from stemma.errors import DataError, UsageError
from stemma.layers.attention import (
    Cache,
    CrossAttention,
    KeepsKeys,
    KeysValues,
    Mask,
    Path,
    SelfAttention,
    block_mask,
    cross_mask,
    fitting_path,
)
from stemma.layers.blocks import FeedForward, Layer, layer
from stemma.layers.fast import Dense, Dropout
from stemma.layers.loss import Carried, Loss, target_loss
from stemma.layers.pooling import mean_state
from stemma.layers.positions import Order, sinusoids
from stemma.lineage.network import AttentionMap
from stemma.lineage.sized import Sized, check_heads, closed
from stemma.nouns import counted
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Config:
    """The paper's base sizes; `small` and `tiny` are in presets/transformer.toml."""

    width: Width = 512  # numbers in a state; a multiple of `heads`
    depth: Depth = 6  # blocks of the encoder
    decoder_depth: DepthOrNone = 0  # blocks of the decoder; 0: as many as the encoder has
    heads: Width = 8  # attention heads
    inner: Width = 2048  # width inside the feed-forward network
    max_length: Length = 512  # positions of a text at most
    dropout: BelowOne = 0.1  # on embeddings, attention weights and every sub-layer's output
    norm: Literal["post", "pre"] = "post"  # layer norms after each sum, or before each sub-layer
    positions: Order = "interleaved"  # sines and cosines side by side, or in halves
    tie: Literal["all", "decoder", "none"] = "all"  # tables that are one: source, target and output; target and output; none
    smoothing: BelowOne = 0.1  # share of a label's chance that all other tokens get, while training
    attention: Literal["auto", "sdpa", "explicit"] = "auto"  # how attention is computed; auto: the faster one here, recorded


class Added(nn.Module):
    """A sub-layer's sum with its input, and where the norm stands."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.norm = nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def before(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """What the sub-layer reads."""
        return self.norm(x) if self.pre else x

    def after(self, x: Float[Tensor, "*shape D"], y: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """`x` with what the sub-layer made of it."""
        total = x + self.dropout(y)
        return total if self.pre else self.norm(total)


class EncoderBlock(nn.Module):
    """Self-attention over the source, then the feed-forward network."""

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        self.attention, self.attention_sum = SelfAttention(config.width, config.heads, config.dropout, path), Added(config)
        self.feedforward, self.feedforward_sum = FeedForward(config.width, config.inner, "relu"), Added(config)

    def forward(self, x: Float[Tensor, "B S D"], mask: Mask) -> Float[Tensor, "B S D"]:
        """The states after this block."""
        x = self.attention_sum.after(x, self.attention(self.attention_sum.before(x), mask))
        return self.feedforward_sum.after(x, self.feedforward(self.feedforward_sum.before(x)))


class DecoderBlock(nn.Module):
    """Masked self-attention over the target, attention to the source, then the feed-forward network."""

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        self.attention, self.attention_sum = SelfAttention(config.width, config.heads, config.dropout, path), Added(config)
        self.source_attention, self.source_sum = CrossAttention(config.width, config.heads, config.dropout, path), Added(config)
        self.feedforward, self.feedforward_sum = FeedForward(config.width, config.inner, "relu"), Added(config)

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Mask, source: KeysValues, visible: Mask, cache: KeepsKeys | None = None, layer: int = 0
    ) -> Float[Tensor, "B T D"]:
        """The states after this block; `source` is what it remembers of the encoder's states, of which `visible` are real."""
        x = self.attention_sum.after(x, self.attention(self.attention_sum.before(x), mask, cache, layer))
        x = self.source_sum.after(x, self.source_attention(self.source_sum.before(x), source, visible))
        return self.feedforward_sum.after(x, self.feedforward(self.feedforward_sum.before(x)))


class Translating:
    """What the network keeps of each row that it writes: the source as each decoder block remembers it, and what is written."""

    def __init__(
        self, sources: list[KeysValues], segments: Int[Tensor, "R S"], origins: list[int], cache: Cache, visible: Mask | None = None
    ) -> None:
        self.sources, self.segments, self.origins, self.cache = sources, segments, origins, cache
        self.visible = visible or cross_mask(None, segments)

    def rows(self, chosen: Sequence[int]) -> "Translating":
        """A copy of these rows, in this order; a row may stand several times. Rows of the same sources share what is kept of them."""
        origins = [self.origins[row] for row in chosen]
        if origins == self.origins:
            return Translating(self.sources, self.segments, origins, self.cache.rows(chosen), self.visible)
        return Translating([kept.rows(chosen) for kept in self.sources], self.segments[list(chosen)], origins, self.cache.rows(chosen))


class Transformer(Sized, nn.Module):
    """The encoder and the decoder."""

    task_tokens = 0

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        check_heads(config)
        if "eos" not in tokens.specials:
            raise UsageError("the tokenizer has no 'eos' token", "a tokenizer with an end-of-text token", "set tokenizer.kind to bpe")
        path: Path = "sdpa" if config.attention == "auto" else config.attention
        self.config, self.end = config, tokens.specials["eos"]
        self.begin = tokens.specials.get("bos", self.end)
        self.unwritten = sorted(set(tokens.specials.values()) - {self.end})  # never written
        self.tokens = nn.Embedding(tokens.vocab_size, config.width)
        self.target_tokens = None if config.tie == "all" else nn.Embedding(tokens.vocab_size, config.width)
        self.output = nn.Linear(config.width, tokens.vocab_size, bias=False) if config.tie == "none" else None
        self.register_buffer("waves", sinusoids(config.max_length, config.width, config.positions), persistent=False)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(config, path) for _ in range(config.depth))
        self.decoder_blocks = nn.ModuleList(DecoderBlock(config, path) for _ in range(config.decoder_depth or config.depth))
        self.norm, self.decoder_norm = (nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity() for _ in range(2))
        self.apply(_initialise)

    waves: Tensor  # (max_length D)

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config with the way of attention that is the faster one on this device."""
        return config if config.attention != "auto" else replace(config, attention=fitting_path(device, config.max_length))

    @property
    def opening(self) -> list[int]:
        """What a translation begins with."""
        return [self.begin]

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids as the encoder reads them, types): `ids <eos>`, or `ids <eos> other <eos>`."""
        framed, _ = closed(ids, other, self.end)
        return framed, [0] * len(framed)

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean of -log P(label_t | source, target up to t) over the labels that are not IGNORE; while training, of smoothed labels.

        Reads `ids`, `segments` (B S) of the source, `target_ids`, `labels` (B T); each row is one pair, padded at its end.
        """
        labels = batch["labels"]
        predicted = labels != IGNORE
        if not predicted.any():
            raise DataError("a batch asks for no prediction: all its labels are ignored", "one label or more", "leave such batches out")
        smoothing = self.config.smoothing if self.training else 0.0
        return target_loss(self._decode(batch)[predicted], self._table, None, labels[predicted], smoothing)

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels that are not IGNORE, in each part of the loss."""
        count = int((batch["labels"] != IGNORE).sum())
        return {"tokens": count, "smoothing": count} if self.training and self.config.smoothing else {"tokens": count}

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B S D"]]:
        """The source's embeddings, then the output of each block of the encoder, the last one as the decoder reads it."""
        mask = block_mask(batch.get("segments"))
        layers = [self._embed(self.tokens, batch["ids"], batch.get("positions"))]
        for block in self.blocks:
            layers.append(block(layers[-1], mask))
        return [*layers[:-1], self.norm(layers[-1])]

    def summary(self, states: list[Float[Tensor, "B S D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The mean of the last layer's states."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The tables, the encoder's blocks, and what stands above them: the decoder, a tower of blocks too."""
        blocks = [layer(self, f"block {n + 1}", f"blocks.{n}", block=True) for n in range(len(self.blocks))]
        bottom = layer(self, "embeddings", "tokens", "target_tokens", "output", "dropout")
        return [bottom, *blocks, layer(self, "top", "norm", "decoder_blocks", "decoder_norm", block=True)]

    def task_input(self) -> "Transformer":
        """Itself: the end token is there from the start."""
        return self

    @torch.no_grad()
    def read_sources(self, sources: Sequence[Sequence[int]]) -> Translating:
        """What `advance` begins with: the framed sources, read by the encoder, a row each."""
        longest, device = max(map(len, sources)), self.tokens.weight.device
        ids = torch.tensor([[*row, *[self.end] * (longest - len(row))] for row in sources], device=device)  # (R S)
        lengths = torch.tensor(list(map(len, sources)), device=device)
        segments = (torch.arange(longest, device=device) < lengths[:, None]).long()
        states = self.encode({"ids": ids, "segments": segments})[-1]
        return Translating(self.remember(states), segments, list(range(len(sources))), Cache(len(sources)))

    @torch.no_grad()
    def advance(self, prompts: Sequence[Sequence[int]], memory: Translating) -> tuple[Float[Tensor, "R V"], Translating]:
        """(log-probabilities of each row's next token, the memory after it); a row reads one token or more.

        `memory` is what `read_sources` made of the sources, or what the call before gave back. Specials but the end never come.
        """
        counts, rows = [len(ids) for ids in prompts], list(range(len(prompts)))
        if max(map(sum, zip(memory.cache.lengths, counts, strict=True))) > self.max_length:
            raise UsageError(f"more than {counted(self.max_length, 'token')} to be written", "a shorter text", "set a smaller length")
        device = self.tokens.weight.device
        ids = torch.tensor([[*row, *[self.end] * (max(counts) - len(row))] for row in prompts], device=device)  # (R T)
        positions, mask = memory.cache.place(counts, rows, device)
        x = self.write_on(ids, positions, mask, memory.sources, memory.visible, memory.cache)
        scores = self.next_scores(x[:, -1] if max(counts) == 1 else x[rows, [count - 1 for count in counts]])
        scores[:, self.unwritten] = -torch.inf
        return scores.cpu(), memory

    def remember(self, states: Float[Tensor, "R S D"]) -> list[KeysValues]:
        """What each decoder block keeps of the encoder's states."""
        return [block.source_attention.remember(states) for block in self._decoder]

    def write_on(
        self,
        ids: Int[Tensor, "R T"],
        positions: Int[Tensor, "R T"],
        mask: Mask,
        sources: Sequence[KeysValues],
        visible: Mask,
        kept: KeepsKeys,
    ) -> Float[Tensor, "R T D"]:
        """The last decoder block's output for target tokens that follow what is kept; their keys and values are kept too."""
        x = self._embed(self._target_tokens, ids, positions)
        for number, (block, source) in enumerate(zip(self._decoder, sources, strict=True)):
            x = block(x, mask, source, visible, kept, number)
        return x

    def next_scores(self, last: Float[Tensor, "R D"]) -> Float[Tensor, "R V"]:
        """Log-probabilities of the token after these outputs of the last block."""
        return nn.functional.linear(self.decoder_norm(last), self._table).float().log_softmax(-1)

    def attention_batch(self, ids: Sequence[int], other: Sequence[int] | None = None) -> Tensors:
        """A source, and its target where there is one, as a batch of one row."""
        pair = {"ids": self.frame(ids)[0], **({} if other is None else {"target_ids": [*self.opening, *other]})}
        return {name: torch.tensor([row], device=self.tokens.weight.device) for name, row in pair.items()}

    @torch.no_grad()
    def attention(self, batch: Tensors) -> list[AttentionMap]:
        """Where the source's positions look, block by block; with a target, where its own look among themselves and in the source."""
        ids, segments = batch["ids"], batch.get("segments")
        states, mask = self.encode(batch), block_mask(segments)
        maps = [
            AttentionMap("encoder self", number, ids, ids, *block.attention.trace(block.attention_sum.before(x), mask))
            for number, (block, x) in enumerate(zip(self._encoder, states, strict=False), start=1)
        ]
        if "target_ids" not in batch:
            return maps
        targets, causal, visible = batch["target_ids"], Mask(None, None, causal=True), cross_mask(None, segments)
        selves, crosses = list[AttentionMap](), list[AttentionMap]()
        x = self._embed(self._target_tokens, targets, None)
        for number, block in enumerate(self._decoder, start=1):
            source, read = block.source_attention.remember(states[-1]), block.attention_sum.before(x)
            selves.append(AttentionMap("decoder causal self", number, targets, targets, *block.attention.trace(read, causal)))
            queries = block.source_sum.before(block.attention_sum.after(x, block.attention(read, causal)))
            crosses.append(AttentionMap("encoder-decoder", number, targets, ids, *block.source_attention.trace(queries, source, visible)))
            x = block(x, causal, source, visible)
        return [*maps, *selves, *crosses]

    def _decode(self, batch: Tensors) -> Float[Tensor, "B T D"]:
        """The decoder's last states."""
        states, visible = self.encode(batch)[-1], cross_mask(None, batch.get("segments"))
        x, mask = self._embed(self._target_tokens, batch["target_ids"], None), Mask(None, None, causal=True)
        for block in self._decoder:
            x = block(x, mask, block.source_attention.remember(states), visible)
        return self.decoder_norm(x)

    def _embed(self, table: nn.Embedding, ids: Int[Tensor, "B T"], positions: Int[Tensor, "B T"] | None) -> Float[Tensor, "B T D"]:
        """Tokens times the root of the width, and their waves (section 3.4)."""
        if positions is None:
            if ids.shape[1] > self.max_length:
                raise UsageError(f"{ids.shape[1]} positions", f"{self.max_length} at most (model.max_length)", "cut the text into pieces")
            waves = self.waves[: ids.shape[1]]
        else:
            waves = self.waves[positions]
        return self.dropout(table(ids) * math.sqrt(self.width) + waves)

    @property
    def _encoder(self) -> list[EncoderBlock]:
        return list(self.blocks)  # type: ignore[arg-type]

    @property
    def _decoder(self) -> list[DecoderBlock]:
        return list(self.decoder_blocks)  # type: ignore[arg-type]

    @property
    def _target_tokens(self) -> nn.Embedding:
        return self.tokens if self.target_tokens is None else self.target_tokens

    @property
    def _table(self) -> Float[Tensor, "V D"]:
        """What the decoder's states are compared with."""
        return self._target_tokens.weight if self.output is None else self.output.weight


def _initialise(module: nn.Module) -> None:
    """Matrices uniform with Glorot's bounds, each of those that stand one above the other by itself; tables N(0, 1 / width); biases 0."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    elif isinstance(module, Dense):
        for part in module.weight.detach().chunk(module.parts):
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
