"""The report's tables as plain HTML, readable without scripts; every number carries its exact value in `<data>`."""

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Protocol

from stemma.evaluation.comparison.results import (
    Baseline,
    GenerationResults,
    Results,
    Scoring,
    SenseFiles,
    SenseTests,
    Surprise,
)
from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.report.standings import Standings
from stemma.evaluation.report.wording import (
    BASELINE_COLOUR,
    CONTROLS,
    MODES,
    capital,
    count,
    duration,
    metric_title,
    metric_value,
    mode_title,
    percent,
    size,
    whole,
)
from stemma.lineage.table import find
from stemma.tasks.task import Metric

_WORDS = 1e7  # no language has more words: a higher perplexity per word counts something else
_METRICS = 2  # columns of quality: the primary metric, and one more where the task has it

Whisker = Callable[[Interval, str], str]  # (interval, colour) -> its small picture

DASH = '<span class="none" title="not measured">–</span>'


def figure(value: float | None, show: Callable[[float], str] = count) -> str:
    """One number for reading, with the exact one behind it; a dash where there is none."""
    return DASH if value is None else f'<data class="value" value="{value!r}">{show(value)}</data>'


def measure(value: Interval | None, show: Callable[[float], str] = percent) -> str:
    """A number with half its interval: `84.1 ± 1.2`; alone where a single example says nothing of its luck, and the interval is a point."""
    if not value:
        return DASH
    return figure(value.value, show) + (f' <span class="plus">± {show(value.half)}</span>' if value.half else "")


def table(head: Sequence[str], rows: Sequence[str], label: str, kind: str = "") -> str:
    """A table in its own box; each row becomes a block of its own where the window is narrow, and of the kind "cards" a card.

    Heads that start with `#` are of numbers. Every cell carries its head as `data-head`, which such blocks show.
    """
    glued = [escape(h).replace("-", "\u2011").replace(", %", ",\u00a0%") for h in head]
    heads = "".join(f'<th scope="col" class="number">{h[1:]}</th>' if h.startswith("#") else f'<th scope="col">{h}</th>' for h in glued)
    box = f'<div class="scroll {kind}" role="region" tabindex="0" aria-label="{escape(label)}">'
    body = "\n".join(_headed([h.removeprefix("#") for h in head], rows))
    return f"{box}<table><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def _headed(heads: Sequence[str], rows: Sequence[str]) -> list[str]:
    """The rows with the head of its column in every cell; a cell may span columns and rows."""
    covered, found = [0] * len(heads), []  # by a cell of a row above, for so many rows
    for row in rows:
        parts, last = [], 0
        for match in re.finditer(r"<t[dh]\b([^>]*)", row):
            place = covered.index(0)
            columns, lines = (int(span[1]) if (span := re.search(rf'{name}="(\d+)"', match[1])) else 1 for name in ("colspan", "rowspan"))
            covered[place : place + columns] = [lines] * columns
            parts += [row[last : match.end()], f' data-head="{escape(heads[place])}"']
            last = match.end()
        found.append("".join([*parts, row[last:]]))
        covered = [max(0, left - 1) for left in covered]
    return found


def dot(colour: str) -> str:
    """A generation's colour, to stand before its name."""
    return f'<span class="dot" style="background:{colour}"></span>'


def name_cell(generation: GenerationResults, span: int = 1) -> str:
    """A generation's name behind its colour."""
    rows = f' rowspan="{span}"' if span > 1 else ""
    return f'<th scope="{"rowgroup" if span > 1 else "row"}"{rows}>{dot(generation.colour)}{escape(generation.short)}</th>'


def number_cell(inner: str, span: int = 1, kind: str = "") -> str:
    """A right-aligned cell."""
    rows = f' rowspan="{span}"' if span > 1 else ""
    return f'<td class="number {kind}"{rows}>{inner}</td>'


def summary(standings: Standings) -> str:
    """One row a generation and mode, then the baselines: quality, then cost."""
    task, results = standings.results.task, standings.results
    metrics = task.metrics[:_METRICS]
    whisker, marked = whisker_scale(standings), marks(standings)
    rows = []
    for generation in results.generations:
        modes = [mode for mode in MODES if mode in generation.modes]
        for place, mode in enumerate(modes or [""]):
            rows.append(_summary_row(generation, mode, place, max(len(modes), 1), metrics, whisker, marked))
    rows += [_baseline_row(baseline, metrics, whisker) for baseline in results.baselines]
    head = [
        "Representation",
        "Transfer",
        *(f"#{capital(metric_title(metric))}" for metric in metrics),
        "#Time",
    ]
    return table(head, rows, "Summary of the comparison")


def of_metric(metric: Metric) -> Callable[[float], str]:
    """How a value of the metric is written."""
    return lambda value: metric_value(metric, value)


def _baseline_row(baseline: Baseline, metrics: Sequence[Metric], whisker: Whisker) -> str:
    name = f'<th scope="row" colspan="2">{escape(baseline.title)}</th>'
    if baseline.missing:
        return f'<tr class="baseline">{name}<td colspan="{len(metrics) + 1}" class="none">{escape(baseline.missing)}</td></tr>'
    shown = [measure(baseline.measures[metric.name], of_metric(metric)) for metric in metrics]
    shown[0] += whisker(baseline.measures[metrics[0].name], BASELINE_COLOUR)
    quality = "".join(map(number_cell, shown))
    return f'<tr class="baseline">{name}{quality}{number_cell(figure(baseline.seconds, duration))}</tr>'


def _summary_row(
    generation: GenerationResults,
    mode: str,
    place: int,
    span: int,
    metrics: Sequence[Metric],
    whisker: Whisker,
    marked: dict[tuple[str, str], str],
) -> str:
    result = generation.modes.get(mode)
    inner = "inner" if place < span - 1 else ""
    cells = name_cell(generation, span) if place == 0 else ""
    if result:
        mark = marked.get((generation.name, mode), "")
        control = ' <span class="control">(control)</span>' if mode in CONTROLS.values() else ""
        first, *more = [measure(result.measures[metric.name], of_metric(metric)) for metric in metrics]
        picture = whisker(result.measures[metrics[0].name], generation.colour)
        quality = f'<span class="{"best" if mark else ""}">{first}</span>{mark}{picture}'
        cells += f'<td class="{inner}">{mode_title(mode)}{control}</td>'
        cells += "".join(number_cell(cell, kind=inner) for cell in (quality, *more, figure(result.seconds, duration)))
    else:
        cells += f'<td class="none">{_why_empty(generation)}</td>' + number_cell(DASH) * (len(metrics) + 1)
    return f"<tr>{cells}</tr>"


def _why_empty(generation: GenerationResults) -> str:
    """Why there is no mode to show."""
    return "failed" if generation.failed else f"none: {escape(generation.refusal)}" if generation.refusal else "not run"


def marks(standings: Standings) -> dict[tuple[str, str], str]:
    """`best` beside the best pre-trained row, `tie` beside those whose difference from it may be chance."""
    if not standings.ranked:
        return {}
    first = standings.ranked[0]
    marked = {tie.place: '<span class="tag">tie</span>' for tie in standings.ties(first, standings.pretrained)}
    return marked | {first.place: f'<span class="tag">{"best" if not marked else "first"}</span>'}


def whisker_scale(standings: Standings) -> Whisker:
    """A maker of small interval pictures that share one scale over the whole table."""
    measures = [c.quality for c in (*standings.contenders, *standings.baselines) if not c.blind]
    low, high = min((m.low for m in measures), default=0.0), max((m.high for m in measures), default=1.0)
    spread = (high - low) or 1.0

    def draw(quality: Interval, colour: str) -> str:
        left, middle, right = (4 + 110 * min(max((value - low) / spread, 0), 1) for value in (quality.low, quality.value, quality.high))
        if quality.high < low or quality.low > high:
            return ""
        line = f'<line x1="{left:.1f}" x2="{right:.1f}" y1="5" y2="5" stroke="{colour}" stroke-width="2" opacity=".55"/>'
        point = f'<circle cx="{middle:.1f}" cy="5" r="3.6" fill="{colour}"/>'
        return f'<svg class="whisker" viewBox="0 0 118 10" aria-hidden="true">{line}{point}</svg>'

    return draw


def predictions(results: Results) -> str:
    """Bits per character and the perplexities, with the reason where a generation has none."""
    rows = [f"<tr>{name_cell(g)}{_predicted(g.score)}</tr>" for g in results.generations if g.score]
    head = [
        "Representation",
        "#Bits per character",
        "#Perplexity per word",
        "#per token",
        "#per token without OOV",
        "#Tokens",
        "#OOV",
        "#Spelling of OOV, % of the bits",
        "#Scoring time",
    ]
    return table(head, rows, "Predicting the held-out text")


def _predicted(score: Scoring) -> str:
    found = score.found
    if not found:
        return f'<td colspan="8" class="none">{escape(score.why_not)}</td>'
    perplexities = (_per_word(found), found.perplexity_per_token, found.perplexity_per_token_without_oov)
    cells = [
        measure(found.bits_per_character, lambda b: f"{b:.3f}"),
        *(figure(perplexity, lambda p: f"{p:,.1f}") for perplexity in perplexities),
        figure(found.tokens, whole),
        figure(found.oov, whole),
        figure(found.spelling_share, lambda share: f"{100 * share:.1f}"),
        figure(found.seconds, duration),
    ]
    return "".join(map(number_cell, cells))


def _per_word(found: Surprise) -> float | None:
    """The perplexity per word where spaces part words; Chinese without spaces has none."""
    per_word = found.perplexity_per_word
    return per_word if per_word is not None and per_word < _WORDS else None


def senses(results: Results, files: SenseFiles) -> str:
    """Every probe's average over the words, and how far apart the senses lie."""
    rows = []
    for generation in results.generations:
        found = generation.senses or SenseTests()
        for place, probe in enumerate(found.probes):
            inner = "inner" if place < len(found.probes) - 1 else ""
            name = name_cell(generation, len(found.probes)) if place == 0 else ""
            gap = figure(probe.gap, lambda g: f"{round(g, 3) + 0.0:.3f}")
            cells = number_cell(measure(probe.accuracy), kind=inner) + number_cell(gap, kind=inner)
            rows.append(f'<tr>{name}<td class="{inner}">{escape(probe.title)}</td>{cells}</tr>')
        if found.why_not:
            rows.append(f'<tr>{name_cell(generation)}<td colspan="3" class="none">{escape(found.why_not)}</td></tr>')
    commonest = number_cell(measure(files.majority)) + number_cell(DASH)
    rows.append(f'<tr class="baseline"><th scope="row" colspan="2">always the commonest sense</th>{commonest}</tr>')
    head = ["Representation", "Vector of a word's occurrence", "#Senses told apart, %", "#Cosine within − across senses"]
    return table(head, rows, "Senses probe")


def senses_by_word(results: Results) -> str:
    """The probes shown in the chart, word by word."""
    probes = [(g.short, probe) for g in results.generations if g.senses for probe in g.senses.probes if probe.shown]
    words = sorted({word for _, probe in probes for word in probe.words})
    rows = [
        f'<tr><th scope="row">{escape(word)}</th>'
        + "".join(number_cell(figure(probe.words.get(word), percent)) for _, probe in probes)
        + "</tr>"
        for word in words
    ]
    return table(["Word", *(f"#{short}, {probe.short}" for short, probe in probes)], rows, "Senses probe by word")


def lineage(results: Results) -> str:
    """What each compared generation is, from the lineage table."""
    rows = []
    for g in results.generations:
        cut = g.pretrain.tokenizer if g.pretrain else None
        tokens = f"{escape(cut.kind)}, {figure(cut.vocab_size, whole)}" if cut else DASH
        learns = "counting" if g.learns == "count" else "descent"
        what = f'<td class="long">{escape(g.title)} <span class="none">({escape(g.paper)})</span></td>'
        trained = g.pretrain
        sizes = [figure(trained.parameters), figure(trained.bytes, size)] if trained else [DASH] * 2
        sizes += [figure(trained.reading_flops_per_token), figure(trained.reading_ms, "{:.3g}".format)] if trained else [DASH] * 2
        cells = f"{what}<td>{learns}, asking for {escape(g.asks)}</td><td>{tokens}</td>{''.join(map(number_cell, sizes))}"
        rows.append(f"<tr>{name_cell(g)}{cells}</tr>")
    head = ["Representation", "What it is", "Learns by", "Tokens", "#Parameters", "#On disk", "#Operations a token", "#Reading a text, ms"]
    return table(head, rows, "The compared generations")


def costs(results: Results) -> str:
    """Time, memory and reading of every stage."""
    rows = []
    for generation in results.generations:
        stages = _stage_costs(generation)
        for place, (stage, cells) in enumerate(stages):
            inner = "inner" if place < len(stages) - 1 else ""
            name = name_cell(generation, len(stages)) if place == 0 else ""
            rows.append(f'<tr>{name}<td class="{inner}">{stage}</td>{"".join(number_cell(cell, kind=inner) for cell in cells)}</tr>')
    return table(
        ["Representation", "Stage", "#Time", "#CPU time", "#Peak memory", "#Tokens read", "#Passes over the text"],
        rows,
        "What each stage cost",
    )


def _stage_costs(generation: GenerationResults) -> list[tuple[str, list[str]]]:
    """Of each stage that was made its name and the cells: time, CPU time, peak memory, tokens read, passes."""
    found = []
    if trained := generation.pretrain:
        if teacher := trained.teacher:
            spent = [figure(teacher.cost.seconds, duration), figure(teacher.cost.cpu_seconds, duration)]
            found.append((f"pre-training of its teacher, {escape(find(teacher.generation).short)}", [*spent, *[DASH] * 3]))
        if trained.reading_seconds is not None:
            found.append(("reading and tokenizing", [figure(trained.reading_seconds, duration), *[DASH] * 4]))
        read = [figure(trained.tokens), figure(trained.passes, lambda p: f"{p:.1f}")]
        found.append(("pre-training", [*_spent(trained), *read]))
    if generation.surprise:
        found.append(("scoring", [*_spent(generation.surprise), DASH, DASH]))
    modes = [mode for mode in MODES if mode in generation.modes]
    found += [(f"transfer, {mode_title(mode)}", [*_spent(generation.modes[mode]), DASH, DASH]) for mode in modes]
    tests: list[tuple[str, _Timed | None]] = [
        ("word tests", generation.words),
        ("senses", generation.senses),
        ("minimal pairs", generation.minimal),
        ("task without training", generation.zero_shot),
    ]
    tests += [("label curves", generation.labels), ("layers loaded", generation.layers)]
    tests += [("updates saved", generation.updates), ("fewer tokens", generation.tokens), ("probes by layer", generation.probes)]
    return found + [(name, [*_spent(stage), DASH, DASH]) for name, stage in tests if stage and stage.seconds]


class _Timed(Protocol):
    """The result of a stage that was timed."""

    @property
    def seconds(self) -> float:
        """By the clock."""

    @property
    def cpu_seconds(self) -> float | None:
        """Of all threads."""

    @property
    def peak_bytes(self) -> int:
        """Of the process."""


def _spent(stage: _Timed) -> list[str]:
    return [figure(stage.seconds, duration), figure(stage.cpu_seconds, duration), figure(stage.peak_bytes, size)]


def protocol(results: Results) -> str:
    """Head, seeds, trials and chosen settings of every transfer."""
    rows = []
    metric = results.task.metric
    for generation in results.generations:
        done = [(mode, generation.modes[mode]) for mode in MODES if mode in generation.modes]
        for place, (mode, result) in enumerate(done):
            inner = "inner" if place < len(done) - 1 else ""
            name = name_cell(generation, len(done)) if place == 0 else ""
            chosen = ", ".join(f"{key} = {value:g}" for key, value in result.settings.items())
            seeds = " · ".join(metric_value(metric, value) for value in result.seeds)
            counts = "".join(number_cell(figure(number), kind=inner) for number in (result.trained_parameters, result.trials))
            cells = f'<td class="{inner}">{mode_title(mode)}</td><td class="long {inner}">{escape(result.head)}</td>{counts}'
            rows.append(f'<tr>{name}{cells}<td class="{inner}">{escape(chosen) or DASH}</td><td class="{inner}">{seeds}</td></tr>')
    rows += [_plain_protocol(baseline, metric) for baseline in results.baselines if not baseline.missing]
    each = f"{capital(metric.title)} of each seed{', %' * metric.share}"
    head = ["Representation", "Transfer", "Head", "#Trained parameters", "#Trials", "Chosen", each]
    return table(head, rows, "How each transfer was made")


def _plain_protocol(baseline: Baseline, metric: Metric) -> str:
    chosen = ", ".join(f"{key} = {value:g}" for key, value in baseline.settings.items())
    cells = f'<td class="long">{escape(baseline.head)}</td>{number_cell(DASH)}{number_cell(figure(baseline.trials))}'
    value = metric_value(metric, baseline.measures[metric.name].value)
    name = f'<th scope="row" colspan="2">{escape(baseline.title)}</th>'
    return f'<tr class="baseline">{name}{cells}<td>{escape(chosen) or DASH}</td><td>{value}</td></tr>'
