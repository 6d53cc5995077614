"""Numbers that must lie within bounds: of settings, which `config` refuses outside them, and of arguments (`whole`, `real`)."""

import math
import operator
from numbers import Real
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from stemma.errors import UsageError

MOST_SEED = 2**63 - 1

MOST = 1 << 53  # whole numbers up to here are exact in JSON, and in 64 bits with room to reckon

Positive = Annotated[int, Gt(0), Le(MOST)]
Natural = Annotated[int, Ge(0), Le(MOST)]
PositiveFloat = Annotated[float, Gt(0), Lt(math.inf)]
NonNegative = Annotated[float, Ge(0), Lt(math.inf)]
Finite = Annotated[float, Gt(-math.inf), Lt(math.inf)]
Share = Annotated[float, Ge(0), Le(1)]
Seed = Annotated[int, Ge(0), Le(MOST_SEED)]
BelowOne = Annotated[float, Ge(0), Lt(1)]  # a share that leaves something: of dropout, of a mean that moves

# Sizes of networks. The bounds lie far beyond any machine: beyond them stand slips of the pen, which are refused before any work.
Width = Annotated[int, Gt(0), Le(1 << 17)]
WidthOrNone = Annotated[int, Ge(0), Le(1 << 17)]
Depth = Annotated[int, Gt(0), Le(1 << 10)]
DepthOrNone = Annotated[int, Ge(0), Le(1 << 10)]
Length = Annotated[int, Gt(0), Le(1 << 24)]
VocabSize = Annotated[int, Ge(0), Le(1 << 24)]
Order = Annotated[int, Gt(0), Le(255)]  # words of an n-gram: of the longest match, a byte is kept
Buckets = Annotated[int, Gt(0), Lt(1 << 31)]  # numbered by 32 bits


def whole(name: str, value: Any, least: int = 0, most: int | None = None, default: int | None = None) -> int:
    """The argument `name`, a whole number within its bounds; UsageError otherwise, the same for the command line and Python.

    >>> whole("k", 3, 1)
    3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        bounds = f"{least:,} or more" if most is None else f"from {least:,} to {most:,}"
        raise UsageError(f"{name} = {value!r}", f"a whole number, {bounds}", _cure(name, default))
    return number


def real(name: str, value: Any, least: float = 0.0, most: float = math.inf, above: bool = False, default: float | None = None) -> float:
    """As `whole`, of a finite number that may have a fraction; with `above` it must be more than `least`."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value > most or not (value > least if above else value >= least):
        bounds = f"above {least:g}" if above else f"{least:g} or more"
        bounds += "" if most == math.inf else f", {most:g} at most"
        raise UsageError(f"{name} = {value!r}", f"a number, {bounds}", _cure(name, default))
    return float(value)


def _cure(name: str, default: float | None) -> str:
    return f"set another {name}" if default is None else f"leave it out for the default, {default!r}"
