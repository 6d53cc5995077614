"""Masked sentence pairs and single segments, for BERT and its descendants (Devlin 2018, section 3.1; create_pretraining_data.py).

Per document, sentences are gathered until a target length is reached and split at a drawn border into
A and B; half of the time (and whenever there is one sentence alone) B comes from another document
instead and the sentences it displaced are used again. Pairs that are too long lose tokens at a drawn
end of the longer part. Instances shorter than a row share it; attention never crosses between them.

Where their order is predicted (Lan 2019, section 3.1), A and B are always neighbours in one document, and
half of the time stand in the other order.

Deviates: a sentence longer than an instance is cut into several, where the original throws its tail
away; masks are drawn anew each epoch unless `dynamic` is off. A sentence that its document leaves without
a neighbour is read for its masks, and no order is predicted; ALBERT's code gives it one from another
document and calls that swapped.
"""

from dataclasses import dataclass
from math import log
from typing import Annotated, Literal

import numpy as np

from stemma.bounds import Depth, Natural, Share
from stemma.config import ReadIf
from stemma.errors import DataError, UsageError
from stemma.kernels import sentence_pairs as kernels
from stemma.objectives.batch import Batch, generator, seed_for
from stemma.objectives.epochs import Epochs
from stemma.objectives.frequencies import frequency_loss, nats_of_shares
from stemma.objectives.masked import Draws, Masking, choose, mask_tokens
from stemma.objectives.packing import pack
from stemma.tokens.facts import TokenFacts
from stemma.tokens.store import TokenStore


@dataclass(frozen=True)
class Config:
    """How documents become masked instances."""

    pairs: Literal["next", "order", "unasked", "none"] = "next"  # does B follow A, are they swapped, nothing; none: single segments
    units: Literal["pieces", "words", "ngrams"] = "pieces"  # masked whole: a token, a word, 1 to `longest` words in a row
    longest: Annotated[Depth, ReadIf("units", "ngrams")] = 3  # words of an n-gram
    mask_share: Share = 0.15  # of an instance's tokens, chosen for prediction; 0: none, as a student reads that imitates its teacher
    most_predictions: Natural = 0  # an instance; 0: no limit beyond the share
    short_share: Share = 0.1  # of document passes whose target length is drawn shorter
    dynamic: bool = True  # masks and pairs drawn anew each epoch; off: as the original, `copies` fixed ones
    copies: Annotated[Depth, ReadIf("dynamic", False)] = 10  # fixed instances of each text when not dynamic (dupe_factor)

    @property
    def masking(self) -> Masking:
        """How many tokens of an instance are masked, and how many words together at most."""
        return Masking(self.mask_share, self.most_predictions, self.longest if self.units == "ngrams" else 1)


@dataclass(frozen=True)
class _Plan:
    """An epoch's instances and the rows they share."""

    spans: np.ndarray  # (I, 4) token offsets: A from, A to, B from, B to
    labels: np.ndarray  # (I,) 1 where B does not follow A, or the two are swapped
    instances: np.ndarray  # (I,) in row order
    row_starts: np.ndarray  # (R+1,) into `instances`

    @property
    def rows(self) -> int:
        return len(self.row_starts) - 1


class Pairs:
    """Batches of `ids`, `positions`, `segments`, `types`, `labels` (B T), and of pairs `next` or `order`, `cls` (N,)."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        missing = [name for name in ("cls", "sep", "mask") if name not in facts.specials]
        if missing:
            raise UsageError(
                f"the tokenizer has no {missing[0]!r} token",
                "a tokenizer with cls, sep and mask",
                "set tokenizer.kind to wordpiece or unigram",
            )
        if max_length < 8:
            raise UsageError(f"model.max_length = {max_length} is too short for a pair", "8 or more", "raise model.max_length")
        if len(store.ids) == 0:
            raise DataError("the token store is empty", "a corpus with text", "run `stemma corpus check` on it")
        self._store, self._facts, self._config, self._seed, self._length = store, facts, config, seed, max_length
        self._room = max_length - (2 if config.pairs == "none" else 3)
        self._sentences, self._documents = self._borders(store)
        self._paired = config.pairs == "next" or (config.pairs == "order" and bool((np.diff(self._documents) > 1).any()))
        self._masking = config.masking
        self._rows_per_step = max(1, batch_tokens // max_length)
        self._epochs = Epochs(self._plan, self._rows_per_step)

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch."""
        return self._epochs.steps(epoch)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        return self._epochs.locate(step)

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of the batch and their separators, padding never."""
        return int((batch["segments"] > 0).sum())

    def ledger(self) -> dict[str, int]:
        """What the first epoch does with the store's tokens: how many it shows, and how many it misses
        because they were cut from over-long pairs (other epochs cut elsewhere).
        """
        shown = int(kernels.covered(self._epochs.plan(0).spans, len(self._store.ids)).sum())
        return {"tokens": len(self._store.ids), "used": shown, "cut_from_long_pairs": len(self._store.ids) - shown}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch show; B from elsewhere shows some of them twice."""
        plan = self._epochs.plan(0)
        shown = plan.instances[: plan.row_starts[min(steps * self._rows_per_step, plan.rows)]]
        return int(kernels.covered(plan.spans[shown], len(self._store.ids)).sum())

    def constant_losses(self, learnt_from: TokenStore) -> dict[str, float]:
        """Nats of answering by frequency alone: masked tokens, and the labels of pairs; order is a coin's toss.

        That B does not follow is more frequent than that in a text of short documents.
        """
        tokens = {"masked": frequency_loss(learnt_from, self._store)} if self._config.mask_share else {}
        if self._config.pairs in ("none", "unasked"):
            return tokens
        if self._config.pairs == "order":
            return tokens | {"order": log(2)}
        seen, predicted = (np.bincount(self._gathered(*self._borders(store), 0)[1], minlength=2) for store in (learnt_from, self._store))
        return tokens | {"next": nats_of_shares(seen, predicted)}

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rows of `step` that fall to `rank`; a pure function of the seed and the step."""
        plan, epoch, chosen = self._epochs.rows(step, rank, ranks)
        version = epoch if self._config.dynamic else epoch % self._config.copies
        batch, begins = self._rows(plan, chosen)
        specials = self._facts.specials
        candidates = ~np.isin(batch["ids"], [specials["cls"], specials["sep"]])
        places = np.array(chosen, np.int64)[:, None] * self._length + np.arange(batch["ids"].shape[1])
        draws = Draws.at(seed_for(self._seed, "mask", version), places)
        chosen_words = choose(batch["segments"], candidates, begins, self._masking, draws)
        masked = mask_tokens(batch["ids"], chosen_words, self._masking, specials["mask"], self._facts.vocab_size, draws)
        batch["ids"], batch["labels"] = masked
        return batch

    def _rows(self, plan: _Plan, chosen: range) -> tuple[Batch, np.ndarray]:
        """The rows as they stand in the text, and where what is masked whole begins, (B T)."""
        filled = [self._filled(plan, row) for row in chosen]
        shape = (len(chosen), max(filled, default=1))
        batch = {name: np.zeros(shape, np.int64) for name in ("ids", "positions", "segments", "types")}
        batch["ids"][:] = self._facts.specials.get("pad", 0)
        begins = np.ones(shape, bool)
        starts, labels = [], []
        cls, sep, ids = self._facts.specials["cls"], self._facts.specials["sep"], self._store.ids
        for row, number in enumerate(chosen):
            at = 0
            for segment, instance in enumerate(plan.instances[plan.row_starts[number] : plan.row_starts[number + 1]], 1):
                a_from, a_to, b_from, b_to = plan.spans[instance]
                middle = at + 1 + a_to - a_from  # the first [SEP]
                end = middle + (1 + b_to - b_from if b_from < b_to else 0)  # the last [SEP]
                batch["ids"][row, at], batch["ids"][row, middle], batch["ids"][row, end] = cls, sep, sep
                batch["ids"][row, at + 1 : middle] = ids[a_from:a_to]
                batch["ids"][row, middle + 1 : end] = ids[b_from:b_to]
                if self._config.units != "pieces":
                    begins[row, at + 1 : middle] = self._store.word_starts(a_from, a_to)
                    begins[row, middle + 1 : end] = self._store.word_starts(b_from, b_to)
                batch["types"][row, middle + 1 : end + 1] = 1
                batch["positions"][row, at : end + 1] = np.arange(end + 1 - at)
                batch["segments"][row, at : end + 1] = segment
                if b_from < b_to:
                    starts.append(row * shape[1] + at)
                    labels.append(plan.labels[instance])
                at = end + 1
        if self._paired:
            batch["cls"], batch[self._config.pairs] = np.array(starts, np.int64), np.array(labels, np.int64)
        return batch, begins

    def _filled(self, plan: _Plan, row: int) -> int:
        """Positions of the row that hold tokens."""
        return int(_lengths(plan.spans[plan.instances[plan.row_starts[row] : plan.row_starts[row + 1]]]).sum())

    def _plan(self, epoch: int) -> _Plan:
        version = epoch if self._config.dynamic else epoch % self._config.copies
        spans, labels, rng = self._gathered(self._sentences, self._documents, version)
        instances, row_starts = pack(_lengths(spans), self._length, self._rows_per_step, rng)
        return _Plan(spans, labels, instances, row_starts)

    def _borders(self, store: TokenStore) -> tuple[np.ndarray, np.ndarray]:
        """Of its sentences and documents, after long sentences are cut."""
        return _cut_long(np.asarray(store.sentence_starts), np.asarray(store.document_starts), self._room)

    def _gathered(self, sentences: np.ndarray, documents: np.ndarray, version: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
        """(spans (I, 4), labels (I,)) of a pass over the documents, and the generator to go on with."""
        rng = generator(self._seed, "pairs", version)
        order, seed = rng.permutation(len(documents) - 1), np.uint64(seed_for(self._seed, "instances", version))
        spans, labels = _GATHER[self._config.pairs](sentences, documents, order, self._room, self._config.short_share, seed)
        return spans, labels, rng


_GATHER = {"next": kernels.gather_pairs, "unasked": kernels.gather_pairs, "order": kernels.gather_ordered, "none": kernels.gather_singles}


def _lengths(spans: np.ndarray) -> np.ndarray:
    """Positions of each instance (I,): its tokens, [CLS], and a [SEP] after each part that has any."""
    a, b = spans[:, 1] - spans[:, 0], spans[:, 3] - spans[:, 2]
    lengths: np.ndarray = a + b + 2 + (b > 0)
    return lengths


def _cut_long(sentences: np.ndarray, documents: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Sentence and document borders after cutting sentences longer than `room` into equal parts of half that."""
    lengths = np.diff(sentences)
    parts = np.where(lengths > room, -(-lengths // (room // 2)), 1)
    first = np.concatenate([[0], np.cumsum(parts)])  # new index of each old sentence
    of = np.repeat(np.arange(len(lengths)), parts)
    part = np.arange(len(of)) - first[of]
    starts = sentences[of] + part * lengths[of] // parts[of]
    return np.append(starts, sentences[-1]), first[documents]
