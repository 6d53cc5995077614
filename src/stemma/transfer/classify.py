"""The task `classify`: one label for a text, or for a pair of texts.

Head, batches and decoding depend on how the generation learns and on the mode; each is told in the
report's `head`, because modes with different heads must not be compared in silence:

| | frozen, random | finetune, scratch |
|---|---|---|
| descends | logistic regression on fixed features (`probe`) | its own head on moving states (`descent`) |
| counts | logistic regression on a surprisal-weighted bag of n-grams (`counting`) | class-conditional models (`counting`) |
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stemma.corpus.task import Example
from stemma.errors import DataError
from stemma.transfer.scores import accuracy, macro_f1
from stemma.transfer.settings import Config


def recipe(run: Any, config: Config) -> Any:
    """How this run learns the task in this mode (see `recipes.Recipe`)."""
    fixed = config.mode in ("frozen", "random")
    if run.row.learns == "count":
        from stemma.transfer.counting import BagOfNgrams, ClassModels  # needs no torch; the others do

        return BagOfNgrams(run, config) if fixed else ClassModels(run, config)
    from stemma.transfer.descent import Descent
    from stemma.transfer.probe import Probe

    return Probe(run, config) if fixed else Descent(run, config)


def label_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """The labels in their order; DataError unless there are two or more."""
    names = tuple(sorted({example.label for example in examples}))
    if len(names) < 2:
        where = examples[0].source if examples else "the training file"
        told = f"{where}: {len(names)} label in {len(examples)} examples"
        raise DataError(told, "two labels or more to tell apart", "add examples of another label")
    return names


def label_numbers(examples: Sequence[Example], names: Sequence[str]) -> np.ndarray:
    """The number of each example's label; DataError names the first that training did not have."""
    place = {name: k for k, name in enumerate(names)}
    for example in examples:
        if example.label not in place:
            known = ", ".join(names[:10])
            told = f"{example.source or 'an example'}: the label {example.label!r} is not in the training file"
            raise DataError(told, f"one of {known}", "mend the label, or add training examples of it")
    return np.array([place[example.label] for example in examples], dtype=np.int64)


def decode(probabilities: np.ndarray) -> np.ndarray:
    """The number of the likeliest class of each row; of equal ones the first."""
    return probabilities.argmax(1)


def score(gold: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-F1, and the mean nats of the right label."""
    predicted = decode(probabilities)
    right = probabilities[np.arange(len(gold)), gold].astype(np.float64)
    return {
        "accuracy": accuracy(gold, predicted),
        "macro_f1": macro_f1(gold, predicted, probabilities.shape[1]),
        "loss": float(-np.log(np.maximum(right, 1e-12)).mean()),
    }
