"""Denoising: what was hidden in a text is predicted from the rest (span corruption, Raffel 2020, section 3.3.4).

Of a row of text some spans are hidden. The encoder reads the rest, with a gap where each span stood; the decoder predicts the
spans in their order, each closed by an end:

    the text        t1 t2 t3 t4 t5 t6 t7
    the source      t1 <gap> t4 t5 t6 <gap> <eos>
    the target      t2 t3 <eos> t7 <eos>

Spans rather than the whole text (as BART predicts it, Lewis 2020): a fifth of the positions are decoded, and all of them carry news,
so that a step costs little more than that of an encoder alone. Raffel 2020, table 5, finds the two equal in what they teach.

Deviates: all gaps are one token, the mask, or the end where the tokenizer has no mask, as BPE has none; the original numbers its
gaps by a hundred tokens of their own, where here their order does. A gap may stand at either end of a row.
Deviates: a span is closed by an end, where the original opens it with its gap's number; a very short row may be hidden whole.

B rows, S source positions, T target positions, W positions of the longest row and one more.
"""

from dataclasses import dataclass

import numpy as np

from stemma.bounds import BelowOne, PositiveFloat
from stemma.errors import DataError, UsageError
from stemma.kernels.draws import shares_at
from stemma.objectives.batch import IGNORE, Batch, generator, seed_for
from stemma.objectives.buckets import Buckets, bucketed, real
from stemma.objectives.epochs import Epochs
from stemma.objectives.frequencies import nats_of_shares
from stemma.objectives.translation import ends
from stemma.tokens.facts import TokenFacts
from stemma.tokens.store import TokenStore


@dataclass(frozen=True)
class Config:
    """How much of the text is hidden, and in what pieces."""

    share: BelowOne = 0.15  # of a row's tokens, hidden; one at least
    mean_span: PositiveFloat = 3.0  # tokens of a hidden span, in the mean


@dataclass(frozen=True)
class _Plan:
    """An epoch: its rows of text, and the batches that they stand in."""

    first: np.ndarray  # (R,) the token that each row begins with
    lengths: np.ndarray  # (R,) tokens
    buckets: Buckets

    @property
    def rows(self) -> int:
        """Batches, which `Epochs` numbers."""
        return self.buckets.rows


class Denoising:
    """Batches of `ids`, `segments` (B S), `target_ids`, `target_segments` and `labels` (B T)."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        if len(store.ids) == 0:
            raise DataError("the token store is empty", "a corpus with text", "run `stemma corpus check` on it")
        if max_length < 2:
            raise UsageError(f"model.max_length = {max_length} leaves no room beside the end", "2 or more", "raise model.max_length")
        self._end, self._begin = ends(facts)
        self._padding, self._gap = (facts.specials.get(role, self._end) for role in ("pad", "mask"))
        self._store, self._config, self._seed, self._budget, self._room = store, config, seed, batch_tokens, max_length - 1
        starts = np.asarray(store.sentence_starts)
        self._borders = starts if 0 < store.pairs == store.documents else starts[np.asarray(store.document_starts)]  # of texts
        self._epochs = Epochs(self._plan, 1)

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch: its batches."""
        return self._epochs.steps(epoch)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        return self._epochs.locate(step)

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of both sides, gaps, ends and begins among them, padding never: each token of the text stands in one of the two."""
        return int(batch["segments"].sum() + batch["target_segments"].sum())

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the store's tokens: all are read, or predicted."""
        return {"tokens": len(self._store.ids), "used": len(self._store.ids)}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch use."""
        plan = self._epochs.plan(0)
        return int(plan.lengths[plan.buckets.order[: plan.buckets.starts[min(steps, plan.rows)]]].sum())

    def constant_losses(self, learnt_from: TokenStore) -> dict[str, float]:
        """Nats of answering by frequency alone: hidden tokens, and the ends of their spans."""
        hidden, gaps = _amounts(self._epochs.plan(0).lengths, self._config)
        ends_a_token = gaps.sum() / hidden.sum()
        seen, predicted = (np.append(text.counts, ends_a_token * text.counts.sum()) for text in (learnt_from, self._store))
        return {"": nats_of_shares(seen, predicted)}

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rows of `step` that fall to `rank`; a pure function of the seed and the step."""
        epoch, number = self._epochs.locate(step)
        plan = self._epochs.plan(epoch)
        rows = plan.buckets.batch(number, rank, ranks)
        lengths = plan.lengths[rows]
        hidden, gaps = _amounts(lengths, self._config)
        places = rows[:, None] * (self._room + 1) + np.arange(int(lengths.max(initial=0)) + 1)  # (B W)
        slots, cuts = (shares_at(seed_for(self._seed, name, epoch), places) for name in ("slots", "cuts"))
        before = _lowest(slots, np.zeros_like(lengths), lengths - hidden + 1, gaps)  # a span stands before this token of the rest
        parted = _lowest(cuts, np.ones_like(lengths), hidden, gaps - 1)  # another span begins with this hidden token
        return self._written(plan.first[rows], lengths, hidden, gaps, before, parted)

    def _written(
        self, first: np.ndarray, lengths: np.ndarray, hidden: np.ndarray, gaps: np.ndarray, before: np.ndarray, parted: np.ndarray
    ) -> Batch:
        """The batch of rows that begin at tokens `first` (B), with spans where `before` and `parted` (B W) say."""
        count, tokens = len(lengths), self._store.ids
        kept, predicted = lengths - hidden + gaps + 1, hidden + gaps  # (B) positions of either side
        ids = np.full((count, int(kept.max(initial=1))), self._padding, np.int64)
        labels = np.full((count, int(predicted.max(initial=1))), IGNORE, np.int64)
        row, slot = np.nonzero(before)  # of each span, in order
        span = np.arange(len(row)) - (np.cumsum(gaps) - gaps)[row]  # its number in its row
        ids[row, slot + span] = self._gap
        of, place = np.nonzero(np.arange(before.shape[1]) < hidden[:, None])  # of each hidden token
        number = np.cumsum(parted, axis=1)[of, place]  # of its span
        at = slot[(np.cumsum(gaps) - gaps)[of] + number] + place  # where it stood in its row
        labels[of, place + number] = tokens[first[of] + at]
        last = np.append((np.diff(number) != 0) | (np.diff(of) != 0), True) if len(of) else np.zeros(0, bool)
        labels[of[last], (place + number + 1)[last]] = self._end
        visible = np.arange(before.shape[1]) < lengths[:, None]
        visible[of, at] = False
        seen_in, seen_at = np.nonzero(visible)
        rank = np.arange(len(seen_in)) - (np.cumsum(lengths - hidden) - (lengths - hidden))[seen_in]  # among the rest of its row
        ids[seen_in, rank + np.cumsum(before, axis=1)[seen_in, rank]] = tokens[first[seen_in] + seen_at]
        ids[np.arange(count), kept - 1] = self._end
        target_ids = np.full_like(labels, self._padding)
        target_ids[:, 1:] = np.where(labels[:, 1:] == IGNORE, self._padding, labels[:, :-1])
        target_ids[:, :1] = self._begin
        segments = {"segments": real(kept, ids), "target_segments": real(predicted, labels)}
        return {"ids": ids, "target_ids": target_ids, "labels": labels, **segments}

    def _plan(self, epoch: int) -> _Plan:
        rng = generator(self._seed, "denoising", epoch)
        first, lengths = _rows(self._borders, self._room, rng)
        hidden, gaps = _amounts(lengths, self._config)
        return _Plan(first, lengths, bucketed(lengths - hidden + gaps + 1, hidden + gaps, self._budget, rng))


def _rows(borders: np.ndarray, room: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(first token, tokens) of each row (R): the texts between the borders, those of more than `room` tokens cut, elsewhere each time."""
    lengths = np.diff(borders)
    head = np.where(lengths > room, rng.integers(1, room + 1, len(lengths)), lengths)  # tokens of a text's first row
    parts = 1 - (head - lengths) // room
    of = np.repeat(np.arange(len(lengths)), parts)
    part = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    first = borders[of] + np.where(part == 0, 0, head[of] + (part - 1) * room)
    return first, np.diff(np.append(first, borders[-1]))


def _amounts(lengths: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(hidden tokens, spans that they stand in) of rows of so many tokens (B): spans have a token each, and one between two of them."""
    hidden = np.maximum(1, np.rint(config.share * lengths)).astype(np.int64)
    gaps = np.maximum(1, np.rint(hidden / config.mean_span)).astype(np.int64)
    return hidden, np.minimum(gaps, np.minimum(hidden, lengths - hidden + 1))


def _lowest(draws: np.ndarray, first: np.ndarray, stop: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(B W) bool: of each row's places from `first` to before `stop` (B) the `count` (B) with the lowest draws."""
    places = np.arange(draws.shape[1])
    allowed = (places >= first[:, None]) & (places < stop[:, None])
    ranks = np.argsort(np.argsort(np.where(allowed, draws, 2.0), axis=1), axis=1)
    return ranks < count[:, None]
