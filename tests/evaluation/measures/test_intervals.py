"""Intervals over examples and seeds: they hold what they say in simulations, and agree with known formulas."""

from itertools import pairwise

import numpy as np
import pytest

from stemma.errors import UsageError
from stemma.evaluation.measures import intervals
from stemma.evaluation.measures.intervals import (
    Effects,
    Interval,
    correlation,
    difference,
    difference_of,
    effects,
    interval,
    interval_of,
    leads,
    mean_of_shares,
    proportion,
    rank_effects,
    t_quantile,
)
from stemma.evaluation.measures.similarity import spearman

SETS = 1000  # simulated data sets: the error of a coverage of 95 % is 0.7 %


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


def hits(rng, n, levels, alike=0.5):
    """Which of n examples a system with each of these levels (M S) of accuracy answers right (M S N).

    Examples differ in how hard they are, for all alike: `alike` is the correlation of two systems' latent scores.
    """
    shape = np.shape(levels)
    hard, own = rng.standard_normal(n, np.float32), rng.standard_normal((*shape, n), np.float32)
    scores = np.sqrt(alike) * hard + np.sqrt(1 - alike) * own
    return scores < normal_quantile(np.asarray(levels))[..., None]


GRID = np.linspace(-6, 6, 4001)
MASS = np.cumsum(np.exp(-(GRID**2) / 2))
MASS /= MASS[-1]


def normal_quantile(share):
    return np.interp(share, MASS, GRID)


def system(found):
    """The effects of hits (S N) on accuracy: a mean's are the examples themselves, about that mean."""
    found = found.astype(np.float64)
    return Effects(found.mean(1), found - found.mean(1, keepdims=True), True)


def levels(rng, level, spread, *shape):
    """Accuracies (shape) of trainings that differ by `spread`."""
    return np.clip(level + spread * rng.standard_normal(shape), 0.001, 0.999)


def mean_level(level, spread):
    """The mean accuracy of all such trainings."""
    return float(levels(np.random.default_rng(0), level, spread, 200_000).mean())


@pytest.mark.parametrize(
    ("seeds", "n", "level", "spread"),
    [
        (1, 200, 0.99, 0.0),
        (1, 1000, 0.5, 0.0),
        (3, 200, 0.5, 0.04),
        (3, 500, 0.99, 0.0),
        (3, 500, 0.8, 0.0),
        (3, 500, 0.9, 0.04),
        (3, 2000, 0.8, 0.04),
        (3, 2000, 0.9, 0.01),
        (5, 500, 0.8, 0.01),
        (5, 500, 0.9, 0.04),
        (5, 200, 0.98, 0.01),
    ],
)
def test_the_interval_covers_the_truth(seeds, n, level, spread):
    """Of trainings drawn anew as of examples drawn anew. A bootstrap held 83 to 91 % of three seeds that differ by 4 points, 84 of 0.99."""
    rng = np.random.default_rng([seeds, n, int(100 * level), int(100 * spread)])
    covered, truth = 0, mean_level(level, spread)
    for _ in range(SETS):
        found = interval_of(system(hits(rng, n, levels(rng, level, spread, seeds))))
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / SETS <= 0.99


@pytest.mark.parametrize(
    ("ours", "theirs", "n", "level", "spread"),
    [
        (1, 1, 300, 0.97, 0.0),
        (1, 1, 1000, 0.8, 0.0),
        (3, 3, 500, 0.85, 0.0),
        (3, 3, 500, 0.85, 0.04),
        (5, 5, 500, 0.9, 0.01),
        (3, 1, 300, 0.8, 0.02),
    ],
)
def test_equal_systems_are_seldom_called_different(ours, theirs, n, level, spread):
    """On the same examples, each with its own seeds, and beside one that has no luck. A bootstrap called 14 % of the fourth different."""
    rng = np.random.default_rng([ours, theirs, n, int(100 * spread)])
    different, truth = 0, mean_level(level, spread)
    for _ in range(SETS):
        drawn = levels(rng, level, spread, ours + theirs)
        if theirs == 1:
            drawn[ours:] = truth
        found = hits(rng, n, drawn, alike=0.8)
        different += difference_of(system(found[:ours]), system(found[ours:])).excludes_zero
    assert different / SETS <= 0.06


@pytest.mark.parametrize(("seeds", "spread", "modes"), [(1, 0.0, (3, 1)), (1, 0.0, (2, 2, 2, 2, 1)), (3, 0.04, (2, 1)), (3, 0.04, (3, 1))])
def test_the_best_of_several_equals_seldom_wins(seeds, spread, modes):
    """Each generation's better mode, and the first of all, are found on the examples that judge them, and all are equal.

    A plain difference, over bootstrapped seeds, named a win over the last generation in 5, 13, 6 and 11 % of these.
    """
    rng = np.random.default_rng([seeds, len(modes), int(100 * spread)])
    wins = 0
    for _ in range(SETS):
        found = [system(rows) for rows in hits(rng, 300, levels(rng, 0.8, spread, sum(modes), seeds))]
        groups = np.split(np.arange(len(found)), np.cumsum(modes)[:-1])
        best = [max((found[k] for k in group), key=lambda effect: effect.value) for group in groups]
        first = max(range(len(best)), key=lambda g: best[g].value)
        others = [g for g in range(len(best)) if g != first]
        claims = leads(best[first], [best[g] for g in others], modes[first], [modes[g] for g in others])
        watched = [lead for g, lead in zip(others, claims, strict=True) if g == len(modes) - 1]  # the last is as good as any: never beaten
        wins += any(lead.low > 0 for lead in watched)
    assert wins / SETS <= 0.03


def test_a_choice_is_paid_for_once_and_only_by_who_leads():
    rng = np.random.default_rng(0)
    first, near, far = (system(hits(rng, 800, [level])) for level in (0.8, 0.77, 0.5))
    plain = [difference_of(first, other) for other in (near, far)]
    free = leads(first, [near, far], 0, [1, 0])
    assert free[1] == plain[1]  # nothing else could have led over it: its own group's rows are not among them … and the near one's row is
    paid = leads(first, [near, far], 3, [2, 2])
    assert [lead.value for lead in paid] == [lead.value for lead in plain]
    assert all(lead.half > before.half for lead, before in zip(paid, plain, strict=True))
    turned = leads(near, [first], 5, [4])[0]
    assert turned == -leads(first, [near], 1, [9])[0] == difference_of(near, first)  # who is ahead was not chosen


def test_holm_stops_at_the_first_lead_that_may_be_chance():
    """A clear lead is never lost behind an unclear one, and none is told after one that is not."""
    rng = np.random.default_rng(1)
    first = system(hits(rng, 400, [0.82]))
    others = [system(hits(rng, 400, [level])) for level in (0.815, 0.79, 0.75, 0.7, 0.5)]
    claims = leads(first, others, 2, [2] * 5)
    order = sorted(range(5), key=lambda j: abs(difference_of(first, others[j]).value) / difference_of(first, others[j]).half, reverse=True)
    wins = [claims[j].excludes_zero for j in order]
    assert wins == sorted(wins, reverse=True) and wins[0] and not wins[-1]


def test_agrees_with_the_plain_bootstrap_where_that_holds():
    """One seed, many examples: of a ratio of sums that is no mean, the jackknife and the bootstrap tell the same."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 611)
    terms = cells(gold, answers(rng, gold, 0.7, 3), 3)
    ours = interval(terms, macro_f1, share=True)
    picks = rng.integers(0, 611, size=(2000, 611))
    plain = macro_f1(terms[0][picks].sum(1))
    assert ours.value == pytest.approx(macro_f1(terms[0].sum(0)))
    assert [ours.low, ours.high] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.005)


def test_a_ratio_has_the_variance_of_the_delta_method():
    rng = np.random.default_rng(1)
    nats, characters = rng.gamma(5, 300, 90), rng.integers(1500, 2500, 90)
    found = interval(np.stack([nats, characters], 1)[None], lambda sums: sums[..., 0] / sums[..., 1])
    ratio = nats.sum() / characters.sum()
    plain = np.sqrt(((nats - ratio * characters) ** 2).sum() / 89 * 90) / characters.sum()
    assert found.value == pytest.approx(ratio) and found.half == pytest.approx(t_quantile(0.95, 89) * plain, rel=0.02)


def test_one_seed_of_independent_examples_has_the_interval_of_wilson():
    gold, given = np.ones(200, int), np.arange(200) >= 30
    found = interval(right(gold, given), accuracy, share=True)
    known = proportion(170, 200)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-3)  # a t of 199 degrees is not quite normal
    assert (known.low, known.high) == pytest.approx((0.79395, 0.89287), abs=1e-4)  # statsmodels 0.14, proportion_confint, wilson


@pytest.mark.parametrize("share", [0, 1])
def test_all_or_nothing_right_has_a_width(share):
    """It was ± 0.0000."""
    for seeds in (1, 3):
        found = interval(right(np.ones(50, int), *[np.full(50, share)] * seeds), accuracy, share=True)
        assert found.value == share and 0.06 < found.high - found.low < 0.08 and found.seeds == seeds
        assert 0 <= found.low <= share <= found.high <= 1
    known = proportion(50 * share, 50)
    assert (known.low, known.high) == pytest.approx(((0, 0.07135), (0.92865, 1))[share], abs=1e-4)
    assert interval(right(np.ones(1, int), np.array([share])), accuracy, share=True).half > 0.3


def test_one_seed_says_that_it_holds_examples_alone():
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 2000)
    seeds = [answers(rng, gold, share, 2) for share in (0.6, 0.75, 0.9)]
    wide, narrow = interval(right(gold, *seeds), accuracy, share=True), interval(right(gold, seeds[1]), accuracy, share=True)
    assert (wide.seeds, narrow.seeds) == (3, 1) and wide.half > 0.2 > 0.02 > narrow.half > 0
    assert wide.value == pytest.approx(np.mean([np.mean(gold == row) for row in seeds]))
    assert difference(right(gold, *seeds), right(gold, seeds[1]), accuracy).seeds == 3
    assert narrow.as_dict() == {"value": narrow.value, "low": narrow.low, "high": narrow.high, "seeds": 1}


def test_paired_difference_is_narrower_than_two_intervals_and_zero_for_equals():
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 4, 500)
    one = answers(rng, gold, 0.75, 4)
    two = np.where(rng.random(500) < 0.04, gold, one)  # better on a few, equal elsewhere
    found = difference(right(gold, two), right(gold, one), accuracy, share=True)
    alone = interval(right(gold, one), accuracy, share=True)
    assert found.half < alone.half / 2
    assert found.value >= 0 and -found == Interval(-found.value, -found.high, -found.low)
    same = difference(right(gold, one), right(gold, one), accuracy, share=True)
    assert same.value == 0 and 0 < same.half < 0.005 and not same.excludes_zero
    odd = one.copy()
    odd[np.flatnonzero(one == gold)[:4]] += 1  # four answers of 500 differ, all one way: as likely by luck as 1 of 8
    assert not difference(right(gold, one), right(gold, odd % 5), accuracy, share=True).excludes_zero


def test_sums_in_small_portions_and_repeated_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    terms = rng.integers(1, 4, size=(2, 37, 2)).astype(np.float64)
    whole = effects(terms, accuracy)
    left_out = [[accuracy(np.delete(seed, k, axis=0).sum(0)) for k in range(37)] for seed in terms]
    plain = 36 * (whole.values[:, None] - left_out)
    np.testing.assert_allclose(whole.moves, plain - plain.mean(1, keepdims=True), atol=1e-9)
    monkeypatch.setattr(intervals, "_HELD", 2 * 7)
    np.testing.assert_allclose(effects(terms, accuracy).moves, whole.moves, atol=1e-12)


def test_a_measure_of_which_less_is_better_is_turned():
    rng = np.random.default_rng(5)
    ours, theirs = (effects(rng.gamma(3, size=(3, 60, 1)), lambda sums: sums[..., 0] / 60) for _ in range(2))
    assert difference_of(-ours, -theirs) == -difference_of(ours, theirs) == difference_of(theirs, ours)


def test_a_mean_of_shares_covers_the_truth_of_small_strata():
    """Of words with few occurrences of a sense; the strata's sizes stay as they are."""
    rng = np.random.default_rng(6)
    sizes, truth = np.array([2, 30, 7, 12]), np.array([0.9, 0.8, 0.6, 0.95])
    weights = np.array([0.25, 0.25, 0.25, 0.25])
    found = [mean_of_shares(rng.binomial(sizes, truth), sizes, weights) for _ in range(SETS)]
    assert 0.93 <= np.mean([i.low <= truth.mean() <= i.high for i in found]) <= 0.995
    assert mean_of_shares(np.array([30]), np.array([40]), np.ones(1)) == proportion(30, 40)
    certain = mean_of_shares(sizes, sizes, weights)
    assert certain.value == 1 and 0 < certain.low < 0.95 and certain.high == 1


def test_a_correlation_covers_the_truth():
    """Spearman's rho of two normal columns is known: 6/pi asin(r/2)."""
    rng = np.random.default_rng(7)
    covered, r = 0, 0.7
    for _ in range(SETS):
        x = rng.standard_normal(15)
        y = r * x + np.sqrt(1 - r * r) * rng.standard_normal(15)
        found = correlation(spearman(x, y), 15)
        covered += found.low <= 6 / np.pi * np.arcsin(r / 2) <= found.high
    assert 0.93 <= covered / SETS <= 0.99
    assert correlation(1.0, 3) == Interval(1.0, -1.0, 1.0)
    perfect = correlation(1.0, 30)
    assert 0.99 < perfect.low < 1 and perfect.high == 1.0


@pytest.mark.parametrize("degrees", [1, 2, 3.7, 10, 199, 5000, np.inf])
def test_quantiles_are_those_of_student(degrees):
    stats = pytest.importorskip("scipy.stats")
    for level in (0.5, 0.95, 0.999):
        assert t_quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=5e-4)


def test_refuses_answers_to_another_file():
    with pytest.raises(UsageError, match="answer the same file"):
        difference(np.ones((1, 3, 2)), np.ones((1, 4, 2)), accuracy)
    with pytest.raises(UsageError, match="one example or more"):
        interval(np.ones((1, 0, 2)), accuracy)
    for successes, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(UsageError, match=f"{successes} of {n} cases"):
            proportion(successes, n)
    assert all(a.low < b.low for a, b in pairwise(proportion(k, 20) for k in range(1, 21)))


@pytest.mark.parametrize("ties", [False, True])
def test_influences_of_pairs_are_those_of_leaving_them_out(ties):
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = 0.5 * x + rng.normal(size=400)
    x, y = (np.round(x, 1), np.round(y * 2)) if ties else (x, y)
    found = rank_effects(x, y)
    assert found.value == pytest.approx(spearman(x, y))
    without = [spearman(np.delete(x, k), np.delete(y, k)) for k in range(len(x))]
    jackknifed = (len(x) - 1) * (found.value - np.array(without))
    assert np.corrcoef(found.moves[0], jackknifed)[0, 1] > 0.999
    assert found.moves.std() == pytest.approx(jackknifed.std(), rel=0.03)


@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_the_difference_of_two_correlations_covers_the_truth(alike):
    """Two kinds of cosines, equally good, whose errors are alike or not: 5 % of differences at most are called real."""
    rng, called, halves = np.random.default_rng(1), 0, []
    for _ in range(400):
        people, shared = rng.normal(size=(2, 120))
        ours, theirs = (people + np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(size=120) for _ in range(2))
        gap = difference_of(rank_effects(ours, people), rank_effects(theirs, people))
        called, halves = called + gap.excludes_zero, [*halves, gap.half]
    assert called / 400 < 0.075
    assert np.mean(halves) < (0.07 if alike else 0.19)
