"""Values as JSON that every reader takes."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: a NaN or an infinity, which JSON lacks, becomes null.

    >>> dumps({"词": float("nan"), "pair": (1, 2.5)})
    '{"词":null,"pair":[1,2.5]}'
    """
    if indent is None:
        with contextlib.suppress(PydanticSerializationError):  # what is plain already, as most rows are, is written several times as fast
            return to_json(value, inf_nan_mode="null").decode()
    return json.dumps(plain(value), ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))


def plain(value: Any) -> Any:
    """Nested dataclasses, mappings, arrays and paths as JSON values."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # NumPy and torch, without importing either
        return plain(value.tolist())
    return str(value)
