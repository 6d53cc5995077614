"""The report's section on minimal pairs: in which share of them each generation holds the good sentence for the likelier one."""

from collections.abc import Sequence
from html import escape

from stemma.evaluation.comparison.results import GenerationResults, Results, SentencesScored
from stemma.evaluation.report import tables
from stemma.evaluation.report.wording import whole
from stemma.nouns import noun

Scored = tuple[GenerationResults, SentencesScored]


def minimal(results: Results) -> str:
    """The section's HTML; nothing where no pairs were given."""
    tested = [generation for generation in results.generations if generation.minimal]
    scored = [(generation, tests.found) for generation in tested if (tests := generation.minimal) and tests.found]
    if not scored:
        return ""
    by_phenomenon = f"<details><summary>Phenomenon by phenomenon</summary>{_by_phenomenon(scored)}</details>"
    return f'<p class="lead">{_lead(scored)}</p>{_overall(tested)}{by_phenomenon}'


def _lead(scored: Sequence[Scored]) -> str:
    first = scored[0][1]
    pairs = f"{tables.figure(first.total.pairs, whole)} {noun(first.total.pairs, 'pair')} of sentences"
    kinds = noun(len(first.phenomena), "phenomenon", "phenomena")
    drawn = f", drawn by lot from {tables.figure(first.given, whole)}," if first.given > first.total.pairs else ""
    return (
        f"{pairs}{drawn} that differ in one thing, of {tables.figure(len(first.phenomena), whole)} {kinds}; one sentence of each pair "
        "is good. The share of pairs in which it is the likelier one: guessing gets 50 %, and equally likely sentences are not right. "
        "What reads left to right weighs sentences by their probability, what fills masks by its pseudo-log-likelihood."
    )


def _overall(tested: Sequence[GenerationResults]) -> str:
    rows = []
    for generation in tested:
        tests = generation.minimal
        cells = _cells(tests.found) if tests and tests.found else ""
        why_not = f'<td colspan="6" class="none">{escape(tests.why_not) if tests else ""}</td>'
        rows.append(f"<tr>{tables.name_cell(generation)}{cells or why_not}</tr>")
    head = [
        "Representation",
        "#Mean of the phenomena, %",
        "#All pairs, %",
        "#Ties",
        "#Pairs read as the same tokens",
        "#Pairs that an unknown word differs in",
        "Sentences are weighed by",
    ]
    return tables.table(head, rows, "Minimal pairs")


def _cells(found: SentencesScored) -> str:
    counts = (found.total.ties, found.same, found.unknown)
    shares = (tables.measure(share) for share in (found.mean, found.total.share))
    figures = [*shares, *(tables.figure(number, whole) for number in counts)]
    return "".join(map(tables.number_cell, figures)) + f'<td class="long">{escape(found.way)}</td>'


def _by_phenomenon(scored: Sequence[Scored]) -> str:
    rows = []
    for name, part in scored[0][1].phenomena.items():
        shares = (tables.measure(found.phenomena[name].share) for _, found in scored)
        figures = [tables.figure(part.pairs, whole), *shares]
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(map(tables.number_cell, figures))}</tr>')
    head = ["Phenomenon", "#Pairs", *(f"#{generation.short}, %" for generation, _ in scored)]
    return tables.table(head, rows, "Minimal pairs by phenomenon")
