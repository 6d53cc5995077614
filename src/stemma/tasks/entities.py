"""Spans in BIO tags, and how well found spans match the right ones: precision, recall and F1, in two readings.

`strict` reads tags as IOB2 is defined: a span begins at B-x and goes on over I-x; any other I-x is outside. Otherwise they are
read as conlleval (Tjong Kim Sang 2003) reads them: an I-x that nothing of its type stands before begins a span.

Axes: N sentences, E types of span, K tags.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from stemma.corpus.columns import OUTSIDE

Span = tuple[str, int, int]  # type, first unit, the unit after the last


def spans(tags: Sequence[str], strict: bool = False) -> list[Span]:
    """The spans of a sentence, in order; none overlap."""
    found: list[Span] = []
    kind, begin = "", 0  # of the span that is open; "": none is
    for at, tag in enumerate([*tags, OUTSIDE]):
        mark, _, name = tag.partition("-")
        goes_on = mark == "I" and name == kind
        if kind and not goes_on:
            found.append((kind, begin, at))
            kind = ""
        if mark == "B" or (mark == "I" and not goes_on and not strict):
            kind, begin = name, at
    return found


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags as IOB2 writes the spans that conlleval reads in them: B-x at every beginning (CoNLL 2003 has I-x there)."""
    begins = {first for _, first, _ in spans(tags)}
    return tuple(f"B-{tag[2:]}" if at in begins else tag for at, tag in enumerate(tags))


def types_of(tags: Sequence[str]) -> list[str]:
    """The types of span that the tags name, sorted."""
    return sorted({tag[2:] for tag in tags if tag != OUTSIDE})


def span_counts(right: Sequence[str], answered: Sequence[str], types: Sequence[str], strict: bool = False) -> np.ndarray:
    """Counts (E 3) of a sentence: spans answered right (type and both ends), spans there are, spans answered."""
    counts = np.zeros((len(types), 3))
    place = {name: row for row, name in enumerate(types)}
    gold, found = set(spans(right, strict)), set(spans(answered, strict))
    for column, group in enumerate((gold & found, gold, found)):
        for name, _, _ in group:
            if name in place:
                counts[place[name], column] += 1
    return counts


def precision_recall_f1(counts: np.ndarray) -> Mapping[str, np.ndarray]:
    """Precision, recall and F1 (...) of counts (... 3): right, there, answered; 0 where nothing is there to divide by."""
    right, there, answered = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    return {
        "precision": right / np.maximum(answered, 1),
        "recall": right / np.maximum(there, 1),
        "f1": 2 * right / np.maximum(there + answered, 1),
    }


def follows(before: str | None, tag: str) -> bool:
    """True where the tag may come after `before` (None: at a sentence's start) in IOB2: I-x stands only after B-x or I-x."""
    return not tag.startswith("I-") or before in (f"B-{tag[2:]}", tag)
