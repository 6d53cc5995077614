"""The report's section on errors: which labels are taken for which, and examples with what each generation answered."""

from collections.abc import Sequence
from html import escape

import numpy as np

from stemma.evaluation.comparison.results import TaskFiles
from stemma.evaluation.measures.judge import Judge, as_array
from stemma.evaluation.report import tables
from stemma.evaluation.report.standings import Contender, Standings
from stemma.evaluation.report.wording import whole
from stemma.nouns import counted
from stemma.tasks.scores import confusion

SHOWN = 10  # examples
WIDEST = 12  # labels that a confusion matrix has at most
LONGEST = 160  # characters of an answer


def errors(standings: Standings) -> str:
    """The section's HTML; nothing where no generation answered."""
    task, ranked = standings.results.task, standings.ranked
    if not ranked or not task.gold:
        return ""
    return _confused(task, ranked[0]) + _examples(task, ranked, standings.judge)


def _confused(task: TaskFiles, first: Contender) -> str:
    """The confusion matrix of the first generation's answers of all seeds; nothing for tasks without labels, or with too many."""
    gold, answers = as_array(task.gold), [as_array(seed) for seed in first.answers]
    if not 1 < len(task.labels) <= WIDEST or gold.dtype.kind not in "iu" or gold.ndim != 1:
        return ""
    cells = np.stack([confusion(gold, seed, len(task.labels)) for seed in answers]).sum(0)
    shares = cells / np.maximum(cells.sum(1, keepdims=True), 1)
    rows = []
    for label, own, share in zip(task.labels, cells, shares, strict=True):
        shown = "".join(
            f'<td class="number" style="background:color-mix(in srgb, {first.colour} {60 * part:.0f}%, transparent)">'
            f"{whole(int(count))}</td>"
            for count, part in zip(own, share, strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{shown}</tr>')
    lead = f"What {escape(first.short)} answers (columns) where another is right (rows), over {counted(len(answers), 'seed')}."
    head = ["Right", *(f"#{label}" for label in task.labels)]
    return f'<p class="lead">{lead}</p>{tables.table(head, rows, "Confusion matrix")}'


def _examples(task: TaskFiles, ranked: Sequence[Contender], judge: Judge) -> str:
    """The dev examples that the generations, each in its better mode, do worst on, with what each answered first."""
    if not task.texts:
        return ""
    kind, firsts = judge.task, [contender.answers[0] for contender in ranked]
    quality = _quality(task, kind.measures(judge.terms(firsts), task.targets))  # of (generations, N, C)
    worst = np.argsort(quality, kind="stable")[: min(SHOWN, len(quality))]
    right = kind.named(judge.gold, task.targets)
    answered = [kind.named(as_array(answers), task.targets) for answers in firsts]
    rows = []
    for place in worst.tolist():
        cells = "".join(f"<td>{_cut(answers[place])}</td>" for answers in answered)
        rows.append(f'<tr><td class="long">{escape(task.texts[place])}</td><td>{_cut(right[place])}</td>{cells}</tr>')
    head = ["Example of the dev file", "Right", *(contender.short for contender in ranked)]
    lead = f"The {counted(len(worst), 'example')} that the generations, each in its better mode and with its first seed, do worst on."
    return f'<p class="lead">{lead}</p>{tables.table(head, rows, "Errors by example")}'


def _quality(task: TaskFiles, found: dict[str, np.ndarray]) -> np.ndarray:
    """How well each example (N) is answered, the mean over generations, by the first metric that tells single examples apart."""
    for metric in task.metrics:
        values: np.ndarray = metric.sign * found[metric.name].mean(0)
        if np.ptp(values):
            return values
    return values


def _cut(text: str) -> str:
    return escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
