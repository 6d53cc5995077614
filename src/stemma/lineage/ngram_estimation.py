"""Estimates an n-gram model from sorted counts, order by order, as lmplz does (Heafield et al. 2013; spec lm/builder).

Axes: G distinct n-grams of the highest order, S n-grams of one order, R rows of discounts (counts 0, 1, 2, ...).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stemma.errors import BudgetError, DataError
from stemma.lineage import ngram_kernels as kernels
from stemma.lineage.ngram_kernels import END, START, UNKNOWN

if TYPE_CHECKING:
    from stemma.lineage.ngram import Config

FALLBACK = (0.5, 1.0, 1.5)  # lmplz --discount_fallback
KATZ_LIMIT = 5  # counts above are not discounted (Katz 1987)
_NONE = np.empty(0, np.uint32)


@dataclass
class Level:
    """The n-grams of one order, in suffix order, and their way to context order. Arrays are emptied once used up."""

    first: np.ndarray  # (S) first word
    tail: np.ndarray  # (S) suffix index, an order below, of the n-gram without its first word
    index: np.ndarray  # (S) context index of a suffix index
    at: np.ndarray  # (S) suffix index of a context index
    borders: np.ndarray  # borders the n-grams, in context order, by their contexts
    kept: np.ndarray  # (S) False where pruned; empty if nothing is
    stays: np.ndarray  # the same in context order
    probabilities: np.ndarray  # (S) float64, in context order


def discounts_of(method: str, counts_of_counts: Sequence[int] | np.ndarray, fallback: bool | Sequence[float]) -> tuple[np.ndarray, str]:
    """D(0), D(1), ... of one order, the last for all higher counts; and why the fallback was taken, or "".

    `counts_of_counts[k]` is the number of n-grams whose (adjusted) count is k, for k up to 6.
    """
    n = [int(x) for x in counts_of_counts]
    if method in ("mle", "add-k"):
        return np.zeros(2), ""
    if method == "mkn":
        found, reason = _modified(n)
    elif method == "katz":
        found, reason = _good_turing(n)
    else:
        found, reason = ([0.0, n[1] / (n[1] + 2 * n[2])], "") if n[1] and n[2] else ([], _missing(n, 2))
    if not reason:
        return np.array(found), ""
    if fallback is False:
        return np.zeros(2), reason
    triple = FALLBACK if fallback is True else fallback
    return np.array([0.0, *triple] if method == "mkn" else [0.0, triple[0]]), reason


def _modified(n: list[int]) -> tuple[list[float], str]:
    """Chen & Goodman 1998, equation 26: D_k = k - (k + 1) Y n_{k+1} / n_k with Y = n_1 / (n_1 + 2 n_2)."""
    if not (n[1] and n[2] and n[3]):
        return [], _missing(n, 3)
    y = n[1] / (n[1] + 2 * n[2])
    found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
    bad = [f"the discount of count {k} comes out as {d:.4g}" for k, d in enumerate(found, 1) if not 0 <= d <= k]
    return [0.0, *found], bad[0] if bad else ""


def _good_turing(n: list[int]) -> tuple[list[float], str]:
    """Katz 1987: counts up to k are discounted by the factor (r*/r - x) / (1 - x), x = (k + 1) n_{k+1} / n_1."""
    if not all(n[1 : KATZ_LIMIT + 2]):
        return [], _missing(n, KATZ_LIMIT + 1)
    x = (KATZ_LIMIT + 1) * n[KATZ_LIMIT + 1] / n[1]
    factors = [((r + 1) * n[r + 1] / n[r] / r - x) / (1 - x) if x != 1 else -1.0 for r in range(1, KATZ_LIMIT + 1)]
    bad = [f"the factor of count {r} comes out as {f:.4g}" for r, f in enumerate(factors, 1) if not 0 < f <= 1]
    return [0.0, *(r * (1 - f) for r, f in enumerate(factors, 1)), 0.0], bad[0] if bad else ""


def _missing(n: list[int], most: int) -> str:
    k = next(k for k in range(1, most + 1) if not n[k])
    return f"no n-gram has the adjusted count {k}"


class Estimation:
    """One model in the making: `columns` (orders G) and `counts` (G) as counted, last word first, sorted.

    `vocabulary` is the number of word ids, <unk>, <s> and </s> included; `closed` says that <unk> is no type.
    After `run`, `arrays` holds the model and `notes` what was replaced.
    """

    def __init__(self, config: "Config", columns: np.ndarray, counts: np.ndarray, vocabulary: int, closed: bool) -> None:
        self.config, self.columns, self.counts, self.vocabulary, self.closed = config, columns, counts, vocabulary, closed
        self.order = len(columns)
        self.common: np.ndarray = np.empty(len(counts), np.uint8)
        sizes = np.zeros(self.order, np.int64)
        kernels.common_endings(columns, self.common, sizes)
        sizes[0] = vocabulary
        self.sizes = sizes
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        if self.offsets[-1] >= 2**32:
            raise BudgetError(f"{self.offsets[-1]:,} n-grams", "fewer than 4,294,967,296 in one model", "lower order, or set prune")
        nodes = int(self.offsets[max(self.order - 1, 1)])
        total = int(self.offsets[-1])
        kind = np.float32 if config.precision == "single" else np.float64
        self.last_words = np.zeros(total, np.uint32)
        self.successors = np.full(nodes + 1, total, np.uint32)
        self.suffixes = np.zeros(total, np.uint32)
        self.log10_probs = np.zeros(total, kind)
        self.log10_backoffs = np.zeros(nodes, kind)
        self.discounts = np.zeros((self.order, KATZ_LIMIT + 2))
        self.notes: list[str] = []

    def run(self) -> dict[str, np.ndarray]:
        """Estimates all orders; the arrays of the model."""
        level = self._unigrams()
        kept, reverse = [level.stays], level.at
        for n in range(2, self.order + 1):
            below, level = level, self._level(n, level, reverse)
            kept.append(level.stays)
            reverse = below.at
        arrays = {
            "last_words": self.last_words,
            "successors": self.successors,
            "suffixes": self.suffixes,
            "log10_probs": self.log10_probs,
            "log10_backoffs": self.log10_backoffs,
            "sizes": self.sizes,
            "discounts": self.discounts,
        }
        return _without_pruned(arrays, kept) if any(len(k) and not k.all() for k in kept) else arrays

    def _unigrams(self) -> Level:
        config, size, ends = self.config, self.vocabulary, self.columns[0]
        raw = np.bincount(ends, weights=self.counts, minlength=size).astype(self.counts.dtype)
        continued = config.continued and self.order > 1
        adjusted = np.bincount(ends[self.common < 2], minlength=size).astype(raw.dtype) if continued else raw.copy()
        self.drops_unknown = config.method not in ("mle", "add-k") and raw[UNKNOWN] > 0
        if self.drops_unknown:
            adjusted[UNKNOWN] = 0
        threshold = config.threshold(1)
        kept = (raw > threshold) | (np.arange(size) <= END) if threshold else np.empty(0, bool)
        types = np.ones(size, bool)
        types[START] = False
        types[UNKNOWN] = not self.closed
        if len(kept) and not self.closed:
            types &= kept
        self.types = int(types.sum())
        discounts = self._discounts(1, adjusted, int(raw[ends[-1]]), int(ends[-1]))
        ids = np.arange(size, dtype=np.uint32)
        level = Level(ids, ids, ids, ids, np.array([0, size], np.uint32), kept, kept, np.zeros(size))
        self.log10_probs[:size] = self._below_unigrams(types, adjusted)
        no_context = np.zeros_like(self.log10_backoffs[:1])  # there is nothing to back off to
        self._smooth(level, adjusted, discounts, self.log10_probs[:size], no_context)
        level.probabilities[~types] = 0
        self.log10_probs[:size][~types] = -np.inf
        self.log10_probs[START] = 0  # as lmplz writes it; <s> is never predicted
        self.last_words[:size] = ids
        if self.closed:
            level.kept = level.stays = np.empty(0, bool)  # a rare token loses its count but stays a type
        return level

    def _below_unigrams(self, types: np.ndarray, adjusted: np.ndarray) -> np.ndarray:
        """The distribution that unigrams are smoothed with: uniform over all types, or over those never seen."""
        unseen = types & (adjusted == 0)
        share = types if self.config.interpolate_unigrams or not unseen.any() else unseen
        return share / share.sum()

    def _level(self, n: int, below: Level, reverse: np.ndarray) -> Level:
        """Order n from the one below (`reverse`: `at` of the one below that): n-grams, contexts, place, probabilities."""
        config, size, highest = self.config, int(self.sizes[n - 1]), n == self.order
        first, tail = np.empty(size, np.uint32), np.empty(size, np.uint32)
        adjusted = np.empty(size, self.counts.dtype)
        raw = np.empty(size if config.threshold(n) else 0, self.counts.dtype)
        last_raw = kernels.endings(self.columns, self.counts, self.common, n, config.continued, first, tail, raw, adjusted)
        if highest:
            self.columns = self.counts = self.common = _NONE
        discounts = self._discounts(n, adjusted, 0 if size and first[-1] == START else last_raw, -1)
        kept = self._kept(n, first, tail, raw, below)
        context = first if n == 2 else self._contexts(first, tail, below, reverse)
        index, at, probabilities = (np.empty(0 if highest else size, kind) for kind in (np.uint32, np.uint32, np.float64))
        borders, stays = kernels.borders_of(context, len(below.at)), np.empty(len(kept), bool)
        level = Level(_NONE if highest else first, tail, index, at, borders, kept, stays, probabilities)
        start, stop, base = int(self.offsets[n - 1]), int(self.offsets[n]), int(self.offsets[n - 2])
        log10_probs, counts = self.log10_probs[start:stop], np.empty_like(adjusted)
        kernels.place_ngrams(
            context, tail, adjusted, kept, (self.last_words[base:start], below.index, below.probabilities), base, borders, index, at,
            self.last_words[start:stop], self.suffixes[start:stop], counts, stays, log10_probs,
        )
        del context, first, adjusted
        below.index = below.probabilities = _NONE
        self.successors[base:start] = np.uint32(start) + borders[:-1]
        self._smooth(level, counts, discounts, log10_probs, self.log10_backoffs[base:start])
        return level

    def _kept(self, n: int, first: np.ndarray, tail: np.ndarray, raw: np.ndarray, below: Level) -> np.ndarray:
        """What stays of order n: raw count above the threshold, no unknown word; never without its tail."""
        if not (len(raw) or len(below.kept) or self.drops_unknown):
            return np.empty(0, bool)
        kept = below.kept[tail] if len(below.kept) else np.ones(len(tail), bool)
        if self.drops_unknown:
            kept &= first != UNKNOWN
            if n == 2:
                kept &= tail != UNKNOWN
        if len(raw):
            kept &= raw > self.config.threshold(n)
        return kept

    def _contexts(self, first: np.ndarray, tail: np.ndarray, below: Level, reverse: np.ndarray) -> np.ndarray:
        context = np.empty(len(first), np.uint32)
        longer, shorter = kernels.borders_of(tail, len(below.at)), kernels.borders_of(below.tail, len(reverse))
        kernels.find_contexts(
            context, first, longer, below.first, below.index, below.at, shorter, reverse, below.borders, self.vocabulary
        )
        below.first = below.tail = _NONE
        return context

    def _smooth(self, level: Level, counts: np.ndarray, discounts: np.ndarray, log10_probs: np.ndarray, log10_backoffs: np.ndarray) -> None:
        added = self.config.k if self.config.method == "add-k" else 0.0
        interpolated = self.config.method in ("mkn", "kn", "abs")
        kernels.smooth(
            level.borders, counts, level.stays, discounts, added, self.types, interpolated, level.probabilities, log10_probs, log10_backoffs
        )

    def _discounts(self, n: int, adjusted: np.ndarray, last_raw: int, last: int) -> np.ndarray:
        """The discounts of order n, from how many n-grams have which adjusted count."""
        counts_of_counts = np.bincount(np.minimum(adjusted, KATZ_LIMIT + 2), minlength=KATZ_LIMIT + 3)
        if self.config.method == "mkn" and n < self.order and last_raw:
            # lmplz's quirk: the last n-gram in suffix order enters these statistics with its raw count
            counts_of_counts[min(int(adjusted[last]), KATZ_LIMIT + 2)] -= 1
            counts_of_counts[min(last_raw, KATZ_LIMIT + 2)] += 1
        table, reason = discounts_of(self.config.method, counts_of_counts, self.config.discount_fallback)
        if reason and self.config.discount_fallback is False:
            raise DataError(
                f"the discounts of order {n} cannot be estimated: {reason}",
                "a larger text, without many repeated lines",
                "remove repetitions, lower the order, or set discount_fallback = true",
            )
        if reason:
            told = ", ".join(f"{d:g}" for d in table[1:])
            self.notes.append(f"order {n}: {reason} (the text is small or repeats itself), so the fallback discounts {told} are used")
        self.discounts[n - 1] = table[np.minimum(np.arange(KATZ_LIMIT + 2), len(table) - 1)]
        return table


def _without_pruned(arrays: dict[str, np.ndarray], kept_of: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The model without its pruned n-grams; a row's new place is the number of rows kept before it."""
    sizes, nodes = arrays["sizes"], len(arrays["log10_backoffs"])
    kept = np.concatenate([k if len(k) else np.ones(size, bool) for k, size in zip(kept_of, sizes, strict=True)])
    moved = np.concatenate([[0], np.cumsum(kept)]).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return {
        **arrays,
        "last_words": moved[arrays["last_words"][kept]],
        "successors": moved[arrays["successors"][np.append(kept[:nodes], True)]],
        "suffixes": moved[arrays["suffixes"][kept]],
        "log10_probs": arrays["log10_probs"][kept],
        "log10_backoffs": arrays["log10_backoffs"][kept[:nodes]],
        "sizes": np.diff(moved[offsets].astype(np.int64)),
        "unigrams": moved[: sizes[0] + 1],
    }
