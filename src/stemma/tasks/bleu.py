# ruff: noqa: F722 (axis names stand in annotations)
"""BLEU (Papineni 2002; sacreBLEU, Post 2018) and chrF (Popović 2015) from statistics of each text, which add up over texts.

The tokens that BLEU counts are those of sacreBLEU's own tokenizers, its smoothing is theirs (`exp`); chrF is chrF2 of one to six
characters without white space. Both lie between 0 and 100.

Of each text: the lengths of what was written and of what is right; for n = 1 .. 4 the n-grams that match, then those that were
written; and for each of one to six characters the n-grams written, right and matching.

Axes: N texts, C statistics; *R any axes.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from stemma.errors import MissingExtra

ORDERS, CHARACTERS = 4, 6  # the longest n-grams of tokens, and of characters
RECALL = 2  # how many times as much chrF minds recall as precision
_LENGTHS, _COUNTS = 2, 2 + 2 * ORDERS  # where the counts of tokens begin, and where they end


def statistics(written: Sequence[str], right: Sequence[Sequence[str]], tokenize: str) -> Float[np.ndarray, "N C"]:
    """The statistics of each text beside those that are right; MissingExtra without sacreBLEU, whose tokenizer `tokenize` is."""
    bleu = _sacrebleu().BLEU(tokenize=tokenize, effective_order=True)  # which changes scores of single texts, and no count
    table = np.zeros((len(written), _COUNTS + 3 * CHARACTERS))
    for row, (text, references) in enumerate(zip(written, right, strict=True)):
        found = bleu.sentence_score(text, references)
        table[row, :_COUNTS] = found.sys_len, found.ref_len, *found.counts, *found.totals
        table[row, _COUNTS:] = _nearest(text, references)
    return table


def bleu_of(sums: Float[np.ndarray, "*R C"]) -> Float[np.ndarray, "*R"]:
    """BLEU of summed statistics; 0 where nothing matches, or where no text has four tokens."""
    length, reference_length = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., _LENGTHS : _LENGTHS + ORDERS], sums[..., _LENGTHS + ORDERS : _COUNTS]
    none = matches == 0
    halved = 2.0 ** -np.cumsum(none, -1)  # the first order without a match counts half a match, the next a quarter
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(none, halved, matches) / totals
        short = np.minimum(1.0, np.exp(1 - reference_length / length))
        score = 100 * short * np.exp(np.log(precisions).mean(-1))
    found: np.ndarray = np.where(~none.all(-1) & (totals > 0).all(-1), score, 0.0)
    return found


def chrf_of(sums: Float[np.ndarray, "*R C"]) -> Float[np.ndarray, "*R"]:
    """The chrF2 of summed statistics: of the orders that either side has n-grams of, the mean precision and recall."""
    written, right, matches = np.moveaxis(sums[..., _COUNTS:].reshape(*sums.shape[:-1], CHARACTERS, 3), -1, 0)
    there = (written > 0) & (right > 0)
    orders = np.maximum(there.sum(-1), 1)
    precision = np.where(there, matches / np.maximum(written, 1), 0.0).sum(-1) / orders
    recall = np.where(there, matches / np.maximum(right, 1), 0.0).sum(-1) / orders
    below = RECALL**2 * precision + recall
    found: np.ndarray = 100 * np.where(below > 0, (1 + RECALL**2) * precision * recall / np.where(below > 0, below, 1.0), 0.0)
    return found


def signatures(tokenize: str, right: Sequence[Sequence[str]]) -> dict[str, str]:
    """What tells each of the two numbers apart from others of its name, as sacreBLEU writes it."""
    metrics, numbers = _sacrebleu(), sorted({len(references) for references in right})
    streams = [["." if place < number else None for number in numbers] for place in range(max(numbers, default=1))]
    made = {"bleu": metrics.BLEU(tokenize=tokenize, references=streams), "chrf": metrics.CHRF(references=streams)}
    return {name: metric.get_signature().format() for name, metric in made.items()}


def _nearest(text: str, references: Sequence[str]) -> np.ndarray:
    """The counts of characters (3 * CHARACTERS) beside that reference which gives the best chrF, as sacreBLEU takes it."""
    table = np.zeros((len(references), _COUNTS + 3 * CHARACTERS))
    table[:, _COUNTS:] = [_characters(text, reference) for reference in references]
    best: np.ndarray = table[int(np.argmax(chrf_of(table))), _COUNTS:]
    return best


def _characters(text: str, reference: str) -> list[int]:
    """Of each order of characters: n-grams of the text (none where the reference has none), of the reference, and in both."""
    counts: list[int] = []
    for ours, theirs in zip(_ngrams(text), _ngrams(reference), strict=True):
        counts += ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()
    return counts


@lru_cache(maxsize=4096)  # every system has the same references
def _ngrams(text: str) -> list[Counter[str]]:
    joined = "".join(text.split())
    return [Counter(joined[at : at + n] for at in range(len(joined) - n + 1)) for n in range(1, CHARACTERS + 1)]


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtra("sacrebleu", "eval") from error
    return metrics
