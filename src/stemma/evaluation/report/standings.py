"""Who stands where: every row of a comparison with its quality and cost, ranked, and what lies between two of them.

All contenders answered the same examples, so their difference is judged on the same draws of them (`bootstrap.difference`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from stemma.evaluation.comparison.results import Baseline, GenerationResults, Results, Rows
from stemma.evaluation.measures.bootstrap import Interval
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.report.wording import BASELINE_COLOUR, CONTROLS, in_mode
from stemma.tasks.table import make_task

Verdict = Literal["pays", "unclear", "harms", "budget too small"]  # of pre-training, held against its control


@dataclass(frozen=True)
class Contender:
    """One row of the comparison: who, how, how good, at what cost."""

    name: str  # of the generation or the baseline
    short: str
    long: str  # the same without abbreviation
    colour: str
    mode: str  # of transfer; empty for a baseline
    quality: Interval  # the task's primary metric
    cost: float  # CPU seconds of reading, pre-training and transfer together; where they are not known, seconds by the clock
    answers: tuple[Rows, ...]  # of each seed
    blind: bool = False  # a baseline that does not read

    @property
    def title(self) -> str:
        """The contender in words: `fine-tuned BERT`."""
        return in_mode(self.mode, self.short) if self.mode else self.long

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
        self.baselines = [_baseline(row, self.metric.name) for row in results.baselines if not row.missing]
        self.by_place = {contender.place: contender for contender in self.contenders}
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

    @cached_property
    def readers(self) -> list[Contender]:
        """The baselines that read what they answer, the best first."""
        return sorted((baseline for baseline in self.baselines if not baseline.blind), key=self.worth, reverse=True)

    @cached_property
    def frontier(self) -> list[Contender]:
        """What is worth its cost, the cheapest first: each is better than all that cost less."""
        best: list[Contender] = []
        for contender in sorted([*self.ranked, *self.readers], key=lambda c: (c.cost, -self.worth(c))):
            if not best or self.worth(contender) > self.worth(best[-1]):
                best.append(contender)
        return best

    def lead(self, ours: Contender, theirs: Contender) -> Interval:
        """How much better `ours` is than `theirs`, whatever the metric's direction; it excludes zero when that is more than chance."""
        pair = ours.place, theirs.place
        if pair not in self._known:
            found = self._judge.difference(ours.answers, theirs.answers)
            turned = found if self.metric.higher_is_better else Interval(-found.value, -found.high, -found.low)
            self._known[pair] = turned
        return self._known[pair]

    def beats(self, ours: Contender, theirs: Contender) -> bool:
        """True when `ours` is better by more than chance would make it."""
        return self.lead(ours, theirs).low > 0

    def ties(self, first: Contender, others: Sequence[Contender]) -> list[Contender]:
        """Those of the others whose difference from the first may be chance; what does not read ties with nobody."""
        return [other for other in others if other.place != first.place and not other.blind and not self.lead(first, other).excludes_zero]

    def unbeaten_floor(self, contender: Contender) -> Contender | None:
        """The baseline that answers without reading and that the contender is not clearly better than, if there is one."""
        return next((baseline for baseline in self.baselines if baseline.blind and not self.beats(contender, baseline)), None)

    def gain(self, name: str, mode: str) -> Interval | None:
        """What pre-training was worth to a generation in a mode: its lead over the control; None where one of the two is missing."""
        ours, control = self.by_place.get((name, mode)), self.by_place.get((name, CONTROLS.get(mode, "")))
        return self.lead(ours, control) if ours and control else None

    def verdict(self, generation: GenerationResults, mode: str) -> Verdict | None:
        """Whether pre-training paid in this mode; None without a control to hold it against."""
        gain = self.gain(generation.name, mode)
        if gain is None:
            return None
        if gain.low > 0:
            return "pays"
        if generation.pretrain and generation.pretrain.too_small:
            return "budget too small"
        return "harms" if gain.high < 0 else "unclear"

    @cached_property
    def _judge(self) -> Judge:
        task = self.results.task
        return Judge(make_task(task.kind), task.targets, task.gold)


def _contender(generation: GenerationResults, mode: str, metric: str) -> Contender:
    result = generation.modes[mode]
    before = generation.pretrain_cost if mode not in CONTROLS.values() else 0.0
    named = (generation.name, generation.short, generation.title, generation.colour)
    return Contender(*named, mode, result.measures[metric], before + result.cpu_seconds, result.answers)


def _baseline(row: Baseline, metric: str) -> Contender:
    cost = row.cpu_seconds or row.seconds
    return Contender(row.name, row.short, row.title, BASELINE_COLOUR, "", row.measures[metric], cost, row.answers, row.blind)
