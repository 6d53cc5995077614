"""Estimates an n-gram model from sorted counts, order by order, as lmplz does (Heafield et al. 2013; spec lm/builder).

One pass over the n-grams of the highest order lists those of all orders. Then, from order 2 on, the n-grams meet their
tails (the n-grams of the order below that they end with), are sorted into context order, and get their probabilities; the
next order's tails are what comes out. Everything passes by in blocks and buckets; what waits is set aside in spools, on
disk where memory is short. Axes: S n-grams of one order, V words, N the highest order.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stemma.checkpoint import leave_pages
from stemma.errors import BudgetError, DataError
from stemma.kernels import ngram_estimation as kernels
from stemma.kernels.numbers import END, START, UNKNOWN
from stemma.objectives.counts import too_little
from stemma.objectives.spool import Spool

if TYPE_CHECKING:
    from stemma.objectives.counts import NgramCounts

FALLBACK = (0.5, 1.0, 1.5)  # lmplz --discount_fallback
KATZ_LIMIT = 5  # counts above are not discounted (Katz 1987)
MOST_WORDS = 1 << 30  # two bits of a word are flags
BUCKET = 1 << 17  # records sorted at once, more or less: they fit the processor's cache
BLOCK = 1 << 18  # records that go from hand to hand at most
RECORD_BYTES, WORD_BYTES = 200, 128  # that working on a record takes, and on a word of the vocabulary


class Smoothing(Protocol):
    """What estimation reads of a model's settings."""

    @property
    def method(self) -> str:
        """mkn, kn, abs, katz, add-k or mle."""

    @property
    def discount_fallback(self) -> bool | tuple[float, float, float]:
        """Discounts where the text is too small for the closed form; True for lmplz's, False to refuse such a text."""

    @property
    def k(self) -> float:
        """Added to every count (add-k)."""

    @property
    def interpolate_unigrams(self) -> bool:
        """True where single words are mixed with the uniform distribution."""

    @property
    def precision(self) -> str:
        """Of the log probabilities: single or double."""

    @property
    def continued(self) -> bool:
        """True where lower orders count left contexts."""

    @property
    def drops_unknown(self) -> bool:
        """True where n-grams with the unknown word are left to the back-off; else it is counted as any word."""

    def threshold(self, n: int) -> int:
        """The highest raw count of order n that is pruned."""


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


class Listing:
    """The n-grams of all orders in suffix order, with raw counts read off and adjusted counts kept."""

    def __init__(self, config: Smoothing, counts: "NgramCounts", dtype: np.dtype, block: int) -> None:
        order, vocabulary = counts.order, counts.vocabulary
        thresholds = np.array([config.threshold(max(n, 1)) for n in range(order + 1)])
        rules = kernels.Rules(order, config.continued, config.drops_unknown, thresholds)
        self.words = kernels.Words(np.zeros(vocabulary, np.int64), np.zeros(vocabulary, np.int64))
        self.lists = kernels.Lists(
            opened=np.zeros(order + 1, kernels.OPEN),  # in the end the last n-gram of each order
            entries=np.empty((order + 1, block + 1), dtype),
            filled=np.zeros(order + 1, np.int64),
            sizes=np.zeros(order + 1, np.int64),
            kept=np.zeros(order + 1, np.int64),
            statistics=np.zeros((order + 1, KATZ_LIMIT + 3), np.int64),
            firsts=np.zeros((order + 1, vocabulary), np.uint32),
        )
        self.spools = [counts.room.spool(dtype) for _ in range(order + 1)]
        self.last = np.full(order, 0xFFFFFFFF, np.uint32)  # the last row of the highest order
        for rows in counts.blocks():
            for begin in range(0, len(rows), block):
                kernels.adjust(rows[begin : begin + block], self.last, rules, self.words, self.lists)
                self._set_aside()
        for n in range(2, order + 1):
            if self.lists.opened["raw"][n]:
                kernels.put(n, thresholds, self.lists)
        self._set_aside()
        self.lists = self.lists._replace(entries=np.empty((order + 1, 0), dtype))  # they have all been set aside

    def _set_aside(self) -> None:
        for n in range(2, len(self.lists.filled)):
            self.spools[n].append(self.lists.entries[n, : self.lists.filled[n]])
        self.lists.filled[:] = 0


class Estimation:
    """One model in the making. After `run`, `notes` tells what was replaced and `types` how many words can come next."""

    def __init__(self, config: Smoothing, counts: "NgramCounts") -> None:
        self.config, self.order, self.vocabulary, self.closed = config, counts.order, counts.vocabulary, counts.closed
        self.room, self.wide = counts.room, counts.width > counts.order + 1
        if self.vocabulary >= MOST_WORDS:
            raise BudgetError(f"{self.vocabulary:,} words", f"fewer than {MOST_WORDS:,}", "set tokenizer.min_count or vocab_size")
        self.room.works_with(WORD_BYTES * self.vocabulary + RECORD_BYTES * 2 * BLOCK)
        if self.room.working < (least := WORD_BYTES * self.vocabulary + RECORD_BYTES):
            raise too_little(self.room, 2 * least)
        self.bucket = (self.room.working - WORD_BYTES * self.vocabulary) // RECORD_BYTES
        self.block = min(BLOCK, self.bucket)
        self.stride = min(BUCKET, self.bucket)
        self.notes: list[str] = []
        self.discounts = np.zeros((self.order, KATZ_LIMIT + 2))
        self.listing = Listing(config, counts, _listed(self.wide), self.block)

    def run(self) -> dict[str, np.ndarray]:
        """Estimates all orders; the arrays of the model."""
        stays = self._staying_words()
        self.sizes = np.array([stays.sum(), *self.listing.lists.kept[2:]])
        self.drops = not stays.all() or bool((self.listing.lists.kept != self.listing.lists.sizes).any())
        self.tail, self.record, self.context = record_types(self.config.precision, self.wide, self.drops)
        self._make_arrays()
        states, tails = self._unigrams(stays)
        for n in range(2, self.order + 1):
            states, tails = self._level(n, states, tails)
        self.successors[-1] = len(self.last_words)
        arrays = {
            "last_words": self.last_words,
            "successors": self.successors,
            "suffixes": self.suffixes,
            "log10_probs": self.log10_probs,
            "log10_backoffs": self.log10_backoffs,
            "sizes": self.sizes,
            "discounts": self.discounts,
        }
        return arrays if stays.all() else {**arrays, "unigrams": np.concatenate([[0], np.cumsum(stays)]).astype(np.uint32)}

    def _make_arrays(self) -> None:
        """Room for the model: an n-gram is a row, order after order."""
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        total, nodes = int(self.offsets[-1]), int(self.offsets[max(self.order - 1, 1)])
        if total >= 2**32:
            raise BudgetError(f"{total:,} n-grams", "fewer than 4,294,967,296 in one model", "lower order, or set prune")
        kind = self.context["log10_backoff"].type
        coming = int(self.sizes.max()) * self.record.itemsize  # for spools, which are written and read; the model is written once
        self.last_words = self.room.array(total, np.uint32, coming)
        self.successors = self.room.array(nodes + 1, np.uint32, coming)
        self.suffixes = self.room.array(total, np.uint32, coming)
        self.log10_probs = self.room.array(total, kind, coming)
        self.log10_backoffs = self.room.array(nodes, kind, coming)

    def _staying_words(self) -> np.ndarray:
        """(V) True for the words of the model. In a closed vocabulary a rare word loses its count but stays a type."""
        threshold = self.config.threshold(1)
        if self.closed or not threshold:
            return np.ones(self.vocabulary, bool)
        return (self.listing.words.raw > threshold) | (np.arange(self.vocabulary) <= END)

    def _unigrams(self, stays: np.ndarray) -> tuple[Spool, Iterator[np.ndarray]]:
        """Puts the single words into the model. Gives their states, and those that were seen as the tails of pairs."""
        config, raw, size = self.config, self.listing.words.raw, self.vocabulary
        adjusted = (self.listing.words.contexts if config.continued and self.order > 1 else raw).astype(self.record["count"])
        if config.drops_unknown:
            adjusted[UNKNOWN] = 0
        types = stays.copy()
        types[START], types[UNKNOWN] = False, not self.closed
        self.types = int(types.sum())
        last = self.listing.last[0]
        statistics = np.bincount(np.minimum(adjusted, KATZ_LIMIT + 2), minlength=KATZ_LIMIT + 3)
        discounts = self._discounts(1, statistics, int(adjusted[last]), int(raw[last]))
        counted = (raw > config.threshold(1)) | (np.arange(size) <= END) if config.threshold(1) else np.empty(0, bool)
        log10_probs, probabilities = self._below_unigrams(types, adjusted).astype(self.log10_probs.dtype), np.zeros(size)
        no_context = np.zeros(1, self.log10_backoffs.dtype)  # there is nothing to back off to
        self._smooth(np.array([0, size]), adjusted, counted, discounts, probabilities, log10_probs, no_context)
        probabilities[~types], log10_probs[~types] = 0, -np.inf
        log10_probs[START] = 0  # as lmplz writes it; <s> is never predicted
        rows = np.cumsum(stays) - 1
        number = int(self.sizes[0])
        self.last_words[:number], self.suffixes[:number] = np.arange(number), 0
        self.log10_probs[:number] = log10_probs[stays]
        if self.order == 1:
            self.successors[:], self.log10_backoffs[:] = number, 0
        goes_on = (raw > 0) | (np.arange(size) == START)
        goes_on[END] = False
        states = self.room.spool(np.dtype(np.uint8))
        states.append(np.where(stays, kernels.KEPT, 0) | np.where(goes_on, 0, kernels.ENDS))
        seen = np.flatnonzero(raw)
        tails = np.zeros(len(seen), self.tail)
        tails["rank"], tails["row"], tails["last"], tails["lower"] = seen, rows[seen], rows[seen], probabilities[seen]
        return states, iter([tails])

    def _below_unigrams(self, types: np.ndarray, adjusted: np.ndarray) -> np.ndarray:
        """The distribution that unigrams are smoothed with: uniform over all types, or over those never seen."""
        unseen = types & (adjusted == 0)
        share = types if self.config.interpolate_unigrams or not unseen.any() else unseen
        return share / share.sum()

    def _level(self, n: int, states_below: Spool, tails: Iterator[np.ndarray]) -> tuple[Spool, Iterator[np.ndarray]]:
        """Puts order n into the model, and the links of the order below. Gives the states of order n and the next tails."""
        listing, order_below = self.listing, len(states_below)
        last = listing.lists.opened[n]
        last_raw = 0 if listing.last[n - 1] == START else int(last["raw"])
        discounts = self._discounts(n, listing.lists.statistics[n], int(last["adjusted"]), last_raw)
        starts, strides = np.zeros(self.vocabulary, np.int64), np.zeros(self.vocabulary, np.int64)
        buckets = kernels.divide(listing.lists.firsts[n], self.stride, self.bucket, order_below, starts, strides)
        spools = [self.room.spool(self.record) for _ in range(buckets)]
        places = self._meet_tails(n, tails, spools, starts, strides)
        goes_on = np.zeros(buckets, bool)  # True where the next bucket may hold more of the last context
        for word in np.flatnonzero(strides <= order_below):
            goes_on[starts[word] : starts[word] + -(-order_below // strides[word]) - 1] = True
        smoothed = _Smoothed(self, n, places if n < self.order else 0)
        records = np.empty(0, self.record)
        for spool, unfinished in zip(spools, goes_on, strict=True):
            found = spool.read_all()
            records = _joined(records, found) if len(records) else found
            records = smoothed.add(records, discounts, unfinished)
            leave_pages(self.last_words, self.suffixes, self.log10_probs)
        self._link(n, states_below, smoothed.contexts)
        return smoothed.states, smoothed.tails_in_place()

    def _meet_tails(self, n: int, tails: Iterator[np.ndarray], spools: Sequence[Spool], starts: np.ndarray, strides: np.ndarray) -> int:
        """Sets the records of order n aside by bucket; gives how many of them are tails of the next order."""
        place, at, block = 0, -1, np.empty(0, self.tail)
        records, ends = np.empty(self.block, self.record), np.zeros(len(spools), np.int64)
        tail_of = np.empty(self.block, np.int64)
        while len(listed := self.listing.spools[n].read(self.block)):
            done = 0
            while done < len(listed):
                done, place, at = kernels.meet_tails(listed, done, place, block, at, starts, strides, tail_of, records, ends)
                _deal(records, ends, spools)
                if done < len(listed):
                    block, at = next(tails), -1
        return place

    def _link(self, n: int, states: Spool, contexts: Spool) -> None:
        row, first = int(self.offsets[n - 2]), int(self.offsets[n - 1])
        unseen = -math.log10(self.types) if self.config.method == "add-k" else 0.0
        while len(block := states.read(self.block)):
            found = contexts.read(int(((block & kernels.ENDS) == 0).sum()))
            row, first = kernels.link(block, found, unseen, row, first, self.successors, self.log10_backoffs)
            leave_pages(self.successors, self.log10_backoffs)

    def _smooth(self, borders: np.ndarray, *arrays: np.ndarray) -> None:
        counts, kept, discounts, probabilities, log10_probs, log10_backoffs = arrays
        added = self.config.k if self.config.method == "add-k" else 0.0
        interpolated = self.config.method in ("mkn", "kn", "abs")
        kernels.smooth(borders, counts, kept, discounts, added, self.types, interpolated, probabilities, log10_probs, log10_backoffs)

    def _discounts(self, n: int, statistics: np.ndarray, last_adjusted: int, last_raw: int) -> np.ndarray:
        """The discounts of order n, from how many n-grams have which adjusted count (`statistics`)."""
        counts_of_counts = statistics.copy()
        if self.config.method == "mkn" and n < self.order and last_raw:
            # lmplz's quirk: the last n-gram in suffix order enters these statistics with its raw count
            counts_of_counts[min(last_adjusted, KATZ_LIMIT + 2)] -= 1
            counts_of_counts[min(last_raw, KATZ_LIMIT + 2)] += 1
        table, reason = discounts_of(self.config.method, counts_of_counts, self.config.discount_fallback)
        if reason and self.config.discount_fallback is False:
            raise DataError(
                f"the discounts of order {n} cannot be estimated: {reason}",
                "a larger text, without many repeated lines",
                "remove repetitions, lower the order, or set discount_fallback = true",
            )
        if reason:
            values = ", ".join(f"{d:g}" for d in table[1:])
            self.notes.append(f"order {n}: {reason} (the text is small or repeats itself), so the fallback discounts {values} are used")
        self.discounts[n - 1] = table[np.minimum(np.arange(KATZ_LIMIT + 2), len(table) - 1)]
        return table


class _Smoothed:
    """An order's n-grams as they leave, bucket by bucket in context order: to the model, and as the tails of the next order."""

    def __init__(self, model: Estimation, n: int, places: int) -> None:
        """`places` is how many tails the next order has."""
        self.model, self.highest = model, n == model.order
        self.states, self.contexts = model.room.spool(np.dtype(np.uint8)), model.room.spool(model.context)
        self.tails = [model.room.spool(model.tail) for _ in range(-(-places // model.stride))]
        self.base, self.start = int(model.offsets[n - 2]), int(model.offsets[n - 1])
        self.row, self.rank, self.context = self.start, 0, 0

    def add(self, records: np.ndarray, discounts: np.ndarray, unfinished: bool) -> np.ndarray:
        """Smooths a bucket. If it is `unfinished`, its last context is given back: more of it may be in the next one."""
        model, records = self.model, kernels.sort_records(records)
        counts, lower = np.empty(len(records), model.record["count"]), np.empty(len(records), model.log10_probs.dtype)
        stays = np.empty(len(records) if model.drops else 0, np.bool_)
        borders = np.empty(len(records) + 1, np.int64)
        contexts = kernels.spread(records, counts, stays, lower, borders)
        rest = records[:0]
        if unfinished and contexts:
            contexts -= 1
            rest = records[borders[contexts] :]
        borders, size = borders[: contexts + 1], int(borders[contexts])
        probabilities, log10_backoffs = np.empty(size), np.zeros(contexts, lower.dtype)
        model._smooth(borders, counts[:size], stays[:size], discounts, probabilities, lower, log10_backoffs)
        self._write(records, borders, probabilities, lower)
        found = np.empty(contexts, model.context)
        found["successors"] = np.add.reduceat(stays[:size], borders[:-1], dtype=np.int64) if len(stays) and size else np.diff(borders)
        found["log10_backoff"] = log10_backoffs
        self.contexts.append(found)
        self.context += contexts
        return rest

    def _write(self, records: np.ndarray, borders: np.ndarray, probabilities: np.ndarray, log10_probs: np.ndarray) -> None:
        model, states, row = self.model, np.empty(len(probabilities), np.uint8), self.row
        self.row = kernels.write_rows(records, log10_probs, self.base, row, model.last_words, model.suffixes, model.log10_probs, states)
        if not self.highest:
            self.states.append(states)
            tails, ends = np.empty(len(states), model.tail), np.zeros(len(self.tails), np.int64)
            kernels.make_tails(
                records, probabilities, states, borders, self.rank, row - self.start, self.context, model.stride, tails, ends
            )
            _deal(tails, ends, self.tails)
        self.rank += len(states)

    def tails_in_place(self) -> Iterator[np.ndarray]:
        """The tails of the next order, in suffix order."""
        for number, spool in enumerate(self.tails):
            tails = spool.read_all()
            sorted_tails = np.empty_like(tails)
            kernels.in_place(tails, number * self.model.stride, sorted_tails)
            yield sorted_tails


def _deal(records: np.ndarray, ends: np.ndarray, spools: Sequence[Spool]) -> None:
    """Sets aside each bucket's part of the records; `ends` says where it ends."""
    begins = np.concatenate([[0], ends[:-1]])
    for bucket in np.flatnonzero(ends > begins).tolist():
        spools[bucket].append(records[begins[bucket] : ends[bucket]])


def _joined(records: np.ndarray, more: np.ndarray) -> np.ndarray:
    """One after the other. By their bytes: NumPy would part fields that share theirs."""
    return np.frombuffer(np.concatenate([records.view(np.uint8), more.view(np.uint8)]), more.dtype)


def _listed(wide: bool) -> np.dtype:
    return np.dtype([("first", "<u4"), ("count", "<i8" if wide else "<u4")])


def record_types(precision: str, wide: bool, drops: bool) -> tuple[np.dtype, np.dtype, np.dtype]:
    """How tails, records and contexts are laid out; `wide` where a count may not fit 32 bits.

    Where nothing is dropped, an n-gram's row and its rank are one number: the two fields share their bytes.
    """
    probability, count = "<f4" if precision == "single" else "<f8", "<i8" if wide else "<u4"
    tail = {"rank": "<u4", "row": "<u4", "parent": "<u4", "last": "<u4", "place": "<u4", "lower": probability}
    record = {"first": "<u4", "tail": "<u4", **{name: tail[name] for name in list(tail)[1:]}, "count": count}
    return (
        _packed(tail, "" if drops else "rank"),
        _packed(record, "" if drops else "tail"),
        np.dtype([("successors", "<u4"), ("log10_backoff", probability)]),
    )


def _packed(fields: Mapping[str, str], row_is: str) -> np.dtype:
    offsets: dict[str, int] = {}
    offset = 0
    for name, kind in fields.items():
        if name == "row" and row_is:
            offsets[name] = offsets[row_is]
        else:
            offsets[name] = offset
            offset += np.dtype(kind).itemsize
    return np.dtype({"names": list(fields), "formats": list(fields.values()), "offsets": list(offsets.values()), "itemsize": offset})
