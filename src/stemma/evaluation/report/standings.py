"""Who stands where: every row of a comparison with its quality and cost, ranked, and what lies between two of them.

All contenders answered the same examples, so their differences are paired, example by example. The first of all was chosen for its
figures, among the modes of its generation and among generations: its leads pay for that (`intervals.leads`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from stemma.evaluation.comparison.results import Baseline, GenerationResults, Lead, Results, Rows
from stemma.evaluation.measures.intervals import Effects, Interval, difference_of, leads
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.report.wording import BASELINE_COLOUR, CONTROLS, in_mode
from stemma.tasks.table import make_task

Verdict = Literal["pays", "unclear", "harms", "budget too small"]  # of pre-training, held against its control
Place = tuple[str, str]  # a contender's name and mode


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
    def place(self) -> Place:
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
        self._known: dict[tuple[Place, Place], Interval] = {}
        self._effects: dict[Place, Effects] = {}

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
        """How much better `ours` is than `theirs`, whatever the metric's direction; it excludes zero when that is more than chance.

        Leads of the first over other generations and baselines pay for its choice; any two other rows are judged as if named beforehand.
        """
        pair = ours.place, theirs.place
        if pair not in self._known:
            self._known[pair] = self._of_first.get(pair) or difference_of(self._effect(ours), self._effect(theirs))
        return self._known[pair]

    def beats(self, ours: Contender, theirs: Contender) -> bool:
        """True when `ours` is better by more than chance would make it."""
        return self.lead(ours, theirs).low > 0

    @cached_property
    def leads(self) -> tuple[Lead, ...]:
        """The first over the better mode of each other generation and over each baseline."""
        if not self.ranked:
            return ()
        first, *others = [*self.ranked, *self.baselines]
        return tuple(Lead(first.name, first.mode, other.name, other.mode, self.lead(first, other)) for other in others)

    def ties(self, first: Contender, others: Sequence[Contender]) -> list[Contender]:
        """Those of the others whose difference from the first may be chance; what does not read ties with nobody."""
        return [other for other in others if other.place != first.place and not other.blind and not self.lead(first, other).excludes_zero]

    @cached_property
    def unbeaten_floor(self) -> Contender | None:
        """The baseline that answers without reading and that no generation is clearly better than, if there is one.

        The first may lead it by less than its seeds differ, and another clearly; which one does was chosen from all rows.
        """
        return next((b for b in self.baselines if b.blind and not any(self._clears(contender, b) for contender in self.ranked)), None)

    def _clears(self, contender: Contender, floor: Contender) -> bool:
        if contender is self.ranked[0]:
            return self.beats(contender, floor)
        return leads(self._effect(contender), [self._effect(floor)], len(self.pretrained), [0])[0].low > 0

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
    def _of_first(self) -> dict[tuple[Place, Place], Interval]:
        """The leads of the first that pay for its choice, and the same the other way round."""
        if not self.ranked:
            return {}
        first, *others = [*self.ranked, *self.baselines]
        rows = Counter(contender.name for contender in self.pretrained)  # of each generation; of a baseline 0, it was not chosen
        found = leads(self._effect(first), [self._effect(other) for other in others], rows[first.name], [rows[o.name] for o in others])
        ahead = {(first.place, other.place): lead for other, lead in zip(others, found, strict=True)}
        return ahead | {(theirs, ours): -lead for (ours, theirs), lead in ahead.items()}

    def _effect(self, contender: Contender) -> Effects:
        if contender.place not in self._effects:
            self._effects[contender.place] = self.judge.effects(contender.answers)
        return self._effects[contender.place]

    @cached_property
    def judge(self) -> Judge:
        """What measures answers to the dev examples."""
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
