"""What to doubt in the figures of a fine-tuning: examples of dev that were learnt from. Of the run itself, see `runs.doubts`."""

from collections.abc import Sequence
from typing import Any

from stemma.nouns import counted, noun
from stemma.tasks.task import Task

REPORTED_FROM = 0.01  # share of the dev examples that may have stood in training unreported: chance repeats short texts


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
