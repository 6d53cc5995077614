"""The page's main table: one row a generation, which becomes a card where the window is narrow, and why some cells are empty."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from stemma.evaluation.comparison.results import Baseline, GenerationResults
from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.report import tables
from stemma.evaluation.report.standings import Standings, Verdict
from stemma.evaluation.report.wording import BASELINE_COLOUR, duration, metric_title, metric_value

_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "pays": ("good", "pays"),
    "unclear": ("even", "no clear gain"),
    "harms": ("bad", "harms"),
    "budget too small": ("even", "budget too small"),
}


class _Cell(NamedTuple):
    """What stands in a row under one head; a dash where `inner` is empty, and then why."""

    head: str
    inner: str
    why: str = ""


def generations(standings: Standings) -> str:
    """The table, the baselines last, and below it the reasons of its dashes."""
    results, whisker = standings.results, tables.whisker_scale(standings)
    quality = metric_title(standings.metric)
    rows, reasons = [], []
    heads: list[str] = []
    for generation in results.generations:
        cells = [
            _quality(standings, generation, ("frozen", "frozen-network"), f"Frozen, {quality}", whisker),
            _quality(standings, generation, ("finetune",), f"Fine-tuned, {quality}", whisker),
            _gains(standings, generation),
            _bits(generation),
            _minimal(generation),
            _passes(generation),
            _cost(standings, generation),
        ]
        heads = [cell.head for cell in cells]
        rows.append(_row(generation, cells))
        reasons += [(generation.short, cell.head, cell.why) for cell in cells if not cell.inner and cell.why]
    rows += [_baseline(standings, baseline, heads, whisker) for baseline in results.baselines]
    table = tables.table(["Generation", *(f"#{head}" for head in heads)], rows, "The generations, one row each", kind="cards")
    return table + _empty(reasons)


def _row(generation: GenerationResults, cells: Sequence[_Cell]) -> str:
    name = (
        f'<th scope="row" style="--colour:{generation.colour}">{tables.dot(generation.colour)}{escape(generation.short)} '
        f'<span class="year">{generation.year}</span></th>'
    )
    return f'<tr id="row-{generation.name}">{name}{"".join(map(_drawn, cells))}</tr>'


def _drawn(cell: _Cell) -> str:
    dash = f'<span class="none" title="{escape(cell.why or "not measured")}">–</span>'
    return f'<td class="number"><div>{cell.inner or dash}</div></td>'


def _quality(standings: Standings, generation: GenerationResults, modes: Sequence[str], head: str, whisker: tables.Whisker) -> _Cell:
    """The task's primary metric in these modes, one below the other."""
    name, parts = standings.metric.name, []
    marks = tables.marks(standings)
    for mode in modes:
        result = generation.modes.get(mode)
        if result:
            found = result.measures[name]
            mark = marks.get((generation.name, mode), "")
            figure = f'<span class="{"best" if mark else ""}">{tables.measure(found, tables.of_metric(standings.metric))}</span>{mark}'
            if mode == "frozen-network":
                parts.append(f'<small class="second">task network {figure}</small>')
            else:
                parts.append(figure + whisker(found, generation.colour))
    return _Cell(head, "".join(parts), _why_no_mode(standings, generation, modes))


def _why_no_mode(standings: Standings, generation: GenerationResults, modes: Sequence[str]) -> str:
    failed = [failure for failure in generation.failures if failure.stage.rpartition(".")[2] in (*modes, "pretrain")]
    if failed:
        return f"failed: {failed[0].message}"
    if generation.refusal:
        return generation.refusal
    return "not run" if not set(modes) & set(standings.results.budget.modes) else "this generation has no such way of transfer"


def _gains(standings: Standings, generation: GenerationResults) -> _Cell:
    """What pre-training was worth: fine-tuned over from scratch, and frozen over randomly drawn."""
    parts = []
    for mode, title in (("finetune", "fine-tuned"), ("frozen", "frozen"), ("frozen-network", "task network")):
        gain, verdict = standings.gain(generation.name, mode), standings.verdict(generation, mode)
        if gain is not None and verdict is not None:
            kind, word = _VERDICTS[verdict]
            figure = f'<span>{_signed(standings, gain)}</span><span><span class="tag {kind}">{word}</span></span>'
            parts.append(f'<small class="second">{title}</small>{figure}')
    why = "not run without pre-training, or in no way that pre-training could change" if generation.modes else "no result to compare"
    inner = f'<div class="gains">{"".join(parts)}</div>' if parts else ""
    return _Cell("Gain over no pre-training, points", inner, why)


def _signed(standings: Standings, gain: Interval) -> str:
    """`+6.9 ± 2.1`; computed from both rows' answers, so its exact value stands in the page alone."""
    sign = "+" if gain.value >= 0 else "−"
    half = metric_value(standings.metric, gain.half)
    return f'{sign}{metric_value(standings.metric, abs(gain.value))} <span class="plus">± {half}</span>'


def _bits(generation: GenerationResults) -> _Cell:
    score = generation.score
    why = ""
    if score and not generation.bits:
        why = score.why_not or (score.found.why_not_bits if score.found else "") or "not measured"
    return _Cell("Bits a character", tables.measure(generation.bits, lambda b: f"{b:.2f}") if generation.bits else "", why)


def _minimal(generation: GenerationResults) -> _Cell:
    """The share of minimal pairs whose good sentence is the likelier one."""
    tests = generation.minimal
    why = tests.why_not if tests else "no minimal pairs were given (--minimal-pairs)"
    return _Cell("Minimal pairs, %", tables.measure(generation.minimal_share) if generation.minimal_share else "", why)


def _passes(generation: GenerationResults) -> _Cell:
    trained = generation.pretrain
    return _Cell("Passes over text", tables.figure(trained.passes, lambda p: f"{p:,.1f}") if trained else "", "never pre-trained")


def _cost(standings: Standings, generation: GenerationResults) -> _Cell:
    """CPU time of the better way: reading, pre-training and transfer, all trials and seeds."""
    best = next((contender for contender in standings.ranked if contender.name == generation.name), None)
    cost = best.cost if best else generation.pretrain_cost
    return _Cell("CPU time", _computed(cost) if cost else "", "nothing finished")


def _computed(cost: float) -> str:
    return f'<span class="value">{duration(cost)}</span>'


def _baseline(standings: Standings, baseline: Baseline, heads: Sequence[str], whisker: tables.Whisker) -> str:
    name = f'<th scope="row" style="--colour:{BASELINE_COLOUR}">{tables.dot(BASELINE_COLOUR)}{escape(baseline.title)}</th>'
    opened = f'<tr id="row-{baseline.name}" class="baseline">{name}'
    if baseline.missing:
        return f'{opened}<td colspan="{len(heads)}" class="none">{escape(baseline.missing)}</td></tr>'
    found = baseline.measures[standings.metric.name]
    figure = tables.measure(found, tables.of_metric(standings.metric)) + whisker(found, BASELINE_COLOUR)
    quality = f'<td class="number" colspan="2"><div>{figure}</div></td>'
    empty = f'<td class="unfit" colspan="{len(heads) - 3}"></td>'
    cost = f'<td class="number"><div>{_computed(baseline.cpu_seconds or baseline.seconds)}</div></td>'
    return f"{opened}{quality}{empty}{cost}</tr>"


def _empty(reasons: Sequence[tuple[str, str, str]]) -> str:
    """Why cells are empty, each reason once."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for short, head, why in reasons:
        grouped.setdefault((head, why), []).append(short)
    if not grouped:
        return ""
    points = "".join(f"<li>{escape(head)}, {escape(', '.join(names))}: {escape(why)}</li>" for (head, why), names in grouped.items())
    return f'<details class="why"><summary>Why some cells are empty</summary><ul class="honest">{points}</ul></details>'
