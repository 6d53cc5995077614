"""Attention as a person reads it on a terminal: what each token looks at most, and the six steps behind it in small numbers."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from stemma.cli.aligned import columns, share
from stemma.lineage.network import AttentionKind
from stemma.runs.attention_heads import CAUSAL, MEANING, AttentionHead, visible

ABREAST = 4  # heads that stand side by side in a table
TOKENS, NUMBERS = 10, 4  # of the six steps: the first tokens, and the first numbers of a vector
UNSEEN = "·"  # where a token may not look

Row = dict[str, Any]


def looks(row: Row) -> Iterator[str]:
    """The table of each layer: a line a token, a column a head, in it the token looked at most and its share."""
    yield from _texts(row)
    for (kind, layer), group in itertools.groupby(row["heads"], key=lambda head: (head["kind"], head["layer"])):
        heads = list(group)
        for first in range(0, len(heads), ABREAST):
            yield from _layer(kind, layer, heads[first : first + ABREAST])


def _layer(kind: AttentionKind, layer: int, heads: Sequence[Row]) -> Iterator[str]:
    yield f"layer {layer}, {kind}: {MEANING[kind]}"
    table = [["", *(f"head {head['head']}" for head in heads)]]
    for place, token in enumerate(heads[0]["rows"]):
        table.append([visible(token), *(_most(head["columns"], head["weights"][place]) for head in heads)])
    yield from columns([*table, ["tokens looked at", *(f"{head['spread']:.1f}" for head in heads)]])


def _most(tokens: Sequence[str], weights: Sequence[float]) -> str:
    place = max(range(len(weights)), key=weights.__getitem__)
    return f"{visible(tokens[place])} {share(weights[place])}"


def step_rows(head: AttentionHead) -> Row:
    """The head's six steps as JSON-able numbers."""
    steps = {name: _rounded(tensor.tolist()) for name, tensor in head.steps()._asdict().items()}
    return {"kind": head.kind, "layer": head.layer, "head": head.head, "rows": head.rows, "columns": head.columns, "steps": steps}


def six_steps(row: Row) -> Iterator[str]:
    """The steps of each head one after the other, of its first tokens and first numbers."""
    yield from _texts(row)
    for head in row["heads"]:
        yield from _steps(head)


def _steps(head: Row) -> Iterator[str]:
    steps, blind = head["steps"], head["kind"] == CAUSAL
    rows, seen = ([visible(token) for token in head[side][:TOKENS]] for side in ("rows", "columns"))
    width, last = len(steps["keys"][0]), len(rows) - 1
    yield f"layer {head['layer']}, head {head['head']}, {head['kind']}: {MEANING[head['kind']]}"
    for side, tokens in (("rows", rows), ("columns", seen)):
        if len(head[side]) > len(tokens):
            yield f"  shown are the first {len(tokens)} of {len(head[side])} {side}"
    yield f"1. the query of each token that looks, key and value of each looked at{_some(width)}"
    yield from columns(_vectors("query", rows, steps["queries"]))
    yield from columns([("", "key", "value"), *zip(seen, map(_numbers, steps["keys"]), map(_numbers, steps["values"]), strict=False)])
    yield "2. scores: the product of the row's query with the column's key"
    yield from _matrix(rows, seen, steps["scores"], blind, "{:.2f}")
    yield f"3. scores divided by the root of the {width} numbers of a key, {math.sqrt(width):.2f}, so that they do not grow with them"
    yield from _matrix(rows, seen, steps["scaled"], blind, "{:.2f}")
    yield f"4. softmax: what each row takes of each column, 1 in all; {UNSEEN} where it may not look"
    yield from _matrix(rows, seen, steps["weights"], blind, "{:.3f}")
    yield f"5. each value times its weight, for {rows[last]}{_some(width)}"
    yield from columns(_vectors("weight × value", seen, steps["weighted"][last]))
    yield f"6. their sum: the head's output{_some(width)}"
    yield from columns(_vectors("output", rows, steps["output"]))


def _vectors(title: str, tokens: Sequence[str], vectors: Sequence[Sequence[float]]) -> list[tuple[str, str]]:
    return [("", title), *zip(tokens, map(_numbers, vectors), strict=False)]


def _matrix(rows: Sequence[str], seen: Sequence[str], values: Sequence[Sequence[float]], blind: bool, form: str) -> Iterator[str]:
    """One line a row, a column for each token; `blind`: a row may not look at what comes after it."""
    table = [["", *seen]]
    for place, (token, own) in enumerate(zip(rows, values, strict=False)):
        cells = [UNSEEN if blind and column > place else form.format(value) for column, value in enumerate(own[: len(seen)])]
        table.append([token, *cells])
    yield from columns(table)


def _numbers(vector: Sequence[float]) -> str:
    return " ".join(f"{value:5.2f}" for value in vector[:NUMBERS]) + " …" * (len(vector) > NUMBERS)


def _some(width: int) -> str:
    return f" (the first {NUMBERS} of {width} numbers)" if width > NUMBERS else ""


def _texts(row: Row) -> Iterator[str]:
    yield row["text"] + (f" | {row['other']}" if "other" in row else "")


def _rounded(values: Any) -> Any:
    """Nested lists with six decimals."""
    return [_rounded(value) for value in values] if isinstance(values, list) else round(values, 6)
