# ruff: noqa: F722 (axis names stand in annotations)
"""GPT: generative pre-training (Radford 2018, "Improving Language Understanding by Generative Pre-Training").

Parent: the Transformer's decoder. It added pre-training of a one-way Transformer on plain text and its
transfer to any task by reshaping the task's input; it gave up the encoder and the right-hand context.

Axes: B batch, T positions, D width, V vocabulary, N predictions. `width` is the paper's d_model.
The block is post-norm: n = LN(x + attention(x)), y = LN(n + feedforward(n)); no norm on the embeddings
and none at the end; the head is the token table, without a bias.

Deviates: dropout falls on the summed embeddings, not on the table before the look-up (equal in
evaluation); the softmax covers tokens only, where the original's also runs over the position rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.bounds import BelowOne, Depth, Length, Width
from stemma.errors import DataError, UsageError
from stemma.layers.attention import Cache, KeepsKeys, Mask, Path, SelfAttention, Traced, block_mask, fitting_path
from stemma.layers.blocks import Called, FeedForward, Layer, layer
from stemma.layers.fast import Dropout
from stemma.layers.frequencies import begin_with_column
from stemma.layers.loss import Carried, Loss, cross_entropy, surprisal
from stemma.layers.pooling import last_state
from stemma.layers.uniform import Uniform
from stemma.layers.weights import take_over
from stemma.lineage.network import AttentionMap
from stemma.lineage.sized import Sized, check_heads, opened
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
TASK_TOKENS = 3  # start, delimiter, classify
STD = 0.02  # of the normal that all weights are drawn from (section 4.1)


@dataclass(frozen=True)
class Config:
    """The paper's sizes; `small` and `tiny` are in presets/gpt.toml."""

    width: Width = 768  # numbers in a state; a multiple of `heads`
    depth: Depth = 12  # blocks
    heads: Width = 12  # attention heads
    inner: Width = 3072  # width inside the feed-forward network
    max_length: Length = 512  # positions that have an embedding
    dropout: BelowOne = 0.1  # on embeddings, attention weights and both sub-layers' outputs
    frequencies: bool = False  # begins by predicting each token by its frequency in the text; the paper's begins by predicting none
    attention: Literal["auto", "sdpa", "explicit"] = "auto"  # how attention is computed; auto: the faster one here, recorded


class Block(nn.Module):
    """Masked self-attention, then the feed-forward network, each added and normalised."""

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads, config.dropout, path)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-5)
        self.feedforward = FeedForward(config.width, config.inner, "gelu_tanh")
        self.feedforward_norm = nn.LayerNorm(config.width, eps=1e-5)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask, cache: KeepsKeys | None = None, layer: int = 0) -> Float[Tensor, "B T D"]:
        """The states after this block; `cache` holds what was read before, and `layer` is this block's place in it."""
        x = self.attention_norm(x + self.dropout(self.attention(x, mask, cache, layer)))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))

    def trace(self, x: Float[Tensor, "B T D"], mask: Mask) -> Traced:
        """Where its attention looks."""
        return self.attention.trace(x, mask)


class InputTransformation:
    """Frames a task's text with the three tokens that fine-tuning adds after the `vocab_size` known ones (section 3.3)."""

    def __init__(self, vocab_size: int, max_length: int) -> None:
        self.start, self.delimiter, self.classify = (vocab_size + k for k in range(TASK_TOKENS))
        self.max_length = max_length

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """`start ids classify`, or `start ids delimiter other classify`, with types 0."""
        middle = [*ids] if other is None else [*ids, self.delimiter, *other]
        return [self.start, *middle, self.classify], [0] * (len(middle) + 2)


class Past:
    """What the network keeps of each row: the ids in its window, their keys and values."""

    def __init__(self, windows: list[list[int]], cache: Cache) -> None:
        self.windows, self.cache = windows, cache

    def rows(self, chosen: Sequence[int]) -> "Past":
        """A copy of these rows, in this order; a row may stand several times."""
        return Past([list(self.windows[row]) for row in chosen], self.cache.rows(chosen))

    def take(self, prompts: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Puts the prompts into the windows and gives what is to be read: the prompts, or whole windows that were cut to fit `most`."""
        unread = [list(map(int, ids)) for ids in prompts]
        for row, (window, new) in enumerate(zip(self.windows, unread, strict=True)):
            window.extend(new)
            if len(window) > most:
                unread[row] = self.windows[row] = window[-max(most // 2, min(len(new), most)) :]
                self.cache.lengths[row] = 0
        return unread


class GPT(Sized, nn.Module):
    """The one-way Transformer language model."""

    block = Block  # what its tower is built of
    task_tokens = TASK_TOKENS
    shaped_by = ("width", "inner", "depth", "heads", "max_length")

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        check_heads(config)
        if "eos" not in tokens.specials:
            raise UsageError("the tokenizer has no 'eos' token", "a tokenizer with an end-of-text token", "set tokenizer.kind to bpe")
        path: Path = "sdpa" if config.attention == "auto" else config.attention
        self.config, self.eos = config, tokens.specials["eos"]
        self.tokens = nn.Embedding(tokens.vocab_size, config.width)
        self.positions = nn.Embedding(config.max_length, config.width)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(self.block(config, path) for _ in range(config.depth))
        self.apply(_initialise)
        norm = self._last_norm(config)
        if config.frequencies:
            begin_with_column(self.tokens, norm, tokens.counts)

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config with the way of attention that is the faster one on this device."""
        return config if config.attention != "auto" else replace(config, attention=fitting_path(device, config.max_length))

    def _last_norm(self, config: Config) -> nn.LayerNorm:
        """The norm whose states the head reads: the last block's."""
        norm: nn.LayerNorm = self.blocks[-1].feedforward_norm  # type: ignore[assignment]
        return norm

    @property
    def end(self) -> int:
        """The separator, which ends a text."""
        return self.eos

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids with the separator as start context, types): `<eos> ids`, or `<eos> ids <eos> other`."""
        framed, _ = opened(ids, other, self.eos)
        return framed, [0] * len(framed)

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean of -log P(label_t | ids up to t) over the labels that are not IGNORE.

        Reads `ids`, `labels` (B T), and if present `positions`, `segments` (B T).
        """
        labels = batch["labels"]
        predicted = labels != IGNORE
        if not (count := self.predictions(batch)["tokens"]):
            raise DataError("a batch asks for no prediction: all its labels are ignored", "one label or more", "leave such batches out")
        total = cross_entropy(self._last(batch)[predicted], self.tokens.weight, None, labels[predicted])
        return Loss.of({"tokens": (total, count)})

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels that are not IGNORE."""
        return {"tokens": int((batch["labels"] != IGNORE).sum())}

    @torch.no_grad()
    def score(self, batch: Tensors) -> Float[Tensor, "B T"]:
        """Nats of each token given those to its left in its segment; 0 at padding and at a segment's first token."""
        ids, segments = batch["ids"], batch.get("segments")
        follows = torch.ones_like(ids[:, 1:], dtype=torch.bool)
        if segments is not None:
            follows = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        nats = torch.zeros(ids.shape, device=ids.device)
        nats[:, 1:][follows] = surprisal(self._last(batch)[:, :-1][follows], self.tokens.weight, None, ids[:, 1:][follows])
        return nats

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B T D"]]:
        """The embeddings, then the output of each block; the last one feeds the head."""
        mask = block_mask(batch.get("segments"), causal=True)
        layers = [self._embed(batch["ids"], batch.get("positions"))]
        for block in self.blocks:
            layers.append(block(layers[-1], mask))
        return layers

    def attention_batch(self, ids: Sequence[int], other: Sequence[int] | None = None) -> Tensors:
        """The framed text or pair as a batch of one row, for `attention`."""
        return {"ids": torch.tensor([self.frame(ids, other)[0]], device=self.tokens.weight.device)}

    @torch.no_grad()
    def attention(self, batch: Tensors) -> list[AttentionMap]:
        """Where each position looks, block by block: at itself and those before it."""
        ids, mask = batch["ids"], block_mask(batch.get("segments"), causal=True)
        maps = list[AttentionMap]()
        for block, x in zip(self.blocks, self.encode(batch), strict=False):  # the last state is no block's input
            traced = block.trace(x, mask)  # type: ignore[operator]
            maps.append(AttentionMap("decoder causal self", len(maps) + 1, ids, ids, *traced))
        return maps

    def logits(self, hidden: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape V"]:
        """Scores of the next token from the last layer's states."""
        return nn.functional.linear(hidden, self.tokens.weight)

    @torch.no_grad()
    def advance(self, prompts: Sequence[Sequence[int]], memory: "Past | None" = None) -> tuple[Float[Tensor, "B V"], "Past"]:
        """(log-probabilities of each row's next token, the memory after it); a row reads one token or more.

        When `max_length` would be passed, a row forgets the older half of its window: learned positions cannot slide.
        """
        past = Past([[] for _ in prompts], Cache(len(prompts))) if memory is None else memory
        unread = past.take(prompts, self.max_length)
        one = [row for row, ids in enumerate(unread) if len(ids) == 1]
        more = [row for row, ids in enumerate(unread) if len(ids) > 1]
        if not one or not more:
            return self._next(one or more, unread, past.cache).cpu(), past
        scores = torch.empty(len(prompts), self.vocab_size, device=self.tokens.weight.device)
        for rows in (one, more):  # apart, so that a row which reads its whole window again holds up no other
            scores[rows] = self._next(rows, [unread[row] for row in rows], past.cache)
        return scores.cpu(), past

    def read_on(self, ids: Int[Tensor, "B T"], positions: Int[Tensor, "B T"], mask: Mask, kept: KeepsKeys) -> Float[Tensor, "B T D"]:
        """The states that the head reads, of tokens that follow what is kept; their keys and values are kept too."""
        return self._tower(self._embed(ids, positions), mask, kept)

    def summary(self, states: list[Float[Tensor, "B T D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The last layer's state at the last token."""
        return last_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The embeddings, the blocks; nothing stands above them, for the head is the token table."""
        blocks = [layer(self, f"block {n + 1}", f"blocks.{n}", block=True, called=Called(one)) for n, one in enumerate(self.blocks)]
        return [layer(self, "embeddings", "tokens", "positions", "dropout"), *blocks, layer(self, "top")]

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Begins with an earlier run's weights; new tokens, after those that it had, stay as they were drawn."""
        take_over(self, arrays, ("tokens.weight",))

    def task_input(self) -> InputTransformation:
        """What frames a task's texts: its tokens come after those known now."""
        return InputTransformation(self.vocab_size, self.max_length)

    def grow(self, extra: int) -> None:
        """Adds `extra` rows N(m, 0.02) to the token table, m its mean row (Hewitt 2021); it stays tied to the head.

        Deviates: the paper's are N(0, 0.02), which a table that has learnt has no other row near.
        """
        old = self.tokens.weight
        rows = torch.empty(extra, old.shape[1], dtype=old.dtype, device=old.device).normal_(std=STD) + old.detach().mean(0)
        self.tokens = nn.Embedding.from_pretrained(torch.cat([old.detach(), rows]), freeze=not old.requires_grad)

    def _embed(self, ids: Tensor, positions: Tensor | None) -> Tensor:
        """Token plus position embeddings, (B, T, D)."""
        if ids.shape[1] > self.max_length and positions is None:
            raise UsageError(f"{ids.shape[1]} positions", f"{self.max_length} at most (model.max_length)", "cut the text into pieces")
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device)
        return self.dropout(self.tokens(ids) + self.positions(positions))

    def _last(self, batch: Tensors) -> Tensor:
        """What the head reads, (B, T, D)."""
        return self._tower(self._embed(batch["ids"], batch.get("positions")), block_mask(batch.get("segments"), causal=True))

    def _tower(self, x: Tensor, mask: Mask, cache: KeepsKeys | None = None) -> Tensor:
        """The last block's output, (B, T, D), without keeping the others."""
        for number, block in enumerate(self.blocks):
            x = block(x, mask, cache, number)
        return x

    def _next(self, rows: list[int], unread: list[list[int]], cache: Cache) -> Float[Tensor, "B V"]:
        """Log-probabilities of the token after `unread`, which follows what the cache holds of these rows."""
        counts = [len(ids) for ids in unread]
        device = self.tokens.weight.device
        ids = torch.tensor([[*row, *[self.eos] * (max(counts) - len(row))] for row in unread], device=device)  # (B T)
        positions, mask = cache.place(counts, rows, device)
        x = self.read_on(ids, positions, mask, cache)
        even = len(set(counts)) == 1
        last = x[:, -1] if even else x[list(range(len(rows))), [count - 1 for count in counts]]  # (B D)
        return self.logits(last).float().log_softmax(-1)


def _initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), biases 0; norms keep gain 1 and bias 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
