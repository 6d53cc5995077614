"""The report's section on the task without training: what each generation answers before it has learnt it, beside chance."""

from collections.abc import Callable
from html import escape

from stemma.evaluation.comparison.results import GenerationResults, Results, Untaught
from stemma.evaluation.report import tables
from stemma.evaluation.report.wording import capital, percent, whole
from stemma.nouns import noun


def zero_shot(results: Results) -> str:
    """The section's HTML; nothing where no run was asked."""
    asked = [generation for generation in results.generations if generation.zero_shot]
    found = [tests.found for generation in asked if (tests := generation.zero_shot) and tests.found]
    if not found:
        return ""
    return f'<p class="lead">{_lead(found[0])}</p>{_table(asked, found[0])}'


def _lead(first: Untaught) -> str:
    examples = f"{tables.figure(first.examples, whole)} {noun(first.examples, 'example')}"
    posed = f" put as {escape(repr(first.template))}" if first.template else ""
    show, by_lot = _shown(first), first.chance.by_lot
    plain = f"{escape(first.chance.how)}, gets {tables.figure(first.chance.value, show)}"
    lot = f" (choosing by lot gets {tables.figure(by_lot, show)})" if by_lot is not None else ""
    return (
        f"{examples} of the dev file{posed}, to each run as pre-training left it: no label was learnt. What needs no language model, "
        f"{plain}{lot}. A run is above chance where all of the interval of the difference is."
    )


def _table(asked: list[GenerationResults], first: Untaught) -> str:
    rows = []
    for generation in asked:
        tests = generation.zero_shot
        found = tests.found if tests else None
        cells = _cells(found) if found else f'<td colspan="4" class="none">{escape(tests.why_not) if tests else ""}</td>'
        rows.append(f"<tr>{tables.name_cell(generation)}{cells}</tr>")
    title = capital(first.chance.title) + ", %" * first.chance.share
    head = ["Representation", f"#{title}", "#More than chance", "Above chance", "How it answers"]
    return tables.table(head, rows, "The task without training")


def _cells(found: Untaught) -> str:
    figures = (found.measures[found.chance.measure], found.above_chance)
    numbers = "".join(tables.number_cell(tables.measure(value, _shown(found))) for value in figures)
    return f'{numbers}<td>{"no" if found.doubt else "yes"}</td><td class="long">{escape(found.way)}</td>'


def _shown(found: Untaught) -> Callable[[float], str]:
    return percent if found.chance.share else lambda value: f"{value:.3g}"
