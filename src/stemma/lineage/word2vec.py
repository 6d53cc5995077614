"""word2vec (Mikolov, Chen, Corrado & Dean 2013; Mikolov, Sutskever et al. 2013). Parent: the neural language model (`nnlm`).

What it added: the hidden layer is gone; a word's vector is learnt by telling its true neighbours from
words drawn at random (negative sampling), so a corpus takes minutes. What it gave up: the order of the
neighbours, any probability of the text, and context: one vector a word, whatever its sense there.

With x an input row, y an output row and y_n the K negatives drawn from unigram^0.75:

    loss = -log s(x·y) - sum_n log s(-x·y_n)

Skip-gram: x is a word of the window, y the centre. CBOW: x is the mean of the window, y the centre.
Hierarchical softmax asks instead, or as well, for the turns on the target's path through a Huffman tree
(`word2vec_tree`). With subwords a word's vector is the mean of its own row and of its n-grams' (`word2vec_subwords`).

Deviates: skip-gram's input is the *context* word and its target the centre, as in word2vec.c; the paper
has it the other way round, which is the same set of pairs. Deviates: CBOW's error is added in full to
each word of the window, as in word2vec.c and gensim; the gradient of the mean would divide it.
Deviates: draws come from alias tables and the logistic function is exact, where word2vec.c has tables
of 1e8 and 1e3 slots. Deviates: with subwords, negatives are drawn as without them (fastText: count^0.5), and
n-grams that no word of the vocabulary has get no vector.
Deviates: `kernel = "block"` computes rounds of up to 256 tokens from the same start, and draws 16 negatives once for a block
of up to 64 tokens (CBOW: 16), each weighted by K / 16 for every prediction it serves: the published gradient in expectation.
`kernel = "plain"` does as published.

B batch, T positions, D width, V vocabulary, P predictions, C words of a context, K negatives, N tokens, S sentences, L nodes of a path,
G rows of a word.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.layers.blocks import Layer, layer
from stemma.layers.loss import Carried, Loss
from stemma.layers.pooling import mean_state
from stemma.layers.weights import torch_uniform
from stemma.lineage.word2vec_tables import Config, Tables

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts

__all__ = ["Config", "Tables", "Word2Vec"]


class Word2Vec(nn.Module):
    """The `Tables` as parameters, for what differentiates: a task that moves them, and the loss as the paper has it."""

    max_length: int | None = None  # any text fits
    task_tokens = 0
    counts: Tensor  # (V,) of the corpus, specials zero
    input: nn.Parameter
    output: nn.Parameter
    nodes: nn.Parameter
    subwords: nn.Parameter

    def __init__(self, config: Config, tokens: "TokenFacts") -> None:
        super().__init__()
        self.config = config
        self._tables = Tables.drawn(config, tokens, torch_uniform)
        for name, table in self._tables.tables.items():
            if name == "counts":
                self.register_buffer(name, torch.from_numpy(table))
            else:
                self.register_parameter(name, nn.Parameter(torch.from_numpy(table)))

    def __getstate__(self) -> dict[str, Any]:
        """A copy has its own parameters, and looks at those."""
        bare = copy.copy(self._tables)
        bare.__dict__.pop("descent", None)
        bare.tables = {name: np.empty(0) for name in self._tables.tables}
        return {**self.__dict__, "_tables": bare}

    @property
    def tables(self) -> Tables:
        """The parameters as tables, in the same memory, so that those may descend."""
        own = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        self._tables.tables = {name: own[name].detach().cpu().numpy() for name in self._tables.tables}
        return self._tables

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return len(self.input)

    def loss(self, batch: dict[str, Tensor], carried: Carried | None = None) -> Loss:
        """The same objective, differentiable, on `inputs`, `targets`, `negatives` of the batch or on fresh draws."""
        drawn = batch if "targets" in batch else self.draw(batch)
        inputs, targets, negatives = drawn["inputs"], drawn["targets"], drawn["negatives"]
        x = self._composed_inputs(inputs) if self.config.subwords else self._mean_inputs(inputs)  # (P D)
        total = x.new_zeros(())
        if self.config.output != "hierarchical":
            positive = (x * self.output[targets]).sum(-1)  # (P)
            negative = torch.einsum("pd,pkd->pk", x, self.output[negatives])  # (P K)
            skipped = negatives == targets[:, None]
            total = total + F.softplus(-positive).sum() + F.softplus(negative).masked_fill(skipped, 0).sum()
        if self.config.output != "negative":
            owner, nodes, signs = self._turns(targets)
            total = total + F.softplus(-signs * (x[owner] * self.nodes[nodes]).sum(-1)).sum()
        return Loss(total / max(len(targets), 1), len(targets))

    def _mean_inputs(self, inputs: Tensor) -> Tensor:
        real = (inputs >= 0)[:, :, None]  # (P C 1)
        return (self.input[inputs.clamp(min=0)] * real).sum(1) / real.sum(1)

    def _composed_inputs(self, inputs: Tensor) -> Tensor:
        """The mean (P D) of all rows of each prediction's words."""
        starts, rows = self.tables.grams
        groups = [[word for word in group if word >= 0] for group in inputs.tolist()]
        bags = [np.concatenate([rows[starts[word] : starts[word + 1]] for word in group]) for group in groups]
        offsets = np.cumsum([0, *map(len, bags)])[:-1]
        return F.embedding_bag(torch.from_numpy(np.concatenate([*bags, rows[:0]])).long(), self.subwords, torch.from_numpy(offsets))

    def _turns(self, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All nodes (sum of L) on the targets' paths: whose they are, their rows, and +1 or -1 for the turn."""
        tree = self.tables.descent.tree
        ids = targets.numpy()
        owner = np.repeat(np.arange(len(ids)), tree.lengths[ids])
        places = np.concatenate([np.arange(tree.starts[i], tree.starts[i + 1]) for i in ids] or [np.zeros(0, np.int64)])
        nodes, signs = tree.nodes[places].astype(np.int64), 1 - 2 * tree.bits[places].astype(np.float32)
        return torch.from_numpy(owner), torch.from_numpy(nodes), torch.from_numpy(signs)

    def draw(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Predictions of a chunk from torch's generator: `inputs` (P C), -1 where empty; `targets` (P); `negatives` (P K)."""
        words, starts, window = batch["words"].long(), batch["starts"], self.config.window
        place = torch.arange(len(words))
        sentence = torch.searchsorted(starts, place, right=True)
        radius = torch.randint(1, window + 1, (len(words),))
        offsets = torch.tensor([o for o in range(-window, window + 1) if o])
        near = place[:, None] + offsets  # (N 2*window)
        inside = (near >= 0) & (near < len(words)) & (offsets.abs() <= radius[:, None])
        near = near.clamp(0, max(len(words) - 1, 0))
        inside &= sentence[near] == sentence[:, None]
        if self.config.architecture == "skipgram":
            inputs, targets = words[near[inside]][:, None], words[:, None].expand_as(near)[inside]
        else:
            some = inside.any(1)
            inputs, targets = words[near].masked_fill(~inside, -1)[some], words[some]
        size = (len(targets), self.config.negatives)
        weights = torch.from_numpy(self.tables.descent.weights)
        negatives = torch.multinomial(weights, max(len(targets), 1) * size[1], replacement=True)[: size[0] * size[1]].view(size)
        return {"inputs": inputs, "targets": targets, "negatives": negatives}

    def encode(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Layer 0 alone: the vectors (B T D) of `ids` (B T)."""
        self.tables.word_vectors()  # composes them
        return [F.embedding(batch["ids"], self.input)]

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors (T D) of the words."""
        return self.tables.vectors_of(ids)

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """Ids and types of a text or a pair; no special is added."""
        return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())

    def summary(self, states: list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """The mean (B D) of the words' vectors (fastText; Joulin 2017)."""
        return mean_state(states[-1], batch["segments"])

    def layers(self) -> list[Layer]:
        """The vectors; targets and nodes, which no task reads."""
        return [layer(self, "embeddings", "input", "output", "nodes", "subwords"), layer(self, "top")]

    def task_input(self) -> "Word2Vec":
        """Itself: no special is added."""
        return self

    def word_vectors(self) -> np.ndarray:
        """The vectors (V D) that words are compared by."""
        return self.tables.word_vectors()

    @property
    def composes(self) -> bool:
        """True where `compose` gives vectors to words never seen."""
        return self.config.subwords

    def compose(self, word: str) -> np.ndarray | None:
        """The vector (D) of a word never seen, from the n-grams it shares with words that were; None where it shares none."""
        return self.tables.compose(word)

    def as_module(self, tokens: "TokenFacts") -> "Word2Vec":
        """Itself."""
        return self

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """As torch's; with subwords, the words' vectors are composed first."""
        self.tables.word_vectors()
        return super().state_dict(*args, **options)
