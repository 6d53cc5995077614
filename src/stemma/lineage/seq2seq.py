# ruff: noqa: F722 (axis names stand in annotations)
"""seq2seq: a recurrent encoder and decoder with soft attention (Bahdanau, Cho & Bengio 2014; Luong, Pham & Manning 2015).

Parent: the LSTM language model (`lstm`). What it added: a second network that reads a source before anything is written, and attention
to all of its states with every word (`layers.soft_attention`), where Sutskever 2014 and Cho 2014 press the source into one vector:
`attention = "none"` is theirs, and long sentences suffer. What it gave up: text of its own and of any length; it writes what a source
says.

The encoder reads the source both ways; each layer of the decoder begins from its namesake's two last states. The decoder reads the
target so far, then attends: a_t = softmax(e(s_t, h_j)) over the source's states h, c_t = sum a_t h, and the output is compared with
tanh(W [c_t; s_t]) (Luong 2015, eq. 5). With `feeding` that vector enters the next step beside the next word (section 3.3), so that what
was attended to is known; steps then wait for one another.

Deviates: attention is by the state after the word, as Luong's does, where Bahdanau's is by the one before it; the output layer is Luong's
tanh, not a maxout. Deviates: what was attended to enters the decoder's next step with `feeding` alone, where Bahdanau's c_i always enters
it; the decoder begins from both directions' last states, where his begins from the backward one; an LSTM's cells begin at 0. Deviates:
first weights are those of `layers.recurrent`, tables N(0, 1 / E), not orthogonal ones and N(0, 0.01^2). Deviates: each direction of the
encoder has half of the decoder's cells, so that states of both have one width, which `dot` and `cosine` need. Deviates: one table of
tokens for source, target and output, unless `tied` is false.

B batch, S source positions, T target positions, E width of the embeddings, H cells, L layers, D the wider of the two, V vocabulary,
R rows that are written, C cells of an LSTM, none of a GRU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.bounds import BelowOne, Depth, Length, Width
from stemma.config import ReadIf
from stemma.errors import DataError, UsageError
from stemma.layers.blocks import Layer, layer
from stemma.layers.fast import Dense, dropout
from stemma.layers.loss import Carried, Loss, target_loss
from stemma.layers.pooling import mean_state
from stemma.layers.recurrent import Apart, GRULayer, LSTMLayer, State, apart
from stemma.layers.soft_attention import SimilarityName, SoftAttention, Source, similarity
from stemma.lineage.network import AttentionMap
from stemma.lineage.sized import Sized, closed
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
CELLS = {"lstm": LSTMLayer, "gru": GRULayer}


@dataclass(frozen=True)
class Config:
    """Bahdanau's RNNsearch; presets/seq2seq.toml has sizes for a CPU in minutes."""

    width: Width = 620  # numbers in a token's embedding
    cells: Width = 1000  # of a decoder's layer; half as many in each direction of the encoder
    depth: Depth = 1  # layers of the encoder, and of the decoder
    cell: Literal["lstm", "gru"] = "gru"  # long short-term memory, or gated recurrent units
    attention: Literal[SimilarityName, "none"] = "additive"  # how well a state fits one of the source; none: none
    max_length: Length = 512  # positions of a text at most: attention keeps a weight for every two
    inner: Annotated[Width, ReadIf("attention", "additive", "concat")] = 1000  # hidden units of additive and concat attention
    feeding: bool = False  # what the output read enters the next step; slower
    tied: bool = True  # one table for source, target and output
    dropout: BelowOne = 0.0  # on embeddings, between layers, and on what the output reads
    smoothing: BelowOne = 0.0  # share of a label's chance that all other tokens get, while training

    def __post_init__(self) -> None:
        """Refuses what no network can honour."""
        if self.cells % 2:
            wrong = f"model.cells = {self.cells}, half of which each direction of the encoder has"
            raise UsageError(wrong, "an even number", f"set model.cells = {self.cells + 1}")


class Past(NamedTuple):
    """Where the decoder stands: each layer's state, side by side, and what the output read last."""

    h: Float[Tensor, "R LH"]
    c: Float[Tensor, "R LC"]
    fed: Float[Tensor, "R E"]


class Translating:
    """What the network keeps of each row that it writes: the source, which of it is real, and where the decoder stands."""

    def __init__(self, source: Source, real: Bool[Tensor, "R 1 S"], past: Past) -> None:
        self.source, self.real, self.past = source, real, past

    def rows(self, chosen: Sequence[int]) -> "Translating":
        """A copy of these rows, in this order; a row may stand several times."""
        place = list(chosen)
        return Translating(self.source.rows(place), self.real[place], Past(*(part[place] for part in self.past)))


class EncoderLayer(nn.Module):
    """One layer that reads both ways, side by side."""

    def __init__(self, width: int, cells: int, cell: Literal["lstm", "gru"]) -> None:
        super().__init__()
        self.forwards, self.backwards = CELLS[cell](width, cells // 2), CELLS[cell](width, cells // 2)

    def forward(self, x: Float[Tensor, "B S E"], texts: Apart) -> tuple[Float[Tensor, "B S H"], State]:
        """The states, and the last of each direction side by side; `x` has its texts at the beginnings of rows."""
        turn = texts.backwards()
        forward, _ = self.forwards(x)
        backward, _ = self.backwards(_take(x, turn))
        rows, last = torch.arange(x.shape[0], device=x.device), texts.last()
        ends = torch.cat([forward[rows, last], backward[rows, last]], 1)
        return torch.cat([forward, _take(backward, turn)], 2), State(ends, ends[:, :0])


class Seq2Seq(Sized, nn.Module):
    """The encoder and the decoder."""

    task_tokens = 0

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        if "eos" not in tokens.specials:
            raise UsageError("the tokenizer has no 'eos' token", "a tokenizer with an end-of-text token", "set tokenizer.kind to bpe")
        self.config, self.end = config, tokens.specials["eos"]
        self.begin = tokens.specials.get("bos", self.end)
        self.unwritten = sorted(set(tokens.specials.values()) - {self.end})  # never written
        width, cells, depth = config.width, config.cells, config.depth
        self.tokens = nn.Embedding(tokens.vocab_size, width)
        self.target_tokens, self.output = (None if config.tied else nn.Embedding(tokens.vocab_size, width) for _ in range(2))
        self.encoder = nn.ModuleList(EncoderLayer(cells if n else width, cells, config.cell) for n in range(depth))
        self.bridge = nn.ModuleList(Dense(cells, cells) for _ in range(depth))  # from an encoder's layer to its namesake
        into = width * (1 + config.feeding)
        self.decoder = nn.ModuleList(CELLS[config.cell](cells if n else into, cells) for n in range(depth))
        attends = config.attention != "none"
        self.soft_attention = (
            SoftAttention(similarity(config.attention, cells, cells, config.inner)) if config.attention != "none" else None
        )
        self.combine = nn.Linear(cells * (1 + attends), width, bias=False)  # W
        for table in (self.tokens, self.target_tokens, self.output):
            if table is not None:
                nn.init.normal_(table.weight, std=width**-0.5)

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config as it is: nothing in it depends on the device."""
        return config

    @property
    def width(self) -> int:
        """Numbers in a state: those of the widest layer."""
        return max(self.config.width, self.config.cells)

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
        return target_loss(self._decode(batch)[0][predicted], self._table, None, labels[predicted], smoothing)

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels that are not IGNORE, in each part of the loss."""
        count = int((batch["labels"] != IGNORE).sum())
        return {"tokens": count, "smoothing": count} if self.training and self.config.smoothing else {"tokens": count}

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B S D"]]:
        """The source's embeddings, then each layer's states, both directions side by side; what is narrower is followed by zeros."""
        texts = apart(batch.get("segments", torch.ones_like(batch["ids"])))
        embedded = self.tokens(batch["ids"])
        layers, _ = self._read(texts.rows(embedded), texts)
        return [F.pad(states, (0, self.width - states.shape[-1])) for states in (embedded, *map(texts.back, layers))]

    def summary(self, states: list[Float[Tensor, "B S D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The mean of the last layer's states."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The tables, the encoder's layers, and what stands above them: the decoder."""
        middle = [layer(self, f"layer {n + 1}", f"encoder.{n}") for n in range(self.config.depth)]
        bottom = layer(self, "embeddings", "tokens", "target_tokens", "output")
        return [bottom, *middle, layer(self, "top", "bridge", "decoder", "soft_attention", "combine")]

    def task_input(self) -> "Seq2Seq":
        """Itself: the end token is there from the start."""
        return self

    @torch.no_grad()
    def read_sources(self, sources: Sequence[Sequence[int]]) -> Translating:
        """What `advance` begins with: the framed sources, read by the encoder, a row each."""
        longest, device = max(map(len, sources)), self.tokens.weight.device
        ids = torch.tensor([[*row, *[self.end] * (longest - len(row))] for row in sources], device=device)  # (R S)
        lengths = torch.tensor(list(map(len, sources)), device=device)
        real = torch.arange(longest, device=device) < lengths[:, None]
        return Translating(*self.read_source(ids, real.long()))

    @torch.no_grad()
    def advance(self, prompts: Sequence[Sequence[int]], memory: Translating) -> tuple[Float[Tensor, "R V"], Translating]:
        """(log-probabilities of each row's next token, the memory after it); a row reads one token or more.

        `memory` is what `read_sources` made, or what the call before gave back. Specials but the end never come.
        """
        device, past = self.tokens.weight.device, Past(*(part.clone() for part in memory.past))
        for step in range(max(map(len, prompts))):
            rows = [row for row, ids in enumerate(prompts) if step < len(ids)]
            ids = torch.tensor([[prompts[row][step]] for row in rows], device=device)
            own = memory if len(rows) == len(prompts) else memory.rows(rows)
            _, after, _ = self.write_on(self.target(ids), own.source, own.real, Past(*(part[rows] for part in past)))
            for part, new in zip(past, after, strict=True):
                part[rows] = new
        scores = self.next_scores(past)
        scores[:, self.unwritten] = -torch.inf
        return scores.cpu(), Translating(memory.source, memory.real, past)

    def attention_batch(self, ids: Sequence[int], other: Sequence[int] | None = None) -> Tensors:
        """A source and its target as a batch of one row; UsageError without a target, or where the network has no attention."""
        if self.soft_attention is None:
            raise UsageError('this network has no attention (model.attention = "none")', "one that attends", "choose another run")
        if other is None:
            raise UsageError("a source without a target", "the target too: attention is between the two", "add the target")
        pair = {"ids": self.frame(ids)[0], "target_ids": [*self.opening, *other]}
        return {name: torch.tensor([row], device=self.tokens.weight.device) for name, row in pair.items()}

    @torch.no_grad()
    def attention(self, batch: Tensors) -> list[AttentionMap]:
        """What of the source the decoder attends to with each token that it has read."""
        weights = self._decode(batch)[1]
        return [] if weights is None else [AttentionMap("soft", 1, batch["target_ids"], batch["ids"], weights[:, None])]

    def _decode(self, batch: Tensors) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B T S"] | None]:
        """(what the output reads, the weights of attention)."""
        ids = batch["ids"]
        source, real, past = self.read_source(ids, batch.get("segments", torch.ones_like(ids)))
        hidden, _, weights = self.write_on(self.target(batch["target_ids"]), source, real, past)
        return hidden, weights

    def read_source(self, ids: Int[Tensor, "B _"], segments: Int[Tensor, "B _"]) -> tuple[Source, Bool[Tensor, "B 1 S"], Past]:
        """(what attention keeps of the sources, which of it is real, where the decoder begins)."""
        texts = apart(segments)
        assert texts.real.shape[0] == ids.shape[0], "one text a row"
        layers, ends = self._read(texts.rows(self.tokens(ids)), texts)
        h = torch.cat([torch.tanh(bridge(end.h)) for bridge, end in zip(self.bridge, ends, strict=True)], 1)
        c = torch.zeros_like(h) if self.config.cell == "lstm" else h[:, :0]
        source = self.soft_attention.remember(layers[-1]) if self.soft_attention is not None else Source(layers[-1], layers[-1])
        return source, texts.real[:, None], Past(h, c, h.new_zeros(ids.shape[0], self.config.width))

    def _read(self, x: Float[Tensor, "B S E"], texts: Apart) -> tuple[list[Tensor], list[State]]:
        """Each layer's states (B S H) and last states, of texts that stand at the beginnings of rows."""
        layers: list[Tensor] = []
        ends: list[State] = []
        for encoder in self.encoder:
            x, end = encoder(dropout(x, self.config.dropout, encoder.training), texts)
            layers.append(x)
            ends.append(end)
        return layers, ends

    def write_on(
        self, x: Float[Tensor, "B T E"], source: Source, real: Bool[Tensor, "B 1 S"], past: Past
    ) -> tuple[Float[Tensor, "B T E"], Past, Float[Tensor, "B T S"] | None]:
        """(what the output reads, where the decoder stands after it, the weights of attention), having read the target's embeddings."""
        if not self.config.feeding:
            states, h, c = self._states(x, past)
            hidden, weights = self._attend(states, source, real)
            return hidden, Past(h, c, hidden[:, -1]), weights
        hiddens: list[Tensor] = []
        weights_of: list[Tensor] = []
        for step in range(x.shape[1]):
            states, h, c = self._states(torch.cat([x[:, step : step + 1], past.fed[:, None]], 2), past)
            hidden, weights = self._attend(states, source, real)
            past = Past(h, c, hidden[:, 0])
            hiddens.append(hidden)
            weights_of += [] if weights is None else [weights]
        return torch.cat(hiddens, 1), past, torch.cat(weights_of, 1) if weights_of else None

    def _states(self, x: Float[Tensor, "B T _"], past: Past) -> tuple[Float[Tensor, "B T H"], Tensor, Tensor]:
        """(the last layer's states, the states of all layers after them)."""
        after: list[State] = []
        depth = self.config.depth
        for number, (decoder, h, c) in enumerate(zip(self.decoder, past.h.chunk(depth, 1), _cut(past.c, depth), strict=True)):
            x, state = decoder(dropout(x, self.config.dropout if number else 0.0, self.training), State(h, c))
            after.append(state)
        return x, torch.cat([state.h for state in after], 1), torch.cat([state.c for state in after], 1)

    def _attend(
        self, states: Float[Tensor, "B T H"], source: Source, real: Bool[Tensor, "B 1 S"]
    ) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B T S"] | None]:
        """(what the output reads, each state's weights)."""
        weights = None
        if self.soft_attention is not None:
            context, weights = self.soft_attention(states, source, real)
            states = torch.cat([context, states], 2)
        return dropout(torch.tanh(self.combine(states)), self.config.dropout, self.training), weights

    def next_scores(self, past: Past) -> Float[Tensor, "R V"]:
        """Log-probabilities of the token that is written next."""
        return F.linear(past.fed, self._table).float().log_softmax(-1)

    def target(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """The embeddings of target tokens."""
        table = self.tokens if self.target_tokens is None else self.target_tokens
        return dropout(table(ids), self.config.dropout, self.training)

    @property
    def _table(self) -> Float[Tensor, "V E"]:
        """What the output compares with."""
        return self.tokens.weight if self.output is None else self.output.weight


def _take(x: Float[Tensor, "B S E"], turn: Int[Tensor, "B S"]) -> Float[Tensor, "B S E"]:
    return x.gather(1, turn[..., None].expand(-1, -1, x.shape[2]))


def _cut(c: Float[Tensor, "B LC"], depth: int) -> list[Tensor]:
    """The layers' parts of what stands side by side; of nothing, nothing for each."""
    return list(c.chunk(depth, 1)) if c.shape[1] else [c] * depth
