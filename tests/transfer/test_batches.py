"""The order of learning: every row once an epoch, like lengths together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.transfer.batches import TaskBatches, padding_share, shuffled
from stemma.transfer.settings import Config

lengths_and_size = st.tuples(st.lists(st.integers(0, 60), min_size=1, max_size=300), st.integers(1, 40))


@settings(max_examples=50, deadline=None)
@given(lengths_and_size)
def test_an_epoch_is_a_partition(given_):
    lengths, size = np.array(given_[0]), given_[1]
    batches = shuffled(lengths, np.arange(len(lengths)), size, np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)


def test_like_lengths_stand_together():
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 60, 3000)
    batches = shuffled(lengths, np.arange(3000), 32, rng)
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert 1 - lengths.sum() / padded < 0.04  # at random it would be half


@pytest.mark.parametrize(("epochs", "updates", "made"), [(3, 0, 9), (3, 4, 9), (3, 9, 9), (3, 10, 10), (1, 300, 300)])
def test_updates_are_the_fewest_that_are_made(epochs, updates, made):
    config = Config(epochs=epochs, updates=updates, batch_size=7)
    assert TaskBatches(np.full(20, 5), np.arange(20), config, 1, lambda rows: {}).updates == made  # 20 rows: 3 batches an epoch


def test_an_update_reads_no_row_twice_however_many_it_may_read():
    lengths = np.array([5, 40, 7, 9])
    batches = TaskBatches(lengths, np.arange(4), Config(batch_size=100_000, batch_tokens=80, updates=0, epochs=2), 1, lambda rows: rows)
    assert batches.parts == 2 and batches.steps_in_epoch(0) == 2 and batches.updates == 2
    assert sorted(row for step in range(2) for row in batches.batch(step)) == [0, 1, 2, 3]


def test_the_share_of_padding():
    assert padding_share(np.array([3, 6]), [np.array([0, 1])]) == 0.25
