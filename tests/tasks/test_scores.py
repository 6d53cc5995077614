"""Accuracy and macro-F1 against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.tasks.scores import accuracy, confusion, macro_f1

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_equal_scikit_learn(pairs):
    gold, predicted = np.array(pairs).T
    assert accuracy(gold, predicted) == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted))
    assert macro_f1(gold, predicted, 4) == pytest.approx(sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0))
    assert (confusion(gold, predicted, 4) == sklearn_metrics.confusion_matrix(gold, predicted, labels=range(4))).all()
