"""The legends of the charts as HTML: colours, shapes and lines, each with what it stands for."""

from collections.abc import Iterable, Mapping
from html import escape

from stemma.evaluation.comparison.results import GenerationResults
from stemma.evaluation.report import tables


def dot_keys(generations: Iterable[GenerationResults]) -> list[str]:
    """The colour of each generation."""
    return [f"{tables.dot(generation.colour)}{escape(generation.short)}" for generation in generations]


def shape_keys(shapes: Mapping[str, str]) -> list[str]:
    """What each shape of Vega's stands for."""
    drawn = {
        "square": '<rect x="2" y="2" width="9" height="9"/>',
        "diamond": '<path d="M6.5 0.5l6 6-6 6-6-6z"/>',
        "circle": '<circle cx="6.5" cy="6.5" r="5"/>',
        "triangle-down": '<path d="M1 2h11L6.5 12z"/>',
        "triangle-up": '<path d="M1 11h11L6.5 1z"/>',
        "cross": '<path d="M5 1h3v4h4v3h-4v4h-3v-4h-4v-3h4z"/>',
    }
    return [f'<svg class="key" viewBox="0 0 13 13" aria-hidden="true">{drawn[shape]}</svg>{escape(name)}' for name, shape in shapes.items()]


def line_keys(names: Mapping[str, bool]) -> list[str]:
    """What each line stands for, which is dashed where it says so."""
    drawn = {False: "M0 6h13v2H0z", True: "M0 6h5v2H0zM8 6h5v2H8z"}
    key = '<svg class="key" viewBox="0 0 13 13" aria-hidden="true"><path d="{}"/></svg>{}'
    return [key.format(drawn[dashed], escape(name)) for name, dashed in names.items()]
