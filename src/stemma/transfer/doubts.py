"""What to doubt in the figures of a fine-tuning: examples of dev that were learnt from, and answers that need no learning."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stemma.nouns import counted, noun
from stemma.tasks.task import Task

REPORTED_FROM = 0.01  # share of the dev examples that may have stood in training unreported: chance repeats short texts
SURE = 2.0  # standard errors between a figure and what needs no learning


class DevDoubt(UserWarning):
    """Figures on dev say less than they seem to; a comparison says it once for all its generations."""


def repeats_warning(task: Task, train: Sequence[Any], dev: Sequence[Any]) -> str:
    """That dev examples stand word for word among the training examples, where more than 1 in 100 do; else empty."""
    learnt = {(text.text, text.other, text.candidates) for text in task.texts(train)}
    again = sum((text.text, text.other, text.candidates) in learnt for text in task.texts(dev))
    if again <= REPORTED_FROM * len(dev):
        return ""
    repeats = f"{again:,} of {counted(len(dev), 'dev example')} ({again / len(dev):.0%}) {noun(again, 'stands', 'stand')} word for word"
    return f"{repeats} among the training examples: the figures on dev praise what was learnt by heart; hold out examples of their own"


def floor_warning(facts: Mapping[str, Any]) -> str:
    """That the run is no better, or not surely, than what needs no learning (`facts["floor"]`); else empty."""
    least = facts.get("floor")  # runs of earlier versions have none
    if not least:
        return ""
    metric, reached, value = facts["metrics"][0], least["reached"], least["value"]
    if not metric["higher_is_better"]:
        return ""
    luck = math.sqrt(max(0.0, value * (1 - value)) / least["examples"]) if metric["share"] else least.get("error", 0.0)
    error = SURE * luck
    if reached > value and reached >= value + error:
        return ""
    how = "no better" if reached <= value + 1e-9 else "not surely better"
    easy = least.get("how") or f"always answering {least['answer']!r}"
    return f"{how} than {easy} ({metric['title']} {value:.4f} on {counted(least['examples'], least['of'])})"
