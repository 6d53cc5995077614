"""Numbers of settings that must lie within bounds: `config` refuses values outside them."""

from math import inf
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

MOST = 1 << 53  # whole numbers up to here are exact in JSON, and in 64 bits with room to reckon

Positive = Annotated[int, Gt(0), Le(MOST)]
Natural = Annotated[int, Ge(0), Le(MOST)]
PositiveFloat = Annotated[float, Gt(0), Lt(inf)]
NonNegative = Annotated[float, Ge(0), Lt(inf)]
Share = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]  # a share that leaves something: of dropout, of a mean that moves

# Sizes of networks. The bounds lie far beyond any machine: beyond them stand slips of the pen, which are refused before any work.
Width = Annotated[int, Gt(0), Le(1 << 17)]
WidthOrNone = Annotated[int, Ge(0), Le(1 << 17)]
Depth = Annotated[int, Gt(0), Le(1 << 10)]
Length = Annotated[int, Gt(0), Le(1 << 24)]
VocabSize = Annotated[int, Ge(0), Le(1 << 24)]
Order = Annotated[int, Gt(0), Le(255)]  # words of an n-gram: of the longest match, a byte is kept
Buckets = Annotated[int, Gt(0), Lt(1 << 31)]  # numbered by 32 bits
