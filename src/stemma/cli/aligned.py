"""Results as a person reads them on a terminal: short numbers, and columns that stand under each other in every script."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

MARGIN = "  "
_LEAST = 20  # cells in which a text is parted


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


def named(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Names and their values; on a terminal a value that is wider goes on under itself, parted between words."""
    table = list(rows)
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    room -= max((cell_len(name) for name, _ in table), default=0) + 2 * len(MARGIN)
    yield from columns((first, part) for name, value in table for first, part in _going_on(name, _parted(value, room)))


def paragraph(text: str, after: str = "") -> Iterator[str]:
    """The text; on a terminal, where it is wider, parted between words, what follows its first line set in as `after` is."""
    room = shutil.get_terminal_size().columns - cell_len(after) if sys.stdout.isatty() else 0
    first, *others = _parted(text, room)
    yield from (first, *(after + part for part in others))


def _going_on(name: str, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip([name, *[""] * (len(parts) - 1)], parts, strict=True)


def _parted(text: str, room: int) -> list[str]:
    """The text in lines of `room` cells, words left whole; as it is where there is hardly any room."""
    lines = [""]
    for word in text.split(" ") if room >= _LEAST else [text]:
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


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
