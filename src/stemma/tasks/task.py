# ruff: noqa: F722 (axis names stand in annotations)
"""What a task is: everything that transfer, comparison, report, card and `predict` use of one, written down.

The flow of one task, whose examples are of a type of its own that no other room looks into:

    read(path) -> examples                        its file format, every fault reported with line and cure
    targets(examples) -> label space              a JSON-able dict, saved with the run; `labels` are its names in order
    gold(examples, targets) -> (N ...)            what is right, one entry an example
    texts(examples) -> what the network reads     with the characters of each unit, where units are answered for
    head / network (seat, targets) -> Head        `loss` while learning, `scores` and `answers` in use
    decode(answers, targets) -> (N ...)           answers in the form of gold
    score(gold, answers, targets) -> {name: value}    the metrics, the primary one first in `metrics(targets)`
    terms(gold, decoded, targets) -> (N C)        numbers that add up over examples …
    measures(sums, targets) -> {name: value}      … and the metrics of any sum of them: so any metric gets an interval

`per` says what is answered for. "text": each text, or pair, as a whole. "candidate": a text is read with each of its candidates, and
one of these is chosen. "target": a text is written for each, by a network that
writes for a source; such a task has no head, and what stands on one (`head`, `network`, `labels`, `rows`, `from_rows`) raises
UsageError. "unit": each unit of a text: its words, or its characters; a second half of
the text, such as a question, is then read before each window. Units are aligned with tokens once for all tasks
(`runs.framing`) by the tokenizer's character offsets:

- A word that was cut into pieces is read at its first piece.
- Characters that one word vector stands for all read that vector, and are told apart by their place in the word.
- A text longer than the network reads is read in windows that overlap; the head sees its units in one row all the same.
- A unit that the tokenizer does not see has no token; its state is zeros.

So a head of units never sees pieces: its axes are units, whatever the tokenizer.
Axes: N examples, B batch, U units, S sites, L layers, D width, K labels, M rows, C terms; *R any axes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor, nn

    from stemma.layers.loss import Loss

Targets = dict[str, Any]  # a label space, JSON-able
Per = Literal["text", "unit", "target", "candidate"]
Link = Literal["softmax", "logistic", "identity", "within"]
PLACES = 8  # places in a token that are told apart; what stands further right counts as the last


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a task is judged by."""

    name: str  # its key in `score` and `measures`, such as "macro_f1"
    title: str  # in words, such as "macro-F1"
    higher_is_better: bool = True
    share: bool = True  # lies between 0 and 1 and is shown in percent
    digits: int = 1  # behind the point, where a report shows it

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that more is better."""
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True, slots=True)
class Text:
    """What a network reads of one example."""

    text: str
    other: str = ""  # the second half of a pair
    candidates: tuple[str, ...] = ()  # second halves that it is read with one by one, each in a window of its own
    symmetric: bool = False  # the halves may change places: a network whose paper says so reads both orders
    units: tuple[tuple[int, int], ...] = ()  # (start, end) characters in `text` of each unit, in order; none where the text is answered for
    # an empty unit (start = end) stands for the text as a whole, and is read at the last token of its first window


@dataclass(frozen=True, slots=True)
class Seat:
    """What a head stands on."""

    width: int  # D
    layers: int = 1  # L, of the states that `network` mixes
    dropout: float = 0.1  # of its input while learning
    zeros: bool = False  # the last layer starts at zero, so that the first gradients reach the head alone


class Head(Protocol):
    """A module (an `nn.Module`) on a network's states, with its own parameters and no others.

    Where `per` is "candidate", B below is candidates, and `windows` (B K) int64 tells which are each example's, -1 where there are no more.

    Its `batch` holds, as tensors: `labels` (as `Task.labels` gives them; while learning alone) · `sites` (B S) bool, the
    states that are real · where `per` is "unit": `places` (B U) int64, 0 .. PLACES-1, the place of a unit among those of its
    token (0: the first), and then sites are units (S = U). A unit without a token is a real site with a state of zeros.
    """

    def loss(self, states: "Tensor", batch: "Mapping[str, Tensor]") -> "Loss":
        """The mean loss of the batch, in nats a text or a unit; `count` is how many."""

    def predictions(self, batch: "Mapping[str, Tensor]") -> dict[str, int]:
        """How many texts or units that is, under the name of the loss's part, known before the loss is (`Network.predictions`)."""

    def scores(self, states: "Tensor", batch: "Mapping[str, Tensor]") -> "Tensor":
        """What the answers are read off: numbers for each text, candidate or unit."""

    def answers(self, scores: "Tensor", batch: "Mapping[str, Tensor]") -> "list[np.ndarray]":
        """The answer to each example of the batch, in the task's own form, padding left out; `scores` are of `scores`."""

    @property
    def words(self) -> str:
        """What it is made of, in words: "dropout, one linear layer"."""


class MovingHead(Head, Protocol):
    """What `Task.head` gives: a head that also learns from another's answers."""

    @property
    def reader(self) -> "nn.Linear":
        """The affine map that reads its states, perhaps with more behind them."""

    def imitate(self, states: "Tensor", batch: "Mapping[str, Tensor]", teacher: "Any", shown: "Tensor", temperature: float) -> "Loss":
        """The mean loss of answering as a teacher's head of this kind does on its own states `shown`, its scores over the temperature.

        Where answers have no chances (a number) it is that of what is right (Jiao 2019, the authors' code).
        """


class MixingHead(Head, Protocol):
    """What `Task.network` gives: a head that also says how it weights the layers."""

    def layer_weights(self) -> list[float]:
        """The shares of the layers in its mix, which sum to one."""


class Task(Protocol):
    """One kind of task. Made as `Class(config)`; its module also holds `Config`, the section `task` (a frozen dataclass)."""

    name: str
    config: Any

    @property
    def per(self) -> Per:
        """What is answered for."""

    @property
    def classes(self) -> bool:
        """Whether answers are of classes, so that a model of counts can be made for each."""

    def read(self, path: str | Path, learning: bool = True) -> list[Any]:
        """The file's examples; DataError with file, line and cure. `learning`: must suffice to learn from, not just to measure on."""

    def given(self, examples: Iterable[Any]) -> list[Any]:
        """Examples that a program hands over, cleaned as those of a file are; DataError names one without a text or a label."""

    def written(self, example: Any) -> str:
        """The example as one line: what a fingerprint of the data is made of."""

    def targets(self, examples: Sequence[Any]) -> Targets:
        """The label space: `labels`, the names in their order, and whatever else must be known again; DataError if none can be learnt."""

    def gold(self, examples: Sequence[Any], targets: Targets) -> "np.ndarray":
        """What is right (N ...), an object array where lengths differ; DataError names a label that training did not have."""

    def strata(self, gold: "np.ndarray") -> "np.ndarray":
        """A class number (N) of each example: the selection part is drawn from each in its share."""

    def labels(self, gold: "np.ndarray") -> "np.ndarray":
        """`gold` of a batch's examples as one int64 or float32 array, (B ...) or (B U) padded by IGNORE."""

    def texts(self, examples: Sequence[Any]) -> list[Text]:
        """What the network reads of each example."""

    def head(self, seat: Seat, targets: Targets) -> "MovingHead":
        """The paper's own small head, for a network that moves: on summaries (B D), or on the units' last states (B U D)."""

    def network(self, seat: Seat, targets: Targets) -> "MixingHead":
        """The one task network of the same size for every generation, for a network that is fixed: on states (B S L D)."""

    def link(self, targets: Targets) -> Link:
        """What the columns of a linear model that learns the task stand for.

        `softmax`: one class of K. `logistic`: K times yes or no. `identity`: numbers. `within`: scores that choose one of an example's
        rows, each column for itself.
        """

    def rows(self, gold: "np.ndarray") -> "np.ndarray":
        """`gold` as a linear model learns it: class numbers (M), K yes-or-no columns (M K), numbers (M), or the place of the right row
        among each example's (N K), as the link says.

        M is texts, candidates, or units one after the other.
        """

    def from_rows(self, outputs: "Float[np.ndarray, 'M K']", starts: "np.ndarray", targets: Targets) -> "list[Any]":
        """Answers from a linear model's outputs; rows `starts[n]` to `starts[n+1]` are those of example n."""

    def quoted(self, answers: "list[Any]", texts: Sequence[Text]) -> "list[Any]":
        """The answers with what they point at in their texts, where they do; else as they are."""

    def settled(self, gold: "np.ndarray", answers: Sequence[Any], targets: Targets) -> Targets:
        """The label space with what is chosen after learning, on held-out examples; most tasks have nothing of the kind."""

    def decode(self, answers: Sequence[Any], targets: Targets) -> "np.ndarray":
        """Answers in the form of gold; `tolist` of it is kept in the report."""

    def named(self, decoded: "np.ndarray", targets: Targets) -> list[str]:
        """Gold, or answers in its form, in words: one text an example."""

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """What the task is judged by, the primary metric first."""

    def score(self, gold: "np.ndarray", answers: Sequence[Any], targets: Targets) -> dict[str, float]:
        """The value of each metric; and `loss`, in nats, where answers hold probabilities: of equal trials the lower one wins."""

    def terms(self, gold: "np.ndarray", decoded: "np.ndarray", targets: Targets) -> "Float[np.ndarray, 'N C']":
        """What each example adds to the counts that the metrics are made of."""

    def measures(self, sums: "Float[np.ndarray, '*R C']", targets: Targets) -> "dict[str, np.ndarray]":
        """The value of each metric (*R) for sums of terms."""

    def floor(self, learnt: "np.ndarray", judged: "np.ndarray", texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """What needs no learning gets on `judged` (gold, of `texts`), `learnt` being that of the training examples.

        `answer`, which is always given, or `how` answers are made; the primary metric's `value`; and where its luck is not that of a
        share, `error`, its standard error.
        """

    def breakdown(self, gold: "np.ndarray", decoded: "np.ndarray", targets: Targets) -> list[dict[str, Any]]:
        """Precision, recall, F1 and number of each label, in the order of `labels` (of each type of span, for spans)."""

    @property
    def needs_context(self) -> bool:
        """Whether it can only be learnt from states that depend on all of the text, as word vectors do not."""

    @property
    def more_parts(self) -> bool:
        """Whether an example may have more parts than `parts` names."""

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """The names of the parts of an example that is to be answered, such as ("text_a", "text_b")."""

    def example(self, parts: Sequence[str], targets: Targets) -> Any:
        """An example to be answered, from these parts; its label is not known."""

    def readable(self, answers: Sequence[Any], targets: Targets) -> tuple[list[Any], Any]:
        """(what each example was given, in names; the numbers behind it: probabilities (N K), or scores)."""

    def answer_rows(self, examples: Sequence[Any], answers: Sequence[Any], targets: Targets) -> list[dict[str, Any]]:
        """One JSON row an answered example: what command line and server give."""

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """Such a row as a person reads it, line by line."""


def primary(task: Task, gold: "np.ndarray", decoded: "np.ndarray", targets: Targets) -> float:
    """The primary metric of these answers."""
    found = task.measures(task.terms(gold, decoded, targets).sum(0), targets)
    return float(found[task.metrics(targets)[0].name])
