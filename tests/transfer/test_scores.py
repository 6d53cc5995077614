"""Accuracy and macro-F1 against scikit-learn; the stratified selection part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import DataError
from stemma.transfer.scores import accuracy, confusion, macro_f1
from stemma.transfer.selection import hold_out

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_equal_scikit_learn(pairs):
    gold, predicted = np.array(pairs).T
    assert accuracy(gold, predicted) == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted))
    assert macro_f1(gold, predicted, 4) == pytest.approx(sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0))
    assert (confusion(gold, predicted, 4) == sklearn_metrics.confusion_matrix(gold, predicted, labels=range(4))).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.floats(0.01, 0.9), st.integers(0, 5))
def test_hold_out_is_a_stratified_partition(labels, share, seed):
    if max(np.bincount(labels)) < 2:
        with pytest.raises(DataError, match="add labelled examples"):
            hold_out(labels, share, 1000, seed)
        return
    learning, selection = hold_out(labels, share, 1000, seed)
    assert sorted([*learning, *selection]) == list(range(len(labels)))
    assert set(np.array(labels)[learning]) == set(labels)  # every class can still be learned
    again = hold_out(labels, share, 1000, seed)
    assert (again[0] == learning).all()


def test_hold_out_keeps_to_its_limit():
    learning, selection = hold_out([0, 1] * 5000, 0.5, 100, 1)
    assert len(selection) == 100 and len(learning) == 9900
