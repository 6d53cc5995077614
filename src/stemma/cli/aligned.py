"""Results as a person reads them on a terminal: short numbers, and columns that stand under each other in every script."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

MARGIN = "  "


def columns(rows: Iterable[Sequence[str]], before: str = MARGIN) -> Iterator[str]:
    """The rows with each column as wide as its widest cell; a Chinese character is two cells wide.

    >>> list(columns([("王", "0.7"), ("king", "-0.25")]))
    ['  王    0.7', '  king  -0.25']
    """
    table = [tuple(row) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        yield (before + MARGIN.join(cells)).rstrip()


def number(value: float | None) -> str:
    """Three digits that mean something; a dash for none.

    >>> number(0.123456), number(1234.5), number(1e-9), number(None)
    ('0.123', '1,234', '1e-09', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def share(value: float) -> str:
    """A probability in percent.

    >>> share(0.98349), share(0.000012)
    ('98.3 %', '<0.1 %')
    """
    return "<0.1 %" if 0 < value < 0.001 else f"{value:.1%}".replace("%", " %")


def likely(tokens: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The rows of `cli.likeliest`, a token a line."""
    return columns((token["token"], share(token["probability"])) for token in tokens)
