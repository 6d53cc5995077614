# ruff: noqa: F722 (axis names stand in annotations)
"""The task `choice`: which of some candidates goes with a context: its next sentence, the answer to its question.

The context is read with each candidate by itself, and a softmax over their scores chooses (Radford 2018, section 3.3: s context $
candidate e). Contexts may have candidates of different numbers, so chance is no fixed figure: the report tells it.

Its heads stand in `text_heads`, its file format in `corpus.choices`. Axes: N examples, B batch, M candidates of all, K of one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from stemma.corpus.choices import Choice, given_choices, read_choices
from stemma.tasks.task import Link, Metric, Seat, Targets, Text

if TYPE_CHECKING:
    from stemma.tasks.text_heads import PooledNetwork, TextHead


@dataclass(frozen=True)
class Config:
    """The section `task`: it has no settings."""


class ChoiceTask:
    """One of several candidates; the label space has no labels."""

    name = "choice"
    per: Literal["candidate"] = "candidate"
    needs_context = False
    classes = True
    more_parts = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, path: str | Path, learning: bool = True) -> list[Choice]:
        """The file's choices."""
        return read_choices(path)

    def given(self, examples: Iterable[Any]) -> list[Choice]:
        """Choices that a program hands over."""
        return given_choices(examples)

    def written(self, example: Choice) -> str:
        """Place, context and candidates with tabs between."""
        return "\t".join((str(example.right), example.context, *example.candidates, "\n"))

    def targets(self, examples: Sequence[Choice]) -> Targets:
        """No labels: candidates are told apart by what they say."""
        return {"labels": []}

    def gold(self, examples: Sequence[Choice], targets: Targets) -> Int[np.ndarray, " N"]:
        """The place of each right candidate."""
        return np.array([example.right for example in examples], dtype=np.int64)

    def strata(self, gold: np.ndarray) -> np.ndarray:
        """The place of the right candidate."""
        return gold

    def labels(self, gold: np.ndarray) -> np.ndarray:
        """Gold itself (B)."""
        return gold

    def texts(self, examples: Sequence[Choice]) -> list[Text]:
        """Each context with its candidates."""
        return [Text(example.context, candidates=example.candidates) for example in examples]

    def head(self, seat: Seat, targets: Targets) -> "TextHead":
        """Dropout and one linear layer on the summary of context and candidate."""
        from stemma.tasks.text_heads import Candidates, TextHead  # torch: not for who only reads and scores

        return TextHead(seat, Candidates())

    def network(self, seat: Seat, targets: Targets) -> "PooledNetwork":
        """Scalar mix, projection, mean and maximum over context and candidate, one hidden layer."""
        from stemma.tasks.text_heads import Candidates, PooledNetwork  # likewise

        return PooledNetwork(seat, Candidates(), pairs=True)

    def link(self, targets: Targets) -> Link:
        """A score, for the candidates of one context to be compared by."""
        return "within"

    def rows(self, gold: np.ndarray) -> Int[np.ndarray, "N 1"]:
        """The right row among those of each example."""
        return gold[:, None]

    def from_rows(self, outputs: Float[np.ndarray, "M 1"], starts: np.ndarray, targets: Targets) -> list[Float[np.ndarray, " K"]]:
        """The probabilities of each context's candidates."""
        return [_softmax(outputs[first:last, 0]) for first, last in pairwise(starts)]

    def quoted(self, answers: list[Any], texts: Sequence[Text]) -> list[Any]:
        """As they are."""
        return answers

    def settled(self, gold: np.ndarray, answers: Sequence[Any], targets: Targets) -> Targets:
        """As it is."""
        return targets

    def decode(self, answers: Sequence[np.ndarray], targets: Targets) -> Int[np.ndarray, " N"]:
        """The likeliest candidate of each context, of equal ones the first."""
        return np.array([int(answer.argmax()) for answer in answers], dtype=np.int64)

    def named(self, decoded: np.ndarray, targets: Targets) -> list[str]:
        """The numbers of the candidates, from 1."""
        return [f"candidate {place + 1}" for place in decoded.tolist()]

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """Accuracy."""
        return (Metric("accuracy", "accuracy"),)

    def score(self, gold: np.ndarray, answers: Sequence[np.ndarray], targets: Targets) -> dict[str, float]:
        """Accuracy, and the mean nats of what is right."""
        right = np.array([answer[place] for answer, place in zip(answers, gold, strict=True)], dtype=np.float64)
        return {"accuracy": float(np.mean(self.decode(answers, targets) == gold)), "loss": float(-np.log(np.maximum(right, 1e-12)).mean())}

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N 2"]:
        """Chosen right, and 1."""
        return np.stack([gold == decoded, np.ones(len(gold))], 1).astype(np.float64)

    def measures(self, sums: np.ndarray, targets: Targets) -> dict[str, np.ndarray]:
        """Accuracy of sums of terms."""
        return {"accuracy": sums[..., 0] / np.maximum(sums[..., 1], 1)}

    def floor(self, learnt: np.ndarray, judged: np.ndarray, texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """Choosing by lot: of K candidates one in K is right."""
        chances = np.array([1 / len(text.candidates) for text in texts])
        return {"answer": "", "how": "choosing by lot", "value": float(chances.mean())}

    def breakdown(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> list[dict[str, Any]]:
        """Nothing: there are no labels."""
        return []

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """A context and two candidates; more may follow."""
        return ("context", "candidate 1", "candidate 2")

    def example(self, parts: Sequence[str], targets: Targets) -> Choice:
        """A context with its candidates, of which one is to be chosen."""
        return Choice(parts[0], tuple(parts[1:]))

    def readable(self, answers: Sequence[np.ndarray], targets: Targets) -> tuple[list[int], list[list[float]]]:
        """The number of each chosen candidate, from 1, and the probabilities of all."""
        return (self.decode(answers, targets) + 1).tolist(), [answer.tolist() for answer in answers]

    def answer_rows(self, examples: Sequence[Choice], answers: Sequence[np.ndarray], targets: Targets) -> list[dict[str, Any]]:
        """Context, the number of the chosen candidate and its text, and the probability of each."""
        return [
            {
                "text": example.context,
                "number": place + 1,
                "choice": example.candidates[place],
                "probabilities": answer.tolist(),
            }
            for example, answer, place in zip(examples, answers, self.decode(answers, targets).tolist(), strict=True)
        ]

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The number of the chosen candidate, its probability and its text."""
        yield f"{row['number']} {row['probabilities'][row['number'] - 1]:.2f}  {row['choice']}"


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(initial=-np.inf))
    found: np.ndarray = (powers / powers.sum()).astype(np.float32)
    return found
