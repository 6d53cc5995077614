# ruff: noqa: F722 (axis names stand in annotations)
"""XLNet: a language model over every order of a text's tokens (Yang 2019, "Generalized Autoregressive Pretraining").

Parent: the Transformer, by way of Transformer-XL (Dai 2019), whose distances and memory it keeps. It added prediction in a drawn order,
so that each token is predicted with context from both sides and no mask ever stands in the text, and two streams that share their
weights: the content stream knows the token at its own position, the query stream only the position. It gave up the speed of reading a
text once: the query stream is a second pass, at the positions that are predicted (one in six).

An order is given as `turns` (B T), when each position of a row becomes visible: the content stream sees what comes no later than
itself, the query stream what comes before. Positions of one number see each other, as the context does that is not predicted. Without
an order all of a segment is visible, which is how texts are read for a task; 0, 1, 2, .. is the order from left to right, in which
texts are scored and written.

Segments of a pair are `types` here, since a row may hold several texts (`segments`); only whether two are equal counts. Post-norm
blocks, no norm on the embeddings; the head is the token table with a free bias. Memory is of each layer's inputs (section 2.4).

Deviates: weight decay is on matrices alone, where the original's falls on the biases of attention too; a query that nothing is visible
to mixes nothing, where the original mixes all that is hidden from it, its own token included.

Axes: B batch, T positions, M positions in memory, D width, V vocabulary, L layers, N predictions; while it writes R rows, S positions
read, H heads, K width of a head, P distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.bounds import BelowOne, Depth, Length, Natural, Width
from stemma.errors import DataError, UsageError
from stemma.layers.attention import Mask, known_everywhere
from stemma.layers.blocks import FeedForward, Layer, layer
from stemma.layers.fast import Dropout, Positions, activate
from stemma.layers.frequencies import begin_with_bias
from stemma.layers.loss import Carried, Loss, cross_entropy, surprisal
from stemma.layers.pooling import last_state
from stemma.layers.relative import Keys, Relation, RelativeAttention, distances, waves
from stemma.layers.uniform import Uniform
from stemma.layers.weights import take_over
from stemma.lineage.network import AttentionMap
from stemma.lineage.sized import Sized, check_heads, closed
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
STD = 0.02  # of the normal that all weights are drawn from
EPS = 1e-12  # of the layer norms (modeling.py)
LAST = 2  # type of <cls>, after those of the first text and its <sep>, and of the second and its


@dataclass(frozen=True)
class Config:
    """XLNet-base; `large`, and sizes for a CPU in minutes, are in presets/xlnet.toml."""

    width: Width = 768  # numbers in a state; a multiple of `heads`
    depth: Depth = 12  # blocks
    heads: Width = 12  # attention heads
    inner: Width = 3072  # width inside the feed-forward network
    max_length: Length = 512  # positions of a row that it learns from, and of the windows in which it reads a text
    memory: Natural = 384  # positions of the stretch before a row that it attends to while it learns; 0: none
    dropout: BelowOne = 0.1  # on embeddings, distances, attention weights and in both sub-layers
    activation: Literal["gelu", "gelu_tanh"] = "gelu"  # exact, as transformers reads the published weights; or Google's code
    frequencies: bool = False  # the head begins by predicting each token by its frequency in the text; the paper's begins without


class Block(nn.Module):
    """Relative attention, then the feed-forward network, each added and normalised; the same for both streams."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = RelativeAttention(config.width, config.heads, config.dropout)
        self.attention_norm = nn.LayerNorm(config.width, eps=EPS)
        self.feedforward = FeedForward(config.width, config.inner, config.activation)
        self.feedforward_norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B Q D"], keys: Keys, relation: Relation) -> Float[Tensor, "B Q D"]:
        """The states of either stream after this block; the `keys` are those of the content stream."""
        x = self.attention_norm(x + self.dropout(self.attention(x, keys, relation)))
        inner = self.dropout(activate(self.feedforward.up(x), self.feedforward.activation))
        return self.feedforward_norm(x + self.dropout(self.feedforward.down(inner)))


class Past:
    """What the network keeps of each row: the ids in its window, and every layer's keys and values of them."""

    def __init__(self, windows: list[list[int]], layers: int) -> None:
        self.windows, self._unread = windows, [list(ids) for ids in windows]  # what stands there from the start is read with the first ids
        self._first = [0] * len(windows)  # tokens that left each row's window
        self._kept: list[list[tuple[Tensor, Tensor] | None]] = [[None] * layers for _ in windows]  # keys, values (H S K)
        self._far: dict[int, Tensor] = {}  # of each layer, what all distances are scored by, the greatest first

    def rows(self, chosen: Sequence[int]) -> "Past":
        """A copy of these rows, in this order; a row may stand several times."""
        copy = Past([list(self.windows[row]) for row in chosen], 0)
        copy._unread, copy._first = [list(self._unread[row]) for row in chosen], [self._first[row] for row in chosen]
        copy._kept, copy._far = [list(self._kept[row]) for row in chosen], self._far
        return copy

    def take(self, prompts: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Puts the prompts into the windows and gives what is to be read: the prompts, or all of a window that has moved on.

        A window has room for the next token among `most`; a full one moves on by half, as `score` reads.
        """
        for row, (window, new) in enumerate(zip(self.windows, prompts, strict=True)):
            window.extend(map(int, new))
            self._unread[row].extend(map(int, new))
            next_one, step = self._first[row] + len(window), most - most // 2
            first = 0 if next_one < most else ((next_one - most) // step + 1) * step
            if first > self._first[row]:
                self.windows[row] = window[first - self._first[row] :]
                self._unread[row], self._first[row] = list(self.windows[row]), first
                self._kept[row] = [None] * len(self._kept[row])
        unread, self._unread = self._unread, [[] for _ in self.windows]
        return unread

    def extend(
        self, layer: int, rows: Sequence[int], keys: Float[Tensor, "H R T K"], values: Float[Tensor, "H R T K"]
    ) -> tuple[Float[Tensor, "H R S K"], Float[Tensor, "H R S K"]]:
        """All keys and values of the rows in the layer, after the new ones."""
        kept = [self._kept[row][layer] for row in rows]
        joined = [
            new if kept[0] is None else torch.cat([torch.stack([pair[part] for pair in kept if pair is not None], 1), new], 2)
            for part, new in enumerate((keys, values))
        ]
        for place, row in enumerate(rows):
            self._kept[row][layer] = (joined[0][:, place], joined[1][:, place])
        return joined[0], joined[1]

    def far(self, layer: int, attention: RelativeAttention, most: int) -> Float[Tensor, "1 H P K"]:
        """What distances from `most` down to -`most` are scored by in the layer, computed once."""
        if layer not in self._far:
            apart = torch.arange(most, -most - 1, -1, device=attention.segments.device)
            self._far[layer] = attention.far(waves(apart, attention.out.out_features)[None])
        return self._far[layer]


class XLNet(Sized, nn.Module):
    """The permutation language model."""

    task_tokens = 0
    shaped_by = ("width", "inner", "depth", "heads", "activation")

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        check_heads(config)
        missing = [name for name in ("cls", "sep", "mask", "eos") if name not in tokens.specials]
        if missing:
            wrong = f"the tokenizer has no {missing[0]!r} token"
            raise UsageError(wrong, "a tokenizer with cls, sep, mask and eos", "set tokenizer.kind to unigram")
        self.config, self.specials = config, dict(tokens.specials)
        self.unwritten = sorted(set(tokens.specials.values()) - {self.end})  # never written
        self.tokens = nn.Embedding(tokens.vocab_size, config.width)
        self.query = nn.Parameter(torch.empty(1, 1, config.width))  # w, what the query stream begins as at every position
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.bias = nn.Parameter(torch.zeros(tokens.vocab_size))
        self._initialise()
        if config.frequencies:
            begin_with_bias(self.bias, tokens.counts)

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config as it is: nothing in it depends on the device."""
        return config

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(`ids <sep> <cls>` or `ids <sep> other <sep> <cls>`, types: 1 in `other` and its <sep>, 2 at <cls>)."""
        framed, types = closed(ids, other, self.specials["sep"])
        return [*framed, self.specials["cls"]], [*types, LAST]

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean of -log P(label | all that the order shows before it) over the labels that are not IGNORE.

        Reads `ids`, `labels`, `turns` (B T), if present `segments`, `types` (B T), `backward` (B) rows that stand from right to left,
        the last ones, `begins` (B) rows that forget what `carried` holds, and `kept` () the positions of each row that memory takes in.
        """
        labels = batch["labels"]
        predicted = labels != IGNORE
        if not (count := self.predictions(batch)["tokens"]):
            raise DataError("a batch asks for no prediction: all its labels are ignored", "one label or more", "leave such batches out")
        states, carry = self._predicting(batch, Positions(predicted), batch["turns"], carried)
        total = cross_entropy(states, self.tokens.weight, self.bias, labels[predicted])
        return Loss.of({"tokens": (total, count)}, carry)

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels that are not IGNORE."""
        return {"tokens": int((batch["labels"] != IGNORE).sum())}

    @torch.no_grad()
    def score(self, batch: Tensors) -> Float[Tensor, "B T"]:
        """Nats of each token given those to its left in its segment; 0 at padding and at a segment's first token."""
        ids = batch["ids"]
        segments = batch.get("segments", torch.ones_like(ids))
        follows = F.pad((segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0), (1, 0))
        nats = torch.zeros(ids.shape, device=ids.device)
        if follows.any():
            states, _ = self._predicting(batch, Positions(follows), torch.arange(ids.shape[1], device=ids.device).expand_as(ids))
            nats[follows] = surprisal(states, self.tokens.weight, self.bias, ids[follows])
        return nats

    @property
    def end(self) -> int:
        """<eos>, which ends a text, and stands before the next one."""
        return self.specials["eos"]

    @torch.no_grad()
    def advance(self, prompts: Sequence[Sequence[int]], memory: "Past | None" = None) -> tuple[Float[Tensor, "R V"], "Past"]:
        """(log-probabilities of each row's next token, the memory after it), in the order from left to right, in the windows of `score`.

        A text begins after the end of another one. Specials but the end never come.
        """
        past = Past([[self.end] for _ in prompts], len(self.blocks)) if memory is None else memory
        unread = past.take(prompts, self.max_length)
        scores = torch.empty(len(prompts), self.vocab_size, device=self.tokens.weight.device)
        alike: dict[tuple[int, int], list[int]] = {}  # rows of one length before and behind, which go together
        for row, ids in enumerate(unread):
            alike.setdefault((len(past.windows[row]), len(ids)), []).append(row)
        for rows in alike.values():
            scores[rows] = self._next(past, rows, [unread[row] for row in rows])
        scores[:, self.unwritten] = -torch.inf
        return scores.cpu(), past

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B T D"]]:
        """The embeddings, then the content stream after each block, every position seeing all of its segment."""
        seen = self._see(batch)
        layers = [self.dropout(self.tokens(batch["ids"]))]
        for block in self._tower:
            layers.append(block(layers[-1], block.attention.keys(layers[-1], seen.waves), seen.content))
        return layers

    def summary(self, states: list[Float[Tensor, "B T D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The last layer's state at <cls>, which stands last."""
        return last_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The embeddings, the blocks, the bias of the head, whose table is the embeddings'."""
        blocks = [layer(self, f"block {n + 1}", f"blocks.{n}", block=True) for n in range(len(self.blocks))]
        return [layer(self, "embeddings", "tokens", "query", "dropout"), *blocks, layer(self, "top", "bias")]

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Begins with an earlier run's weights; new tokens, after those that it had, stay as they were drawn."""
        take_over(self, arrays, ("tokens.weight", "bias"))

    def task_input(self) -> "XLNet":
        """Itself: <sep> and <cls> are there from the start."""
        return self

    def logits(self, states: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape V"]:
        """Scores of every token from states of the last layer, of either stream."""
        return F.linear(states, self.tokens.weight, self.bias)

    def check_fills(self) -> None:
        """Its head is its token table, which it always has."""

    @torch.no_grad()
    def fill(self, batch: Tensors) -> Float[Tensor, "M V"]:
        """Scores of every token at each <mask> of `ids`, row by row; no mask is seen, only its position."""
        masks = batch["ids"] == self.specials["mask"]
        return self.logits(self._predicting(batch, Positions(masks), masks.long())[0])

    @torch.no_grad()
    def label_nats(self, batch: Tensors) -> Float[Tensor, " M"]:
        """Nats of each label that is not IGNORE given all but the masks and the labels' own positions, row by row."""
        predicted = batch["labels"] != IGNORE
        hidden = predicted | (batch["ids"] == self.specials["mask"])
        states, _ = self._predicting(batch, Positions(predicted), hidden.long())
        return surprisal(states, self.tokens.weight, self.bias, batch["labels"][predicted])

    def attention_batch(self, ids: Sequence[int], other: Sequence[int] | None = None) -> Tensors:
        """The framed text or pair as a batch of one row, for `attention`."""
        framed, types = self.frame(ids, other)
        device = self.tokens.weight.device
        return {"ids": torch.tensor([framed], device=device), "types": torch.tensor([types], device=device)}

    @torch.no_grad()
    def attention(self, batch: Tensors) -> list[AttentionMap]:
        """Where each position looks, block by block: anywhere in its text or pair."""
        ids, seen = batch["ids"], self._see(batch)
        maps = list[AttentionMap]()
        for block, x in zip(self._tower, self.encode(batch), strict=False):  # the last state is no block's input
            weights = block.attention.weights(x, block.attention.keys(x, seen.waves), seen.content)
            maps.append(AttentionMap("relative self", len(maps) + 1, ids, ids, weights))
        return maps

    @property
    def _tower(self) -> list[Block]:
        return list(self.blocks)  # type: ignore[arg-type]

    def _predicting(
        self, batch: Tensors, chosen: Positions, order: Int[Tensor, "B T"], carried: Carried | None = None
    ) -> tuple[Float[Tensor, "N D"], Carried | None]:
        """The query stream's last states at the chosen positions, and what the next batch may attend to.

        The content stream's last states are nobody's input, so that its last block gives keys and values alone.
        """
        memory, filled = _begun(carried, batch.get("begins"))
        seen = self._see(batch, order, chosen, filled)
        assert seen.query is not None
        content = self.dropout(self.tokens(batch["ids"]))
        query = self.dropout(self.query.expand(*chosen.columns.shape, -1))
        inputs = []
        for number, block in enumerate(self._tower):
            inputs.append(content.detach())
            source = content if memory is None else torch.cat([memory[number].to(content.dtype), content], 1)
            keys = block.attention.keys(source, seen.waves)
            query = block(query, keys, seen.query)
            if number + 1 < len(self.blocks):
                content = block(content, keys, seen.content)
        carry = self._remember(memory, filled, inputs, int(batch["kept"])) if "kept" in batch and self.config.memory else None
        return query[chosen.real], carry

    def _next(self, past: "Past", rows: list[int], unread: list[list[int]]) -> Float[Tensor, "R V"]:
        """Log-probabilities of the token after `unread`, which follows what is kept of these rows; all rows are alike in both lengths."""
        device = self.tokens.weight.device
        ids = torch.tensor(unread, device=device)  # (R T)
        (R, T), S = ids.shape, len(past.windows[rows[0]])
        places = torch.arange(T + 1, device=device).expand(R, -1)  # in a row of the new tokens and the next one, at T
        earlier = torch.arange(S, device=device) <= torch.arange(S - T, S, device=device)[:, None]  # (T S): itself and what is before
        by_content = Relation(Mask(None if T == 1 else earlier[None, None]), None, places[:, :T], R, T + 1)
        by_query = Relation(Mask(None), None, places[:, T:], R, T + 1)
        content, query = self.tokens(ids), self.query.expand(R, 1, -1)
        for number, block in enumerate(self._tower):
            distances = past.far(number, block.attention, self.max_length)[:, :, self.max_length - S : self.max_length + T + 1]
            keys = Keys(*past.extend(number, rows, *block.attention.read(content)), distances)
            query = block(query, keys, by_query)
            if number + 1 < len(self.blocks):
                content = block(content, keys, by_content)
        return self.logits(query[:, 0]).float().log_softmax(-1)

    def _see(
        self,
        batch: Tensors,
        order: Int[Tensor, "B T"] | None = None,
        chosen: Positions | None = None,
        filled: Bool[Tensor, "B M"] | None = None,
    ) -> "_Seen":
        """Who sees whom in the batch, at which distance; `chosen` are the query stream's positions."""
        ids, segments, types, backward = batch["ids"], batch.get("segments"), batch.get("types"), batch.get("backward")
        (B, T), M = ids.shape, 0 if filled is None else filled.shape[1]
        forward = B if backward is None else int((~backward).sum())
        apart = distances(T, M + T, ids.device)
        directions = [apart] if backward is None else [apart] * bool(forward) + [-apart] * (forward < B)
        table = torch.stack([waves(one, self.width) for one in directions])  # (R, P, D)
        forward = forward or B  # rows of one direction alone have one table
        every = None if segments is None or known_everywhere(segments == 1) else segments[:, :, None] == segments[:, None, :]
        places = types if types is None or not M else F.pad(types, (M, 0))  # of the keys: memory counts as the first type

        def relation(columns: Tensor | None, allowed: Tensor | None) -> Relation:
            own = types if types is None or columns is None else types.gather(1, columns)
            differ = None if own is None or places is None else (own[:, :, None] != places[:, None, :]).float()
            real = None if segments is None else (segments if columns is None else segments.gather(1, columns)) > 0
            return Relation(_mask(allowed, filled, real), differ, columns, forward, T)

        if order is None or chosen is None:
            return _Seen(relation(None, every), None, self.dropout(table))
        columns = chosen.columns
        before = order.gather(1, columns)[:, :, None] > order[:, None, :]  # (B, N, T)
        no_later = order[:, :, None] >= order[:, None, :]
        if every is not None:
            no_later = no_later & every
            before = before & every.gather(1, columns[:, :, None].expand(-1, -1, T))
        return _Seen(relation(None, no_later), relation(columns, before), self.dropout(table))

    def _remember(
        self, memory: Float[Tensor, "L B M D"] | None, filled: Bool[Tensor, "B M"] | None, inputs: list[Tensor], kept: int
    ) -> Carried:
        """Each layer's inputs at the first `kept` positions after those of before, as many of the last as memory has room for."""
        new = torch.stack([states[:, :kept].float() for states in inputs])  # (L, B, kept, D)
        full = torch.ones(new.shape[1:3], dtype=torch.bool, device=new.device)
        if memory is not None and filled is not None:
            new, full = torch.cat([memory, new], 2), torch.cat([filled, full], 1)
        return {"memory": new[:, :, -self.config.memory :].contiguous(), "filled": full[:, -self.config.memory :].contiguous()}

    def _initialise(self) -> None:
        """Weights N(0, 0.02), those of attention's biases too; the other biases 0; norms keep gain 1 and bias 0."""
        for name, parameter in self.named_parameters():
            if name.endswith(".bias") or name == "bias":
                nn.init.zeros_(parameter)
            elif not name.endswith("norm.weight"):
                nn.init.normal_(parameter, std=STD)


@dataclass(frozen=True)
class _Seen:
    """Who sees whom: the content stream, the query stream if there is one, and what distances are projected from."""

    content: Relation
    query: Relation | None
    waves: Float[Tensor, "R P D"]


def _begun(carried: Carried | None, begins: Bool[Tensor, " B"] | None) -> tuple[Tensor | None, Tensor | None]:
    """The memory that the batch goes on from, and which of it each row may attend to: nothing in rows that begin."""
    if carried is None:
        return None, None
    filled = carried["filled"]
    return carried["memory"], filled if begins is None else filled & ~begins[:, None]


def _mask(allowed: Bool[Tensor, "B Q T"] | None, filled: Bool[Tensor, "B M"] | None, real: Bool[Tensor, "B Q"] | None) -> Mask:
    """The mask over memory and row; None stands for all."""
    if filled is not None:
        assert allowed is not None, "memory stands before rows that are learnt from, which have an order"
        allowed = torch.cat([filled[:, None].expand(-1, allowed.shape[1], -1), allowed], 2)
    if allowed is None:
        return Mask(None)
    live = allowed.any(-1) if real is None else allowed.any(-1) & real
    return Mask(None if known_everywhere(allowed) else allowed[:, None], None if known_everywhere(live) else live)
