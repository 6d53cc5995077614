"""Windows: chunks of whole sentences for the static generations, sub-sampled, unknown words left out.

A step is one chunk of about `batch_tokens` raw tokens. Chunks keep the order of the text inside and
are visited in an order drawn anew for each epoch, or in the text's own. Frequent words are dropped *before* windows are
formed, so windows reach further (Mikolov 2013b, section 2.3). Sentences of any length stay whole.

V vocabulary, S sentences, N kept tokens.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from stemma.bounds import NonNegative
from stemma.config import ReadIf
from stemma.errors import DataError, UsageError
from stemma.objectives.batch import Batch, generator

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts
    from stemma.tokens.store import TokenStore


@dataclass(frozen=True)
class Config:
    """How the text is thinned out before windows are laid over it."""

    sample: NonNegative = 1e-3  # t: words more frequent than this share of the text are thinned out; 0 keeps all
    subsample: Annotated[Literal["code", "paper"], ReadIf("sample")] = "code"  # keep with sqrt(t/f) + t/f, or sqrt(t/f) (2013b, eq. 5)
    order: Literal["random", "text"] = "random"  # of the chunks; text: from first to last in each epoch, as word2vec.c reads


class Windows:
    """Gives `words` (N) int32 and `starts` (S+1) int64, the sentence borders within `words`; `read` (1), the tokens they were made of."""

    def __init__(
        self,
        store: "TokenStore",
        facts: "TokenFacts",
        config: Config,
        *,
        seed: int,
        batch_tokens: int = 100_000,
        max_length: int | None = None,  # accepted for the common signature: no sentence is ever cut
    ) -> None:
        if batch_tokens < 1:
            raise UsageError(f"batch_tokens = {batch_tokens}", "at least one token a step", "leave it at 100000")
        counts = np.array(store.counts if facts.counts is None else facts.counts, np.float64)
        self.unknown = int(counts[list(facts.specials.values())].sum())
        counts[list(facts.specials.values())] = 0
        if not counts.any():
            raise DataError(
                f"none of the {len(store.ids)} tokens is a word of the vocabulary",
                "text that the tokenizer knows",
                "train the tokenizer on this text, or lower tokenizer.min_count",
            )
        self.store, self.seed, self.shuffled = store, seed, config.order == "random"
        self.keep = keep_probability(counts, config.sample, config.subsample)
        self.expected = float((self.keep * counts).sum())  # not @: the threads of a BLAS would spin on for a while
        self.total = int(counts.sum())
        if self.expected < 1:
            raise DataError(
                f"sub-sampling leaves {self.expected:.2g} of the {self.total:,} words of the text, on average",
                "one word an epoch, or more",
                "give more text, or set objective.sample to 0, which keeps all",
            )
        starts = np.asarray(store.sentence_starts, np.int64)
        firsts = np.searchsorted(starts[:-1], np.arange(0, max(len(store.ids), 1), batch_tokens))
        self.borders = np.unique(np.append(firsts, len(starts) - 1))  # chunk -> its first sentence
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def steps_in_epoch(self, epoch: int = 0) -> int:
        """Chunks in an epoch, the same in each."""
        return len(self.borders) - 1

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it), both from 0."""
        return divmod(step, self.steps_in_epoch())

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The sentences of `step`, thinned out; of several ranks, the `rank`-th share of them."""
        first, last = self._sentences(step)
        starts = np.asarray(self.store.sentence_starts[first : last + 1], np.int64)
        ids = np.asarray(self.store.ids[starts[0] : starts[-1]])
        epoch, within = self.epoch_of(step)
        draws = generator(self.seed, "windows", epoch, "sample", within).random(len(ids), dtype=np.float32)
        kept = np.flatnonzero(draws < self.keep.take(ids))
        starts = np.searchsorted(kept, starts - starts[0])
        words = ids.take(kept).astype(np.int32)
        read = np.array([len(ids) * (rank + 1) // ranks - len(ids) * rank // ranks])
        if ranks > 1:
            share = np.searchsorted(starts, np.array([rank, rank + 1]) * len(words) / ranks)
            starts = starts[share[0] : share[1] + 1]
            words, starts = words[starts[0] : starts[-1]], starts - starts[0]
        return {"words": words, "starts": starts, "read": read}

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of the text that the batch was made of, those that were thinned out or unknown too, as word2vec.c counts them."""
        return int(batch["read"][0])

    def ledger(self) -> dict[str, int]:
        """Tokens of one epoch: all = used + unknown + subsampled (the last as expected over draws)."""
        used = round(self.expected)
        return {"tokens": self.total + self.unknown, "used": used, "unknown": self.unknown, "subsampled": self.total - used}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of an epoch use, about: all steps are alike."""
        return round(self.expected * min(1.0, steps / self.steps_in_epoch()))

    def constant_losses(self, learnt_from: "TokenStore") -> dict[str, float]:
        """None: no loss is taken on held-out text."""
        return {}

    def _sentences(self, step: int) -> tuple[int, int]:
        epoch, within = self.epoch_of(step)
        if self._order[0] != epoch:
            chunks = self.steps_in_epoch()
            self._order = (epoch, generator(self.seed, "windows", epoch).permutation(chunks) if self.shuffled else np.arange(chunks))
        chunk = self._order[1][within]
        return int(self.borders[chunk]), int(self.borders[chunk + 1])


def keep_probability(counts: np.ndarray, sample: float, rule: Literal["code", "paper"] = "code") -> np.ndarray:
    """Probability (V) float32 with which an occurrence of each word stays; 0 where the count is 0.

    With f the word's share of all counts and t = `sample`: sqrt(t/f) + t/f as in word2vec.c, or
    sqrt(t/f) as printed in Mikolov 2013b, eq. 5; cut at 1.
    """
    seen = counts > 0
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    keep = np.sqrt(ratio) + (ratio if rule == "code" else 0) if sample else np.ones(len(counts))
    return np.where(seen, np.minimum(keep, 1), 0).astype(np.float32)
