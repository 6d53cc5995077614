"""Nested measures as lines to read: a figure with its interval on a line, rows of figures as tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stemma.cli.aligned import columns, number
from stemma.nouns import counted

_SHOWN = 20  # words without a vector that are named in a line; --json names them all


def measures(found: Mapping[str, Any]) -> Iterator[str]:
    """The measures of `stemma evaluate`, line by line."""
    for name, value in found.items():
        if name in _LINES:
            yield from _LINES[name](value)
        elif value is not None:
            yield _words(name)
            yield from columns(_rows(value))
            for inner, rows in value.items():
                if _is_table(rows):
                    yield from _table(_words(inner), rows)


def _rows(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """(name, figure) of all but tables."""
    for name, value in found.items():
        label = f"{before}{_words(name)}"
        if isinstance(value, Mapping) and "value" not in value:
            yield from _rows(value, f"{label}, ")
        elif isinstance(value, (list, tuple)) and not _is_table(value):
            shown = f" ({', '.join(map(str, value[:5]))}{', …' if len(value) > 5 else ''})" if value else ""
            yield label, f"{len(value):,}{shown}"
        elif value is not None and not _is_table(value):
            yield label, _figure(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], Mapping)


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows of the same keys, under these."""
    keys = [key for key, value in rows[0].items() if not isinstance(value, Mapping) or "value" in value]
    yield f"{name}, each by itself"
    yield from columns([[_words(key) for key in keys], *([_figure(row[key]) for key in keys] for row in rows)])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _figure(value: Any) -> str:
    if isinstance(value, Mapping) and value["low"] == value["high"]:  # a single example says nothing of its luck
        return number(value["value"])
    if isinstance(value, Mapping):
        return f"{number(value['value'])} ({number(value['low'])} to {number(value['high'])})"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return number(value)
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


def _cloze(found: Mapping[str, Any]) -> Iterator[str]:
    share = found["right"]
    units = {"words": "words", "characters": "Chinese characters or words"}[found["units"]]
    yield f"cloze, {counted(found['gaps'], 'gap')} of {units}, {found['masks_per_gap']:.2f} masks each"
    right = f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
    over = found["over_most_frequent"]
    ratio = f"{found['most_frequent']:.1%}; {'just as much' if over == 1 else f'{number(over)} times that'}"
    rows = [("filled right", right), ("the most frequent one everywhere", ratio), ("bits a gap", number(found["bits_per_gap"]))]
    yield from columns([*rows, *([("beyond the vocabulary", f"{found['unknown']:,}")] if found["unknown"] else [])])


def _zero_shot(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['task']} without training, {counted(found['examples'], 'example')}: {found['way']}"
    yield from columns(_posed(found))
    chance = found["chance"]
    rows = [(_words(name), _figure(value)) for name, value in found["measures"].items()]
    rows.append((f"{chance['how']}, {_words(chance['measure'])}", number(chance["value"])))
    rows += [("choosing by lot", number(chance["by_lot"]))] if "by_lot" in chance else []
    yield from columns([*rows, ("above that", _figure(found["above_chance"]))])
    if found.get("classes"):
        yield from _table("labels", found["classes"])
    for row in found.get("seen", ()):
        yield f"  {_short(row['source'])} -> {_short(row['written']) or '(nothing)'}"
    if found["doubt"]:
        yield f"  {found['doubt']}"


def _posed(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How the task was posed."""
    if found.get("template"):
        yield "template", repr(found["template"])
    words = {label: word for label, word in found.get("words", {}).items() if word != label}
    if words:
        yield "words", ", ".join(f"{label}={word}" for label, word in words.items())
    if found.get("unknown"):
        yield "words that it does not know", ", ".join(found["unknown"])
    if "alike" in found:
        yield "the label of pairs that are alike", found["alike"]
    if found.get("in_blanks"):
        yield "contexts with a blank", f"{found['in_blanks']:,}"
    if found.get("shown"):
        yield "pairs shown in the prompt, and not judged", f"{found['shown']:,}"
    if found.get("empty"):
        yield "nothing written", f"{found['empty']:,}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"


def _translation(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"translation of {counted(found['pairs'], 'pair')}"
    losses = {"nats a token": found["loss"], "nats a token with other sources": found["loss_with_other_sources"]}
    figures = [(title, _figure(found[title])) for title in found["metrics"]] + [(name, _figure(loss)) for name, loss in losses.items()]
    outputs = f"{found['distinct_outputs']:,} of {counted(found['distinct_sources'], 'different source')}"
    yield from columns([*figures, ("different outputs", outputs)])
    yield from (f"  signature of {title}: {signature}" for title, signature in found["signatures"].items())
    yield from _table("by the length of the source", found["lengths"])
    if found["doubt"]:
        yield f"  doubt it: {found['doubt']}"


def _probes(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for found in files:
        scale = 100 if found["share"] else 1
        title = f"{found['metric']}{', %' * found['share']}"
        sizes = f"{counted(found['examples']['learning'], 'example')} to learn from, {found['examples']['judged']:,} to judge by"
        yield f"probe of {found['about']}, {found['file']}: {title} ({sizes})"
        rows = [[f"{place}{' *' * (place == found['best_layer'])}", *_probed(layer, scale)] for place, layer in enumerate(found["layers"])]
        yield from columns([["layer", "pre-trained", "newly drawn", "gained"], *rows])
        yield f"  * the best layer, chosen on examples that no figure is of; {number(found['floor'] * scale)} without reading"


def _probed(layer: Mapping[str, Any], scale: int) -> Iterator[str]:
    for name in ("value", "random", "gain"):
        yield _figure({key: figure * scale for key, figure in layer[name].items()})


_LINES: dict[str, Callable[[Any], Iterator[str]]] = {
    "similarity": _similarity,
    "analogies": _analogies,
    "outliers": _outliers,
    "minimal_pairs": _minimal_pairs,
    "cloze": _cloze,
    "translation": _translation,
    "probe": _probes,
    "zero_shot": _zero_shot,
}
