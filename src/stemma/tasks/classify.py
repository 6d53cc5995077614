# ruff: noqa: F722 (axis names stand in annotations)
"""The task `classify`: one label for a text or for a pair of texts; or several labels, each there or not.

Several labels stand in one cell with a separator between, as `sport|politics`, in a column called `labels` (or `label`,
with task.multilabel = true); an empty cell says that none fits.

Its heads stand in `text_heads`. Axes: N examples, B batch, K labels.
"""

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
from stemma.tasks.task import Link, Metric, Seat, Targets, Text, primary

if TYPE_CHECKING:
    from stemma.tasks.text_heads import PooledNetwork, TextHead

SURE = 0.5  # probability from which one of several labels is given
_ONE = (Metric("accuracy", "accuracy"), Metric("macro_f1", "macro-F1"), Metric("matthews", "Matthews' correlation", share=False, digits=3))
_SEVERAL = (Metric("micro_f1", "micro-F1"), Metric("macro_f1", "macro-F1"))


@dataclass(frozen=True)
class Config:
    """The section `task`."""

    multilabel: bool = False  # a text has several labels, or none; a column called `labels` says the same
    separator: str = "|"  # between them
    symmetric: bool = False  # the two texts of a pair may change places: GPT and GPT-2 then read both orders


class Classify:
    """Labels for texts or pairs; `targets` tells whether they have several labels, and whether they are pairs."""

    name = "classify"
    per: Literal["text"] = "text"
    more_parts = False
    needs_context = False
    classes = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, path: str | Path, learning: bool = True) -> list[Example]:
        """The examples of a TSV file with a header."""
        return read_examples(Path(path), min_labels=2 if learning else 1, several=self.config.multilabel)

    def given(self, examples: Iterable[Example]) -> list[Example]:
        """Examples with texts and labels that are text."""
        found = given_examples(examples)
        for place, example in enumerate(found):
            if not example.label and not (example.several or self.config.multilabel):
                raise DataError(f"the label of example {place} is empty", "a label for every text", "fill it in, or leave the example out")
        return found

    def written(self, example: Example) -> str:
        """Label and texts with tabs between."""
        return "\t".join((example.label, example.text, example.text_b, "\n"))

    def targets(self, examples: Sequence[Example]) -> Targets:
        """The labels in their order; DataError unless there are two or more (one, where a text has several or none)."""
        several = self.config.multilabel or any(example.several for example in examples)
        names = sorted({name for example in examples for name in self._names(example, several)})
        if len(names) < (1 if several else 2):
            where = examples[0].source if examples else "the training file"
            wrong = f"{where}: {len(names)} label in {counted(len(examples), 'example')}"
            raise DataError(wrong, "two labels or more to tell apart", "add examples of another label")
        return {"labels": names, "several": several, "pairs": any(example.text_b for example in examples)}

    def gold(self, examples: Sequence[Example], targets: Targets) -> np.ndarray:
        """The number (N) of each example's label, or which labels (N K) it has; DataError names one that training did not have."""
        names = targets["labels"]
        place = {name: k for k, name in enumerate(names)}
        held = [self._names(example, targets["several"]) for example in examples]
        for example, own in zip(examples, held, strict=True):
            if strangers := [name for name in own if name not in place]:
                known = ", ".join(names[:10])
                wrong = f"{example.source or 'an example'}: the label {strangers[0]!r} is not in the training file"
                raise DataError(wrong, f"one of {known}", "mend the label, or add training examples of it")
        if not targets["several"]:
            return np.array([place[own[0]] for own in held], dtype=np.int64)
        table = np.zeros((len(held), len(names)), dtype=np.int64)
        for row, own in enumerate(held):
            table[row, [place[name] for name in own]] = 1
        return table

    def strata(self, gold: np.ndarray) -> np.ndarray:
        """The label; of several the first, or a class of its own where there is none."""
        return gold if gold.ndim == 1 else np.where(gold.any(1), gold.argmax(1), gold.shape[1])

    def labels(self, gold: np.ndarray) -> np.ndarray:
        """Class numbers (B), or float32 (B K) of 0 and 1."""
        return gold if gold.ndim == 1 else gold.astype(np.float32)

    def texts(self, examples: Sequence[Example]) -> list[Text]:
        """Text and second half."""
        return [Text(example.text, example.text_b, symmetric=self.config.symmetric) for example in examples]

    def head(self, seat: Seat, targets: Targets) -> "TextHead":
        """Dropout and one linear layer on the summary of a text."""
        from stemma.tasks.text_heads import Labels, TextHead  # torch: not for who only reads and scores

        return TextHead(seat, Labels(len(targets["labels"]), targets["several"]))

    def network(self, seat: Seat, targets: Targets) -> "PooledNetwork":
        """Scalar mix, projection, mean and maximum over the text, one hidden layer."""
        from stemma.tasks.text_heads import Labels, PooledNetwork  # likewise

        return PooledNetwork(seat, Labels(len(targets["labels"]), targets["several"]), targets["pairs"])

    def link(self, targets: Targets) -> Link:
        """One class of K; of several labels each is there or not."""
        return "logistic" if targets["several"] else "softmax"

    def rows(self, gold: np.ndarray) -> np.ndarray:
        """Gold itself: a row is a text."""
        return gold

    def from_rows(self, outputs: Float[np.ndarray, "M K"], starts: np.ndarray, targets: Targets) -> list[np.ndarray]:
        """The probabilities (K) of each text."""
        return list(outputs)

    def quoted(self, answers: list[Any], texts: Sequence[Text]) -> list[Any]:
        """As they are."""
        return answers

    def settled(self, gold: np.ndarray, answers: Sequence[Any], targets: Targets) -> Targets:
        """As it is."""
        return targets

    def decode(self, answers: Sequence[np.ndarray], targets: Targets) -> np.ndarray:
        """The number (N) of the likeliest class, of equal ones the first; or 1 (N K) for each label that is likely enough."""
        table = _table(answers, targets)
        return (table > SURE).astype(np.int64) if targets["several"] else table.argmax(1)

    def named(self, decoded: np.ndarray, targets: Targets) -> list[str]:
        """Labels, with commas between several."""
        names = targets["labels"]
        if not targets["several"]:
            return [names[k] for k in decoded.tolist()]
        return [", ".join(names[k] for k in np.flatnonzero(row)) or "(no label)" for row in decoded]

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """Accuracy, macro-F1 and Matthews' correlation; of several labels micro-F1 and macro-F1."""
        return _SEVERAL if targets["several"] else _ONE

    def score(self, gold: np.ndarray, answers: Sequence[np.ndarray], targets: Targets) -> dict[str, float]:
        """The metrics, and the mean nats of what is right."""
        probabilities, decoded = _table(answers, targets), self.decode(answers, targets)
        sums = self.terms(gold, decoded, targets).sum(0, dtype=np.float64)
        found = {name: float(value) for name, value in self.measures(sums, targets).items()}
        if targets["several"]:
            right = np.where(gold == 1, probabilities, 1 - probabilities).astype(np.float64)
        else:
            right = probabilities[np.arange(len(gold)), gold].astype(np.float64)
        return {**found, "loss": float(-np.log(np.maximum(right, 1e-12)).mean())}

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N C"]:
        """Each label's hits, gold and given (K 3): all that the metrics read of a confusion table, and K / 3 times fewer."""
        if not targets["several"]:
            rows = np.eye(len(targets["labels"]), dtype=np.float32)
            gold, decoded = rows[gold], rows[decoded]
        return np.stack([gold * decoded, gold, decoded], -1).reshape(len(gold), -1).astype(np.float32)

    def measures(self, sums: Float[np.ndarray, "*R C"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms."""
        hits, support, given = np.moveaxis(sums.reshape(*sums.shape[:-1], len(targets["labels"]), 3), -1, 0)
        if not targets["several"]:
            accuracy = hits.sum(-1) / np.maximum(support.sum(-1), 1)
            matthews = scores.matthews_of(hits, support, given)
            return {"accuracy": accuracy, "macro_f1": scores.mean_f1_of(hits, support, given), "matthews": matthews}
        return {
            "micro_f1": scores.f1_of(hits.sum(-1), support.sum(-1), given.sum(-1)),
            "macro_f1": scores.f1_of(hits, support, given).mean(-1),
        }

    def floor(self, learnt: np.ndarray, judged: np.ndarray, texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """Always the commonest label, or the commonest set of labels."""
        rows, counts = np.unique(learnt, axis=0, return_counts=True)
        best = rows[counts.argmax()]
        names = [targets["labels"][k] for k in (np.flatnonzero(best) if best.ndim else [int(best)])]
        return {"answer": ", ".join(names), "value": primary(self, judged, np.broadcast_to(best, judged.shape), targets)}

    def breakdown(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> list[dict[str, Any]]:
        """Precision, recall, F1 and number of examples of each label."""
        classes = np.arange(len(targets["labels"]))
        true, given = (array if array.ndim == 2 else array[:, None] == classes for array in (gold, decoded))
        return scores.each_label(targets["labels"], (true & given).sum(0), true.sum(0), given.sum(0))

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """One text, or two."""
        return ("text_a", "text_b") if targets["pairs"] else ("text",)

    def example(self, parts: Sequence[str], targets: Targets) -> Example:
        """The text, or the pair, without a label."""
        return Example(parts[0], "", parts[1] if len(parts) > 1 else "")

    def readable(self, answers: Sequence[np.ndarray], targets: Targets) -> tuple[list[Any], np.ndarray]:
        """The label of each text (a list of labels, where it may have several), and the probabilities of all (N K)."""
        names, decoded = targets["labels"], self.decode(answers, targets)
        if targets["several"]:
            return [[names[k] for k in np.flatnonzero(row)] for row in decoded], _table(answers, targets)
        return [names[k] for k in decoded], _table(answers, targets)

    def answer_rows(self, examples: Sequence[Example], answers: Sequence[np.ndarray], targets: Targets) -> list[dict[str, Any]]:
        """Text, label (or labels) and the probability of each label."""
        key = "labels" if targets["several"] else "label"
        given, probabilities = self.readable(answers, targets)
        return [
            {
                "text": "\t".join(filter(None, (example.text, example.text_b))),
                key: label,
                "probabilities": dict(zip(targets["labels"], row.tolist(), strict=True)),
            }
            for example, label, row in zip(examples, given, probabilities, strict=True)
        ]

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The label and its probability before the text; of several labels those that were given."""
        given = row["labels"] if "labels" in row else [row["label"]]
        labels = [f"{label} {row['probabilities'][label]:.2f}" for label in given]
        yield f"{', '.join(labels) or '(no label)'}  {row['text']}".replace("\t", " ⇥ ")

    def _names(self, example: Example, several: bool) -> list[str]:
        if not several:
            return [example.label]
        return list(dict.fromkeys(name for part in example.label.split(self.config.separator) if (name := part.strip())))


def _table(answers: Sequence[np.ndarray], targets: Targets) -> Float[np.ndarray, "N K"]:
    return np.stack(answers) if len(answers) else np.zeros((0, len(targets["labels"])), dtype=np.float32)
