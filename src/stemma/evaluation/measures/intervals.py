"""Intervals: 95 % intervals of any measure over examples and seeds, alone and for the difference of two systems.

A measure is a function of sums: each example has terms, such as (right, 1) for accuracy or (nats, characters) for bits per
character. How far an example moves the measure is found by leaving it out (the jackknife, Tukey 1958), for all examples at once.
Two things are left to luck, crossed: which examples were chosen, and which seeds were drawn. With S seeds of N examples

    variance = (over examples, of the mean over seeds) / N  +  (over seeds) / S  -  (of the interaction) / SN

since the interaction stands in both of the first two (Searle 1971, ch. 11), and it is read off a t distribution whose degrees of
freedom are Satterthwaite's (1946): near S - 1 where the seeds decide, near N - 1 where the examples do. Drawing three seeds anew
with replacement, as a bootstrap would, makes their variance a third too small and knows no t: it holds 84 % for 95 %.

A share between 0 and 1 has Wilson's interval (1927) with the number of independent examples that would have this variance, so 0
of n and n of n have a width too. A single seed says nothing of the luck of training: `Interval.seeds` says how many are in it.

Axes: S seeds, N examples, C terms, G strata.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stemma.errors import UsageError
from stemma.nouns import counted
from stemma.objectives.batch import generator

_LEVEL = 0.95
_HELD = 4_000_000  # sums with one example left out held at once: 32 MB
# Where one variance over few seeds decides, Satterthwaite finds too many degrees whenever the seeds lie close by luck: simulated, 95 %
# hold 93. Counting that variance with this factor, in the degrees alone, they hold 95 to 98.6; a difference of two has no need of it.
_FEW_SEEDS = 1.3

Measure = Callable[[np.ndarray], np.ndarray]  # summed terms (... C) -> values (...)


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure and the 95 % interval round it."""

    value: float
    low: float
    high: float
    seeds: int = 1  # trainings whose luck is in it; 1: it holds the luck of the examples alone

    @property
    def excludes_zero(self) -> bool:
        """True when the interval lies on one side of zero: of a difference, that it is real."""
        return self.low > 0 or self.high < 0

    @property
    def half(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2

    def overlaps(self, other: "Interval") -> bool:
        """True when the two intervals share a value."""
        return self.low <= other.high and other.low <= self.high

    def __neg__(self) -> "Interval":
        """Of the difference the other way round."""
        return Interval(-self.value, -self.high, -self.low, self.seeds)

    def as_dict(self) -> dict[str, float]:
        """JSON-able."""
        return {"value": self.value, "low": self.low, "high": self.high, "seeds": self.seeds}


@dataclass(frozen=True, slots=True)
class Effects:
    """A system's measure, seed by seed, and what each example does to it: all that its intervals and differences need."""

    values: np.ndarray  # (S)
    moves: np.ndarray  # (S N): what the measure would gain if all examples were as this one, to first order; means of 0
    share: bool  # the measure lies between 0 and 1

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.values.mean())

    def __neg__(self) -> "Effects":
        """Of the measure turned, so that more is better where less was."""
        return Effects(-self.values, -self.moves, self.share)


def effects(terms: np.ndarray, measure: Measure, share: bool = False) -> Effects:
    """The effects of the terms (S N C) of each seed and example on `measure`, which is a `share` or not."""
    if not terms.shape[1]:
        raise UsageError("answers to 0 examples", "answers to one example or more", "use a file with examples")
    found = [_without_each(seed, measure) for seed in terms]
    return Effects(np.array([value for value, _ in found]), np.stack([moves for _, moves in found]), share)


def interval(terms: np.ndarray, measure: Measure, share: bool = False) -> Interval:
    """The interval of `measure`, its mean over seeds, from the terms (S N C) of each seed and example.

    Of a single example, nothing is known of the luck: where the measure is no share, the interval then has no width.
    """
    return interval_of(effects(terms, measure, share))


def difference(ours: np.ndarray, theirs: np.ndarray, measure: Measure, share: bool = False) -> Interval:
    """The paired interval of measure(ours) - measure(theirs), each (S N C), of the same examples; seeds are paired with none."""
    return _gap(effects(ours, measure, share), effects(theirs, measure, share)).interval()


def interval_of(found: Effects) -> Interval:
    """The interval of one system's measure."""
    value, (variance, degrees) = found.value, _variance([found])
    quantile = t_quantile(_LEVEL, degrees)
    if not found.share:
        half = quantile * np.sqrt(variance)
        return Interval(value, float(value - half), float(value + half), len(found.values))
    examples = found.moves.size if variance else found.moves.shape[1]
    independent = min(value * (1 - value) / variance, examples) if variance else examples
    return _wilson(value, max(independent, 1.0), quantile, len(found.values))


def difference_of(ours: Effects, theirs: Effects) -> Interval:
    """How much more of the measure `ours` has than `theirs`, on the same examples."""
    return _gap(ours, theirs).interval()


def leads(first: Effects, others: Sequence[Effects], choices: int, rows: Sequence[int]) -> list[Interval]:
    """How much more `first` has than each of the others, where it was chosen for having the most: the choice is paid for.

    `choices` is the number of rows that the best one of its own group was chosen from, `rows` that of each other group; 0 of one
    that stood fixed. The best of several equals beats the others by luck, so a lead over a group is held to the level of the
    number of rows it could have come from: those of all other groups that are not yet beaten, the clearest leads first (Holm
    1979; Hsu 1984, comparisons with the best). The intervals say what those tests say: one that excludes zero is a win, and
    without a real lead over a group, 2.5 % of comparisons at most name one. Who is ahead of `first` was not chosen: no payment.
    """
    return leads_of([(first, other) for other in others], choices, rows)


def leads_of(pairs: Sequence[tuple[Effects, Effects]], choices: int, rows: Sequence[int]) -> list[Interval]:
    """As `leads`, where `first` stands beside each of the others on the examples that those two share."""
    gaps = [_gap(first, other) for first, other in pairs]
    ahead = sorted((j for j, gap in enumerate(gaps) if gap.value > 0), key=lambda j: gaps[j].chance)
    found = {j: gap.interval() for j, gap in enumerate(gaps) if gap.value <= 0}
    left, paid = choices + sum(rows), 0.0
    for j in ahead:
        paid = max(paid, max(left - rows[j], 1) * gaps[j].chance)
        found[j] = gaps[j].interval(paid / gaps[j].chance)
        left -= rows[j]
    return [found[j] for j in range(len(gaps))]


def ratio_effects(terms: np.ndarray) -> Effects:
    """The effects of examples (N 2) on the sum of the first terms over that of the second, of one system without seeds."""
    return effects(terms[None], lambda sums: sums[..., 0] / sums[..., 1])


def share_effects(hits: np.ndarray, weights: np.ndarray) -> Effects:
    """The effects of examples, 1 right or 0 wrong (N), on the share of the `weights` (N) that is right."""
    return effects(np.stack([hits * weights, weights], axis=-1)[None], lambda sums: sums[..., 0] / sums[..., 1], share=True)


def rank_effects(x: np.ndarray, y: np.ndarray) -> Effects:
    """The effects of pairs (N) of numbers on Spearman's rho: its influence function (Croux & Dehon 2010, section 2), ties halved."""
    left, right = (_midranks(values) / len(values) - 0.5 for values in (x, y))
    scale = np.sqrt((left @ left) * (right @ right)) / len(x)
    moves = (left * right + _mean_above(x, right) + _mean_above(y, left)) / scale
    return Effects(np.array([left @ right / len(x) / scale]), (moves - moves.mean())[None], share=False)


def area_effects(scores: np.ndarray, positive: np.ndarray) -> Effects:
    """The effects of examples on the area under the ROC curve of their scores (N), by DeLong's placements (1988), ties halved.

    It is the share of pairs of a positive (bool, N) and a negative example of which the positive one has the higher score.
    """
    _, place = np.unique(scores, return_inverse=True)
    above, below = np.bincount(place, positive), np.bincount(place, ~positive)
    passed = (below.cumsum() - below / 2)[place] / below.sum()  # of a positive example: the share of negative ones below it
    beaten = (above[::-1].cumsum()[::-1] - above / 2)[place] / above.sum()
    each, ours = np.where(positive, passed, beaten), np.where(positive, above.sum(), below.sum())
    area = float(passed[positive].mean())
    return Effects(np.array([area]), ((each - area) * len(scores) / ours)[None], share=True)


def proportion(successes: int, n: int) -> Interval:
    """Wilson's interval of `successes` of `n` independent cases; it has a width at 0 of n and n of n too.

    >>> round(proportion(0, 10).high, 3)
    0.278
    """
    if not 0 <= successes <= n or not n:
        raise UsageError(
            f"{successes} of {counted(n, 'case')}", "at least one case, and no more successes than cases", "leave out what was not asked"
        )
    return _wilson(successes / n, n, t_quantile(_LEVEL, np.inf), 1)


def mean_of_shares(successes: np.ndarray, sizes: np.ndarray, weights: np.ndarray) -> Interval:
    """The interval of the weighted mean of the shares `successes / sizes` of strata (G); the weights sum to one.

    Each stratum's variance is that of its share with one success and one failure more, so that small and certain strata have
    one too.
    """
    value, drawn = float(weights @ (successes / sizes)), (successes + 1) / (sizes + 2)
    variance, level = float(weights**2 @ (drawn * (1 - drawn) / sizes)), float(weights @ drawn)
    return _wilson(value, level * (1 - level) / variance, t_quantile(_LEVEL, np.inf), 1)


def mean_of(values: np.ndarray) -> Interval:
    """The interval of the mean of a few numbers (S), one a seed (Student 1908); of a single one nothing is known, and it has no width."""
    value, seeds = float(values.mean()), len(values)
    half = t_quantile(_LEVEL, seeds - 1) * float(values.std(ddof=1)) / np.sqrt(seeds) if seeds > 1 else 0.0
    return Interval(value, float(value - half), float(value + half), seeds)


def correlation(rho: float, n: int) -> Interval:
    """The interval of Spearman's rho of `n` pairs, on Fisher's scale (Bonett & Wright 2000, eq. 3); all of it for three pairs.

    A rho of 1 or -1 counts as half a step of ranks below it.
    """
    if n <= 3:
        return Interval(rho, -1.0, 1.0)
    bound = 1 - 6 / (n * (n * n - 1))
    middle, half = np.arctanh(np.clip(rho, -bound, bound)), t_quantile(_LEVEL, np.inf) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return Interval(rho, float(np.tanh(middle - half)), max(rho, float(np.tanh(middle + half))))


@lru_cache(maxsize=4096)
def t_quantile(level: float, degrees: float) -> float:
    """How far from its middle Student's t, of so many degrees of freedom (1 or more), holds the share `level` of its mass.

    With infinitely many degrees it is the normal distribution. The relative error is below 5e-4 for levels up to 0.999.
    """
    angles, mass = _angles(degrees)
    return float(np.sqrt(min(degrees, _NORMAL)) * np.tan(np.interp(level, mass, angles)))


_NORMAL = 20_000.0  # degrees from which t is normal to four digits


def _t_chance(far: float, degrees: float) -> float:
    """The share of Student's t that lies further from its middle than `far`."""
    angles, mass = _angles(degrees)
    outside = 1 - np.interp(np.arctan(far / np.sqrt(min(degrees, _NORMAL))), angles, mass)
    return max(float(outside), 1e-12)  # beyond that, of no matter; and it is divided by


@lru_cache(maxsize=256)
def _angles(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Angles a with t = sqrt(degrees) tan(a), whose density is cos(a)^(degrees - 1), and the mass up to each."""
    power = min(degrees, _NORMAL) - 1
    angles = np.linspace(0, min(np.pi / 2, 12 / np.sqrt(power + 1)), 3001)  # beyond 12 deviations there is no mass
    density = np.cos(angles) ** power
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return angles, mass / mass[-1]


@dataclass(frozen=True, slots=True)
class _Gap:
    """A difference, its variance and the degrees of freedom of that."""

    value: float
    variance: float
    degrees: float
    seeds: int

    @property
    def chance(self) -> float:
        """How often a difference so far from zero comes about when there is none."""
        return _t_chance(abs(self.value) / np.sqrt(self.variance), self.degrees) if self.variance else 1.0

    def interval(self, payment: float = 1.0) -> Interval:
        """The interval; with a payment, wider: it misses that many times less often than 95 % would."""
        half = t_quantile(1 - (1 - _LEVEL) / payment, self.degrees) * float(np.sqrt(self.variance))
        return Interval(self.value, self.value - half, self.value + half, self.seeds)


def _gap(ours: Effects, theirs: Effects) -> _Gap:
    sizes = sorted({ours.moves.shape[1], theirs.moves.shape[1]})
    if len(sizes) > 1:
        wrong = f"answers to {sizes[0]} and {counted(sizes[1], 'example')}"
        raise UsageError(wrong, "answers to the same examples", "answer the same file")
    return _Gap(ours.value - theirs.value, *_variance([ours, theirs]), max(len(ours.values), len(theirs.values)))


def _variance(systems: Sequence[Effects]) -> tuple[float, float]:
    """The variance of a system's measure, or of the difference of two, and its degrees of freedom.

    Of a share, a difference counts one example more that is answered otherwise: of few that are, all on one side by luck, the
    variance would be too small (Agresti & Min 2005).
    """
    examples = systems[0].moves.shape[1]
    if examples < 2:
        return (1.0 if systems[0].share and len(systems) > 1 else 0.0), 1.0
    per_example = systems[0].moves.mean(0) - sum(system.moves.mean(0) for system in systems[1:])  # (N)
    squares = float(((per_example - per_example.mean()) ** 2).sum())
    if len(systems) > 1 and systems[0].share:
        squares += 1 / max(len(system.values) for system in systems)
    over_examples = squares / (examples * (examples - 1))
    drawn = [_over_seeds(system) for system in systems if len(system.values) > 1]
    variance = over_examples + sum(max(seeds - interaction, 0.0) for seeds, interaction, _ in drawn)
    caution = _FEW_SEEDS if len(drawn) == 1 else 1.0
    doubt = over_examples**2 / (examples - 1) + sum((caution * seeds) ** 2 / degrees for seeds, _, degrees in drawn)
    fewest = min([examples - 1, *(degrees for *_, degrees in drawn)])
    return variance, max(variance**2 / doubt, fewest) if doubt else examples - 1


def _over_seeds(system: Effects) -> tuple[float, float, int]:
    """The variance over seeds and that of the interaction, both of the mean, and the degrees of freedom of the first."""
    seeds, examples = system.moves.shape
    rest = system.moves - system.moves.mean(0) - system.moves.mean(1, keepdims=True) + system.moves.mean()
    interaction = float((rest**2).sum()) / ((seeds - 1) * (examples - 1) * seeds * examples)
    return float(system.values.var(ddof=1)) / seeds, interaction, seeds - 1


def _without_each(terms: np.ndarray, measure: Measure) -> tuple[float, np.ndarray]:
    """The measure of terms (N C), and how far each example moves it (N)."""
    total, examples = terms.sum(0, dtype=np.float64), len(terms)
    value = float(measure(total))
    if examples == 1:
        return value, np.zeros(1)
    rows, which = _alike(terms)
    step = max(1, _HELD // terms.shape[1])
    parts = [measure((total - rows[start : start + step]) * (examples / (examples - 1))) for start in range(0, len(rows), step)]
    moves = (examples - 1) * (value - np.concatenate(parts))[which]
    return value, moves - moves.mean()


def _alike(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of terms (N C), and which of them each example has (N)."""
    mix = generator("alike").random(terms.shape[1])  # rows differ when their sums with these weights do; sorting whole rows is slow
    step = max(1, _HELD // terms.shape[1])
    keys = [terms[start : start + step].astype(np.float64) @ mix for start in range(0, len(terms), step)]
    _, first, which = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    return terms[first].astype(np.float64), which.reshape(-1)


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from a half up, ties sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - count / 2)[place]


def _mean_above(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """For each value the sum of `of` over greater values and half of that over equal ones, divided by the number of all."""
    _, place = np.unique(values, return_inverse=True)
    sums = np.bincount(place, of)
    return (sums[::-1].cumsum()[::-1] - sums / 2)[place] / len(values)


def _wilson(value: float, n: float, quantile: float, seeds: int) -> Interval:
    """Wilson 1927: the shares that are no further than `quantile` of their own standard errors from the one seen, of n cases."""
    extra = quantile**2 / n
    middle, half = (value + extra / 2) / (1 + extra), quantile * np.sqrt(value * (1 - value) / n + extra / (4 * n)) / (1 + extra)
    return Interval(value, max(0.0, min(value, float(middle - half))), min(1.0, max(value, float(middle + half))), seeds)
