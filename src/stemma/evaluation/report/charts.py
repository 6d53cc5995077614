"""The report's charts: report dict -> Vega-Lite specifications, one colour a generation everywhere.

Text, grid and rules are drawn in `currentColor`, so that a chart follows the page from light to
dark; every chart is as wide as its box, so that it follows the window too. Legends are the page's.
"""

from collections.abc import Callable, Sequence
from typing import Any

from stemma.errors import MissingExtra
from stemma.evaluation.report.wording import CONTROLS, MODES, loss_unit, mode_title, title

COLOURS = {  # mid-tones: at least 3:1 on white and on the dark page alike
    "ngram": "#8b7d6b",
    "nnlm": "#a8763e",
    "word2vec": "#cc8400",
    "glove": "#c4622d",
    "lstm": "#7d8f1f",
    "elmo": "#4f9a2f",
    "seq2seq": "#2f8f6b",
    "transformer": "#2a8aa8",
    "gpt": "#0f9687",
    "gpt2": "#0b7fa5",
    "bert": "#7165e3",
    "bert-wwm": "#9a55d0",
    "albert": "#bf4fb3",
    "tinybert": "#d4508a",
    "xlnet": "#d1495b",
}
BASELINE_COLOUR = "#7f8792"
SHAPES = {"frozen": "square", "random, frozen": "diamond", "fine-tuned": "circle", "from scratch": "triangle-down"}
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


def charts(report: dict) -> dict[str, Spec]:
    """Name -> Vega-Lite specification of every chart the report's numbers allow.

    Raises MissingExtra when altair is not installed.
    """
    try:
        import altair
    except ImportError as error:
        raise MissingExtra("altair", "report") from error
    made = {name: make(altair, report) for name, make in _CHARTS.items()}
    curves = {g["name"]: _curve(altair, g) for g in report["generations"] if len(g.get("pretrain", {}).get("curve", [])) > 1}
    made |= {f"curve-{name}": chart for name, chart in curves.items()}
    return {name: _dressed(chart) for name, chart in made.items() if chart is not None}


def colour(name: str) -> str:
    """The colour of a generation; grey for anything else."""
    return COLOURS.get(name, BASELINE_COLOUR)


def _dressed(chart: Any) -> Spec:
    spec = chart.properties(width="container").to_dict()
    spec.pop("usermeta", None)
    return {**spec, "config": _CONFIG}


def _transfers(report: dict) -> list[dict]:
    """One row a generation and mode: what the quality charts draw."""
    rows = []
    for generation in report["generations"]:
        for mode in MODES:
            result = generation.get("modes", {}).get(mode)
            if result:
                spent = result["seconds"] + (0 if mode in CONTROLS.values() else generation["pretrain"]["seconds"])
                rows.append(
                    {"name": generation["name"], "series": mode_title(mode), "seconds": max(spent, 0.01), **_percents(result["accuracy"])}
                )
    return [row | {"title": title(row["name"])} for row in rows]


def _percents(measure: dict) -> dict[str, float]:
    return {key: measure[key] * 100 for key in ("value", "low", "high")}


def _colours(alt: Any, names: Sequence[str]) -> Any:
    names = list(dict.fromkeys(names))
    return alt.Color("title:N", scale=alt.Scale(domain=[title(n) for n in names], range=[colour(n) for n in names]), legend=None)


def _shapes(alt: Any, shapes: dict[str, str]) -> Any:
    return alt.Shape("series:N", scale=alt.Scale(domain=list(shapes), range=list(shapes.values())), legend=None)


def _tips(alt: Any, value: str, digits: str, *more: Any) -> list[Any]:
    shown = (("value", value), ("low", "95 % from"), ("high", "to"))
    return [alt.Tooltip("title:N", title="generation"), *more, *(alt.Tooltip(f"{key}:Q", title=name, format=digits) for key, name in shown)]


def _near(rules: Sequence[dict], rows: Sequence[dict]) -> list[dict]:
    """The rules that stand near enough to the rows not to squeeze them into a corner."""
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    reach = 0.6 * (high - low)
    return [rule for rule in rules if low - reach <= rule["value"] <= high + reach]


def _rules(report: dict) -> list[dict]:
    return [{"value": b["accuracy"]["value"] * 100, "rule": b["short"]} for b in report.get("baselines", []) if b.get("accuracy")]


def _cost(alt: Any, report: dict) -> Any:
    """Quality against cost: accuracy over total seconds, on a log axis."""
    rows = [row for row in _transfers(report) if row["series"] not in [mode_title(mode) for mode in CONTROLS.values()]]
    if not rows:
        return None
    scale = alt.Scale(zero=False, padding=18)
    axis = alt.Axis(tickCount=6, format="~s", labelOverlap=True, grid=False)
    x = alt.X("seconds:Q", scale=alt.Scale(type="log", nice=False, padding=28), title="pre-training and transfer, seconds (log)", axis=axis)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=_colours(alt, [row["name"] for row in rows]))
    more = [alt.Tooltip("series:N", title="transfer"), alt.Tooltip("seconds:Q", title="seconds in all", format=",.1f")]
    whiskers = base.mark_rule(strokeWidth=2, opacity=0.5).encode(y=alt.Y("low:Q", title="accuracy, %", scale=scale), y2="high:Q")
    points = base.mark_point(size=120, filled=True, opacity=1).encode(
        y=alt.Y("value:Q", scale=scale), shape=_shapes(alt, SHAPES), tooltip=_tips(alt, "accuracy, %", ".1f", *more)
    )
    lines = []
    for rule in _near(_rules(report), rows):
        data = alt.Chart(alt.Data(values=[rule])).encode(y=alt.Y("value:Q", scale=scale))
        lines.append(data.mark_rule(strokeDash=[4, 4], opacity=0.5, strokeWidth=1.2))
        lines.append(data.mark_text(opacity=0.8, fontSize=11, align="left", dx=6, dy=-7, x=0).encode(text="rule:N"))
    return alt.layer(*lines, whiskers, points).properties(height=340)


def _dots(alt: Any, rows: list[dict], shapes: dict[str, str], x_title: str, rules: Sequence[dict]) -> Any:
    """A band for each generation with a dot and its interval for each series, and named dashed rules."""
    scale = alt.Scale(zero=False, nice=False, padding=26)
    order = list(dict.fromkeys(row["title"] for row in rows))
    axis = alt.Axis(grid=False, labelFontWeight=600, labelFontSize=13)
    y = alt.Y("title:N", sort=order, title=None, scale=alt.Scale(paddingInner=0.3), axis=axis)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=y, yOffset=alt.YOffset("series:N", sort=list(shapes)), color=_colours(alt, [row["name"] for row in rows])
    )
    low = alt.X("low:Q", title=x_title, scale=scale, axis=alt.Axis(tickCount=8, labelOverlap=True))
    whiskers = base.mark_rule(strokeWidth=2.5, opacity=0.45).encode(x=low, x2="high:Q")
    tips = _tips(alt, "accuracy, %", ".1f", alt.Tooltip("series:N", title="how"))
    points = base.mark_point(size=120, filled=True, opacity=1).encode(
        x=alt.X("value:Q", scale=scale), shape=_shapes(alt, shapes), tooltip=tips
    )
    lines = []
    for rule in _near(rules, rows):
        data = alt.Chart(alt.Data(values=[rule])).encode(x=alt.X("value:Q", scale=scale))
        lines.append(data.mark_rule(strokeDash=[4, 4], opacity=0.5, strokeWidth=1.2))
        lines.append(data.mark_text(opacity=0.8, fontSize=11, align="center", y=-7).encode(text="rule:N"))
    return alt.layer(*lines, whiskers, points).properties(height=alt.Step(22))


def _modes(alt: Any, report: dict) -> Any:
    """Frozen and fine-tuned, each beside its control."""
    rows = _transfers(report)
    return _dots(alt, rows, SHAPES, "accuracy, %", _rules(report)) if rows else None


def _senses(alt: Any, report: dict) -> Any:
    """Accuracy of telling senses apart: the word's own vector in context against static ones."""
    rows = [
        {"name": g["name"], "title": title(g["name"]), "series": probe["short"], **_percents(probe["accuracy"])}
        for g in report["generations"]
        for probe in (g.get("senses") or {}).get("probes", [])
        if probe.get("shown")
    ]
    if not rows:
        return None
    commonest = {"value": report["senses"]["majority"]["value"] * 100, "rule": "always the commonest sense"}
    return _dots(alt, rows, PROBE_SHAPES, "senses told apart, % (average over words)", [commonest])


def _bits(alt: Any, report: dict) -> Any:
    """Bits per character of the held-out text, fewer being better."""
    scored = [g for g in report["generations"] if (g.get("score") or {}).get("bits_per_character")]
    if not scored:
        return None
    rows = [{"name": g["name"], "title": title(g["name"]), **g["score"]["bits_per_character"]} for g in scored]
    axis = alt.Axis(grid=False, labelFontWeight=600, labelFontSize=13)
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("title:N", sort=[row["title"] for row in rows], title=None, axis=axis))
    scale = alt.Scale(domain=[0, 1.15 * max(row["high"] for row in rows)], nice=False)
    x = alt.X("value:Q", title="bits per character (fewer is better)", scale=scale, axis=alt.Axis(tickCount=6))
    tips = _tips(alt, "bits per character", ".3f")
    bars = base.mark_bar(height=16, cornerRadiusEnd=3).encode(x=x, color=_colours(alt, [row["name"] for row in rows]), tooltip=tips)
    whiskers = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    labels = base.mark_text(align="left", dx=8, fontWeight=600).encode(x="high:Q", text=alt.Text("value:Q", format=".2f"))
    return alt.layer(bars, whiskers, labels).properties(height=alt.Step(34))


def _layers(alt: Any, report: dict) -> Any:
    """Which layer knows the sense: accuracy of the word's own vector, layer by layer."""
    rows = [
        {"name": g["name"], "title": title(g["name"]), "layer": place, **_percents(layer)}
        for g in report["generations"]
        for place, layer in enumerate((g.get("senses") or {}).get("layers", []))
    ]
    if not rows:
        return None
    x = alt.X("layer:O", title="layer (0: token embeddings)", axis=alt.Axis(labelAngle=0, grid=False))
    y = alt.Y("value:Q", title="senses told apart, %", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=_colours(alt, [row["name"] for row in rows]))
    tips = _tips(alt, "accuracy, %", ".1f", alt.Tooltip("layer:O"))
    lines = base.mark_line(point={"size": 70, "filled": True}, strokeWidth=2.5).encode(y=y, tooltip=tips)
    bands = base.mark_area(opacity=0.1).encode(
        y=alt.Y("low:Q", title="senses told apart, %", scale=alt.Scale(zero=False, padding=12)), y2="high:Q"
    )
    return alt.layer(bands, lines).properties(height=210)


def _curve(alt: Any, generation: dict) -> Any:
    """One generation's training loss over its own seconds."""
    x = alt.X("seconds:Q", title="seconds", axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("loss:Q", title=f"loss, {loss_unit(generation['name'])}", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=4))
    tips = [alt.Tooltip("seconds:Q", format=".1f"), alt.Tooltip("step:Q"), alt.Tooltip("loss:Q", format=".3f")]
    chart = alt.Chart(alt.Data(values=generation["pretrain"]["curve"]))
    return chart.mark_line(strokeWidth=2.2, color=colour(generation["name"])).encode(x=x, y=y, tooltip=tips).properties(height=150)


_CHARTS: dict[str, Callable[[Any, dict], Any]] = {"cost": _cost, "modes": _modes, "bits": _bits, "senses": _senses, "layers": _layers}
