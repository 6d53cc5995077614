r"""The family tree of pre-trained language representations, alive.

>>> import stemma
>>> from pathlib import Path
>>> [row.name for row in stemma.LINEAGE if "fill" not in row.abilities]
['ngram', 'nnlm', 'word2vec', 'glove', 'lstm', 'elmo', 'seq2seq', 'transformer', 'gpt', 'gpt2']

One corpus, one call a stage. A run is a folder; what it can do stands in the lineage.

>>> _ = Path("corpus.txt").write_text("The cat sat on the mat.\nThe dog sat on the log.\n" * 50, encoding="utf-8")
>>> run = stemma.pretrain("ngram", "corpus.txt", out="runs/ngram", preset="tiny")
>>> likely, unlikely = run.score(["The cat sat on the log.", "Log the on sat cat the."])
>>> likely.nats < unlikely.nats
True
>>> stemma.load("runs/ngram").row.title
'n-gram language model, interpolated modified Kneser-Ney'

Every name below is imported when it is first used, so that `import stemma` needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemma.api import distill, distill_task, finetune, pretrain, zero_shot
    from stemma.config import VERSION as __version__
    from stemma.errors import BudgetError, DataError, Interrupted, MissingExtra, RunError, StemmaError, UsageError
    from stemma.evaluation.comparison.compare import compare
    from stemma.evaluation.comparison.demo import demo
    from stemma.export.opened import load
    from stemma.lineage.table import TABLE as LINEAGE
    from stemma.runs.decoding import Decoding
    from stemma.runs.fitted import FittedRun as Classifier
    from stemma.runs.run import Run
    from stemma.transfer.estimator import StemmaClassifier, StemmaRegressor

__all__ = [
    "LINEAGE",
    "BudgetError",
    "Classifier",
    "DataError",
    "Decoding",
    "Interrupted",
    "MissingExtra",
    "Run",
    "RunError",
    "StemmaClassifier",
    "StemmaError",
    "StemmaRegressor",
    "UsageError",
    "__version__",
    "compare",
    "demo",
    "distill",
    "distill_task",
    "finetune",
    "load",
    "pretrain",
    "zero_shot",
]

_PLACES = {
    "__version__": "stemma.config:VERSION",
    "LINEAGE": "stemma.lineage.table:TABLE",
    "compare": "stemma.evaluation.comparison.compare:compare",
    "demo": "stemma.evaluation.comparison.demo:demo",
    "Classifier": "stemma.runs.fitted:FittedRun",
    "Decoding": "stemma.runs.decoding:Decoding",
    "Run": "stemma.runs.run:Run",
    "load": "stemma.export.opened:load",
    **{name: f"stemma.transfer.estimator:{name}" for name in ("StemmaClassifier", "StemmaRegressor")},
    **{name: f"stemma.api:{name}" for name in ("distill", "distill_task", "finetune", "pretrain", "zero_shot")},
    **{name: f"stemma.errors:{name}" for name in __all__ if name.endswith(("Error", "Interrupted", "MissingExtra"))},
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'stemma' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
