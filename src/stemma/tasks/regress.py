# ruff: noqa: F722 (axis names stand in annotations)
"""The task `regress`: a number for a text or for a pair of texts, such as how alike two sentences are.

It reads the tables of `classify`, with a number in the column `label` or `score`. The paper of GPT (Radford 2018, section 3.3) reads a
symmetric pair in both orders and adds what it makes of the two; so do GPT and GPT-2 here while they move.

Its heads stand in `text_heads`. Axes: N examples, B batch, C terms; *R any axes.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from stemma.corpus.task import Example, given_examples, read_examples
from stemma.errors import DataError
from stemma.nouns import counted
from stemma.tasks import scores
from stemma.tasks.task import Link, Metric, Seat, Targets, Text

if TYPE_CHECKING:
    from stemma.tasks.text_heads import PooledNetwork, TextHead

STRATA = 5  # parts of equal size that the selection part is drawn from, by rank
_LARGEST = 1e30  # beyond, squares and float32 overflow
_EACH = 10  # examples that a stratum has at least
_METRICS = (
    Metric("pearson", "Pearson's r", share=False, digits=3),
    Metric("spearman", "Spearman's rho", share=False, digits=3),
    Metric("mse", "mean squared error", higher_is_better=False, share=False, digits=3),
)


@dataclass(frozen=True)
class Config:
    """The section `task`."""

    symmetric: bool = True  # the two texts of a pair may change places: GPT and GPT-2 then read both orders


class Regress:
    """Numbers for texts or pairs; `targets` tells their mean and deviation, and whether they are pairs."""

    name = "regress"
    per: Literal["text"] = "text"
    more_parts = False
    needs_context = False
    classes = False

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, path: str | Path, learning: bool = True) -> list[Example]:
        """The examples of a table with a header, whose labels are numbers."""
        found = read_examples(Path(path), min_labels=2 if learning else 1)
        for example in found:
            _number(example)
        return found

    def given(self, examples: Iterable[Example]) -> list[Example]:
        """Examples with texts, and labels that are numbers, or read as such."""
        found = given_examples(examples, numbers=True)
        for place, example in enumerate(found):
            _number(example, f"example {place}")
        return found

    def written(self, example: Example) -> str:
        """Number and texts with tabs between."""
        return "\t".join((example.label, example.text, example.text_b, "\n"))

    def targets(self, examples: Sequence[Example]) -> Targets:
        """Mean and deviation of the numbers; DataError where all are the same."""
        numbers = self.gold(examples, {})
        if not len(numbers) or numbers.min() == numbers.max():
            where = examples[0].source if examples else "the training file"
            wrong = f"{where}: {counted(len(set(numbers.tolist())), 'different number')} in {counted(len(examples), 'example')}"
            raise DataError(wrong, "two different numbers or more to learn from", "add examples with another number")
        pairs = any(example.text_b for example in examples)
        return {"labels": [], "mean": float(numbers.mean()), "scale": float(numbers.std()), "pairs": pairs}

    def gold(self, examples: Sequence[Example], targets: Targets) -> Float[np.ndarray, " N"]:
        """The number of each example."""
        return np.array([_number(example) for example in examples], dtype=np.float64)

    def strata(self, gold: np.ndarray) -> np.ndarray:
        """Which fifth of the numbers it is among, so that low and high ones are in every part; of few examples fewer parts."""
        parts = min(STRATA, max(1, len(gold) // _EACH))
        return np.searchsorted(np.quantile(gold, np.arange(1, parts) / parts), gold, side="right")

    def labels(self, gold: np.ndarray) -> np.ndarray:
        """Float32 (B)."""
        return gold.astype(np.float32)

    def texts(self, examples: Sequence[Example]) -> list[Text]:
        """Text and second half."""
        return [Text(example.text, example.text_b, symmetric=self.config.symmetric) for example in examples]

    def head(self, seat: Seat, targets: Targets) -> "TextHead":
        """Dropout and one linear layer on the summary of a text."""
        from stemma.tasks.text_heads import Number, TextHead  # torch: not for who only reads and scores

        return TextHead(seat, Number(targets["mean"], targets["scale"]))

    def network(self, seat: Seat, targets: Targets) -> "PooledNetwork":
        """Scalar mix, projection, mean and maximum over the text, one hidden layer."""
        from stemma.tasks.text_heads import Number, PooledNetwork  # likewise

        return PooledNetwork(seat, Number(targets["mean"], targets["scale"]), targets["pairs"])

    def link(self, targets: Targets) -> Link:
        """A number."""
        return "identity"

    def rows(self, gold: np.ndarray) -> np.ndarray:
        """Gold itself: a row is a text."""
        return gold

    def from_rows(self, outputs: Float[np.ndarray, "M 1"], starts: np.ndarray, targets: Targets) -> list[float]:
        """The number of each text."""
        found: list[float] = outputs[:, 0].tolist()
        return found

    def quoted(self, answers: list[Any], texts: Sequence[Text]) -> list[Any]:
        """As they are."""
        return answers

    def settled(self, gold: np.ndarray, answers: Sequence[Any], targets: Targets) -> Targets:
        """As it is."""
        return targets

    def decode(self, answers: Sequence[float], targets: Targets) -> Float[np.ndarray, " N"]:
        """The numbers."""
        return np.array(answers, dtype=np.float64)

    def named(self, decoded: np.ndarray, targets: Targets) -> list[str]:
        """The numbers."""
        return [f"{number:.2f}" for number in decoded.tolist()]

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """Pearson's r, Spearman's rho and the mean squared error."""
        return _METRICS

    def score(self, gold: np.ndarray, answers: Sequence[float], targets: Targets) -> dict[str, float]:
        """The metrics."""
        sums = self.terms(gold, self.decode(answers, targets), targets).sum(0)
        return {name: float(value) for name, value in self.measures(sums, targets).items()}

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N C"]:
        """Of numbers less the training mean, then of ranks: 1, x, y, x², y², xy.

        Ranks are those among all examples given, equal numbers sharing theirs: rho is exact of these examples, and of fewer nearly so.
        """
        numbers = _products(gold - targets["mean"], decoded - targets["mean"])
        middle = (len(gold) + 1) / 2
        return np.concatenate([numbers, _products(scores.ranks(gold) - middle, scores.ranks(decoded) - middle)], 1)

    def measures(self, sums: Float[np.ndarray, "*R C"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms; a correlation is 0 where either side does not vary."""
        numbers, ranks = np.split(sums, 2, axis=-1)
        squares = numbers[..., 3] + numbers[..., 4] - 2 * numbers[..., 5]
        return {"pearson": _correlation(numbers), "spearman": _correlation(ranks), "mse": squares / np.maximum(numbers[..., 0], 1)}

    def floor(self, learnt: np.ndarray, judged: np.ndarray, texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """Always the mean, which correlates with nothing: r lies within 1 / sqrt(N - 1) of 0 by luck."""
        return {"answer": f"{learnt.mean():.4g}", "value": 0.0, "error": 1 / math.sqrt(max(1, len(judged) - 1))}

    def breakdown(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> list[dict[str, Any]]:
        """Nothing: there are no labels."""
        return []

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """One text, or two."""
        return ("text_a", "text_b") if targets["pairs"] else ("text",)

    def example(self, parts: Sequence[str], targets: Targets) -> Example:
        """The text, or the pair, without a number."""
        return Example(parts[0], "", parts[1] if len(parts) > 1 else "")

    def readable(self, answers: Sequence[float], targets: Targets) -> tuple[list[float], np.ndarray]:
        """The number of each text, twice."""
        return list(answers), self.decode(answers, targets)

    def answer_rows(self, examples: Sequence[Example], answers: Sequence[float], targets: Targets) -> list[dict[str, Any]]:
        """Text and number."""
        return [
            {"text": "\t".join(filter(None, (example.text, example.text_b))), "number": answer}
            for example, answer in zip(examples, answers, strict=True)
        ]

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The number before the text."""
        yield f"{row['number']:.3f}  {row['text']}".replace("\t", " ⇥ ")


def _number(example: Example, where: str = "") -> float:
    """The number of an example; DataError for what is none."""
    try:
        found = float(example.label)
    except ValueError:
        found = math.nan
    if not abs(found) <= _LARGEST:
        where = where or ", line ".join(example.source.rsplit(":", 1)) or "an example"
        expected = f"a number, as 2.5, between -{_LARGEST:g} and {_LARGEST:g}"
        raise DataError(f"{where}: the label {example.label!r:.60}", expected, "write it so, or use the task classify")
    return found


def _products(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "N 6"]:
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)


def _correlation(sums: Float[np.ndarray, "*R 6"]) -> Float[np.ndarray, "*R"]:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    count = np.maximum(count, 1)
    spread = np.maximum(xx - x * x / count, 0) * np.maximum(yy - y * y / count, 0)
    known = spread > 1e-18 * np.maximum(xx * yy, 1e-300)
    found: np.ndarray = np.where(known, (xy - x * y / count) / np.sqrt(np.where(known, spread, 1.0)), 0.0)
    return found
