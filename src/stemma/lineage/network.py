# ruff: noqa: F722 (axis names stand in annotations)
"""What other rooms may expect of a generation's network: one Protocol for each ability, written down and never guessed.

A row of the table names the abilities; a test holds them equal to the methods that stand here. Networks that learn by
backpropagation are `Network`s; static vectors write their own gradients (`DescendsByHand`); counts are `Counted`.

Axes: B batch, T positions, S positions attended to, D width, V vocabulary, M masked positions, L layers, H heads, K width of a head.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Float, Int
    from torch import Tensor, nn

    from stemma.layers.blocks import Layer
    from stemma.layers.loss import Carried, Loss
    from stemma.layers.uniform import Uniform
    from stemma.objectives.batch import Batch

    Tensors = Mapping[str, Tensor]


class Frames(Protocol):
    """Whatever knows the special tokens that stand round a text."""

    @property
    def max_length(self) -> int | None:
        """Positions at most; None: any text fits."""

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids with the generation's specials, types) of a text or a pair; types mark the second text's tokens with 1."""


class Encoder(Frames, Protocol):
    """Every generation that has states: what transfer stands on."""

    @property
    def width(self) -> int:
        """D, numbers in a state."""

    @property
    def vocab_size(self) -> int:
        """V, rows of the token table."""

    def encode(self, batch: "Tensors") -> "list[Float[Tensor, 'B T D']]":
        """The states of each layer, the embeddings first. Reads `ids`, and if present `segments`, `positions`, `types` (B T)."""

    @property
    def task_tokens(self) -> int:
        """New tokens that fine-tuning puts round a text; 0 for generations whose specials are there from the start."""

    def task_input(self) -> Frames:
        """What frames a task's texts while the network moves: itself, or an input transformation with the new tokens."""

    def summary(self, states: "list[Float[Tensor, 'B T D']]", batch: "Tensors") -> "Float[Tensor, 'B D']":
        """One vector a text, in the paper's way: the pooled token, the last token, the mean."""

    def layers(self) -> "list[Layer]":
        """All parameters, each in one layer, from the bottom up: the embeddings first, what stands above the blocks last."""


class Network(Encoder, Protocol):
    """A network that learns by backpropagation."""

    @staticmethod
    def settle(config: Any, device: "torch.device") -> Any:
        """The config with every `auto` settled for this device, so that a resumed run computes as it did before."""

    def loss(self, batch: "Tensors", carried: "Carried | None" = None) -> "Loss":
        """The mean loss of the batch's predictions. `carried` is what the batch before left (`Loss.carried`), None at the start."""

    def predictions(self, batch: "Tensors") -> dict[str, int]:
        """How many predictions each part of the batch's loss has, under the names of `Loss.parts`.

        Known before the loss is computed, so that each part of an update counts by all of its predictions, in whatever
        batches and processes they stand.
        """


@dataclass(frozen=True, slots=True)
class Descended:
    """What a pass of a network's own descent saw: the mean loss of a prediction, and how many there were."""

    mean: float
    count: int


class StaticVectors(Frames, Protocol):
    """A network of word vectors, which are the same in every context: tables that need no PyTorch to be read, or to learn."""

    config: Any

    @property
    def width(self) -> int:
        """D, numbers in a vector."""

    @property
    def vocab_size(self) -> int:
        """V, rows of the word table."""

    def vectors_of(self, ids: "np.ndarray") -> "Float[np.ndarray, 'T D']":
        """The words' vectors, as a text's states."""

    def arrays(self) -> "dict[str, np.ndarray]":
        """What is to be kept, by name; the arrays themselves."""

    def as_module(self) -> "nn.Module":
        """The same vectors as an `Encoder` that PyTorch moves, for tasks."""


class DescendsByHand(StaticVectors, Protocol):
    """Tables that write their own gradients and update themselves in place; `drawn` makes them for training."""

    drawn: "Callable[..., Self]"

    def descend(self, batch: "Batch", rate: float, seed: int, threads: int = 1) -> Descended:
        """One pass over the batch, in place; its exact loss before or while it moved."""

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""

    def take_up(self, arrays: "Mapping[str, np.ndarray]") -> None:
        """Copies what an interrupted run's `arrays` were."""

    def optimiser_state(self) -> "dict[str, np.ndarray]":
        """What a resumed run needs beside the weights; empty where that is nothing."""

    def restore_optimiser(self, arrays: "Mapping[str, np.ndarray]") -> None:
        """Takes up what `optimiser_state` gave."""


class Scores(Protocol):
    """Gives a text its probability (ability `score`)."""

    def score(self, batch: "Tensors") -> "Float[Tensor, 'B T']":
        """Nats of each token given those to its left in its segment; 0 at padding and at a segment's first token."""


class ScoresBackward(Protocol):
    """Gives a text a probability from its end to its start too (`backward` in the table)."""

    def score_backward(self, batch: "Tensors") -> "Float[Tensor, 'B T']":
        """As `score`, of rows that hold the text from its end to its start."""


class Memory(Protocol):
    """What a network keeps of the tokens it has read, row by row."""

    def rows(self, chosen: Sequence[int]) -> Self:
        """A copy of these rows alone, in this order; a row may stand several times (beams)."""


class Generates(Frames, Protocol):
    """Says what may come next (ability `generate`); all choosing is done in `runs.decoding`."""

    def advance(self, prompts: Sequence[Sequence[int]], memory: Any = None) -> tuple[Any, Any]:
        """(log-probabilities (B V) of each row's next token, the memory after it), having read these ids after what `memory` holds.

        Rows may differ in length; a row's result depends on nothing in the others. Before a text's first ids stands what the frame has
        there, and where that is nothing a row's ids may be none. Scores are
        natural logarithms in memory that NumPy can read, -inf for what never comes next, so that a row may sum to less than
        one. `memory` is used up: only the one given back goes on.
        """

    @property
    def end(self) -> int:
        """The token that ends a text."""


class Translates(Generates, Protocol):
    """Writes a target for a source (ability `translate`): `advance` goes on from what `read_sources` made of the sources."""

    def read_sources(self, sources: Sequence[Sequence[int]]) -> Memory:
        """What the network keeps of the framed sources, a row each, before anything is written."""

    @property
    def opening(self) -> list[int]:
        """What every target begins with, unseen."""


class Fills(Frames, Protocol):
    """Says what stands at masks (ability `fill`)."""

    def fill(self, batch: "Tensors") -> "Float[Tensor, 'M V']":
        """Scores of the tokens at each mask of the batch, row by row."""

    def label_nats(self, batch: "Tensors") -> "Float[Tensor, ' M']":
        """Nats of each label that is not IGNORE given the row's `ids`, row by row; other masks may stand there too."""

    def check_fills(self) -> None:
        """UsageError where this network lacks the head for it."""


AttentionKind = Literal["encoder self", "relative self", "decoder causal self", "encoder-decoder", "soft"]


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """What one layer of a network mixes its outputs of, without dropout.

    `encoder self`: every position sees all of the text or pair. `relative self`: the same, scored by distance and segment too.
    `decoder causal self`: each sees itself and those before it.
    `encoder-decoder`: a target's positions see a source, in heads. `soft`: the same in one head, by any similarity.
    """

    kind: AttentionKind
    layer: int  # 1 for the lowest of its kind
    query_ids: "Int[Tensor, 'B T']"  # the tokens that rows stand for
    key_ids: "Int[Tensor, 'B S']"  # the tokens that columns stand for
    weights: "Float[Tensor, 'B H T S']"  # each row adds up to 1, or is 0 where a query may attend to nothing
    queries: "Float[Tensor, 'B H T K'] | None" = None  # what the weights were computed from; None under `soft` and `relative self`,
    keys: "Float[Tensor, 'B H S K'] | None" = None  # whose scores are no scaled dot products of the two alone
    values: "Float[Tensor, 'B H S K'] | None" = None


class Attends(Protocol):
    """Shows where it looks (ability `attend`)."""

    def attention_batch(self, ids: Sequence[int], other: Sequence[int] | None = None) -> "dict[str, Tensor]":
        """A batch of one row (all its tensors (1 T) or (1 S)) without padding, for `attention`, of a text or a pair.

        A pair is two texts, or for a network that maps sources to targets `ids` the source and `other` the target, which it
        frames as it learnt them. Such a network raises UsageError where `other` is missing and it cannot do without.
        """

    def attention(self, batch: "Tensors") -> list[AttentionMap]:
        """The maps of every layer from the bottom up, kind after kind; for looking: the network's own path keeps no weights."""


class HasWordVectors(Protocol):
    """Has one vector a word, the same in every context (ability `nearest`)."""

    def word_vectors(self) -> "np.ndarray":
        """The vectors (V D) that words are compared by; zeros for words that were never trained."""

    @property
    def composes(self) -> bool:
        """True where `compose` gives vectors to words that were never seen."""

    def compose(self, word: str) -> "np.ndarray | None":
        """The vector (D) of a word that was never seen; None where the network cannot compose one."""


class ReadsSpelling(Protocol):
    """Reads a word by its characters, in no vocabulary too (`reads_spelling` in the table).

    In the batches of `encode` and `score` the ids from `vocab_size` on stand for words spelled in the batch's `spelled` (U L).
    """

    def spell(self, words: "Sequence[str]") -> "Int[np.ndarray, 'U L']":
        """The words as a batch holds them."""

    def lacks(self, ids: "np.ndarray") -> "np.ndarray":
        """True for each of the ids (N) that it never predicts by itself, but as the unknown word."""


class Grows(Protocol):
    """Takes new tokens for a task's input (Radford 2018, section 3.3); every network whose `task_tokens` are not 0 does."""

    tokens: "nn.Embedding"  # the token table

    def grow(self, extra: int) -> None:
        """Adds rows to the token table, after those that it has."""

    def logits(self, states: "Float[Tensor, '*shape D']") -> "Float[Tensor, '*shape V']":
        """Scores of the next token."""


class TakesOver(Protocol):
    """Goes on from an earlier run on new text (`--continue-from`)."""

    shaped_by: tuple[str, ...]  # settings of the model that must stay as they were

    def take_over(self, arrays: "Mapping[str, np.ndarray]", draw: "Uniform") -> None:
        """Begins with an earlier run's tables, whose words have the first ids here too."""


class Teaches(Encoder, Protocol):
    """Shows a student how it reads (`teaches` in the table); its config has `width`, `heads` and `max_length`."""

    config: Any

    @property
    def tower(self) -> Sequence[Any]:
        """The blocks in the order in which states pass through them."""

    def scores(self, states: "list[Float[Tensor, 'B T D']]", block: int) -> "Float[Tensor, 'B H T T']":
        """The scores of each head of a block (1: the lowest), before mask and softmax; `states` are those that `encode` gave."""


class Imitation(Protocol):
    """What of a teacher a student imitates."""

    @property
    def words(self) -> str:
        """That in words, for the card."""


class Imitates(Protocol):
    """Learns from a teacher (`teacher` in the table): its `loss` says how far it reads otherwise than the one that it follows."""

    @staticmethod
    def taught_by(teacher: Any) -> dict[str, Any]:
        """The settings of the model that follow from those of the teacher's."""

    @staticmethod
    def imitation(config: Any, teacher: Teaches) -> Imitation:
        """What is imitated, by a model of this config; UsageError where the two do not go together."""

    def follow(self, teacher: Teaches) -> None:
        """Imitates this teacher from here on, which is never moved. It is no part of the network, nor of what is saved."""

    def imitate(self, batch: "Tensors") -> "Loss":
        """How far it reads otherwise, layer by layer, and nothing else that `loss` may hold."""

    def differences(self, batch: "Tensors") -> dict[str, int]:
        """As `Network.predictions`, of `imitate`."""


class Counted(Protocol):
    """A model of counts."""

    notes: list[str]  # what was replaced while estimating, in plain words
    from_counts: "Callable[..., Self]"
    from_arrays: "Callable[..., Self]"

    @property
    def parameters(self) -> int:
        """Numbers that are stored."""

    def arrays(self) -> "dict[str, np.ndarray]":
        """The parameters by name."""

    def facts(self) -> dict[str, int]:
        """What a report says of the model."""

    def score_flat(self, ids: "Int[np.ndarray, ' N']", starts: "np.ndarray", closing: bool = True) -> Any:
        """What each token of flat `ids` costs, sentence by sentence, and each sentence's end if `closing`."""
