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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.bounds import Buckets, Length, NonNegative, Width
from stemma.errors import DataError, UsageError
from stemma.kernels import word2vec_pairs as kernels
from stemma.kernels import word2vec_rounds as rounds
from stemma.kernels import word2vec_subwords as grams
from stemma.kernels.character_ngrams import hashed_ngrams, word_rows
from stemma.kernels.draws import alias_tables
from stemma.kernels.word2vec_blocks import Setting
from stemma.kernels.word2vec_tree import descend_tree
from stemma.layers.blocks import Layer, layer
from stemma.layers.huffman import HuffmanTree, huffman
from stemma.layers.loss import Carried, Loss
from stemma.layers.pooling import mean_state
from stemma.objectives.batch import seed_for

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts


@dataclass(frozen=True)
class Config:
    """Defaults are those of word2vec.c for skip-gram."""

    max_length: ClassVar[int | None] = None  # any text fits
    architecture: Literal["skipgram", "cbow"] = "skipgram"
    width: Width = 100  # D, floats a vector
    window: Length = 5  # words on each side at most; the radius is uniform in 1..window
    output: Literal["negative", "hierarchical", "both"] = "negative"  # negative sampling, a tree's turns, or the sum of the two losses
    negatives: Length = 5  # K draws a prediction
    power: NonNegative = 0.75  # negatives ~ count^power (Mikolov 2013b, section 2.2)
    kernel: Literal["block", "plain"] = "block"  # plain: one pair after the other, as published; slower
    racing: bool = False  # threads write without waiting for each other (Hogwild): faster, not reproducible
    subwords: bool = False  # words are composed of their character n-grams too (fastText): unseen words get vectors
    shortest: Length = 3  # characters of an n-gram, < and > at the word's ends included
    longest: Length = 6
    buckets: Buckets = 2_000_000  # rows that the n-grams share by their hash; each takes 4 x width bytes

    def __post_init__(self) -> None:
        """Refuses what does not go together."""
        if self.subwords and self.output != "negative":
            raise UsageError(f"output = {self.output} with subwords", "negative sampling with subwords", "drop one of the two")
        if self.racing and (self.subwords or self.output != "negative"):
            raise UsageError("racing with a tree or subwords", "one thread: only negative sampling of whole words races", "drop racing")
        if self.longest < self.shortest:
            raise UsageError(f"longest = {self.longest} is below shortest = {self.shortest}", "the two in order", "raise model.longest")


class Word2Vec(nn.Module):
    """Word vectors in `input` (V D); the targets' vectors in `output` (V D), the tree's inner nodes' in `nodes` (V D).

    Rows of words that never occur (specials, and words without a count) are zero and stay so. With subwords, what is
    learnt stands in `subwords` (V + buckets, D), and `input` is composed of it.
    """

    max_length: int | None = None  # any text fits
    task_tokens = 0
    shaped_by = ("width", "output", "subwords", "shortest", "longest", "buckets")  # settings that a run going on from another keeps
    counts: Tensor  # (V,) of the corpus, specials zero

    def __init__(self, config: Config, tokens: "TokenFacts") -> None:
        super().__init__()
        self.config, self.specials = config, frozenset(tokens.specials.values())
        shape = (tokens.vocab_size, config.width)
        counts = np.zeros(shape[0], np.int64) if tokens.counts is None else np.array(tokens.counts, np.int64)
        counts[list(self.specials)] = 0
        self.register_buffer("counts", torch.from_numpy(counts))
        first = _table(*shape).uniform_(-0.5 / config.width, 0.5 / config.width)
        self.input = nn.Parameter(first.masked_fill_(self.counts[:, None] == 0, 0))
        if config.output != "hierarchical":
            self.output = nn.Parameter(_table(*shape).zero_())
        if config.output != "negative":
            self.nodes = nn.Parameter(_table(*shape).zero_())
        if config.subwords:
            self._spell(tokens)
        self._tables: tuple[np.ndarray, np.ndarray] | None = None  # made at the first step, from the counts of that time
        self._tree: HuffmanTree | None = None  # likewise
        self._hottest_negative = 0.0
        self._pace = rounds.Pace()

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.config.width

    @property
    def vocab_size(self) -> int:
        """Rows of the word table."""
        return len(self.input)

    def take_over(self, arrays: Mapping[str, np.ndarray], tokens: "TokenFacts") -> None:
        """Goes on from an earlier run's tables, whose words have the first ids here too.

        They keep their vectors, and counts are summed; words that it lacked stay as they were drawn. The tree is built
        anew from the summed counts, and its nodes, which mean other words now, begin at zero.
        """
        old = len(arrays["counts"])
        self.counts[:old] += torch.tensor(arrays["counts"])
        if self.config.subwords:
            self._spell(tokens)
        with torch.no_grad():
            for name in ("input", "output"):
                if name in arrays:
                    getattr(self, name)[:old] = torch.tensor(arrays[name])
            if self.config.subwords:
                self.subwords[:old] = torch.tensor(arrays["subwords"][:old])
                buckets, learnt = self.subwords[len(self.counts) :], torch.tensor(arrays["subwords"][old:])
                seen = learnt.any(1)
                buckets[seen] = learnt[seen]

    def descend(self, batch: dict[str, Tensor], rate: float, seed: int, threads: int = 1) -> Loss:
        """One pass of the kernel over the chunk, in place; gives its exact mean loss a prediction.

        `batch` holds `words` (N) and `starts` (S+1) on the CPU; `rate` is the learning rate; at most `threads`
        are used. The result depends on parameters, batch, rate and seed, and on `threads` only when `racing`.
        A vocabulary so small that blocks would overshoot on its frequent words goes through the plain kernel.
        """
        words, starts = (np.asarray(batch[name]) for name in ("words", "starts"))
        config = self.config
        text = kernels.Text(words, *kernels.windows(starts, config.window, np.uint64(seed_for(seed, "radius"))))
        draws = np.uint64(seed_for(seed, "negatives"))
        if config.subwords:
            total, count = self._descend_subwords(text, rate, draws)
        elif config.output != "negative":
            total, count = self._descend_tree(text, rate, draws)
        else:
            total, count = self._descend_words(text, rate, draws, threads)
        mean = torch.tensor(total / max(count, 1), dtype=torch.float64)
        return Loss(mean, int(count), {self.config.architecture: (float(total), int(count))})

    def _descend_words(self, text: kernels.Text, rate: float, draws: np.uint64, threads: int) -> tuple[float, int]:
        config, tables = self.config, (self.input.detach().numpy(), self.output.detach().numpy())
        words, alias = text.words, self._alias()
        hottest = np.bincount(words, minlength=1).max() / max(len(words), 1)
        tokens = rounds.tokens_a_round(rate, config.negatives, config.window, hottest, self._hottest_negative)
        if config.kernel == "plain" or tokens < rounds.LEAST:
            return kernels.PLAIN[config.architecture](*tables, *text, *alias, config.negatives, np.float32(rate), draws)
        setting, pace = Setting(config.negatives, config.window, np.float32(rate), draws), None if config.racing else self._pace
        return rounds.descend_chunk(config.architecture, tables, text, alias, setting, tokens, threads, pace)

    def _descend_tree(self, text: kernels.Text, rate: float, draws: np.uint64) -> tuple[float, int]:
        config, tree = self.config, self._huffman()
        both = config.output == "both"
        tables = tuple(table.detach().numpy() for table in (self.input, self.output if both else self.nodes, self.nodes))
        paths = (tree.starts, tree.nodes, tree.bits)
        negatives = config.negatives if both else 0
        return descend_tree(config.architecture, config.kernel, tables, text, paths, self._alias(), negatives, rate, draws)

    def _descend_subwords(self, text: kernels.Text, rate: float, draws: np.uint64) -> tuple[float, int]:
        config, tables = self.config, (self.subwords.detach().numpy(), self.output.detach().numpy())
        run, plain = grams.KERNELS[config.architecture], config.kernel == "plain"
        self._composed = False
        return run(*tables, text, self._grams, self._alias(), config.negatives, np.float32(rate), draws, plain)

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
        starts, rows = self._grams
        groups = [[word for word in group if word >= 0] for group in inputs.tolist()]
        bags = [np.concatenate([rows[starts[word] : starts[word + 1]] for word in group]) for group in groups]
        offsets = np.cumsum([0, *map(len, bags)])[:-1]
        return F.embedding_bag(torch.from_numpy(np.concatenate([*bags, rows[:0]])).long(), self.subwords, torch.from_numpy(offsets))

    def _turns(self, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All nodes (sum of L) on the targets' paths: whose they are, their rows, and +1 or -1 for the turn."""
        tree = self._huffman()
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
        weights = self._weights()
        negatives = torch.multinomial(weights, max(len(targets), 1) * size[1], replacement=True)[: size[0] * size[1]].view(size)
        return {"inputs": inputs, "targets": targets, "negatives": negatives}

    def encode(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Layer 0 alone: the vectors (B T D) of `ids` (B T)."""
        self._compose()
        return [F.embedding(batch["ids"], self.input)]

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
        self._compose()
        return self.input.detach().cpu().numpy()

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Nothing: plain gradient descent remembers nothing."""
        return {}

    def restore_optimiser(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Nothing to take up."""

    @property
    def composes(self) -> bool:
        """True where `compose` gives vectors to words never seen."""
        return self.config.subwords

    def compose(self, word: str) -> np.ndarray | None:
        """The vector (D) of a word never seen, from the n-grams it shares with words that were; None where it shares none."""
        config = self.config
        if not config.subwords:
            return None
        _, hashes = self._ngrams([word])
        rows = self.subwords.detach()[len(self.counts) + torch.from_numpy(hashes).long()].numpy()
        return rows.mean(0) if rows.any() else None

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """As torch's; with subwords, the words' vectors are composed first."""
        self._compose()
        return super().state_dict(*args, **options)

    def _spell(self, tokens: "TokenFacts") -> None:
        """Makes the table of words and n-grams, zero where nothing will be learnt; fastText draws from twice word2vec's range."""
        config, trained = self.config, self.counts.numpy() > 0
        self._grams = word_rows(*self._ngrams(tokens.tokens), trained)
        table = torch.zeros(len(trained) + config.buckets, config.width)
        used = torch.from_numpy(np.unique(self._grams[1])).long()
        table[used] = (torch.rand(len(used), config.width) - 0.5) * 2 / config.width
        self.subwords = nn.Parameter(table)
        self._composed = False

    def _ngrams(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(starts, hashes) of the words' character n-grams."""
        config = self.config
        coded = [word.encode("utf-8", "surrogatepass") for word in words]
        return hashed_ngrams(coded, config.shortest, config.longest, config.buckets)

    def _compose(self) -> None:
        """Brings `input` up to what the n-grams have learnt since."""
        if self.config.subwords and not self._composed:
            grams.compose_all(self.subwords.detach().numpy(), *self._grams, self.input.detach().numpy())
            self._composed = True

    def _huffman(self) -> HuffmanTree:
        if self._tree is None:
            self._weights()  # tells of missing counts
            self._tree = huffman(self.counts.numpy())
        return self._tree

    def _weights(self) -> Tensor:
        weights = self.counts.double() ** self.config.power * (self.counts > 0)
        if not weights.any():
            mend = "build the network with TokenFacts(counts=store.counts)"
            raise DataError("word2vec knows no word counts", "the counts of the token store", mend)
        return weights

    def _alias(self) -> tuple[np.ndarray, np.ndarray]:
        if self._tables is None:
            weights = self._weights()
            self._tables = alias_tables(weights.numpy())
            self._hottest_negative = float(weights.max() / weights.sum())
        return self._tables


def _table(rows: int, width: int) -> Tensor:
    """Room for a table, in memory of NumPy's, which asks Linux for huge pages where torch doesn't: 5 % faster at width 300."""
    return torch.from_numpy(np.empty((rows, width), np.float32))
