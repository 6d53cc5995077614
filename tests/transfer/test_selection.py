"""The stratified selection part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import DataError
from stemma.transfer.selection import hold_out


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


@pytest.mark.parametrize(("labels", "message"), [([0], "1 training example, too few"), ([0, 1], "2 training examples, too few")])
def test_too_few_examples_are_reported_in_words(labels, message):
    with pytest.raises(DataError, match=message):
        hold_out(labels, 0.1, 10, 1)
