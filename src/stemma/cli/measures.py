"""Nested measures as lines to read: an interval, and a row of figures, on one line each; analogies as a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stemma.nouns import counted

_SHOWN = 20  # words without a vector that are named in a line; --json names them all


def measures(found: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The measures of `stemma evaluate`, line by line."""
    for name, value in found.items():
        label = f"{before}{name.replace('_', ' ')}"
        if name in _LINES and not before:
            yield from _LINES[name](value)
        elif isinstance(value, Mapping) and all(isinstance(inner, (int, float, type(None))) for inner in value.values()):
            yield f"{label}: {_figures(value)}"
        elif isinstance(value, Mapping):
            yield from measures(value, f"{label}, ")
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            yield from (f"{label}: {_figures(row)}" for row in value)
        elif isinstance(value, (list, tuple)):
            yield f"{label}: {len(value):,}" + (f" ({', '.join(map(str, value[:5]))}{', …' if len(value) > 5 else ''})" if value else "")
        elif value is not None:
            yield f"{label}: {_figure(value)}"


def _figures(row: Mapping[str, Any]) -> str:
    if {"value", "low", "high"} <= row.keys():
        return _figure(row)
    shown = {key: value for key, value in row.items() if not isinstance(value, Mapping) or "low" in value}
    return ", ".join(f"{key.replace('_', ' ')} {_figure(value)}" for key, value in shown.items())


def _figure(value: Any) -> str:
    if isinstance(value, Mapping) and value["low"] == value["high"]:  # a single example tells nothing of its luck
        return f"{value['value']:.4f}"
    if isinstance(value, Mapping):
        return f"{value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _similarity(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for found in files:
        yield f"similarity, {found['file']}: rho {_figure(found['rho'])}, {found['used']:,} of {counted(found['pairs'], 'pair')}"
        yield from _missing(found["missing"])


def _analogies(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for found in files:
        rows = {**found["sections"], "total": found["total"]}
        wide = max(map(len, rows))
        yield f"analogies, {found['file']}: right among the covered questions, %"
        yield f"  {'':{wide}}  3CosAdd  3CosMul  covered"
        for name, row in rows.items():
            shares = (row[f"{method}_accuracy"] for method in ("add", "mul"))
            figures = "".join(f"  {'–' if share is None else format(share * 100, '.1f'):>7}" for share in shares)
            yield f"  {name:{wide}}{figures}  {row['covered']:,} of {row['asked']:,}"


def _outliers(found: Mapping[str, Any]) -> Iterator[str]:
    if found["covered"]:
        figures = f"{found['accuracy']:.1%} found, outlier position {found['position']:.1%}"
        yield f"outliers: {figures}, {found['covered']:,} of {counted(found['asked'], 'group')}"
    else:
        yield f"outliers: none of {found['asked']:,} groups has vectors"
    yield from _missing(found["missing"])


def _missing(words: Sequence[str]) -> Iterator[str]:
    if words:
        rest = f" and {len(words) - _SHOWN:,} more, which --json names" if len(words) > _SHOWN else ""
        yield f"  without a vector: {', '.join(words[:_SHOWN])}{rest}"


def _minimal_pairs(found: Mapping[str, Any]) -> Iterator[str]:
    total, drawn = found["total"], found["given"] - found["total"]["pairs"]
    yield f"minimal pairs: the good sentence is likelier, % ({found['way']})"
    rows = {**found["phenomena"], "mean of the phenomena": {**total, "share": found["mean"]}, "all pairs": total}
    wide = max(max(map(len, rows)), 20)
    yield f"  {'':{wide}}  right  95 % interval  pairs  ties"
    for name, row in rows.items():
        right, low, high = (row["share"][key] * 100 for key in ("value", "low", "high"))
        yield f"  {name:{wide}}  {right:5.1f}   {low:5.1f} to {high:5.1f}  {row['pairs']:5,}  {row['ties']:4,}"
    if drawn:
        yield f"  drawn by lot from {counted(found['given'], 'pair')}"
    if found["same"] or found["unknown"]:
        yield f"  pairs read as the same tokens, so ties: {found['same']:,}; with an unknown word in what differs: {found['unknown']:,}"


_LINES: dict[str, Callable[[Any], Iterator[str]]] = {
    "similarity": _similarity,
    "analogies": _analogies,
    "outliers": _outliers,
    "minimal_pairs": _minimal_pairs,
}
