"""Permutation: tokens are predicted in a drawn order, each given those before it in that order (Yang 2019, sections 2.2, 2.3 and 2.5;
data_utils.py).

The documents of an epoch, in a drawn order, form one stream, each followed by <eos>. It is cut into C columns; step t holds a row of
every column: a first half from where the row before left off, which the network's memory takes in, and a second half of two stretches

    first half | A <sep> B <sep> <cls>

A goes on where the first half ends, and is half of the next row's first half: so each token is read twice, once in each half. B goes on
where A ends, or stands elsewhere (half of the time, and where no sentence ends inside); no label says which.

In each half a sixth of the tokens are predicted, in spans. They, <sep> and <cls> become visible in a drawn order, the others at once;
the first half never sees the second, which sees all of the first. Half of the columns are read from right to left.

Deviates: the second half is full, since the stream goes on round its end, and B ends where the row does; a stretch without a sentence's end
is parted at a drawn token; only tokens are chosen for prediction, so that their number is exact; a column is read in one direction in an
epoch and in the other in the next, where the original reads each in both. Pieces alone are counted in a span, as in the original's code.

N tokens of the stream, C columns, B of them in a batch, T positions of a row, R of its first half.
"""

from dataclasses import dataclass

import numpy as np

from stemma.bounds import Natural, Positive, Share
from stemma.errors import UsageError
from stemma.kernels.permutations import draw_rows, part_rows
from stemma.objectives.batch import IGNORE, Batch, generator, seed_for
from stemma.objectives.epochs import Epochs
from stemma.objectives.whole_text import WholeText
from stemma.tokens.facts import TokenFacts
from stemma.tokens.store import TokenStore

SPECIALS = 3  # <sep>, <sep>, <cls>
SHORTEST = 8  # positions of a row


@dataclass(frozen=True)
class Config:
    """What is predicted, and of which rows; rows are as long as model.max_length."""

    times: Positive = 6  # the paper's K: one token in so many is predicted
    longest: Positive = 5  # tokens of a span
    block: Natural = 0  # tokens that an order is drawn over (perm_size); 0: half a row
    elsewhere: Share = 0.5  # of rows whose B does not follow A
    both_directions: bool = True  # half of the columns are read from right to left


@dataclass(frozen=True)
class _Plan:
    """An epoch: documents in order, and where each starts in the stream."""

    documents: np.ndarray  # (D,)
    starts: np.ndarray  # (D+1,) stream positions
    rows: int  # of a column: the steps


@dataclass(frozen=True)
class _Stretch:
    """Tokens of the stream, as they are read; all (B T)."""

    ids: np.ndarray
    words: np.ndarray  # True where a word begins
    sentences: np.ndarray  # True where a sentence begins
    before: np.ndarray  # tokens from here back to where the sentence begins
    after: np.ndarray  # tokens from here on to its last, a document's <eos> being in its last sentence


class Permutation(WholeText[_Plan]):
    """Batches of `ids`, `types`, `segments`, `turns`, `labels` (B T), `backward`, `begins` (B), and `kept` () = R."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        missing = [name for name in ("cls", "sep", "eos") if name not in facts.specials]
        if missing:
            wrong = f"the tokenizer has no {missing[0]!r} token"
            raise UsageError(wrong, "a tokenizer with cls, sep and eos", "set tokenizer.kind to unigram")
        if max_length < SHORTEST:
            raise UsageError(f"model.max_length = {max_length} is too short for a row", f"{SHORTEST} or more", "raise model.max_length")
        super().__init__(store, Epochs(self._plan, 1))
        self._facts, self._config, self._seed = facts, config, seed
        self._sentences = np.asarray(store.sentence_starts)
        self._borders = self._sentences[np.asarray(store.document_starts)]  # (D+1,) token offsets
        self._tokens = len(store.ids) + len(self._borders) - 1  # N
        self._length = min(max_length, self._tokens + SPECIALS)  # T
        self._half = self._length // 2  # R
        together = 2 if config.both_directions else 1
        columns = together * max(1, batch_tokens // (together * max_length))
        self._columns = min(columns, max(1, self._tokens // self._half))

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rows of `step` that fall to `rank`; a pure function of the seed and the step."""
        if self._columns < ranks:
            wrong = f"{self._columns} columns for {ranks} processes"
            raise UsageError(wrong, "a column or more for each process", "raise training.batch_tokens or lower model.max_length")
        epoch, within = self.epochs.locate(step)
        plan, columns = self.epochs.plan(epoch), np.arange(rank, self._columns, ranks)
        states = np.array([seed_for(self._seed, "row", epoch, within, int(column)) for column in columns], np.uint64)
        backward = columns >= self._columns - (self._columns // 2 if self._config.both_directions else 0)
        ids, words, lengths = self._text(plan, self._begins(epoch, within, columns, backward), backward, states)
        batch = self._framed(ids, words, lengths, backward, states)
        begins = np.full(len(columns), within == 0)
        return batch | {"backward": backward, "begins": begins, "kept": np.array(self._half)}

    def _begins(self, epoch: int, within: int, columns: np.ndarray, backward: np.ndarray) -> np.ndarray:
        """The stream position of each row's first token, (B,)."""
        piece = (columns + epoch * (self._columns // 2)) % self._columns  # the other direction than in the epoch before
        short, longer = divmod(self._tokens, self._columns)
        first, last = (place * short + np.minimum(place, longer) for place in (piece, piece + 1))
        return np.where(backward, last - 1 - within * self._half, first + within * self._half)

    def _text(self, plan: _Plan, begins: np.ndarray, backward: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ids, where words begin, (B, T - 3) both, the tokens of each A (B,)), each row as it is read."""
        length = self._length - SPECIALS
        ways = np.where(backward, -1, 1)[:, None]
        places = begins[:, None] + ways * np.arange(length)  # (B, T - 3)
        own = self._stretch(plan, places)
        borders = np.where(backward[:, None], np.roll(own.sentences, 1, axis=1), own.sentences)
        lengths, skipped = part_rows(borders, self._half, self._config.elsewhere, self._tokens - length, states)
        if (skipped < 0).all():
            return own.ids, own.words, lengths
        ends, skipped = (self._half + lengths)[:, None], skipped[:, None]  # (B, 1)
        there = self._stretch(plan, begins[:, None] + ways * (ends + skipped))
        back = np.where(backward[:, None], there.after, there.before)  # to where the sentence begins, as it is read
        skipped = np.where(back <= skipped, skipped - back, skipped)  # but not into what the row holds already
        away = self._stretch(plan, places + ways * np.where(np.arange(length) >= ends, np.maximum(skipped, 0), 0))
        return away.ids, away.words, lengths

    def _framed(self, ids: np.ndarray, words: np.ndarray, lengths: np.ndarray, backward: np.ndarray, states: np.ndarray) -> Batch:
        """The rows with their specials, what is predicted in them and in which order."""
        special, shape = self._facts.specials, (len(ids), self._length)
        places, ends = np.arange(self._length), (self._half + lengths)[:, None]
        seps = (places == ends) | (places == self._length - 2)  # (B, T)
        functional = seps | (places == self._length - 1)
        framed, starts = np.where(seps, special["sep"], special["cls"]), functional.copy()
        framed[~functional], starts[~functional] = ids.ravel(), words.ravel()
        types = np.where(places == self._length - 1, 2, places > ends)
        predictions = self._length // self._config.times or 1
        block, longest, times = self._config.block or self._length - self._half, self._config.longest, self._config.times
        chosen, order = draw_rows(starts, functional, backward, self._half, predictions, block, longest, times, states)
        labels = np.where(chosen, framed, IGNORE)
        return {"ids": framed, "types": types, "segments": np.ones(shape, np.int64), "labels": labels, "turns": order}

    def _stretch(self, plan: _Plan, places: np.ndarray) -> _Stretch:
        """What stands at these places of the stream, which goes on round its end."""
        places = places % self._tokens
        which = np.searchsorted(plan.starts, places, side="right") - 1
        document = plan.documents[which]
        offset = self._borders[document] + places - plan.starts[which]
        end = offset == self._borders[document + 1]
        token = np.maximum(offset - end, 0)  # the last one, where <eos> stands
        sentence = np.searchsorted(self._sentences, token, side="right") - 1
        first, after = self._sentences[sentence], self._sentences[sentence + 1]
        after = after + (after == self._borders[document + 1])  # <eos>
        return _Stretch(
            np.where(end, self._facts.specials["eos"], self._store.ids[token].astype(np.int64)),
            end | self._store.words_begin_at(token),
            ~end & (offset == first),
            np.maximum(offset - first, 0),  # of an empty document
            np.maximum(after - 1 - offset, 0),
        )

    def _plan(self, epoch: int) -> _Plan:
        documents = generator(self._seed, "permutation", epoch).permutation(len(self._borders) - 1)
        starts = np.concatenate([[0], np.cumsum(np.diff(self._borders)[documents] + 1)])  # with <eos>
        longest = -(-self._tokens // self._columns)
        return _Plan(documents, starts, -(-longest // self._half))
