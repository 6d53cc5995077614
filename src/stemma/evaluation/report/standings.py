"""Who stands where: every row of a comparison with its quality and cost, ranked, and what lies between two of them.

All contenders answered the same examples, so their difference is judged on the same draws of them (`bootstrap.difference`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from stemma.evaluation.comparison.results import GenerationResults, Results, Rows
from stemma.evaluation.measures.bootstrap import Interval
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.report.wording import BASELINE_COLOUR, CONTROLS, in_mode
from stemma.tasks.table import make_task


@dataclass(frozen=True)
class Contender:
    """One row of the comparison: who, how, how good, at what cost."""

    name: str  # of the generation or the baseline
    short: str
    colour: str
    mode: str  # of transfer; empty for a baseline
    quality: Interval  # the task's primary metric
    seconds: float  # pre-training and transfer together
    answers: tuple[Rows, ...]  # of each seed
    blind: bool = False  # a baseline that does not read

    @property
    def title(self) -> str:
        """The contender in words: `fine-tuned BERT`."""
        return in_mode(self.mode, self.short) if self.mode else self.short

    @property
    def place(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.name, self.mode


class Standings:
    """The contenders of a comparison, and their differences in the task's primary metric."""

    def __init__(self, results: Results) -> None:
        self.results, self.metric = results, results.task.metric
        self.contenders = [
            _contender(generation, mode, self.metric.name) for generation in results.generations for mode in generation.modes
        ]
        self.pretrained = [contender for contender in self.contenders if contender.mode not in CONTROLS.values()]
        self.baselines = [
            Contender(row.name, row.title, BASELINE_COLOUR, "", row.measures[self.metric.name], row.seconds, row.answers, row.blind)
            for row in results.baselines
            if not row.missing
        ]
        self._known: dict[tuple[tuple[str, str], tuple[str, str]], Interval] = {}

    def worth(self, contender: Contender) -> float:
        """Its quality, counted so that more is better."""
        return self.metric.sign * contender.quality.value

    @cached_property
    def ranked(self) -> list[Contender]:
        """The better pre-trained mode of each generation, the best generation first."""
        best: dict[str, Contender] = {}
        for contender in self.pretrained:
            if contender.name not in best or self.worth(contender) > self.worth(best[contender.name]):
                best[contender.name] = contender
        return sorted(best.values(), key=self.worth, reverse=True)

    def lead(self, ours: Contender, theirs: Contender) -> Interval:
        """How much better `ours` is than `theirs`, whatever the metric's direction; a tie does not exclude zero."""
        pair = ours.place, theirs.place
        if pair not in self._known:
            found = self._judge.difference(ours.answers, theirs.answers)
            turned = found if self.metric.higher_is_better else Interval(-found.value, -found.high, -found.low)
            self._known[pair] = turned
        return self._known[pair]

    def ties(self, first: Contender, others: Sequence[Contender]) -> list[Contender]:
        """Those of the others whose difference from the first may be chance."""
        return [other for other in others if other.place != first.place and not self.lead(first, other).excludes_zero]

    @cached_property
    def _judge(self) -> Judge:
        task = self.results.task
        return Judge(make_task(task.kind), task.targets, task.gold)


def _contender(generation: GenerationResults, mode: str, metric: str) -> Contender:
    result = generation.modes[mode]
    before = generation.pretrain.seconds if generation.pretrain and mode not in CONTROLS.values() else 0.0
    quality, seconds = result.measures[metric], before + result.seconds
    return Contender(generation.name, generation.short, generation.colour, mode, quality, seconds, result.answers)
