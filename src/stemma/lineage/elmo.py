# ruff: noqa: F722 (axis names stand in annotations)
"""ELMo: deep contextualised word vectors (Peters et al. 2018). Parent: the LSTM language model (`lstm`).

What it added: words read by their spelling (`layers.spelling`), those too that no vocabulary has, a second language model that reads from
right to left, and the states of all layers as features for a task. What it gave up: the two directions never meet before the task; a text
cannot be written with it.

Each direction is a language model of projected, clipped LSTM layers; a layer above the first adds its input to its output. The characters'
network and the softmax are shared by the two. The loss is the mean of the two directions' means; words beyond the `targets` most frequent
are predicted as the unknown word. Training is stateful (`objectives.both_ways`), with each direction's state in `Loss.carried`. `encode`
reads every segment from a state of zeros.

Deviates: a text's border is one token, `<eos>`, where the paper has a begin and an end of each sentence (`begin` lets the forward
direction read it as the begin, as the published weights need it); documents are not cut into sentences. Deviates: in `encode` the backward
direction starts at the border, as in training, and the frame's border is read by both.

Deviates: the sampled softmax draws words by their counts, with replacement, and weights each by its chance (`layers.sampled`), where theirs
draws distinct words log-uniformly. Deviates: the softmax's bias begins at the words' log frequencies, theirs at 0, and matrices begin
uniform, theirs normal. Deviates: in `base` AdaGrad's sums begin at 0, theirs at 1 (1/400 in our scale of the loss).

B batch, T positions, P width of the projection, D = 2P, C cells, N predictions, V vocabulary, U words beyond it, L characters of a word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.bounds import BelowOne, Depth, Length, Natural, NonNegative, Positive, PositiveFloat, Width
from stemma.config import ReadIf
from stemma.errors import DataError, UsageError
from stemma.layers.blocks import Layer, layer
from stemma.layers.fast import dropout
from stemma.layers.loss import Carried, Loss, cross_entropy, surprisal
from stemma.layers.pooling import mean_state
from stemma.layers.projected import ProjectedLSTM
from stemma.layers.recurrent import Apart, State, apart
from stemma.layers.sampled import Proposal, sampled_cross_entropy
from stemma.layers.spelling import BEGIN, END, CharacterCNN, spell, spell_border
from stemma.layers.uniform import Uniform
from stemma.layers.weights import take_over
from stemma.lineage.sized import opened
from stemma.objectives.batch import IGNORE
from stemma.tokens.byte_level import bytes_of
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
DIRECTIONS = ("forward", "backward")
WORDS_AT_ONCE = 4096  # that are spelled together where all are
DOCUMENT_TOKENS = 500  # the counts of a corpus leave its documents' ends out: taken as one in so many tokens, to begin with


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's 93.6 M parameters beside the softmax; presets/elmo.toml has sizes for a CPU in minutes."""

    max_length: ClassVar[int | None] = None  # any text fits

    characters: Width = 16  # numbers in a character's embedding
    filters: tuple[Positive, ...] = (32, 32, 64, 128, 256, 512, 1024)  # convolutions over 1, 2, ... characters
    highways: Length = 2  # highway layers
    width: Width = 512  # numbers in a direction's state
    cells: Width = 4096  # of a layer
    depth: Depth = 2  # layers of each direction
    clip: PositiveFloat = 3.0  # cells and states stay within plus and minus this
    skip: bool = True  # layers above the first add their input
    begin: bool = False  # the forward direction reads a text's border as its begin, which has a character of its own
    targets: Natural = 793_471  # the first words of the vocabulary, its most frequent, can be predicted; 0: all
    output: Literal["full", "sampled"] = "sampled"  # the softmax: whole, or sampled in training
    negatives: Annotated[Length, ReadIf("output", "sampled")] = 8192  # sampled: words drawn a step, shared by its predictions
    power: Annotated[NonNegative, ReadIf("output", "sampled")] = 1.0  # sampled: words are drawn ~ count^power
    dropout: BelowOne = 0.1  # on what enters a layer, and on what the output reads


class Chain(nn.Module):
    """One direction: layers of LSTMs over words in the order that it reads them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.lstms = nn.ModuleList(ProjectedLSTM(config.width, config.cells, config.width, config.clip) for _ in range(config.depth))

    def forward(self, x: Float[Tensor, "B T P"], begin: list[State] | None = None) -> tuple[list[Tensor], list[State]]:
        """Each layer's outputs (B T P), and each layer's state after the last position."""
        outputs: list[Tensor] = []
        after: list[State] = []
        for number, lstm in enumerate(self.lstms):
            x = dropout(x, self.config.dropout, lstm.training)
            y, state = lstm(x, begin[number] if begin else None)
            x = y + x if self.config.skip and number else y
            outputs.append(x)
            after.append(state)
        return outputs, after


class ELMo(nn.Module):
    """The bidirectional language model."""

    max_length: int | None = None  # any text fits
    task_tokens = 0
    shaped_by = ("characters", "filters", "highways", "width", "cells", "depth", "clip", "skip", "begin", "targets")
    frequencies: Tensor  # (targets) how often each is predicted, at least once
    spelled: Tensor  # (V L)

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        if "eos" not in tokens.specials:
            raise UsageError("the tokenizer has no 'eos' token", "a tokenizer with an end-of-text token", "set tokenizer.kind to word")
        self.config, self.end, self.unknown = config, tokens.specials["eos"], tokens.specials.get("unk", -1)
        self.begin = tokens.specials.get("bos", self.end) if config.begin else self.end
        targets = min(config.targets or tokens.vocab_size, tokens.vocab_size)
        if targets < tokens.vocab_size and not (self.end < targets and 0 <= self.unknown < targets):
            raise UsageError(f"model.targets = {targets} leaves out 'unk' or 'eos'", "both among them", "set model.targets = 0")
        self.register_buffer("spelled", _spelled(tokens, self.begin, self.end), persistent=False)
        self.register_buffer("frequencies", _frequencies(tokens, self.end, self.unknown, targets))
        self.tabulated: Tensor | None = None  # (V P)
        self.words = CharacterCNN(config.characters, config.filters, config.highways, config.width)
        self.forward_chain, self.backward_chain = Chain(config), Chain(config)
        self.table = nn.Parameter(torch.empty(targets, config.width).normal_(0, config.width**-0.5))
        self.bias = nn.Parameter((self.frequencies / self.frequencies.sum()).log())

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config as it is: nothing in it depends on the device."""
        return config

    @property
    def width(self) -> int:
        """Numbers in a state: of both directions."""
        return 2 * self.config.width

    @property
    def vocab_size(self) -> int:
        """Words of the vocabulary; those from there on are spelled in the batch."""
        return len(self.spelled)

    def spell(self, words: Sequence[str]) -> Int[np.ndarray, "U L"]:
        """The words as a batch's `spelled` holds them."""
        return spell(words)

    def lacks(self, ids: np.ndarray) -> np.ndarray:
        """True for each of the ids (N) that is predicted as the unknown word."""
        found: np.ndarray = (ids == self.unknown) | (ids >= len(self.table))
        return found

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids with the border as start context, types): `<eos> ids`, or `<eos> ids <eos> other`."""
        framed, _ = opened(ids, other, self.end)
        return framed, [0] * len(framed)

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean over both directions of -log P(label_t | all that the row has read in that direction).

        Reads `ids`, `labels`, `back_ids`, `back_labels` (B T), the latter two of text from right to left, and if present `begins` (B):
        rows that forget what `carried` holds.
        """
        counts = self.predictions(batch)
        if not all(counts.values()):
            raise DataError("a batch asks for no prediction: all its labels are ignored", "one label or more", "leave such batches out")
        ids = torch.stack([self._read_forward(batch["ids"]), batch["back_ids"]])
        sides = map(self._within_targets, (batch["labels"], batch["back_labels"]))
        sums, carry = {}, {}
        for name, x, labels, chain in zip(DIRECTIONS, self._embed(ids), sides, self._chains, strict=True):
            outputs, after = chain(x, self._begun(name, carried, batch.get("begins")))
            hidden = dropout(outputs[-1], self.config.dropout, self.training)
            sums[name] = self._cross_entropy(hidden[labels != IGNORE], labels[labels != IGNORE])
            carry[f"{name}.h"] = torch.cat([state.h for state in after], 1).detach().float()
            carry[f"{name}.c"] = torch.cat([state.c for state in after], 1).detach().float()
        return Loss.of({name: (nats, counts[name]) for name, nats in sums.items()}, carry, dict.fromkeys(DIRECTIONS, 0.5))

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Labels of each direction that are not IGNORE."""
        return {name: int((batch[key] != IGNORE).sum()) for name, key in zip(DIRECTIONS, ("labels", "back_labels"), strict=True)}

    @torch.no_grad()
    def score(self, batch: Tensors) -> Float[Tensor, "B T"]:
        """Nats of each token given those to its left in its segment; 0 at padding and at a segment's first token."""
        return self._score(batch, self.forward_chain)

    @torch.no_grad()
    def score_backward(self, batch: Tensors) -> Float[Tensor, "B T"]:
        """As `score`, of rows that hold the text from its end to its start."""
        return self._score(batch, self.backward_chain)

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B T D"]]:
        """The words' vectors twice, then each layer's outputs, forward beside backward; every segment from a state of zeros."""
        x = self._embed(batch["ids"], batch.get("spelled"))
        ahead = x if self.begin == self.end else self._embed(self._read_forward(batch["ids"]), batch.get("spelled"))
        texts = apart(batch.get("segments", torch.ones_like(batch["ids"])))
        rows, turn = texts.rows(x), texts.turned()
        forward = self.forward_chain(texts.rows(ahead))[0]
        backward = [_take(y, turn) for y in self.backward_chain(_take(rows, turn))[0]]
        pairs = zip(forward, backward, strict=True)
        return [torch.cat([x, x], 2), *(texts.back(torch.cat(pair, 2)) for pair in pairs)]

    @torch.no_grad()
    def tabulate(self) -> None:
        """Computes the vectors of the vocabulary's words, for a graph that is exported: they stand in it, and are not spelled again."""
        self.tabulated = torch.cat([self.words(some.long()) for some in self.spelled.split(WORDS_AT_ONCE)])

    def summary(self, states: list[Float[Tensor, "B T D"]], batch: Tensors) -> Float[Tensor, "B D"]:
        """The mean of the last layer's states."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The words, the layers of both directions, the output."""
        chains = ("forward_chain", "backward_chain")
        middle = [layer(self, f"layer {n + 1}", *(f"{chain}.lstms.{n}" for chain in chains)) for n in range(self.config.depth)]
        return [layer(self, "embeddings", "words"), *middle, layer(self, "top", "table", "bias")]

    def take_over(self, arrays: Mapping[str, np.ndarray], draw: Uniform) -> None:
        """Begins with an earlier run's weights; new targets, after those that it had, stay as they were drawn. Frequencies add up."""
        own, old = self.frequencies.clone(), len(arrays["frequencies"])
        take_over(self, arrays, ("table", "bias", "frequencies"))
        self.frequencies[:old] += own[:old]

    def task_input(self) -> "ELMo":
        """Itself: <eos> is there from the start."""
        return self

    @property
    def _chains(self) -> tuple[Chain, Chain]:
        return self.forward_chain, self.backward_chain

    def _score(self, batch: Tensors, chain: Chain) -> Float[Tensor, "B T"]:
        if not self.table[self.end].any():
            wrong = "these weights hold no softmax: nothing can be predicted with them"
            raise UsageError(wrong, "weights that were saved with one", "use embed or finetune, or pre-train a run")
        ids = batch["ids"]
        read = self._read_forward(ids) if chain is self.forward_chain else ids
        segments = batch.get("segments", torch.ones_like(ids))
        follows = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        texts = Apart(segments)
        hidden = texts.back(chain(texts.rows(self._embed(read, batch.get("spelled"))))[0][-1])[:, :-1][follows]
        nats = torch.zeros(ids.shape, device=ids.device)
        nats[:, 1:][follows] = surprisal(hidden, self.table, self.bias, self._within_targets(ids[:, 1:][follows]))
        return nats

    def _embed(self, ids: Int[Tensor, "*shape"], beyond: Int[Tensor, "U L"] | None = None) -> Float[Tensor, "*shape P"]:
        """The words' vectors; each distinct word is read once, or of a graph that is being exported those beyond the vocabulary alone."""
        if torch.compiler.is_exporting() and self.tabulated is not None:
            return F.embedding(ids, self.tabulated if beyond is None else torch.cat([self.tabulated, self.words(beyond)]))
        distinct, place = ids.unique(return_inverse=True)
        known = int((distinct < self.vocab_size).sum())
        spelled = self.spelled[distinct[:known]]
        if beyond is not None:
            spelled = torch.cat([spelled, beyond[distinct[known:] - self.vocab_size]])
        return self.words(spelled.long())[place]

    def _read_forward(self, ids: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """What the forward direction reads: a border is its text's begin."""
        return ids.masked_fill(ids == self.end, self.begin)

    def _within_targets(self, ids: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """What is predicted where these words stand: words beyond the targets as the unknown word."""
        return ids.masked_fill(ids >= len(self.table), self.unknown)

    def _begun(self, name: str, carried: Carried | None, begins: Tensor | None) -> list[State] | None:
        """What a direction goes on from: nothing in rows that begin."""
        if carried is None:
            return None
        kept = [carried[f"{name}.{part}"] for part in "hc"]
        h, c = ((part if begins is None else part.masked_fill(begins[:, None], 0)).chunk(self.config.depth, 1) for part in kept)
        return [State(*pair) for pair in zip(h, c, strict=True)]

    def _cross_entropy(self, hidden: Float[Tensor, "N P"], labels: Int[Tensor, " N"]) -> Float[Tensor, ""]:
        if self.config.output == "sampled" and self.training:
            return sampled_cross_entropy(hidden, self.table, self.bias, labels, self._proposal, self.config.negatives)
        return cross_entropy(hidden, self.table, self.bias, labels)

    @cached_property
    def _proposal(self) -> Proposal:
        return Proposal(self.frequencies.float(), self.config.power)


def _take(x: Float[Tensor, "B T P"], turn: Int[Tensor, "B T"]) -> Float[Tensor, "B T P"]:
    return x.gather(1, turn[..., None].expand(-1, -1, x.shape[2]))


def _spelled(tokens: TokenFacts, begin: int, end: int) -> Int[Tensor, "V L"]:
    """How each token is spelled, a text's borders by characters of their own. Facts without spellings give every token the empty one."""
    written = tokens.tokens or [""] * tokens.vocab_size
    rows = spell(list(map(bytes_of, written)) if tokens.byte_level else written)
    rows[begin], rows[end] = spell_border(BEGIN), spell_border(END)
    return torch.from_numpy(rows)


def _frequencies(tokens: TokenFacts, end: int, unknown: int, targets: int) -> Int[Tensor, " targets"]:
    """How often each of the first `targets` tokens is predicted in the corpus, at least once; the others as the unknown word."""
    counts = np.zeros(tokens.vocab_size, np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
    counts[end] = max(counts[end], counts.sum() // DOCUMENT_TOKENS)
    counts[unknown] += counts[targets:].sum()
    return torch.from_numpy(counts[:targets]).clamp(min=1)
