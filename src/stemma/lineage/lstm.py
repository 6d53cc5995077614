# ruff: noqa: F722 (axis names stand in annotations)
"""LSTM: the recurrent language model (Sundermeyer, Schlüter & Ney 2012; Zaremba, Sutskever & Vinyals 2014). Parent: NNLM (`nnlm`).

What it added: a state that goes on from word to word, so that a prediction may rest on everything before it, where the parent
sees n - 1 words; gates that let the state keep what it needs. What it gave up: all positions at once; a word waits for the one before.

Training is stateful (`objectives.streams`): each row of a batch goes on where it stood in the batch before, with the state in
`Loss.carried` and the gradient cut; `begins` tells the rows that start anew. The state runs through the ends of documents, as in the
papers. Zaremba's dropout falls on what enters a layer and on what leaves the last one, never on the state. AWD-LSTM (Merity, Keskar &
Socher 2017) is here as options: `locked` masks that hold for a whole window, `weight_drop` on the state's own weights,
`dropout_embedding` of whole words, `tied` tables, and two penalties on the last layer: `activation` (its alpha, on the size of what the
output reads) and `temporal` (its beta, on how far the state moves in a step). Both are in the loss's mean while training, as parts of
their own, never in its part `tokens`.

Deviates: the forget gates' biases begin at 1 (Jozefowicz 2015), the output's at the words' frequencies; each gate has one bias, where
PyTorch has two that are only ever added. All else begins as Merity's does, where Zaremba's begins within one range for each size of
network (0.05 for the medium one). Deviates: `output` may be `adaptive` (another exact model, for big vocabularies) or `sampled`
(it trains an approximation and scores by the whole softmax). Deviates: the loss is the mean over time, where Zaremba's is the sum, so
that his rates are here as many times higher as a window has tokens.

B batch, T positions, D width of the widest layer, E width of the embeddings, H cells of a layer, S cells of all layers, N predictions,
V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.bounds import BelowOne, Depth, Length, NonNegative, Positive, Width, WidthOrNone
from stemma.config import ReadIf
from stemma.errors import DataError, UsageError
from stemma.layers.adaptive import AdaptiveSoftmax, fitting_cutoffs
from stemma.layers.blocks import Layer, layer
from stemma.layers.fast import dropout, keep_mask
from stemma.layers.loss import Carried, Loss, cross_entropy, surprisal
from stemma.layers.pooling import last_state
from stemma.layers.recurrent import Apart, LSTMLayer, State, locked_dropout
from stemma.layers.sampled import Proposal, sampled_cross_entropy
from stemma.layers.uniform import Uniform
from stemma.layers.weights import take_over
from stemma.lineage.sized import opened
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
RANGE = 0.1  # embeddings and output begin uniform within plus and minus this, a layer's weights within H^-1/2 (Merity 2017, section 5)
DOCUMENT_TOKENS = 500  # the counts of a corpus leave its documents' ends out: taken as one in so many tokens, to begin with


@dataclass(frozen=True)
class Config:
    """Defaults are Zaremba's medium network; presets/lstm.toml has sizes for a CPU in minutes, and AWD-LSTM."""

    max_length: ClassVar[int | None] = None  # any text fits

    width: Width = 650  # numbers in a token's embedding
    inner: WidthOrNone = 0  # cells of a layer; 0: width
    last: WidthOrNone = 0  # cells of the last layer; 0: inner
    depth: Depth = 2  # layers
    tied: bool = False  # the output's table is the embeddings'; wants last = width
    output: Literal["full", "adaptive", "sampled"] = "full"  # the softmax: whole, in clusters by frequency, or sampled in training
    cutoffs: Annotated[
        tuple[Positive, ...], ReadIf("output", "adaptive")
    ] = ()  # ranks where clusters end, but the last; (): by the vocabulary
    negatives: Annotated[Length, ReadIf("output", "sampled")] = 1024  # sampled: tokens drawn a step, shared by its predictions
    power: Annotated[NonNegative, ReadIf("output", "sampled")] = 0.75  # sampled: tokens are drawn ~ count^power
    dropout: BelowOne = 0.5  # on what the output reads
    dropout_input: BelowOne = 0.5  # on the embeddings
    dropout_hidden: BelowOne = 0.5  # between layers
    dropout_embedding: BelowOne = 0.0  # whole words, the same ones at all places of a batch
    weight_drop: BelowOne = 0.0  # on the weights from state to state, one mask a batch
    locked: bool = False  # the first three dropouts' masks hold at all positions of a row
    activation: NonNegative = 0.0  # AWD's alpha
    temporal: NonNegative = 0.0  # AWD's beta

    def __post_init__(self) -> None:
        """Refuses what no network can honour."""
        if self.tied and self.sizes[-1] != self.width:
            wrong = f"model.tied = true with model.width = {self.width} and a last layer of {self.sizes[-1]} cells"
            raise UsageError(wrong, "a last layer as wide as the embeddings", f"set model.last = {self.width}, or tied = false")
        if self.tied and self.output == "adaptive":
            raise UsageError('model.output = "adaptive" with model.tied = true', "tables of its own", "set tied = false")

    @property
    def sizes(self) -> list[int]:
        """The cells of each layer."""
        inner = self.inner or self.width
        return [inner] * (self.depth - 1) + [self.last or inner]


@dataclass(frozen=True)
class Memory:
    """The state of all layers, side by side, after what each row has read."""

    h: Float[Tensor, "B S"]
    c: Float[Tensor, "B S"]

    def rows(self, chosen: Sequence[int]) -> "Memory":
        """The memory of these rows alone, in this order."""
        return Memory(self.h[list(chosen)], self.c[list(chosen)])


class LSTM(nn.Module):
    """The recurrent language model."""

    max_length: int | None = None  # any text fits
    task_tokens = 0
    shaped_by = ("width", "inner", "last", "depth", "tied", "output", "cutoffs")
    frequencies: Tensor  # (V) how often each token is predicted, at least once

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        if "eos" not in tokens.specials:
            raise UsageError("the tokenizer has no 'eos' token", "a tokenizer with an end-of-text token", "set tokenizer.kind to bpe")
        self.config, self.end = config, tokens.specials["eos"]
        self.unwritten = sorted(set(tokens.specials.values()) - {self.end})  # predicted where the text has them, never generated
        self.tokens = nn.Embedding(tokens.vocab_size, config.width)
        widths = [config.width, *config.sizes]
        self.lstms = nn.ModuleList(LSTMLayer(a, b, config.weight_drop) for a, b in pairwise(widths))
        frequencies = _frequencies(tokens, self.end)
        self.register_buffer("frequencies", frequencies)
        self.adaptive: AdaptiveSoftmax | None = None
        self.table: nn.Parameter | None = None
        if config.output == "adaptive":
            self.adaptive = AdaptiveSoftmax(widths[-1], frequencies, config.cutoffs or fitting_cutoffs(tokens.vocab_size))
        else:
            self.table = None if config.tied else nn.Parameter(torch.empty(tokens.vocab_size, widths[-1]))
            self.bias = nn.Parameter((frequencies / frequencies.sum()).log())
        self._initialise()

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config as it is: nothing in it depends on the device."""
        return config

    @property
    def width(self) -> int:
        """Numbers in a state: those of the widest layer."""
        return max(self.config.width, *self.config.sizes)

    @property
    def vocab_size(self) -> int:
        """Rows of the token table."""
        return self.tokens.num_embeddings

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids with the end token as start context, types): `<eos> ids`, or `<eos> ids <eos> other`."""
        framed, _ = opened(ids, other, self.end)
        return framed, [0] * len(framed)

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean of -log P(label_t | all that the row has read) over the labels that are not IGNORE, while training with the penalties.

        Reads `ids`, `labels` (B T), and if present `begins` (B): rows that forget what `carried` holds. `segments` are not
        read: a row goes on through them.
        """
        labels = batch["labels"]
        predicted = labels != IGNORE
        counts = self.predictions(batch)
        if not counts["tokens"]:
            raise DataError("a batch asks for no prediction: all its labels are ignored", "one label or more", "leave such batches out")
        states, memory = self._read(self._embed(batch["ids"]), _begun(carried, batch.get("begins")))
        hidden = self._dropout(states[-1], self.config.dropout, self.training)
        total = self._cross_entropy(hidden[predicted], labels[predicted])
        sums = {"tokens": total, **self._penalties(hidden, states[-1])}
        carry = {"h": memory.h.detach().float(), "c": memory.c.detach().float()}
        weights = {"activation": self.config.activation, "temporal": self.config.temporal}
        return Loss.of({name: (nats, counts[name]) for name, nats in sums.items()}, carry, weights)

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels that are not IGNORE; of the penalties, the positions, and the steps from one to the next."""
        rows, length = batch["ids"].shape
        found = {"tokens": int((batch["labels"] != IGNORE).sum())}
        if self.training and self.config.activation:
            found["activation"] = rows * length
        if self.training and self.config.temporal:
            found["temporal"] = rows * (length - 1)
        return found

    @torch.no_grad()
    def score(self, batch: Tensors) -> Float[Tensor, "B T"]:
        """Nats of each token given those to its left in its segment; 0 at padding and at a segment's first token."""
        ids = batch["ids"]
        segments = batch.get("segments", torch.ones_like(ids))
        follows = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        hidden = self._states(batch)[-1][:, :-1][follows]
        targets = ids[:, 1:][follows]
        nats = torch.zeros(ids.shape, device=ids.device)
        if self.adaptive is not None:
            nats[:, 1:][follows] = self.adaptive.surprisal(hidden, targets)
        else:
            nats[:, 1:][follows] = surprisal(hidden, self._table, self.bias, targets)
        return nats

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B T D"]]:
        """The embeddings, then the output of each layer; a layer narrower than the widest is followed by zeros."""
        return [F.pad(states, (0, self.width - states.shape[-1])) for states in self._states(batch)]

    def summary(self, states: list[Float[Tensor, "B T D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The last layer's state at the last token."""
        return last_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The embeddings, the recurrent layers, the output; a tied table is the embeddings'."""
        middle = [layer(self, f"layer {n + 1}", f"lstms.{n}") for n in range(len(self.lstms))]
        return [layer(self, "embeddings", "tokens"), *middle, layer(self, "top", "table", "bias", "adaptive")]

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Begins with an earlier run's weights; new tokens, after those that it had, stay as they were drawn. Frequencies add up.

        UsageError for new tokens with the adaptive softmax, whose clusters are those of its vocabulary.
        """
        own, old = self.frequencies.clone(), len(arrays["frequencies"])
        if self.adaptive is not None and old < self.vocab_size:
            wrong = f'model.output = "adaptive" with {self.vocab_size - old:,} new tokens, which no cluster has'
            raise UsageError(wrong, "the vocabulary of the run to go on from", f"set tokenizer.vocab_size = {old}")
        take_over(self, arrays, ("tokens.weight", "table", "bias", "frequencies"))
        self.frequencies[:old] += own[:old]

    def task_input(self) -> "LSTM":
        """Itself: <eos> is there from the start."""
        return self

    @torch.no_grad()
    def advance(self, prompts: Sequence[Sequence[int]], memory: Memory | None = None) -> tuple[Float[Tensor, "B V"], Memory]:
        """(log-probabilities of each row's next token, the memory after it); a row reads one token or more.

        Never the unknown token nor another special, which have their share; the end alone may come.
        """
        lengths = [len(ids) for ids in prompts]
        device = self.tokens.weight.device
        scores = torch.empty(len(prompts), self.vocab_size, device=device)
        h, c = (torch.zeros(len(prompts), sum(self.config.sizes), device=device) for _ in range(2))
        for length in sorted(set(lengths)):  # rows of a length together: none is padded, so that no state runs past its text
            rows = [row for row, own in enumerate(lengths) if own == length]
            ids = torch.tensor([list(prompts[row]) for row in rows], device=device)
            _, scores[rows], after = self.read_on(ids, memory.rows(rows) if memory else None)
            h[rows], c[rows] = after.h.float(), after.c.float()
        scores[:, self.unwritten] = -torch.inf
        return scores.cpu(), Memory(h, c)

    def read_on(self, ids: Int[Tensor, "B T"], memory: Memory | None) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B V"], Memory]:
        """(the last layer's states, log-probabilities of the next token, the memory after them), having read on from `memory`."""
        states, after = self._read(self._embed(ids), memory)
        last = F.pad(states[-1], (0, self.width - states[-1].shape[-1]))
        return last, self._log_probabilities(states[-1][:, -1]), after

    def _states(self, batch: Tensors) -> list[Tensor]:
        """The embeddings and each layer's outputs (B T, the layer's width), every segment from a state of zeros."""
        x, segments = self._embed(batch["ids"]), batch.get("segments")
        exporting = torch.compiler.is_exporting()  # one text a row
        if segments is None or exporting or int(segments.max()) <= 1:  # what is padded stands at the end, where it moves nothing real
            return [x, *self._read(x, None)[0]]
        apart = Apart(segments)
        return [x, *map(apart.back, self._read(apart.rows(x), None)[0])]

    def _embed(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        x = self.tokens(ids)
        rate = self.config.dropout_embedding
        if self.tokens.training and rate:
            x = x * keep_mask((self.vocab_size, 1), rate, x.dtype, x.device)[ids]
        return x

    def _read(self, x: Float[Tensor, "B T E"], memory: Memory | None) -> tuple[list[Tensor], Memory]:
        """Each layer's outputs (B T H), and the state after the last position."""
        sizes, config = self.config.sizes, self.config
        begin = [None] * config.depth if memory is None else map(State, memory.h.split(sizes, 1), memory.c.split(sizes, 1))
        outputs: list[Tensor] = []
        states: list[State] = []
        for lstm, state in zip(self.lstms, begin, strict=True):
            x = self._dropout(x, config.dropout_hidden if outputs else config.dropout_input, lstm.training)
            x, state = lstm(x, state)
            outputs.append(x)
            states.append(state)
        return outputs, Memory(*(torch.cat(parts, 1) for parts in zip(*states, strict=True)))

    def _dropout(self, x: Tensor, rate: float, training: bool) -> Tensor:
        return locked_dropout(x, rate, training) if self.config.locked else dropout(x, rate, training)

    @property
    def _table(self) -> Float[Tensor, "V H"]:
        return self.tokens.weight if self.table is None else self.table

    def _cross_entropy(self, hidden: Float[Tensor, "N H"], labels: Int[Tensor, " N"]) -> Float[Tensor, ""]:
        """The sum of -log P(label); in training, of what `output` makes of it."""
        if self.adaptive is not None:
            return self.adaptive.cross_entropy(hidden, labels)
        if self.config.output == "sampled" and self.training:
            return sampled_cross_entropy(hidden, self._table, self.bias, labels, self._proposal, self.config.negatives)
        return cross_entropy(hidden, self._table, self.bias, labels)

    def _log_probabilities(self, hidden: Float[Tensor, "N H"]) -> Float[Tensor, "N V"]:
        if self.adaptive is not None:
            return self.adaptive.log_probabilities(hidden)
        return F.linear(hidden, self._table, self.bias).float().log_softmax(-1)

    def _penalties(self, dropped: Float[Tensor, "B T H"], states: Float[Tensor, "B T H"]) -> dict[str, Tensor]:
        """AWD's two penalties, of what the output read and of the states: mean squares, summed over positions; none outside training."""
        found: dict[str, Tensor] = {}
        if self.training and self.config.activation:
            found["activation"] = dropped.float().square().mean(-1).sum()
        if self.training and self.config.temporal:
            found["temporal"] = states.float().diff(dim=1).square().mean(-1).sum()
        return found

    @cached_property
    def _proposal(self) -> Proposal:
        return Proposal(self.frequencies.float(), self.config.power)

    def _initialise(self) -> None:
        """Tables uniform; `LSTMLayer` and `AdaptiveSoftmax` have drawn the rest."""
        nn.init.uniform_(self.tokens.weight, -RANGE, RANGE)
        if self.table is not None:
            nn.init.uniform_(self.table, -RANGE, RANGE)


def _begun(carried: Carried | None, begins: Tensor | None) -> Memory | None:
    """What the batch goes on from: nothing in rows that begin."""
    if carried is None:
        return None
    goes_on = 1.0 if begins is None else (~begins)[:, None].float()
    return Memory(carried["h"] * goes_on, carried["c"] * goes_on)


def _frequencies(tokens: TokenFacts, end: int) -> Int[Tensor, " V"]:
    """How often each token is predicted in the corpus, at least once."""
    counts = np.zeros(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
    counts[end] = max(counts[end], counts.sum() // DOCUMENT_TOKENS)
    return torch.from_numpy(counts).clamp(min=1)
