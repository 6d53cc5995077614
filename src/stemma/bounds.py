"""Numbers of settings that must lie within bounds: `config` refuses values outside them."""

from typing import Annotated

from annotated_types import Ge, Gt, Le

Positive = Annotated[int, Gt(0)]
Natural = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
