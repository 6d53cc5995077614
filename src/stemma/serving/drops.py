"""How much worse an engine is than the run itself: on the user's own file, by the measure that the run is for.

A run that has learnt a task is judged by the task's first metric, one that translates by BLEU, one that writes on by the nats that a token
of the text costs it, and all others by the lowest cosine between both vectors of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stemma.export.onnx_int8 import texts_of
from stemma.objectives.batch import generator
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run, unit
from stemma.serving.ctranslate2_runs import WritingRun
from stemma.serving.engines import AnyRun, Work
from stemma.tasks.table import make_task
from stemma.tasks.task import Metric, Targets, Task
from stemma.tasks.translate import Target

READ = 512  # sentences of a text that are judged by, at most
COSINE, NATS = Metric("cosine", "lowest cosine"), Metric("nats", "nats a token", higher_is_better=False)


@dataclass(frozen=True)
class Drop:
    """The run's own value of a measure, and the engine's."""

    metric: Metric
    before: float
    after: float

    @property
    def worse(self) -> float:
        """By how much; below 0 it is better."""
        return self.before - self.after if self.metric.higher_is_better else self.after - self.before

    def __str__(self) -> str:
        return f"{self.metric.title} {self.before:.4f}, by this engine {self.after:.4f}: {self.worse:+.4f} worse"

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {"measure": self.metric.name, "before": self.before, "after": self.after, "drop": self.worse}


def drop(run: AnyRun, other: AnyRun, dev: Path, work: Work) -> Drop:
    """What `other`, the same run as an engine computes it, loses on a file: of the run's task, of pairs, or of text."""
    if isinstance(run, FittedRun):
        examples = run.task.read(dev, learning=False)
        gold = run.task.gold(examples, run.targets)
        return _scored(run.task, run.targets, gold, *([*own.answers(examples)] for own in (run, other)))  # type: ignore[union-attr]
    assert isinstance(other, Run), "an engine makes of a run one of its kind"
    if work == "read":
        sentences = texts_of(dev)
        chosen = [sentences[place] for place in np.sort(generator("drop").permutation(len(sentences))[:READ])]
        ours, theirs = (unit(own.embed(chosen)) for own in (run, other))
        read = ours.any(1)
        return Drop(COSINE, 1.0, float((ours * theirs).sum(1)[read].min(initial=1.0)))
    if isinstance(other, WritingRun):
        before, after = other.nats(texts_of(dev)[:READ])
        return Drop(NATS, before, after)
    task: Any = make_task("translate")
    pairs = task.read(dev, learning=False)
    if run.config["objective"].get("reverse"):  # it writes the first text of a pair
        pairs = [replace(pair, source=pair.target, target=pair.source) for pair in pairs]
    targets = task.targets(pairs)
    found = ([Target(best.text, best.log_prob) for best, *_ in own.translations([pair.source for pair in pairs])] for own in (run, other))
    return _scored(task, targets, task.gold(pairs, targets), *found)


def _scored(task: Task, targets: Targets, gold: np.ndarray, ours: Sequence[Any], theirs: Sequence[Any]) -> Drop:
    metric = task.metrics(targets)[0]
    before, after = (float(task.score(gold, answers, targets)[metric.name]) for answers in (ours, theirs))
    return Drop(metric, before, after)
