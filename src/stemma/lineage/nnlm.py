# ruff: noqa: F722 (axis names stand in annotations)
"""NNLM: the neural probabilistic language model (Bengio, Ducharme, Vincent & Jauvin 2003). Parent: the n-gram model (`ngram`).

What it added: a vector for each word, learnt together with the probabilities, so that what was seen of one word
tells of those like it. What it gave up: a table look-up; every prediction scores the whole vocabulary, and still
sees no further back than n - 1 words. With C(w) a word's vector (section 2):

    x = [C(w_t-1); C(w_t-2); ...; C(w_t-n+1)],    y = b + W x + U tanh(d + H x),    P(w_t) = softmax(y)

The nearest word comes first in x, and before a sentence's start there is `<s>`, n - 1 times. Predicted are the words,
the unknown token and `</s>`, never `<s>`. Our names: `words` is C, `hidden` is H and d, `output` is [W U] and b.
The whole has V (1 + n m + h) + h (1 + (n - 1) m) free parameters, V (n - 1) m fewer without `direct`.

Deviates: AdamW on batches of sentences, where the paper descends example by example; its weight decay is decoupled
and shrinks all of C, H, U and W at each step, rows that the batch does not touch included. Deviates: `output` may be
`sampled` or `hierarchical`, which came later; the first trains an approximation and scores by the whole softmax, the
second is another exact model. The biases begin at the words' frequencies and W, U at 0: the first guess is the
unigram model.

B batch, T positions, C words of context, M width of a vector, X numbers that feed the output, N predictions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.bounds import Depth, Length, NonNegative, Width, WidthOrNone
from stemma.config import ReadIf
from stemma.errors import DataError
from stemma.layers.blocks import Layer, layer
from stemma.layers.fast import Dense
from stemma.layers.hierarchical import Paths, log_probabilities, path_surprisal
from stemma.layers.loss import Carried, Loss, cross_entropy, surprisal
from stemma.layers.pooling import mean_state
from stemma.layers.recent import Recent
from stemma.layers.sampled import Proposal, sampled_cross_entropy
from stemma.lineage.sized import opened
from stemma.objectives.previous import sentence_marks
from stemma.tokens.facts import TokenFacts

Tensors = dict[str, Tensor]
SENTENCE_TOKENS = 20  # the counts of a corpus leave its sentence ends out: taken as one in so many words, to begin with


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's for the AP News corpus (n = 6); presets/nnlm.toml has sizes for a CPU in minutes."""

    max_length: ClassVar[int | None] = None  # any text fits
    context: Depth = 5  # words that are read, the paper's n - 1
    width: Width = 100  # numbers in a word's vector, the paper's m
    inner: WidthOrNone = 60  # hidden units, the paper's h; 0: none
    direct: bool = True  # connections from the vectors straight to the output, the paper's W
    output: Literal["full", "sampled", "hierarchical"] = "full"  # the softmax: whole, sampled in training, or along a Huffman tree
    negatives: Annotated[Length, ReadIf("output", "sampled")] = 1024  # sampled: words drawn a step, shared by its predictions
    power: Annotated[NonNegative, ReadIf("output", "sampled")] = 0.75  # sampled: words are drawn ~ count^power


class NNLM(nn.Module):
    """The feed-forward language model."""

    max_length: int | None = None  # any text fits
    task_tokens = 0
    composes = False
    counts: Tensor  # (V) of the corpus

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__()
        self.config = config
        self.start, self.end = sentence_marks(tokens.specials)
        self.unknown = tokens.specials.get("unk")
        self.specials = sorted(set(tokens.specials.values()))
        self.unpredicted = [index for index in self.specials if index not in (self.end, self.unknown)]
        counts = np.zeros(tokens.vocab_size) if tokens.counts is None else tokens.counts
        self.register_buffer("counts", torch.from_numpy(np.array(counts, np.int64)))
        read = config.context * config.width
        self.words = nn.Embedding(tokens.vocab_size, config.width)
        self.hidden = Dense(read, config.inner) if config.inner else None
        scores = tokens.vocab_size if config.output != "hierarchical" else tokens.vocab_size - len(self.unpredicted) - 1
        self.output = nn.Linear(read * config.direct + config.inner, scores)
        self._initialise()

    @staticmethod
    def settle(config: Config, device: torch.device) -> Config:
        """The config as it is: nothing in it depends on the device."""
        return config

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return self.words.num_embeddings

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(`<s> ids` or `<s> ids <s> other`, types)."""
        return opened(ids, other, self.start)

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """The mean of -log P(label_t | the words up to t) over the batch; in training, of what `output` makes of it.

        Reads `ids`, `segments`, `labels` (B T); each segment is a sentence, 0 is padding.
        """
        predicted = batch["segments"] > 0
        labels = batch["labels"][predicted]
        if not len(labels):
            raise DataError("a batch asks for no prediction: all of it is padding", "one token or more", "leave such batches out")
        features = self._features(self._contexts(batch["ids"], batch["segments"])[predicted])
        if self.config.output == "hierarchical":
            total = path_surprisal(features, self.output.weight, self.output.bias, labels, self._paths).sum()
        elif self.config.output == "sampled" and self.training:
            size = self.config.negatives
            total = sampled_cross_entropy(features, self.output.weight, self.output.bias, labels, self._proposal, size)
        else:
            total = cross_entropy(features, self.output.weight, self._bias(), labels)
        return Loss.of({"tokens": (total, len(labels))})

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """Positions that are no padding."""
        return {"tokens": int((batch["segments"] > 0).sum())}

    @torch.no_grad()
    def score(self, batch: Tensors) -> Float[Tensor, "B T"]:
        """Nats of each token given those to its left in its segment; 0 at padding and at a segment's first token."""
        ids = batch["ids"]
        segments = batch.get("segments", torch.ones_like(ids))
        follows = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        features = self._features(self._contexts(ids, segments)[:, :-1][follows])
        nats = torch.zeros(ids.shape, device=ids.device)
        nats[:, 1:][follows] = self._surprisal(features, ids[:, 1:][follows])
        return nats

    @property
    def reach(self) -> int:
        """Words before a prediction that it reads."""
        return self.config.context

    @torch.no_grad()
    def token_or_end(self, past: np.ndarray, seen: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P (N) of the `following` token and of the sentence's end after the last `seen` ids of `past` (N C), with which it begins."""
        own = np.arange(self.reach) >= self.reach - seen[:, None]
        nearest_first = np.where(own, past, self.start)[:, ::-1].copy()
        features = self._features(torch.from_numpy(nearest_first).to(self.counts.device))
        tokens = torch.from_numpy(following.astype(np.int64)).to(self.counts.device)
        ends = torch.full_like(tokens, self.end)
        nats = self._surprisal(features, tokens)
        if self.config.output == "hierarchical":
            end_nats = self._surprisal(features, ends)
        else:  # the same softmax divides both
            end_nats = nats + self._score(features, tokens) - self._score(features, ends)
        return (-nats).double().exp().cpu().numpy(), (-end_nats).double().exp().cpu().numpy()

    def encode(self, batch: Tensors) -> list[Float[Tensor, "B T M"]]:
        """Layer 0 alone: the vectors of `ids` (B T)."""
        return [self.words(batch["ids"])]

    def summary(self, states: list[Float[Tensor, "B T M"]], batch: Tensors) -> Float[Tensor, "B M"]:
        """The mean of the words' vectors."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The vectors, then the hidden and the output layer."""
        return [layer(self, "embeddings", "words"), layer(self, "top", "hidden", "output")]

    def task_input(self) -> "NNLM":
        """Itself: <s> is there from the start."""
        return self

    def compose(self, word: str) -> None:
        """None: a word that was never seen has no vector."""

    def word_vectors(self) -> np.ndarray:
        """The vectors (V M) that words are compared by; zeros for the specials and for words that never occur."""
        seen = self.counts > 0
        seen[self.specials] = False
        return (self.words.weight.detach() * seen[:, None]).cpu().numpy()

    @torch.no_grad()
    def log_probs(self, contexts: Sequence[Sequence[int]]) -> Float[Tensor, "B V"]:
        """The log P of every token after each row's ids, of which the last `context` are read; -inf for what is never predicted."""
        size = self.config.context
        nearest_first = [([self.start] * size + list(ids))[: -size - 1 : -1] for ids in contexts]
        features = self._features(torch.tensor(nearest_first, device=self.counts.device))
        if self.config.output == "hierarchical":
            return torch.stack([log_probabilities(row, self.output.weight, self.output.bias, self._paths) for row in features])
        return F.linear(features, self.output.weight, self._bias()).log_softmax(-1)

    def advance(self, prompts: Sequence[Sequence[int]], memory: Recent | None = None) -> tuple[Float[Tensor, "B V"], Recent]:
        """(log-probabilities of each row's next word, the memory after it); never the unknown token, which has its share."""
        recent = Recent.after(prompts, memory, self.config.context)
        scores = self.log_probs(recent.last)
        if self.unknown is not None:
            scores[:, self.unknown] = -torch.inf
        return scores, recent

    def _contexts(self, ids: Int[Tensor, "B T"], segments: Int[Tensor, "B T"]) -> Int[Tensor, "B T C"]:
        """The ids at each position and before it in its segment, the nearest first; <s> before the segment's start."""
        size = self.config.context
        before = ids.new_full((len(ids), size - 1), self.start)
        windows = torch.cat([before, ids], 1).unfold(1, size, 1)  # (B T C), the nearest last
        own = torch.cat([torch.zeros_like(before), segments], 1).unfold(1, size, 1) == segments[:, :, None]
        return windows.masked_fill(~own, self.start).flip(-1)

    def _features(self, contexts: Int[Tensor, "N C"]) -> Float[Tensor, "N X"]:
        """What the output layer reads: the vectors if `direct`, then the hidden units if there are any."""
        x = self.words(contexts).flatten(1)  # (N C*M)
        direct = [x] if self.config.direct else []
        inner = [torch.tanh(self.hidden(x))] if self.hidden is not None else []
        return torch.cat([*direct, *inner], 1) if direct or inner else x[:, :0]

    def _surprisal(self, features: Float[Tensor, "N X"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Nats of each label, by the exact softmax or along its path."""
        if self.config.output == "hierarchical":
            return path_surprisal(features, self.output.weight, self.output.bias, labels, self._paths)
        return surprisal(features, self.output.weight, self._bias(), labels)

    def _score(self, features: Float[Tensor, "N X"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """The score y of each label."""
        return (features * self.output.weight[labels]).sum(-1) + self.output.bias[labels]

    def _bias(self) -> Float[Tensor, " V"]:
        return self.output.bias.index_fill(0, torch.tensor(self.unpredicted, device=self.counts.device), -torch.inf)

    def _frequencies(self) -> Int[Tensor, " V"]:
        """How often each token is predicted in the corpus, at least once; 0 for what never is."""
        frequencies = self.counts.clamp(min=1)
        frequencies[self.end] = max(1, int(self.counts.sum()) // SENTENCE_TOKENS)
        frequencies[self.unpredicted] = 0
        return frequencies

    @cached_property
    def _proposal(self) -> Proposal:
        return Proposal(self._frequencies().float(), self.config.power)

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self._frequencies())

    def _initialise(self) -> None:
        """Vectors N(0, 0.1), the output at the words' frequencies alone."""
        nn.init.normal_(self.words.weight, std=0.1)
        nn.init.zeros_(self.output.weight)
        frequencies = self._frequencies()
        with torch.no_grad():
            if self.config.output == "hierarchical":
                self.output.bias.copy_(Paths(frequencies).log_odds(frequencies))
            else:
                self.output.bias.copy_((frequencies.clamp(min=1) / frequencies.sum()).log())
