"""Bootstrap intervals: coverage, pairing, seeds."""

import numpy as np
import pytest

from stemma.errors import UsageError
from stemma.evaluation.measures.bootstrap import difference, interval
from stemma.evaluation.measures.metrics import macro_f1, over_seeds, per_class


def answers(rng, gold, right, classes):
    """Predictions that are right with the given probability."""
    return np.where(rng.random(len(gold)) < right, gold, (gold + rng.integers(1, classes, len(gold))) % classes)


def test_matches_the_plain_bootstrap():
    """Multinomial draws over cells are the same distribution as drawing examples one by one."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 211)
    predicted = answers(rng, gold, 0.7, 3)
    ours = interval(gold, predicted, 3, "macro_f1", resamples=4000)
    picks = rng.integers(0, 211, size=(2000, 211))
    plain = [macro_f1(gold[pick], predicted[pick], 3) for pick in picks]
    assert ours.value == pytest.approx(macro_f1(gold, predicted, 3))
    assert ours.low == pytest.approx(np.quantile(plain, 0.025), abs=0.01)
    assert ours.high == pytest.approx(np.quantile(plain, 0.975), abs=0.01)


def test_accuracy_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        gold = rng.integers(0, 2, 300)
        found = interval(gold, answers(rng, gold, 0.8, 2), 2, resamples=500, seed=seed)
        covered += found.low <= 0.8 <= found.high
    assert 180 <= covered <= 200  # 95 % nominal; binomial error over 200 trials is 1.5 %


def test_paired_difference_is_narrower_than_two_intervals_and_zero_for_equals():
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 4, 500)
    one = answers(rng, gold, 0.75, 4)
    two = np.where(rng.random(500) < 0.04, gold, one)  # better on a few, equal elsewhere
    found = difference(gold, two, one, 4)
    alone = interval(gold, one, 4)
    assert found.high - found.low < (alone.high - alone.low) / 2
    assert found.value >= 0
    same = difference(gold, one, one, 4)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0) and not same.excludes_zero


def test_seeds_widen_the_interval_and_runs_repeat():
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 2000)
    seeds = np.stack([answers(rng, gold, share, 2) for share in (0.6, 0.75, 0.9)])
    wide = interval(gold, seeds, 2)
    assert wide == interval(gold, seeds, 2)
    assert wide.high - wide.low > 0.1 > 2 * (interval(gold, seeds[1], 2).high - interval(gold, seeds[1], 2).low)
    assert wide.value == pytest.approx(np.mean([np.mean(gold == row) for row in seeds]))


def test_refuses_predictions_of_another_file():
    with pytest.raises(UsageError, match="predict the same file"):
        interval(np.zeros(3, int), np.zeros(4, int), 2)


def test_per_class_and_over_seeds():
    rows = per_class(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["neg", "积极"])
    assert rows[0] == {"label": "neg", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "examples": 2}
    assert rows[1]["precision"] == pytest.approx(2 / 3)
    assert over_seeds([0.5, 0.7]) == {"mean": pytest.approx(0.6), "std": pytest.approx(np.sqrt(0.02)), "seeds": 2}
    assert over_seeds([0.5])["std"] == 0.0
