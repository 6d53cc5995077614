"""The small charts of what pre-training buys, one a generation each: solid with pre-training, dashed without."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stemma.evaluation.comparison.results import GenerationResults, LabelCurves, LayerCurve, Results, SeedUpdates, TokenCurves
from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.measures.probes import LayerProbes
from stemma.evaluation.report.wording import CONTROLS, metric_scale, metric_title, mode_title
from stemma.tasks.task import Metric

TRAINED, NEW = "pre-trained", "newly drawn"
ROUND: dict[str, str] = {}  # points that are all round
Row = dict[str, Any]  # one point of a line


def curve_charts(alt: Any, results: Results, shapes: Mapping[str, str]) -> dict[str, Any]:
    """Name -> chart of every curve that was made; `shapes` tell ways of transfer apart."""
    metric, made = results.task.metric, {}
    for generation in results.generations:
        if generation.labels:
            made[f"curve-labels-{generation.name}"] = _labels(alt, generation, generation.labels, metric, shapes)
        if generation.updates:
            made[f"curve-updates-{generation.name}"] = _updates(alt, generation, generation.updates.seeds)
        if generation.tokens:
            made[f"curve-tokens-{generation.name}"] = _tokens(alt, generation, generation.tokens, metric, shapes)
        if generation.layers:
            made[f"curve-layers-{generation.name}"] = _layers(alt, generation, generation.layers, metric)
        for place, file in enumerate(generation.probes.files if generation.probes else ()):
            made[f"curve-probes{place}-{generation.name}"] = _probes(alt, generation, file)
    return made


def _labels(alt: Any, generation: GenerationResults, curves: LabelCurves, metric: Metric, shapes: Mapping[str, str]) -> Any:
    """The score by the labelled examples that were learnt from."""
    rows: list[Row] = [
        {"at": point.examples, "series": mode_title(way), "new": way in CONTROLS.values(), **_interval(point.quality, metric_scale(metric))}
        for way, points in curves.ways.items()
        for point in points
    ]
    shown = sorted({row["at"] for row in rows})
    x = alt.X(
        "at:Q",
        title="labelled examples",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=alt.Axis(values=shown, format=",d", grid=False, labelOverlap=True),
    )
    return _lines(alt, rows, x, metric_title(metric), generation.colour, shapes=shapes)


def _updates(alt: Any, generation: GenerationResults, seeds: Sequence[SeedUpdates]) -> Any:
    """The loss by updates, the mean over seeds; the band is from the least to the most."""
    rows = []
    for series, new, curves in (
        ("fine-tuned", False, [seed.finetuned for seed in seeds]),
        ("from scratch", True, [seed.scratch for seed in seeds]),
    ):
        for points in zip(*curves, strict=True):
            losses = [point.loss for point in points]
            here = {"at": points[0].updates, "value": float(np.mean(losses)), "low": min(losses), "high": max(losses)}
            rows.append({"series": series, "new": new, **here})
    last = max(row["at"] for row in rows)
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000) if tick <= last]
    x = alt.X(
        "at:Q",
        title="updates",
        scale=alt.Scale(type="symlog", nice=False, domain=[0, last]),
        axis=alt.Axis(values=ticks, grid=False, labelOverlap=True, format=",d"),
    )
    return _lines(alt, rows, x, "dev loss, nats", generation.colour, digits=".3f", points=False)


def _tokens(alt: Any, generation: GenerationResults, curves: TokenCurves, metric: Metric, shapes: Mapping[str, str]) -> Any:
    """The score by the tokens of pre-training; without any it is a level, dashed."""
    read = [budget.tokens for budget in curves.budgets]
    rows: list[Row] = []
    for way, points in curves.ways.items():
        figures = [(at, way, False, point.quality) for at, point in zip(read, points, strict=True)]
        figures += [(at, CONTROLS[way], True, curves.without[way]) for at in (read[0], read[-1]) if way in curves.without]
        rows += [
            {"at": at, "series": mode_title(series), "new": new, **_interval(quality, metric_scale(metric))}
            for at, series, new, quality in figures
        ]
    x = alt.X(
        "at:Q",
        title="tokens of pre-training",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=alt.Axis(values=sorted(set(read)), format=".2s", grid=False, labelOverlap=True),
    )
    return _lines(alt, rows, x, metric_title(metric), generation.colour, shapes=shapes)


def _layers(alt: Any, generation: GenerationResults, curve: LayerCurve, metric: Metric) -> Any:
    """The score by the layers that were loaded."""
    rows = [
        {"at": point.loaded, "series": point.layer or "none", "new": False, **_interval(point.quality, metric_scale(metric))}
        for point in curve.points
    ]
    x = alt.X("at:O", title="layers loaded, from the embeddings up", axis=alt.Axis(labelAngle=0, grid=False))
    return _lines(alt, rows, x, metric_title(metric), generation.colour, one=True)


def _probes(alt: Any, generation: GenerationResults, file: LayerProbes) -> Any:
    """What a linear model reads off each layer."""
    scale = 100 if file.share else 1
    rows = [
        {"at": layer, "series": series, "new": new, **_interval(interval, scale)}
        for layer, found in enumerate(file.layers)
        for series, new, interval in ((TRAINED, False, found.value), (NEW, True, found.random))
    ]
    x = alt.X("at:O", title="layer (0: token embeddings)", axis=alt.Axis(labelAngle=0, grid=False))
    return _lines(alt, rows, x, f"{file.metric}{', %' * file.share}", generation.colour)


def _interval(interval: Interval, scale: int) -> dict[str, float]:
    return {key: value * scale for key, value in interval.as_dict().items()}


def _lines(
    alt: Any,
    rows: list[Row],
    x: Any,
    y_title: str,
    colour: str,
    *,
    digits: str = ".1f",
    one: bool = False,
    points: bool = True,
    shapes: Mapping[str, str] = ROUND,
) -> Any:
    """A line a series (`one`: a single line through all) with its band of the interval, and its points, which may have shapes."""
    scale = alt.Scale(zero=False, padding=8)
    y = {"scale": scale, "axis": alt.Axis(tickCount=4)}
    series = [] if one else [alt.Detail("series:N")]
    base = alt.Chart(alt.Data(values=rows)).encode(x, *series)
    tips = [alt.Tooltip("series:N", title=" "), alt.Tooltip("at:Q", title="at"), alt.Tooltip("value:Q", format=digits)]
    tips += [alt.Tooltip("low:Q", format=digits), alt.Tooltip("high:Q", format=digits)]
    bands = base.mark_area(opacity=0.12, color=colour).encode(y=alt.Y("low:Q", title=y_title, **y), y2="high:Q")
    dash = alt.StrokeDash("new:N", scale=alt.Scale(domain=[False, True], range=[[1, 0], [4, 3]]), legend=None)
    value = base.encode(y=alt.Y("value:Q", title=y_title, **y), tooltip=tips)
    drawn = [bands, value.mark_line(strokeWidth=2.2, color=colour).encode(strokeDash=dash)]
    if points:
        marks = alt.Shape("series:N", scale=alt.Scale(domain=list(shapes), range=list(shapes.values())), legend=None)
        dots = value.mark_point(size=46, filled=True, opacity=1, color=colour)
        drawn.append(dots.encode(shape=marks) if shapes else dots)
    return alt.layer(*drawn).properties(height=150)
