"""Bootstrap intervals: coverage, pairing, seeds, strata, correlations."""

import numpy as np
import pytest

from stemma.errors import UsageError
from stemma.evaluation.measures import bootstrap
from stemma.evaluation.measures.bootstrap import Interval, difference, interval, interval_of_rows
from stemma.evaluation.measures.similarity import spearman


def answers(rng, gold, right, classes):
    """Predictions that are right with the given probability."""
    return np.where(rng.random(len(gold)) < right, gold, (gold + rng.integers(1, classes, len(gold))) % classes)


def right(gold, *seeds):
    """The terms (S N 2) of accuracy."""
    return np.stack([np.stack([gold == predicted, np.ones(len(gold))], -1) for predicted in seeds])


def accuracy(sums):
    return sums[..., 0] / sums[..., 1]


def cells(gold, predicted, classes):
    """The terms (1 N K K) of macro-F1: the cell of the confusion table that an example falls into."""
    return np.eye(classes * classes)[gold * classes + predicted][None]


def macro_f1(sums):
    table = sums.reshape(*sums.shape[:-1], 3, 3)
    return (2 * np.diagonal(table, axis1=-2, axis2=-1) / np.maximum(table.sum(-1) + table.sum(-2), 1)).mean(-1)


def test_matches_the_plain_bootstrap():
    """Multinomial draws over examples of equal terms are the same distribution as drawing examples one by one."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 211)
    terms = cells(gold, answers(rng, gold, 0.7, 3), 3)
    ours = interval(terms, macro_f1, resamples=4000)
    picks = rng.integers(0, 211, size=(2000, 211))
    plain = macro_f1(terms[0][picks].sum(1))
    assert ours.value == pytest.approx(macro_f1(terms[0].sum(0)))
    assert ours.low == pytest.approx(np.quantile(plain, 0.025), abs=0.01)
    assert ours.high == pytest.approx(np.quantile(plain, 0.975), abs=0.01)


def test_accuracy_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        gold = rng.integers(0, 2, 300)
        found = interval(right(gold, answers(rng, gold, 0.8, 2)), accuracy, resamples=500, seed=seed)
        covered += found.low <= 0.8 <= found.high
    assert 180 <= covered <= 200  # 95 % nominal; binomial error over 200 trials is 1.5 %


def test_paired_difference_is_narrower_than_two_intervals_and_zero_for_equals():
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 4, 500)
    one = answers(rng, gold, 0.75, 4)
    two = np.where(rng.random(500) < 0.04, gold, one)  # better on a few, equal elsewhere
    found = difference(right(gold, two), right(gold, one), accuracy)
    alone = interval(right(gold, one), accuracy)
    assert found.half < alone.half / 2
    assert found.value >= 0
    same = difference(right(gold, one), right(gold, one), accuracy)
    assert same == Interval(0.0, 0.0, 0.0) and not same.excludes_zero


def test_seeds_widen_the_interval_and_runs_repeat():
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 2000)
    seeds = [answers(rng, gold, share, 2) for share in (0.6, 0.75, 0.9)]
    wide = interval(right(gold, *seeds), accuracy)
    assert wide == interval(right(gold, *seeds), accuracy)
    assert wide.half > 0.05 > 2 * interval(right(gold, seeds[1]), accuracy).half
    assert wide.value == pytest.approx(np.mean([np.mean(gold == row) for row in seeds]))


def test_resamples_in_small_portions_have_the_same_draws(monkeypatch):
    rng = np.random.default_rng(4)
    terms = rng.normal(size=(2, 37, 2)) + 3
    whole = interval(terms, accuracy)
    monkeypatch.setattr(bootstrap, "_HELD", 37 * 7)
    assert interval(terms, accuracy) == whole


def test_a_class_that_is_drawn_by_itself_keeps_its_size():
    hits, size = np.array([1.0] * 30 + [0.0] * 10), 40
    strata = np.arange(size) % 2
    terms = np.stack([hits, np.eye(2)[strata][:, 0]], -1)[None]
    assert interval(terms, lambda sums: sums[..., 1], strata=strata) == Interval(20, 20, 20)
    certain = np.stack([np.eye(2)[strata][:, 0], np.ones(size)], -1)[None]  # all of one class right, none of the other
    assert interval(certain, accuracy, strata=strata) == Interval(0.5, 0.5, 0.5)
    assert interval(certain, accuracy).half > 0.1


def test_a_correlation_is_taken_anew_from_the_rows_of_each_resample():
    rng = np.random.default_rng(5)
    x = rng.normal(size=80)
    y = x + rng.normal(size=80)
    found = interval_of_rows(spearman, x, y)
    plain = [spearman(x[pick], y[pick]) for pick in rng.integers(0, 80, (2000, 80))]
    assert found.value == spearman(x, y)
    np.testing.assert_allclose([found.low, found.high], np.quantile(plain, [0.025, 0.975]), atol=0.03)


def test_refuses_answers_to_another_file():
    with pytest.raises(UsageError, match="answer the same file"):
        difference(np.ones((1, 3, 2)), np.ones((1, 4, 2)), accuracy)
    with pytest.raises(UsageError, match="one or more"):
        interval(np.ones((1, 0, 2)), accuracy)
