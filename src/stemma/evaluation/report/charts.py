"""The charts of the report's folded parts as Vega-Lite specifications, one colour a generation everywhere.

Text, grid and rules are drawn in `currentColor`, so that a chart follows the page from light to
dark; every chart is as wide as its box, so that it follows the window too. Legends are the page's.
"""

from collections.abc import Sequence
from typing import Any

from stemma.config import to_plain
from stemma.errors import MissingExtra
from stemma.evaluation.comparison.results import GenerationResults, Pretraining, Results
from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.report.curve_charts import curve_charts
from stemma.evaluation.report.standings import Contender, Standings
from stemma.evaluation.report.wording import MODES, metric_scale, metric_title, mode_title

SHAPES = {
    "frozen": "square",
    "random but frozen": "diamond",
    "frozen under a task network": "triangle-up",
    "random under a task network": "cross",
    "fine-tuned": "circle",
    "from scratch": "triangle-down",
}
PROBE_SHAPES = {"static vector": "square", "word in context": "circle", "rest of the sentence": "triangle-down"}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif'
_AXIS = {
    "labelColor": "currentColor",
    "titleColor": "currentColor",
    "gridColor": "currentColor",
    "gridOpacity": 0.12,
    "domain": False,
    "ticks": False,
    "labelPadding": 8,
    "titlePadding": 12,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": 400,
    "labelLimit": 160,
}
_CONFIG = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "text": {"color": "currentColor", "fontSize": 12},
    "rule": {"color": "currentColor"},
    "autosize": {"type": "fit-x", "contains": "padding"},
}

Spec = dict[str, Any]
Row = dict[str, Any]  # one mark of a chart


def charts(standings: Standings) -> dict[str, Spec]:
    """Name -> Vega-Lite specification of every chart the comparison's numbers allow.

    Raises MissingExtra when altair is not installed.
    """
    try:
        import altair
    except ImportError as error:
        raise MissingExtra("altair", "report") from error
    results = standings.results
    made = {"modes": _modes(altair, standings), "bits": _bits(altair, results)}
    made |= {"senses": _senses(altair, results), "layers": _layers(altair, results)}
    made |= {f"curve-{g.name}": _curve(altair, g, g.pretrain) for g in results.generations if g.pretrain and len(g.pretrain.curve) > 1}
    made |= curve_charts(altair, results, SHAPES)
    return {name: _dressed(chart) for name, chart in made.items() if chart is not None}


def _dressed(chart: Any) -> Spec:
    spec = chart.properties(width="container").to_dict()
    spec.pop("usermeta", None)
    return {**spec, "config": _CONFIG}


def _row(generation: GenerationResults | Contender, measure: Interval, scale: int = 100, **more: Any) -> Row:
    """One mark of a chart: whose it is, its colour, and the interval as it is shown."""
    interval = {key: value * scale for key, value in measure.as_dict().items()}
    return {"title": generation.short, "colour": generation.colour, **more, **interval}


def _transfers(standings: Standings) -> list[Row]:
    """One row a generation and mode: what the quality charts draw."""
    scale = metric_scale(standings.metric)
    ordered = sorted(standings.contenders, key=lambda c: MODES.index(c.mode))
    return [
        _row(c, c.quality, scale, series=mode_title(c.mode))
        for generation in standings.results.generations
        for c in ordered
        if c.name == generation.name
    ]


def _colours(alt: Any, rows: Sequence[Row]) -> Any:
    colours = {row["title"]: row["colour"] for row in rows}
    return alt.Color("title:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=None)


def _shapes(alt: Any, shapes: dict[str, str]) -> Any:
    return alt.Shape("series:N", scale=alt.Scale(domain=list(shapes), range=list(shapes.values())), legend=None)


def _tips(alt: Any, value: str, digits: str, *more: Any) -> list[Any]:
    shown = (("value", value), ("low", "95 % from"), ("high", "to"))
    return [alt.Tooltip("title:N", title="generation"), *more, *(alt.Tooltip(f"{key}:Q", title=name, format=digits) for key, name in shown)]


def _near(rules: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """The rules that stand near enough to the rows not to squeeze them into a corner."""
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    reach = 0.6 * (high - low)
    return [rule for rule in rules if low - reach <= rule["value"] <= high + reach]


def _rules(standings: Standings) -> list[Row]:
    shorts = {baseline.name: baseline.short for baseline in standings.results.baselines}
    scale = metric_scale(standings.metric)
    return [{"value": baseline.quality.value * scale, "rule": shorts[baseline.name]} for baseline in standings.baselines]


def _dots(alt: Any, rows: list[Row], shapes: dict[str, str], x_title: str, tip: str, rules: Sequence[Row]) -> Any:
    """A band for each generation with a dot and its interval for each series, and named dashed rules."""
    scale = alt.Scale(zero=False, nice=False, padding=26)
    order = list(dict.fromkeys(row["title"] for row in rows))
    axis = alt.Axis(grid=False, labelFontWeight=600, labelFontSize=13)
    y = alt.Y("title:N", sort=order, title=None, scale=alt.Scale(paddingInner=0.3), axis=axis)
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, yOffset=alt.YOffset("series:N", sort=list(shapes)), color=_colours(alt, rows))
    low = alt.X("low:Q", title=x_title, scale=scale, axis=alt.Axis(tickCount=8, labelOverlap=True))
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.45).encode(x=low, x2="high:Q")
    tips = _tips(alt, tip, ".1f", alt.Tooltip("series:N", title="how"))
    points = base.mark_point(size=120, filled=True, opacity=1).encode(
        x=alt.X("value:Q", scale=scale), shape=_shapes(alt, shapes), tooltip=tips
    )
    lines = []
    for rule in _near(rules, rows):
        data = alt.Chart(alt.Data(values=[rule])).encode(x=alt.X("value:Q", scale=scale))
        lines.append(data.mark_rule(strokeDash=[4, 4], opacity=0.5, strokeWidth=1.2))
        lines.append(data.mark_text(opacity=0.8, fontSize=11, align="center", y=-7).encode(text="rule:N"))
    return alt.layer(*lines, whiskers, points).properties(height=alt.Step(22))


def _modes(alt: Any, standings: Standings) -> Any:
    """Frozen and fine-tuned, each beside its control."""
    rows, head = _transfers(standings), metric_title(standings.metric)
    return _dots(alt, rows, SHAPES, head, head, _rules(standings)) if rows else None


def _senses(alt: Any, results: Results) -> Any:
    """Accuracy of telling senses apart: the word's own vector in context against static ones."""
    rows = [
        _row(g, probe.accuracy, series=probe.short) for g in results.generations if g.senses for probe in g.senses.probes if probe.shown
    ]
    if not rows or not results.senses:
        return None
    commonest = {"value": results.senses.majority.value * 100, "rule": "always the commonest sense"}
    return _dots(alt, rows, PROBE_SHAPES, "senses told apart, % (average over words)", "accuracy, %", [commonest])


def _bits(alt: Any, results: Results) -> Any:
    """Bits per character of the held-out text, fewer being better."""
    rows = [_row(g, g.bits, 1) for g in results.generations if g.bits]
    if not rows:
        return None
    axis = alt.Axis(grid=False, labelFontWeight=600, labelFontSize=13)
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("title:N", sort=[row["title"] for row in rows], title=None, axis=axis))
    scale = alt.Scale(domain=[0, 1.15 * max(row["high"] for row in rows)], nice=False)
    x = alt.X("value:Q", title="bits per character (fewer is better)", scale=scale, axis=alt.Axis(tickCount=6))
    tips = _tips(alt, "bits per character", ".3f")
    bars = base.mark_bar(height=16, cornerRadiusEnd=3).encode(x=x, color=_colours(alt, rows), tooltip=tips)
    whiskers = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    labels = base.mark_text(align="left", dx=8, fontWeight=600).encode(x="high:Q", text=alt.Text("value:Q", format=".2f"))
    return alt.layer(bars, whiskers, labels).properties(height=alt.Step(34))


def _layers(alt: Any, results: Results) -> Any:
    """Which layer knows the sense: accuracy of the word's own vector, layer by layer."""
    rows = [_row(g, layer, layer=place) for g in results.generations if g.senses for place, layer in enumerate(g.senses.layers)]
    if not rows:
        return None
    x = alt.X("layer:O", title="layer (0: token embeddings)", axis=alt.Axis(labelAngle=0, grid=False))
    y = alt.Y("value:Q", title="senses told apart, %", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=_colours(alt, rows))
    tips = _tips(alt, "accuracy, %", ".1f", alt.Tooltip("layer:O"))
    lines = base.mark_line(point={"size": 70, "filled": True}, strokeWidth=2.5).encode(y=y, tooltip=tips)
    bands = base.mark_area(opacity=0.1).encode(
        y=alt.Y("low:Q", title="senses told apart, %", scale=alt.Scale(zero=False, padding=12)), y2="high:Q"
    )
    return alt.layer(bands, lines).properties(height=210)


def _curve(alt: Any, generation: GenerationResults, trained: Pretraining) -> Any:
    """One generation's training loss over its own seconds."""
    x = alt.X("seconds:Q", title="seconds", axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("loss:Q", title=f"loss, {generation.loss_unit}", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=4))
    tips = [alt.Tooltip("seconds:Q", format=".1f"), alt.Tooltip("step:Q"), alt.Tooltip("loss:Q", format=".3f")]
    chart = alt.Chart(alt.Data(values=[to_plain(point) for point in trained.curve]))
    return chart.mark_line(strokeWidth=2.2, color=generation.colour).encode(x=x, y=y, tooltip=tips).properties(height=150)
