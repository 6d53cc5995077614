"""Attention weights as pictures: every head one map, the kinds told apart by colour and heading, as an offline page or as a PNG.

A cell's colour is the stronger the more of the column's token goes into the row's: its opacity is the square root of the weight in
every map, so that maps can be compared and small weights be seen. Lengths are units of the picture. T rows, S columns.
"""

import itertools
import json
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import NamedTuple

import numpy as np

from stemma.errors import MissingExtra, UsageError
from stemma.evaluation.report.wording import capital
from stemma.lineage.network import AttentionKind
from stemma.nouns import counted
from stemma.runs.attention_heads import CAUSAL, MEANING, AttentionHead, visible
from stemma.tokens.scripts import is_han

COLOURS: dict[AttentionKind, str] = {
    "encoder self": "#7165e3",
    "relative self": "#d1495b",
    "decoder causal self": "#0f9687",
    "encoder-decoder": "#cc6a00",
    "soft": "#c2457f",
}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', 'PingFang SC', 'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif"
MOST_CELLS = 2_000_000  # of a page: more, and no browser shows it at ease
MOST_AREA, FINE_AREA = 50e6, 10e6  # pixels of a PNG; up to the second it is drawn at twice its size
OPEN = 24  # heads that a page shows at once; of more, those above the lowest layer are folded
NO_CHARACTER = "\u0378"  # one that Unicode has not given out
INK, PAPER = "#1c1f26", "#ffffff"  # of a PNG
_CELL, _FONT, _GAP, _WIDEST = 15, 11, 4, 14  # a cell's side, letters, label to cells, and the characters of a label at most
_ADVANCE = 0.62  # of a Latin letter, in the height of the font; Han are square
_SLANT = math.radians(60)  # of the columns' labels
_LEVELS = 24  # of opacity
_SCALE = (0.01, 0.1, 0.3, 1.0)  # weights that the legend shows
_ACROSS, _MARGIN, _LINE = 1500, 24, 22  # a PNG's width at which heads go to the next line, its margin, a line of text
_CAPTION = 200  # the width of a map's caption
_TITLE = 72  # characters of a title that fit into the narrowest picture


class Attended(NamedTuple):
    """One text or pair, and the heads that are to be shown of it."""

    title: str
    heads: Sequence[AttentionHead]


def page(title: str, texts: Sequence[Attended]) -> str:
    """The offline page as text: without scripts it shows the maps, with them also what a cell stands for."""
    cells = sum(head.weights.size for text in texts for head in text.heads)
    if cells > MOST_CELLS:
        raise UsageError(f"maps of {cells:,} weights", f"{MOST_CELLS:,} at most", "choose one --layer or --head, or shorten the text")
    number = itertools.count()
    body = "".join(f"<h2>{escape(text.title)}</h2>{''.join(_sections(text.heads, number))}" for text in texts)
    template = (resources.files("stemma.evaluation.report") / "heat_maps.html").read_text(encoding="utf-8")
    return Template(template).substitute(title=escape(title), body=body)


def png(texts: Sequence[Attended]) -> bytes:
    """The maps as one picture; MissingExtra without the extra `report`. A warning names characters that no font here can draw."""
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtra("vl-convert-python", "report") from error
    labels = (label for text in texts for head in text.heads for label in head.rows + head.columns)
    _warn_of_fonts(vl_convert.svg_to_png, sorted(set().union(*map(visible, labels))))
    svg, width, height = picture(texts)
    if width * height > MOST_AREA:
        expected = f"{MOST_AREA / 1e6:.0f} million at most"
        raise UsageError(
            f"a picture of {width * height / 1e6:.0f} million pixels", expected, "choose one --layer or --head, or write a page"
        )
    drawn: bytes = vl_convert.svg_to_png(svg, scale=2 if width * height < FINE_AREA else 1)
    return drawn


def picture(texts: Sequence[Attended]) -> tuple[str, float, float]:
    """(the SVG that a PNG is made of, text after text, kind after kind, layer after layer; its width and its height)."""
    parts, down, wide = list[str](), float(_MARGIN), 760.0
    for text in texts:
        for line in textwrap.wrap(text.title, _TITLE):
            parts.append(_said(line, down, "700"))
            down += _LINE
        down -= _LINE
        for kind, of_kind in _by_kind(text.heads):
            parts.append(_said(f"{capital(kind)} attention: {MEANING[kind]}", down + 1.5 * _LINE, "600", COLOURS[kind]))
            parts.append(_key(kind, _MARGIN, down + 2 * _LINE))
            down += 4 * _LINE
            for layer, heads in _by_layer(of_kind):
                parts.append(_said(f"layer {layer}", down, "600"))
                maps, width, height = _side_by_side(heads)
                parts.append(f'<g transform="translate({_MARGIN} {down + _LINE:.0f})">{maps}</g>')
                down, wide = down + 2 * _LINE + height, max(wide, width + 2 * _MARGIN)
        down += _LINE
    size = f'width="{wide:.0f}" height="{down:.0f}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} color="{INK}" fill="{INK}" font-family="{FONTS}">'
    return f'{start}<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(parts)}</svg>', wide, down


def _side_by_side(heads: Sequence[AttentionHead]) -> tuple[str, float, float]:
    """(the heads' maps under their captions, in as many lines as they need; width and height of them all)."""
    parts, across, down, tallest, wide = list[str](), 0.0, 0.0, 0.0, 0.0
    for head in heads:
        drawn = _map(head)
        width = max(drawn.width, _CAPTION)
        if across and across + width > _ACROSS:
            across, down, tallest = 0.0, down + tallest, 0.0
        caption = f'<text x="{across:.0f}" y="{down:.0f}" font-size="12">{_caption(head)}</text>'
        parts.append(f'{caption}<g transform="translate({across:.0f} {down + 4:.0f})">{drawn.body}</g>')
        across, tallest = across + width + _MARGIN, max(tallest, drawn.height + _LINE)
        wide = max(wide, across)
    return "".join(parts), wide, down + tallest


def _said(text: str, down: float, weight: str, colour: str = INK) -> str:
    return f'<text x="{_MARGIN}" y="{down:.0f}" font-size="14" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'


def _by_kind(heads: Sequence[AttentionHead]) -> Iterator[tuple[AttentionKind, list[AttentionHead]]]:
    for kind, group in itertools.groupby(heads, key=lambda head: head.kind):
        yield kind, list(group)


def _by_layer(heads: Sequence[AttentionHead]) -> Iterator[tuple[int, list[AttentionHead]]]:
    for layer, group in itertools.groupby(heads, key=lambda head: head.layer):
        yield layer, list(group)


def _sections(heads: Sequence[AttentionHead], number: Iterator[int]) -> Iterator[str]:
    """A kind's section with its layers, and the tokens of its maps for the script."""
    for kind, of_kind in _by_kind(heads):
        tokens, lowest = next(number), of_kind[0].layer
        layers = [_layer(layer, own, tokens, len(of_kind) <= OPEN or layer == lowest) for layer, own in _by_layer(of_kind)]
        held = json.dumps({"rows": of_kind[0].rows, "columns": of_kind[0].columns}, ensure_ascii=False).replace("</", "<\\/")
        scale = f'<svg class="key" viewBox="0 0 230 18" aria-hidden="true">{_key(kind, 0, 2)}</svg>'
        head = f'<h3><i style="background:{COLOURS[kind]}"></i>{capital(kind)} attention</h3><p>{capital(MEANING[kind])}.</p>{scale}'
        data = f'<script type="application/json" id="tokens-{tokens}">{held}</script>'
        yield f"<section>{head}{''.join(layers)}{data}</section>"


def _layer(layer: int, heads: Sequence[AttentionHead], tokens: int, opened: bool) -> str:
    figures = "".join(_figure(head, tokens) for head in heads)
    return f'<details{" open" if opened else ""}><summary>layer {layer}</summary><div class="heads">{figures}</div></details>'


def _figure(head: AttentionHead, tokens: int) -> str:
    drawn = _map(head)
    shares = ";".join(",".join(map(str, row)) for row in np.rint(head.weights * 1000).astype(int).tolist())
    label = f"layer {head.layer}, head {head.head}: {head.kind} attention of {counted(len(head.rows), 'token')}"
    place = f'data-tokens="{tokens}" data-left="{drawn.left:.0f}" data-top="{drawn.top:.0f}" data-cell="{_CELL}" data-shares="{shares}"'
    size = f'viewBox="0 0 {drawn.width:.0f} {drawn.height:.0f}" style="width:{drawn.width:.0f}px;min-width:{0.62 * drawn.width:.0f}px"'
    svg = f'<svg {size} role="img" aria-label="{escape(label)}" {place}>{drawn.body}</svg>'
    return f'<figure><figcaption>{_caption(head)}</figcaption><div class="scroll">{svg}</div></figure>'


def _caption(head: AttentionHead) -> str:
    return f"head {head.head} · a row looks at {head.spread:.1f} tokens"


class _Map(NamedTuple):
    """A head's map without the frame round it: its SVG, its size, and where its cells begin."""

    body: str
    width: float
    height: float
    left: float
    top: float


def _map(head: AttentionHead) -> _Map:
    rows, columns = list(map(_shortened, head.rows)), list(map(_shortened, head.columns))
    left = max(map(_wide, rows)) + _GAP
    longest = max(map(_wide, columns))
    top = longest * math.sin(_SLANT) + _FONT
    side = [
        f'<text x="{left - _GAP:.1f}" y="{top + (place + 0.5) * _CELL + 0.36 * _FONT:.1f}" text-anchor="end">{escape(label)}</text>'
        for place, label in enumerate(rows)
    ]
    above = [_slanted(label, left + (place + 0.6) * _CELL, top - _GAP) for place, label in enumerate(columns)]
    cells = f'<g transform="translate({left:.1f} {top:.1f}) scale({_CELL})">{_ground(head)}{_cells(head)}</g>'
    texts = f'<g font-size="{_FONT}" fill="currentColor">{"".join(side)}{"".join(above)}</g>'
    overhang = max(0.0, max(_wide(label) * math.cos(_SLANT) - (len(columns) - place - 1) * _CELL for place, label in enumerate(columns)))
    return _Map(texts + cells, left + len(columns) * _CELL + overhang + _GAP, top + len(rows) * _CELL + _GAP, left, top)


def _slanted(label: str, x: float, y: float) -> str:
    return f'<text transform="translate({x:.1f} {y:.1f}) rotate(-{math.degrees(_SLANT):.0f})">{escape(label)}</text>'


def _ground(head: AttentionHead) -> str:
    """The cells that may have a weight: all, or under a causal head those of a row's own column and before."""
    rows, columns = head.weights.shape
    path = "h1v1" * rows + f"h-{rows}z" if head.kind == CAUSAL else f"h{columns}v{rows}h-{columns}z"
    return f'<path d="M0 0{path}" fill="{COLOURS[head.kind]}" fill-opacity=".08"/>'


def _cells(head: AttentionHead) -> str:
    """One path for each level of opacity; neighbours of one level in a row are one rectangle."""
    levels = np.rint(np.sqrt(head.weights) * _LEVELS).astype(int)
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(levels.tolist()):
        x = 0
        for level, run in itertools.groupby(row):
            size = len(list(run))
            if level:
                paths.setdefault(level, []).append(f"M{x} {y}h{size}v1h-{size}z")
            x += size
    drawn = (f'<path d="{"".join(parts)}" fill-opacity="{level / _LEVELS:.2f}"/>' for level, parts in sorted(paths.items()))
    return f'<g fill="{COLOURS[head.kind]}" shape-rendering="crispEdges">{"".join(drawn)}</g>'


def _key(kind: AttentionKind, x: float, y: float) -> str:
    """What the shades mean."""
    shades = []
    for place, weight in enumerate(_SCALE):
        at = x + place * 58
        shades.append(
            f'<rect x="{at:.0f}" y="{y:.0f}" width="14" height="14" fill="{COLOURS[kind]}" fill-opacity="{math.sqrt(weight):.2f}"/>'
        )
        shades.append(f'<text x="{at + 18:.0f}" y="{y + 11:.0f}" font-size="11" fill="currentColor">{weight * 100:.0f} %</text>')
    return "".join(shades)


def _shortened(token: str) -> str:
    label = visible(token)
    return label if len(label) <= _WIDEST else label[: _WIDEST - 1] + "…"


def _wide(label: str) -> float:
    return sum(_FONT if is_han(character) else _ADVANCE * _FONT for character in label)


def _warn_of_fonts(render: Callable[[str], bytes], characters: Iterable[str]) -> None:
    """Warns of the characters that come out as one that no font has: a picture cannot take its letters from its reader."""
    none = _drawn(render, NO_CHARACTER)
    lacking = [character for character in characters if not character.isascii() and _drawn(render, character) == none]
    if lacking:
        shown = "".join(lacking[:10])
        wrong = f"no font of this machine has {counted(len(lacking), 'character')} of the text ({shown}), drawn as boxes"
        warnings.warn(f"{wrong}; install one (for Chinese: Noto Sans CJK), or write a page, whose letters are its reader's", stacklevel=4)


def _drawn(render: Callable[[str], bytes], character: str) -> bytes:
    size = 'width="24" height="24"'
    return render(f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONTS}"><text y="18">{character}</text></svg>')
