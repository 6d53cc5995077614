"""The interval of a share, such as 3 right of 4, and of a mean of shares, without resampling: the bootstrap's has no length at 4 of 4."""

import math
from collections.abc import Sequence

from stemma.evaluation.measures.bootstrap import Interval

Z = 1.959963984540054  # of a normal distribution: 95 % lie within


def wilson(right: int, number: int) -> Interval:
    """The share with Wilson's 95 % score interval (Wilson 1927), which has a length at none and at all of `number` (1 or more) too.

    >>> found = wilson(10, 10)
    >>> found.value, round(found.low, 4), found.high
    (1.0, 0.7225, 1.0)
    """
    share, square = right / number, Z**2 / number
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / number + square / number / 4)
    low = 0.0 if right == 0 else middle - half
    return Interval(share, low, 1.0 if right == number else middle + half)


def mean_share(shares: Sequence[Interval]) -> Interval:
    """The mean of independent shares, each counting once, with the interval that their own ones imply.

    Their distances from the shares add up in squares (Zou, Huang & Zhang 2009, on linear functions of binomial proportions).

    >>> found = mean_share([wilson(10, 10), wilson(5, 10)])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.75, 0.559, 0.882)
    """
    below, above = (math.hypot(*(getattr(share, side) - share.value for share in shares)) for side in ("low", "high"))
    value = sum(share.value for share in shares) / len(shares)
    return Interval(value, value - below / len(shares), value + above / len(shares))
