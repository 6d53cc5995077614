"""scikit-learn's manners on a run: fit, predict, predict_proba, transform; for pipelines, clones, cross-validation.

scikit-learn is not imported here: an estimator is what behaves like one.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, Self

import numpy as np

from stemma.corpus.given import listed
from stemma.corpus.task import Example
from stemma.errors import DataError, UsageError
from stemma.nouns import counted
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.transfer.finetune import finetune
from stemma.transfer.saving import save
from stemma.transfer.settings import Config, Mode

Texts = Sequence[str] | Sequence[tuple[str, str]]  # single texts, or pairs


class _Estimator:
    """What a classifier and a regressor on a run have in common; after `fit`, `result_` is the `FittedRun` with its facts."""

    _parameters = ("run", "mode", "config", "seed")
    result_: FittedRun

    def __init__(self, run: Run | str | Path, mode: Mode = "finetune", config: Config | None = None, seed: int = 1) -> None:
        self.run, self.mode, self.config, self.seed = run, mode, config, seed

    def transform(self, X: Texts) -> np.ndarray:
        """The vector of each text that the head reads (N F): features for another estimator."""
        return self._fitted().vectors(*_columns(X))

    def save(self, out: str | Path) -> None:
        """Writes what was fitted as a run folder with its labels as text, for `stemma.load`, `stemma predict` and the rest."""
        save(self._fitted(), Path(out))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments it was made with."""
        return {name: getattr(self, name) for name in self._parameters}

    def set_params(self, **params: Any) -> Self:
        """Changes arguments; UsageError for an unknown one."""
        for name, value in params.items():
            if name not in self._parameters:
                wrong = f"{type(self).__name__} has no parameter {name!r}"
                raise UsageError(wrong, f"one of {', '.join(self._parameters)}", "mend its name")
            setattr(self, name, value)
        return self

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy; the run is shared, never copied: fitting leaves it as it is."""
        return type(self)(**self.get_params())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "result_")

    def __repr__(self) -> str:
        place = self.run if isinstance(self.run, (str, Path)) else self.run.row.name
        return f"{type(self).__name__}({str(place)!r}, mode={self.mode!r}, seed={self.seed})"

    def _learn(self, task: str, X: Texts, labels: Sequence[str]) -> None:
        """Learns from texts and their labels as text, of one seed."""
        texts, others = _columns(X)
        if len(texts) != len(labels):
            found = f"{counted(len(texts), 'text')} and {counted(len(labels), 'label')}"
            raise DataError(found, "one label a text", "pass X and y of the same length")
        examples = [Example(a, label, b) for a, b, label in zip(texts, others, labels, strict=True)]
        config = dataclasses.replace(self.config or Config(), seeds=(self.seed,))
        run = self.run if not isinstance(self.run, (str, Path)) else Run.open(self.run)
        self.result_ = finetune(run, train=examples, task=task, mode=self.mode, config=config)

    def _fitted(self) -> FittedRun:
        if not hasattr(self, "result_"):
            raise UsageError(f"this {type(self).__name__} has not been fitted", "fit(X, y) first", "call fit")
        return self.result_


class StemmaClassifier(_Estimator):
    """A text classifier on a pre-trained run (or the path of one).

    `fit` takes texts, or pairs of texts, and labels of any kind; one seed is trained. After it:
    `classes_`, and `result_`, the `FittedRun` with its facts.
    """

    _estimator_type = "classifier"

    def fit(self, X: Texts, y: Sequence[Any]) -> Self:
        """Learns from texts `X` and their labels `y`; a part of them is held out to choose hyperparameters."""
        labels = _labels(y)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        names = _names(self.classes_)
        self._learn("classify", X, [names[k] for k in numbers])
        return self

    def fit_transform(self, X: Texts, y: Sequence[Any]) -> np.ndarray:
        """`fit`, then `transform` of the same texts."""
        return self.fit(X, y).transform(X)

    def predict(self, X: Texts) -> np.ndarray:
        """The label of each text, of the kind that `fit` was given."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def predict_proba(self, X: Texts) -> np.ndarray:
        """Probabilities (N K) in the order of `classes_`."""
        fitted = self._fitted()
        return fitted.predict(*_columns(X))[1][:, [fitted.labels.index(name) for name in _names(self.classes_)]]

    def score(self, X: Texts, y: Sequence[Any]) -> float:
        """The task's primary metric; a label that `fit` never saw is a mistake."""
        probabilities, labels = self.predict_proba(X), _labels(y)
        names = np.unique(np.concatenate([self.classes_, labels]))
        table = np.zeros((len(labels), len(names)), dtype=probabilities.dtype)
        table[:, np.searchsorted(names, self.classes_)] = probabilities
        task, targets = self.result_.task, self.result_.targets | {"labels": names.tolist()}
        return task.score(np.searchsorted(names, labels), list(table), targets)[task.metrics(targets)[0].name]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, TransformerTags

        tags = {"target_tags": TargetTags(required=True), "classifier_tags": ClassifierTags(), "transformer_tags": TransformerTags()}
        return Tags(estimator_type="classifier", regressor_tags=None, input_tags=InputTags(string=True, two_d_array=False), **tags)


class StemmaRegressor(_Estimator):
    """Numbers for texts, or for pairs of texts, on a pre-trained run (or the path of one); one seed is trained."""

    _estimator_type = "regressor"

    def fit(self, X: Texts, y: Sequence[float]) -> Self:
        """Learns from texts `X` and their numbers `y`; a part of them is held out to choose hyperparameters."""
        self._learn("regress", X, [str(number) for number in _numbers(y).tolist()])
        return self

    def fit_transform(self, X: Texts, y: Sequence[float]) -> np.ndarray:
        """`fit`, then `transform` of the same texts."""
        return self.fit(X, y).transform(X)

    def predict(self, X: Texts) -> np.ndarray:
        """The number of each text (N)."""
        found: np.ndarray = self._fitted().predict(*_columns(X))[1]
        return found

    def score(self, X: Texts, y: Sequence[float]) -> float:
        """The coefficient of determination, as scikit-learn's regressors give it: 1 - squared error / variance."""
        given, right = self.predict(X), _numbers(y)
        return float(1 - ((given - right) ** 2).sum() / ((right - right.mean()) ** 2).sum())

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags, TransformerTags

        tags = {"target_tags": TargetTags(required=True), "regressor_tags": RegressorTags(), "transformer_tags": TransformerTags()}
        return Tags(estimator_type="regressor", classifier_tags=None, input_tags=InputTags(string=True, two_d_array=False), **tags)


def _columns(texts: Texts) -> tuple[list[str], list[str]]:
    """The texts and their second halves; DataError for what is neither a text nor a pair of texts, such as a list of tokens."""
    rows = [_cells(row) for row in listed(texts, "X")]
    pairs = any(not isinstance(row, str) for row in rows)
    for place, row in enumerate(rows):
        if pairs and not (isinstance(row, (tuple, list, np.ndarray)) and len(row) == 2 and all(isinstance(part, str) for part in row)):
            raise DataError(f"X[{place}] is {row!r:.60}", "texts alone, or pairs of two texts alone", "join tokens with spaces")
    return ([row[0] for row in rows], [row[1] for row in rows]) if pairs else (rows, [""] * len(rows))


def _cells(row: Any) -> Any:
    """Of a row of a data frame its text, or its two texts; any other row as it is."""
    cells = tuple(row.values()) if isinstance(row, Mapping) else row
    return cells[0] if isinstance(row, Mapping) and len(cells) == 1 else cells


def _labels(y: Sequence[Any]) -> np.ndarray:
    """The labels (N); DataError names one that is none."""
    labels = listed(y, "y")
    for place, label in enumerate(labels):
        if isinstance(label, (list, tuple, np.ndarray, Mapping)):
            cure = "pass y as one column: y.ravel(), or of a data frame frame['label']"
            raise DataError(f"y[{place}] is {label!r:.60}", "one label a text, none in a list", cure)
        number = isinstance(label, (Number, np.generic))
        if not isinstance(label, str) and (not number or label != label):  # a NaN is not equal to itself
            raise DataError(f"y[{place}] is {label!r}", "a label for every text", "fill it in, or leave the text out")
    return np.asarray(labels)


def _numbers(y: Sequence[float]) -> np.ndarray:
    """The numbers (N); DataError names one that is none."""
    numbers = listed(y, "y")
    for place, number in enumerate(numbers):
        if isinstance(number, bool) or not isinstance(number, (int, float, np.number)) or not np.isfinite(float(number)):
            raise DataError(f"y[{place}] is {number!r:.60}", "a number for every text", "fill it in, or leave the text out")
    return np.asarray(numbers, dtype=np.float64)


def _names(classes: np.ndarray) -> list[str]:
    """The classes as text, which is how a run folder keeps them; DataError where two would be one."""
    names = [str(label) for label in classes.tolist()]
    if len({name.strip() for name in names} - {""}) < len(names):
        raise DataError(f"labels that are the same as text, or nothing: {names!r:.80}", "labels that differ as text", "rename them")
    return names
