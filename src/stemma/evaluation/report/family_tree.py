"""The family tree as a picture: every generation of the lineage behind its parent, with its figure where it was compared.

Plain SVG, drawn twice: from left to right for wide windows, as an indented list for narrow ones.
"""

from collections.abc import Iterator, Mapping
from html import escape

from stemma.evaluation.comparison.results import GenerationResults
from stemma.evaluation.report.standings import Standings
from stemma.evaluation.report.wording import metric_title, metric_unit, metric_value
from stemma.lineage.table import TABLE, Generation

_WIDTH, _HEIGHT = 130, 46  # of a generation's box, in units of the picture
_RIGHT, _DOWN = 158, 60  # from one box to the next
_ROW, _INDENT = 38, 17  # of the indented list
_NARROW = 356

Places = Mapping[str, tuple[float, float]]


def family_tree(standings: Standings) -> str:
    """The figure, in both formats."""
    compared = {generation.name: generation for generation in standings.results.generations}
    figures = {name: _figure(standings, generation) for name, generation in compared.items()}
    caption = (
        f"The figure is each generation's {escape(metric_title(standings.metric))}, in its better way of transfer, "
        "or the bits a character it needs to predict the text where it cannot learn the task. "
        "Grey ones were not compared here. A name leads to its row."
    )
    return f'<figure class="tree">{_wide(figures)}{_narrow(figures)}<figcaption>{caption}</figcaption></figure>'


def _figure(standings: Standings, generation: GenerationResults) -> str:
    best = next((contender for contender in standings.ranked if contender.name == generation.name), None)
    if best:
        return f"{metric_value(standings.metric, best.quality.value)}{metric_unit(standings.metric)}".replace(" ", "\u00a0")
    if generation.failed:
        return "failed"
    return f"{generation.bits.value:.2f} bits" if generation.bits else "–"


def _children(name: str | None) -> list[Generation]:
    return [row for row in TABLE if row.parent == name]


def _walk(name: str | None = None, depth: int = 0) -> Iterator[tuple[Generation, int]]:
    """Every generation with its depth, parents before children."""
    for row in _children(name):
        yield row, depth
        yield from _walk(row.name, depth + 1)


def _places() -> Places:
    """The upper left corner of each box: one column a depth, one line a leaf, parents in the middle of their children."""
    depths = {row.name: depth for row, depth in _walk()}
    leaves = [row.name for row, _ in _walk() if not _children(row.name)]
    heights: dict[str, float] = {name: float(place) for place, name in enumerate(leaves)}
    for name in sorted(depths, key=lambda name: -depths[name]):
        if name not in heights:
            own = [heights[child.name] for child in _children(name)]
            heights[name] = (min(own) + max(own)) / 2
    return {name: (depth * _RIGHT + 1, heights[name] * _DOWN + 1) for name, depth in depths.items()}


def _wide(figures: Mapping[str, str]) -> str:
    places = _places()
    width, height = (max(place[axis] for place in places.values()) + size + 1 for axis, size in ((0, _WIDTH), (1, _HEIGHT)))
    lines = "".join(_branch(places[row.parent], places[row.name], row.name in figures) for row in TABLE if row.parent)
    boxes = "".join(_box(row, *places[row.name], figures.get(row.name)) for row in TABLE)
    return _svg("wide", width, height, lines + boxes)


def _svg(kind: str, width: float, height: float, inner: str) -> str:
    box = f'viewBox="0 0 {width:.0f} {height:.0f}" font-size="13"'
    return f'<svg class="{kind}" {box} role="img" aria-label="The family tree">{inner}</svg>'


def _branch(parent: tuple[float, float], child: tuple[float, float], compared: bool) -> str:
    x, y = parent[0] + _WIDTH, parent[1] + _HEIGHT / 2
    end, down = child[0], child[1] + _HEIGHT / 2
    middle = (x + end) / 2
    kind = "branch" if compared else "branch absent"
    return f'<path class="{kind}" d="M{x:.0f} {y:.1f}C{middle:.0f} {y:.1f} {middle:.0f} {down:.1f} {end:.0f} {down:.1f}"/>'


def _box(row: Generation, x: float, y: float, figure: str | None) -> str:
    frame = f'<rect class="box" x="{x:.0f}" y="{y:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="7"/>'
    colour = row.colour if figure else "currentColor"
    strip = f'<rect class="strip" x="{x + 7:.0f}" y="{y + 9:.1f}" width="4" height="{_HEIGHT - 18}" rx="2" fill="{colour}"/>'
    name = f'<text class="name" x="{x + 19:.0f}" y="{y + 20:.1f}">{escape(row.short)}</text>'
    year = f'<text class="axis" x="{x + 19:.0f}" y="{y + 37:.1f}">{row.year}</text>'
    value = f'<text class="figure" x="{x + _WIDTH - 9:.0f}" y="{y + 37:.1f}" text-anchor="end">{escape(figure)}</text>' if figure else ""
    return _linked(row, frame + strip + name + year + value, figure)


def _linked(row: Generation, inner: str, figure: str | None) -> str:
    if figure is None:
        return f'<g class="absent">{inner}</g>'
    return f'<a href="#row-{row.name}" aria-label="{escape(row.short)}, {escape(figure)}">{inner}</a>'


def _narrow(figures: Mapping[str, str]) -> str:
    parts, rows = [], {row.name: (depth * _INDENT + 6.0, place * _ROW + 19.0) for place, (row, depth) in enumerate(_walk())}
    for row in TABLE:
        x, y = rows[row.name]
        if row.parent:
            left, up = rows[row.parent]
            kind = "branch" if row.name in figures else "branch absent"
            parts.append(f'<path class="{kind}" d="M{left:.0f} {up + 9:.0f}V{y:.0f}H{x - 8:.0f}"/>')
        figure = figures.get(row.name)
        dot = f'<circle class="strip" cx="{x:.0f}" cy="{y:.0f}" r="5" fill="{row.colour if figure else "currentColor"}"/>'
        year = f'<tspan class="axis" dx="7">{row.year}</tspan>'
        name = f'<text class="name" x="{x + 12:.0f}" y="{y + 5:.0f}">{escape(row.short)}{year}</text>'
        value = f'<text class="figure" x="{_NARROW - 2}" y="{y + 5:.0f}" text-anchor="end">{escape(figure)}</text>' if figure else ""
        parts.append(_linked(row, dot + name + value, figure))
    return _svg("narrow", _NARROW, len(rows) * _ROW, "".join(parts))
