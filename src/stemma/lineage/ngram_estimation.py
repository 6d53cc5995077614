"""Estimates an n-gram model from sorted counts, order by order, as lmplz does (Heafield et al. 2013; spec lm/builder).

Axes: G distinct n-grams of the highest order, S n-grams of one order, R rows of discounts (counts 0, 1, 2, ...).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemma.errors import BudgetError, DataError
from stemma.lineage import ngram_kernels as kernels
from stemma.lineage.ngram_kernels import END, START, UNKNOWN

FALLBACK = (0.5, 1.0, 1.5)  # lmplz --discount_fallback
KATZ_LIMIT = 5  # counts above are not discounted (Katz 1987)


@dataclass
class Level:
    """The n-grams of one order, in suffix order, and their way to context order."""

    first: np.ndarray  # (S) first word
    tail: np.ndarray  # (S) suffix index, an order below, of the n-gram without its first word
    last: np.ndarray  # (S) last word
    context: np.ndarray  # (S) suffix index, an order below, of the n-gram without its last word
    probabilities: np.ndarray  # (S) float64
    kept: np.ndarray  # (S) False where pruned
    index: np.ndarray  # (S) context index of a suffix index
    at: np.ndarray  # (S) suffix index of a context index
    borders: np.ndarray  # its n-grams by context: borders over the context indices of the order below


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

    def __init__(self, config, columns: np.ndarray, counts: np.ndarray, vocabulary: int, closed: bool) -> None:
        self.config, self.columns, self.counts, self.vocabulary, self.closed = config, columns, counts, vocabulary, closed
        self.order = len(columns)
        self.common = np.empty(len(counts), np.uint8)
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
        self.nodes = np.zeros((nodes + 1, 3), np.uint32)
        self.nodes[:, kernels.SUCCESSORS] = total
        self.leaves = np.zeros((total - nodes, 2), np.uint32)
        self.log10_probs = np.zeros(total, kind)
        self.log10_backoffs = np.zeros(nodes, kind)
        self.discounts = np.zeros((self.order, KATZ_LIMIT + 2))
        self.notes: list[str] = []

    def run(self) -> dict[str, np.ndarray]:
        """Estimates all orders; the arrays of the model."""
        below, level = None, self._unigrams()
        kept = [level.kept]
        for n in range(2, self.order + 1):
            below, level = level, self._level(n, level, below)
            kept.append(level.kept[level.at])
        arrays = {
            "nodes": self.nodes,
            "leaves": self.leaves,
            "log10_probs": self.log10_probs,
            "log10_backoffs": self.log10_backoffs,
            "sizes": self.sizes,
            "discounts": self.discounts,
        }
        return arrays if all(k.all() for k in kept) else _without_pruned(arrays, np.concatenate(kept))

    def _unigrams(self) -> Level:
        config, size, ends = self.config, self.vocabulary, self.columns[0]
        raw = np.bincount(ends, weights=self.counts, minlength=size).astype(np.int64)
        adjusted = np.bincount(ends[self.common < 2], minlength=size) if config.continued and self.order > 1 else raw.copy()
        if self._drops_unknown:
            adjusted[UNKNOWN] = 0
        kept = raw > config.threshold(1)
        kept[: END + 1] = True
        if not config.threshold(1):
            kept[:] = True  # a closed vocabulary's unseen tokens too
        types = np.ones(size, bool)
        types[START] = False
        types[UNKNOWN] = not self.closed
        if not self.closed:
            types &= kept
        self.types = int(types.sum())
        discounts = self._discounts(1, adjusted, int(raw[ends[-1]]), int(ends[-1]))
        ids, root = np.arange(size, dtype=np.uint32), np.zeros(size, np.uint32)
        level = Level(ids, ids, ids, root, np.empty(0), kept, ids, ids, np.array([0, size], np.uint32))
        lower = self._below_unigrams(types, adjusted)
        backoffs = self._smooth(level, np.where(kept, adjusted, 0), adjusted, discounts, lower, 1)
        if config.method == "katz":
            level.probabilities = np.where(adjusted > 0, level.probabilities, backoffs[0] * lower)
        level.probabilities[~types] = 0
        level.kept = kept | self.closed
        self.nodes[:size, kernels.WORD] = ids
        with np.errstate(divide="ignore"):
            self.log10_probs[:size] = np.minimum(np.log10(level.probabilities), 0)
        self.log10_probs[START] = 0  # as lmplz writes it; <s> is never predicted
        return level

    def _below_unigrams(self, types: np.ndarray, adjusted: np.ndarray) -> np.ndarray:
        """The distribution that unigrams are smoothed with: uniform over all types, or over those never seen."""
        unseen = types & (adjusted == 0)
        share = types if self.config.interpolate_unigrams or not unseen.any() else unseen
        return share / share.sum()

    def _level(self, n: int, below: Level, far_below: Level | None) -> Level:
        """Order n from the one below and the one below that: n-grams, contexts, probabilities, place in the model."""
        config, size = self.config, int(self.sizes[n - 1])
        first, tail = np.empty(size, np.uint32), np.empty(size, np.uint32)
        adjusted = np.empty(size, np.int64)
        raw = np.empty(size if config.threshold(n) else 0, np.int64)
        last_raw = kernels.endings(self.columns, self.counts, self.common, n, config.continued, first, tail, raw, adjusted)
        kept = below.kept[tail]
        if self._drops_unknown and n == 2:
            kept &= (first != UNKNOWN) & (tail != UNKNOWN)
        elif self._drops_unknown:
            kept &= first != UNKNOWN
        if len(raw):
            kept &= raw > config.threshold(n)
        discounts = self._discounts(n, adjusted, last_raw if size and first[-1] != START else 0, -1)
        context = first if far_below is None else self._contexts(first, tail, below, far_below)
        last, index, at = (np.empty(size, np.uint32) for _ in range(3))
        level = Level(first, tail, last, context, np.empty(0), kept, index, at, np.empty(0))
        backoffs = self._smooth(level, adjusted, adjusted, discounts, below.probabilities, len(below.at))
        self._place(n, level, below, backoffs)
        return level

    def _contexts(self, first: np.ndarray, tail: np.ndarray, below: Level, far_below: Level) -> np.ndarray:
        context = np.empty(len(first), np.uint32)
        longer = kernels.borders_of(tail, len(below.at))
        shorter = kernels.borders_of(below.tail, len(far_below.at))
        kernels.find_contexts(context, first, longer, below.first, shorter, below.at, far_below.at, below.borders, self.vocabulary)
        return context

    def _place(self, n: int, level: Level, below: Level, backoffs: np.ndarray) -> None:
        """Writes an order's n-grams into the model in context order, and the back-offs of their contexts."""
        start, stop, base = self.offsets[n - 1], self.offsets[n], self.offsets[n - 2]
        level.borders = kernels.borders_of(below.index[level.context], len(below.at))
        table, suffix = (self.leaves, 1) if n == self.order else (self.nodes, kernels.SUFFIX)
        rows = slice(0, stop - start) if n == self.order else slice(start, stop)
        kernels.place(
            level.context, level.tail, level.probabilities, below.last, below.index, base, level.borders[:-1].copy(),
            level.last, level.index, level.at, table[rows, kernels.WORD], table[rows, suffix], self.log10_probs[start:stop],
        )
        self.nodes[base:start, kernels.SUCCESSORS] = np.uint32(start) + level.borders[:-1]
        with np.errstate(divide="ignore"):
            self.log10_backoffs[base:start] = np.log10(backoffs[below.at])

    def _smooth(
        self, level: Level, given: np.ndarray, adjusted: np.ndarray, discounts: np.ndarray, lower: np.ndarray, contexts: int
    ) -> np.ndarray:
        """Sets the level's probabilities; gives the weight of the lower order after each context (1 where nothing was seen)."""
        method = self.config.method
        sums = np.zeros((contexts, 3))
        kernels.sum_contexts(level.context, level.tail, adjusted, level.kept, discounts, lower, sums)
        totals, left, reached = sums[:, 0], sums[:, 1], sums[:, 2]
        seen = totals > 0
        added, weights, backoffs = 0.0, np.zeros(contexts), np.ones(contexts)
        if method == "add-k":
            added = self.config.k
            totals[seen] += added * self.types
            backoffs[seen] = added / totals[seen]
        elif method in ("mle", "katz"):
            spent = seen & (1 - reached < 1e-9)  # every type was seen here: there is nothing to back off to
            totals[spent] -= left[spent]
            left[spent] = 0
            backoffs[seen] = left[seen] / totals[seen] / np.where(spent, 1, 1 - reached)[seen]
        else:
            backoffs[seen] = left[seen] / totals[seen]
            weights = backoffs
        level.probabilities = np.empty(len(given))
        kernels.estimate(level.context, level.tail, given, discounts, added, totals, weights, lower, level.probabilities)
        return backoffs

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

    @property
    def _drops_unknown(self) -> bool:
        return self.config.method not in ("mle", "add-k")


def _without_pruned(arrays: dict[str, np.ndarray], kept: np.ndarray) -> dict[str, np.ndarray]:
    """The model without its pruned n-grams; a row's new place is the number of rows kept before it."""
    nodes, leaves, sizes = arrays["nodes"], arrays["leaves"], arrays["sizes"]
    below = len(nodes) - 1
    moved = np.concatenate([[0], np.cumsum(kept)]).astype(np.uint32)
    inner = np.append(kept[:below], True)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return {
        **arrays,
        "nodes": moved[nodes[inner]],
        "leaves": moved[leaves[kept[below:]]],
        "log10_probs": arrays["log10_probs"][kept],
        "log10_backoffs": arrays["log10_backoffs"][kept[:below]],
        "sizes": np.diff(moved[offsets].astype(np.int64)),
        "unigrams": moved[: sizes[0] + 1],
    }
