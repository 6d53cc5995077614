"""The page's first picture: quality against cost, a named point for each generation and baseline, and the frontier between them.

Plain SVG that needs no library and no script, and takes its colours from the page. It is drawn twice, for wide and for narrow
windows, so that its letters stay readable on a telephone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from stemma.evaluation.report.label_places import Box, label_places, text_width
from stemma.evaluation.report.standings import Contender, Standings
from stemma.evaluation.report.wording import BASELINE_COLOUR, capital, duration, metric_scale, metric_title, metric_unit, metric_value

_TICKS = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600, 10 * 3600, 30 * 3600, 100 * 3600)  # CPU seconds
_LEADER = 14.0  # from a point to its name, beyond which a thin line joins them
_LINES = 5  # across the picture, about


@dataclass(frozen=True)
class Format:
    """How large a picture is, in its own units, and its letters."""

    kind: str  # a class of the style sheet: when it is shown
    width: int
    height: int
    left: int
    font: int

    @property
    def frame(self) -> Box:
        """Where points and names may stand."""
        return Box(self.left, 26, self.width - 8, self.height - 44)  # above it the name of the upright axis


WIDE = Format("wide", 1100, 480, 44, 14)
NARROW = Format("narrow", 360, 440, 34, 12)


class _Scale:
    """Places in the frame for costs, on a log axis, and qualities; up is always better."""

    def __init__(self, standings: Standings, drawn: Sequence[Contender], form: Format) -> None:
        self.sign = standings.metric.sign
        worths = [standings.metric.sign * end for c in drawn for end in (c.quality.low, c.quality.high)]
        costs = [math.log10(_seconds(c)) for c in drawn]
        self.low, self.high = _padded(min(worths), max(worths), 0.07)
        self.cheap, self.dear = _padded(min(costs), max(costs), 0.1)
        self.frame = form.frame

    def x(self, seconds: float) -> float:
        """Of a cost."""
        share = (math.log10(seconds) - self.cheap) / (self.dear - self.cheap)
        return self.frame.left + share * (self.frame.right - self.frame.left)

    def y(self, value: float) -> float:
        """Of a value of the metric."""
        share = (self.sign * value - self.low) / (self.high - self.low)
        return self.frame.bottom - share * (self.frame.bottom - self.frame.top)

    def lines(self, scale: int) -> list[float]:
        """Round values of the metric between the ends, in its own scale."""
        ends = sorted((self.sign * self.low, self.sign * self.high))
        step = _round_step((ends[1] - ends[0]) * scale / _LINES) / scale
        first = math.ceil(ends[0] / step)
        return [k * step for k in range(first, math.floor(ends[1] / step) + 1)]

    def ticks(self, apart: float) -> list[float]:
        """Round costs between the ends, whose places lie so far apart or further."""
        kept: list[float] = []
        for tick in _TICKS:
            inside = self.cheap <= math.log10(tick) <= self.dear
            if inside and (not kept or self.x(tick) - self.x(kept[-1]) >= apart):
                kept.append(tick)
        return kept


def cost_chart(standings: Standings) -> str:
    """The figure, in both formats; empty where nothing can be drawn."""
    drawn = [*standings.ranked, *standings.readers]
    if not drawn:
        return ""
    label = f"{capital(standings.metric.title)} over CPU time: " + "; ".join(f"{c.title} {_quality(standings, c)}" for c in drawn)
    pictures = "".join(_picture(standings, drawn, form, label) for form in (WIDE, NARROW))
    return f'<figure class="first">{pictures}<figcaption>{_caption(standings)}</figcaption></figure>'


def _caption(standings: Standings) -> str:
    floor = next((baseline for baseline in standings.baselines if baseline.blind), None)
    below = f" The {escape(floor.short)}, which does not read, gets {_quality(standings, floor)}." if floor else ""
    return (
        "Up is better, left is cheaper. Each generation stands in its better way of transfer: ● fine-tuned, ■ frozen; "
        "◆ needs no pre-training. "
        "Upright lines are 95 % intervals. The stepped line joins what nothing cheaper beats." + below
    )


def _quality(standings: Standings, contender: Contender) -> str:
    return f"{metric_value(standings.metric, contender.quality.value)}{metric_unit(standings.metric)}".replace(" ", "\u00a0")


def _picture(standings: Standings, drawn: Sequence[Contender], form: Format, label: str) -> str:
    scale = _Scale(standings, drawn, form)
    parts = [_axes(standings, scale, form), _frontier(standings, scale), *(_whisker(c, scale) for c in drawn)]
    parts += [_mark(c, scale) for c in drawn] + _labels(drawn, scale, form, _steps(standings, scale))
    return (
        f'<svg class="{form.kind}" viewBox="0 0 {form.width} {form.height}" font-size="{form.font}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _axes(standings: Standings, scale: _Scale, form: Format) -> str:
    frame, metric = form.frame, standings.metric
    parts = []
    lines = scale.lines(metric_scale(metric))
    digits = 0 if len({f"{line * metric_scale(metric):.0f}" for line in lines}) == len(lines) else 1
    for line in lines:
        y = scale.y(line)
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="axis" x="{frame.left - 8}" y="{y + 4:.1f}" text-anchor="end">{line * metric_scale(metric):.{digits}f}</text>'
        )
    for tick in scale.ticks(3.6 * form.font):
        x = scale.x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.bottom}" y2="{frame.bottom + 5}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{frame.bottom + 19}" text-anchor="middle">{duration(tick, exact=False)}</text>')
    parts.append(f'<text class="axis" x="{frame.left}" y="{frame.top - 14}">↑ {escape(metric_title(metric))}</text>')
    title = "CPU time of reading, pre-training and transfer (log scale) →"
    parts.append(f'<text class="axis" x="{frame.right}" y="{frame.bottom + 38}" text-anchor="end">{title}</text>')
    return "".join(parts)


def _corners(standings: Standings, scale: _Scale) -> list[tuple[float, float]]:
    return [(scale.x(_seconds(c)), scale.y(c.quality.value)) for c in standings.frontier]


def _frontier(standings: Standings, scale: _Scale) -> str:
    (x, y), *rest = _corners(standings, scale)
    path = f"M{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in rest)
    return f'<path class="frontier" d="{path}H{scale.frame.right}"/>'


def _steps(standings: Standings, scale: _Scale) -> list[Box]:
    """What the frontier's lines cover."""
    corners = _corners(standings, scale)
    ends = [x for x, _ in corners[1:]] + [scale.frame.right]
    level = [Box(x, y - 2, end, y + 2) for (x, y), end in zip(corners, ends, strict=True)]
    rising = [Box(x - 2, y, x + 2, before) for (_, before), (x, y) in pairwise(corners)]
    return level + rising


def _whisker(contender: Contender, scale: _Scale) -> str:
    x, low, high = scale.x(_seconds(contender)), scale.y(contender.quality.low), scale.y(contender.quality.high)
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{contender.colour}" stroke-width="2" opacity=".45"/>'


def _mark(contender: Contender, scale: _Scale) -> str:
    x, y = scale.x(_seconds(contender)), scale.y(contender.quality.value)
    if not contender.mode:
        shape = f'<path d="M{x:.1f} {y - 7:.1f}l7 7-7 7-7-7z"'
    elif contender.mode.startswith("frozen"):
        shape = f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"'
    else:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"'
    tip = f"{contender.title}, {duration(contender.cost)} of CPU time"
    return f'{shape} class="mark" fill="{contender.colour}"><title>{escape(tip)}</title></{shape[1 : shape.index(" ")]}>'


def _labels(drawn: Sequence[Contender], scale: _Scale, form: Format, steps: Sequence[Box]) -> list[str]:
    points = [(scale.x(_seconds(c)), scale.y(c.quality.value)) for c in drawn]
    names = [c.short for c in drawn]
    sizes = [(text_width(name, form.font) + 4, form.font + 3.0) for name in names]
    soft = [*steps] + [Box(x - 2, scale.y(c.quality.high), x + 2, scale.y(c.quality.low)) for (x, _), c in zip(points, drawn, strict=True)]
    found = []
    for (x, y), box, name, contender in zip(points, label_places(points, sizes, form.frame, soft), names, drawn, strict=True):
        middle, base = (box.left + box.right) / 2, (box.top + box.bottom) / 2 + 0.35 * form.font
        near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
        if math.dist((x, y), (near_x, near_y)) > _LEADER:
            found.append(f'<line class="leader" x1="{x:.1f}" y1="{y:.1f}" x2="{near_x:.1f}" y2="{near_y:.1f}"/>')
        kind = "name plain" if contender.colour == BASELINE_COLOUR else "name"
        place = f'x="{middle:.1f}" y="{base:.1f}" text-anchor="middle" style="--colour:{contender.colour}"'
        found.append(f'<text class="{kind}" {place}>{escape(name)}</text>')
    return found


def _seconds(contender: Contender) -> float:
    return max(contender.cost, 0.01)  # a log axis has no zero


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    spread = (high - low) or abs(high) or 1.0
    return low - share * spread, high + share * spread


def _round_step(step: float) -> float:
    """The step as 1, 2 or 5 times a power of ten, not smaller.

    >>> [_round_step(step) for step in (0.7, 3.1, 14)]
    [1.0, 5.0, 20.0]
    """
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
