"""Measures beside what needs no language model, and whether they are above it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.measures.judge import Judge
from stemma.tasks.task import Metric, Targets, Task

Found = dict[str, Any]


def judged(
    task: Task, targets: Targets, gold: np.ndarray, given: np.ndarray, plain: np.ndarray | None, how: str, chance: float = 0.0
) -> Found:
    """The metrics of the answers given, beside the `plain` ones, or, where there are none, beside the primary metric that is `chance`."""
    judge = Judge(task, targets, gold)
    found, first = judge.intervals([given]), judge.metrics[0]
    if plain is None:
        own = found[first.name]
        above = Interval(own.value - chance, own.low - chance, own.high - chance)
    else:
        chance, above = judge.values([plain])[0], judge.difference([given], [plain])
    if task.per == "target":  # BLEU and chrF are no shares, but lie within 0 and 100
        found = {name: replace(measure, low=max(0.0, measure.low), high=min(100.0, measure.high)) for name, measure in found.items()}
    return {"examples": len(gold), **beside(found, first, how, chance, above)}


def beside(found: Mapping[str, Interval], first: Metric, how: str, chance: float, above: Interval) -> Found:
    """The measures found; by the `first` of them what needs no language model, and how far the run is above it; the doubt if it is not."""
    if first.share:  # of few examples the interval is wider than there is room for
        above = replace(above, low=max(-1.0, above.low), high=min(1.0, above.high))
    doubt = "" if above.low > 0 else f"at chance at this scale: its {first.title} is not above that of {how}"
    return {
        "measures": {name: measure.as_dict() for name, measure in found.items()},
        "chance": {"how": how, "measure": first.name, "title": first.title, "share": first.share, "value": chance},
        "above_chance": above.as_dict(),
        "doubt": doubt,
    }
