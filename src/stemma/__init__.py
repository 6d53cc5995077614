"""The family tree of pre-trained language representations, alive.

>>> import stemma
>>> [row.name for row in stemma.LINEAGE if row.ready]
['ngram', 'word2vec', 'gpt', 'bert']

Every name below is imported when it is first used, so that `import stemma` needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stemma.errors import BudgetError, DataError, Interrupted, MissingExtra, RunError, StemmaError, UsageError
    from stemma.lineage.table import TABLE as LINEAGE

__all__ = ["LINEAGE", "BudgetError", "DataError", "Interrupted", "MissingExtra", "RunError", "StemmaError", "UsageError", "__version__"]

_PLACES = {
    "LINEAGE": "stemma.lineage.table:TABLE",
    **{name: f"stemma.errors:{name}" for name in __all__ if name.endswith(("Error", "Interrupted", "MissingExtra"))},
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'stemma' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
