"""Translation: the target of a pair is predicted from its source (Vaswani 2017, section 5.1; Bahdanau 2014).

The source `s1 .. sn` is read as `s1 .. sn <eos>`; the decoder reads `<bos> t1 .. tm` and predicts `t1 .. tm <eos>`. Where the
tokenizer has no begin of its own, the end stands for it, as it does for BPE. Every pair is read once an epoch, in batches of like
lengths; `batch_tokens` bounds their padded positions, source and target together.

B pairs, S source positions, T target positions.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from stemma.errors import DataError, UsageError
from stemma.nouns import counted
from stemma.objectives.batch import IGNORE, Batch, generator
from stemma.objectives.buckets import Buckets, bucketed, gathered, real
from stemma.objectives.epochs import Epochs
from stemma.objectives.frequencies import nats_of_shares
from stemma.tokens.facts import TokenFacts
from stemma.tokens.store import TokenStore

BLOCK = 1 << 20  # sentences whose tokens are counted at a time


@dataclass(frozen=True)
class Config:
    """How pairs become batches."""

    reverse: bool = False  # the second text of a pair is the source, and the first is asked for


@dataclass(frozen=True)
class Marks:
    """The ids that stand round the texts of a pair."""

    end: int
    begin: int  # of what is predicted
    padding: int

    @classmethod
    def of(cls, facts: TokenFacts) -> "Marks":
        """Those of a tokenizer; UsageError where it has none that ends a text."""
        end, begin = ends(facts)
        return cls(end, begin, facts.specials.get("pad", end))


class Translation:
    """Batches of `ids`, `segments` (B S), `target_ids`, `target_segments` and `labels` (B T)."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        check_pairs(store)
        self._marks = Marks.of(facts)
        self._store, self._config, self._seed, self._budget = store, config, seed, batch_tokens
        lengths = np.diff(store.sentence_starts).reshape(-1, 2)  # (pairs 2)
        self._chosen = np.flatnonzero((lengths < max_length).all(axis=1))  # each side is one position longer than its text
        self._lengths = lengths[self._chosen, :: -1 if config.reverse else 1]  # (N 2) of source and target
        self._warn_of_too_long(max_length)
        self._epochs = Epochs(self._plan, 1)

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch: its batches."""
        return self._epochs.steps(epoch)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        return self._epochs.locate(step)

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of both sides, the ends and begins among them, padding never."""
        return int(batch["segments"].sum() + batch["target_segments"].sum())

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the store's tokens: pairs with a side of more than max_length positions are left out."""
        used = int(self._lengths.sum())
        return {"tokens": len(self._store.ids), "used": used, "too_long": len(self._store.ids) - used}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch read."""
        plan = self._epochs.plan(0)
        return int(self._lengths[plan.order[: plan.starts[min(steps, plan.rows)]]].sum())

    def constant_losses(self, learnt_from: TokenStore) -> dict[str, float]:
        """Nats of answering by frequency alone: tokens of the targets, and their ends."""
        seen, predicted = (self._target_counts(store) for store in (learnt_from, self._store))
        return {"": nats_of_shares(seen, predicted)}

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The pairs of `step` that fall to `rank`; a pure function of the seed and the step."""
        epoch, number = self._epochs.locate(step)
        rows = self._epochs.plan(epoch).batch(number, rank, ranks)
        first = np.asarray(self._store.sentence_starts)[2 * self._chosen[rows, None] + (0, 1)]  # (B 2)
        return paired(self._store.ids, first[:, :: -1 if self._config.reverse else 1], self._lengths[rows], self._marks)

    def _plan(self, epoch: int) -> Buckets:
        source, target = self._lengths.T + 1
        return bucketed(source, target, self._budget, generator(self._seed, "translation", epoch))

    def _target_counts(self, store: TokenStore) -> np.ndarray:
        """(V+1) how often each id stands in a target, and last how many targets end."""
        starts, side = np.asarray(store.sentence_starts), 0 if self._config.reverse else 1
        counts = np.zeros(len(store.counts), np.int64)
        for first in range(0, store.sentences, BLOCK):
            borders = starts[first : first + BLOCK + 1]
            targets = np.repeat(np.arange(len(borders) - 1) % 2 == side, np.diff(borders))
            counts += np.bincount(store.ids[borders[0] : borders[-1]][targets], minlength=len(counts))
        return np.append(counts, store.documents)

    def _warn_of_too_long(self, max_length: int) -> None:
        left_out = self._store.documents - len(self._chosen)
        if not len(self._chosen):
            wrong = f"each of {counted(left_out, 'pair')} has a side of more than {counted(max_length, 'token')}, its end among them"
            raise DataError(wrong, "pairs that fit model.max_length", "raise model.max_length")
        if left_out:
            note = f"left out: {left_out:,} of {counted(self._store.documents, 'pair')}, a side being longer than model.max_length"
            warnings.warn(f"{note} = {max_length}", stacklevel=3)


def paired(tokens: np.ndarray, first: np.ndarray, lengths: np.ndarray, marks: Marks) -> Batch:
    """The batch of pairs whose source and target are `lengths` (B 2) of the flat `tokens` from `first` (B 2) on."""
    (source, target), (begins, others) = lengths.T, first.T  # (B) each
    ids = gathered(tokens, begins, source, None, marks.end, marks.padding)
    target_ids = gathered(tokens, others, target, marks.begin, None, marks.padding)
    return {
        "ids": ids,
        "segments": real(source + 1, ids),
        "target_ids": target_ids,
        "target_segments": real(target + 1, target_ids),
        "labels": gathered(tokens, others, target, None, marks.end, IGNORE),
    }


def check_pairs(store: TokenStore) -> None:
    """DataError for a store of no text, and for one of anything but pairs."""
    if len(store.ids) == 0:
        raise DataError("the token store is empty", "a corpus with text", "run `stemma corpus check` on it")
    if store.pairs < store.documents:
        beside = f"{store.documents - store.pairs:,} of {counted(store.documents, 'document')} are no pairs of a source and its target"
        mend = "give a table of pairs, or --source and --target; of plain text the objective is denoising (objective.kind)"
        raise DataError(beside, "pairs alone", mend)


def ends(facts: TokenFacts) -> tuple[int, int]:
    """(the id that ends a text, the id that begins what is predicted); UsageError where the tokenizer has none."""
    if "eos" not in facts.specials:
        wrong = "the tokenizer has no 'eos' token"
        raise UsageError(wrong, "a token that ends a text", "set tokenizer.kind to bpe, unigram, word or char")
    return facts.specials["eos"], facts.specials.get("bos", facts.specials["eos"])
