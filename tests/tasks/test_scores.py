"""Macro-F1 and Matthews' correlation against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.tasks.scores import confusion, matthews_of, mean_f1_of, ranks

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_equal_scikit_learn(pairs):
    gold, predicted = np.array(pairs).T
    table = confusion(gold, predicted, 4)
    counts = np.diagonal(table), table.sum(1), table.sum(0)
    assert mean_f1_of(*counts) == pytest.approx(sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0))
    assert matthews_of(*counts) == pytest.approx(sklearn_metrics.matthews_corrcoef(gold, predicted), abs=1e-12)
    assert (table == sklearn_metrics.confusion_matrix(gold, predicted, labels=range(4))).all()


def test_equal_numbers_share_their_rank():
    assert ranks(np.array([3.0, -1.0, 3.0, 0.5])).tolist() == [3.5, 1, 3.5, 2]
