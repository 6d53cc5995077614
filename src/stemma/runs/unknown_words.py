"""What an unknown word costs: the model of its spelling, so that closed vocabularies have comparable bits per character.

A token outside the vocabulary costs -log P(<unk> | context), as its generation predicts it, plus -log S(spelling). S is a
proper code: it gives every string of Unicode code points a probability, and over all strings they sum to 1,

    S(c_1 ... c_n) = P(c_1 | <s>) P(c_2 | <s> c_1) ... P(c_n | ...) P(</s> | ...)

with P the n-gram model of `lineage.ngram` over characters, of `ORDER`, learnt on the spellings that the tokenizer left
outside its vocabulary (`tokens.outside`). A character that these lack is an escape, P(<unk> | ...), which gets all that the
discounts of the single characters free, and then one of the other code points, all equally likely.

S also spells words that are in the vocabulary: what it gives them is lost, and no choice of vocabulary gains by it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stemma.lineage.ngram import Config, Ngram
from stemma.objectives import counts
from stemma.objectives.spool import Room
from stemma.tokens.facts import TokenFacts
from stemma.tokens.outside import Outside

ORDER = 6  # characters; on English novels 4 costs a fifth more bits, 7 saves one in a hundred
CODE_POINTS = 0x110000  # that a string can hold
MOST_EVENTS = 1 << 21  # characters that the model learns from at most: fewer of each spelling, where there are more
MEMORY = 1 << 28  # bytes for counting them
SPECIALS = {"unk": 0, "bos": 1, "eos": 2}


@dataclass(frozen=True)
class _Spelt:
    """Spellings as sentences of characters."""

    ids: np.ndarray
    sentence_starts: np.ndarray


class Spelling:
    """How likely an unknown word is to be spelt so."""

    def __init__(self, outside: Outside) -> None:
        """The model is learnt when it is first used, in a tenth of a second or so; the same spellings give the same model."""
        self._outside = outside

    def nats(self, words: Sequence[str]) -> np.ndarray:
        """-log S of each word (W), its end included."""
        distinct = {word: place for place, word in enumerate(dict.fromkeys(words))}
        codes, starts = _joined(list(distinct))
        scores = self._network.score_flat(self._ids(codes), starts)
        owners = np.repeat(np.arange(len(distinct)), np.diff(scores.starts))
        escapes = np.bincount(owners, scores.unknown, len(distinct)) * math.log(CODE_POINTS - len(self._alphabet))
        return (np.bincount(owners, -scores.log_probs, len(distinct)) + escapes)[[distinct[word] for word in words]]

    @cached_property
    def _alphabet(self) -> np.ndarray:
        """The code points of the spellings, sorted; the first is token 3."""
        return np.unique(_joined(self._outside.spellings)[0])

    @cached_property
    def _network(self) -> Ngram:
        config = Config(order=ORDER, precision="double", interpolate_unigrams=False)
        facts = TokenFacts(len(SPECIALS) + len(self._alphabet), SPECIALS)
        with Room(MEMORY) as room:
            counting = counts.Counts(counts.Config(), config, self._repeated(), facts, room)
            return Ngram.from_counts(config, facts, counting.merge([counting.partial(*shard) for shard in counting.shards(1)]))

    def _ids(self, codes: np.ndarray) -> np.ndarray:
        places = np.minimum(np.searchsorted(self._alphabet, codes), len(self._alphabet) - 1)
        known = self._alphabet[places] == codes
        return np.where(known, places + len(SPECIALS), SPECIALS["unk"]).astype(np.uint32)

    def _repeated(self) -> _Spelt:
        """Every spelling as often as it counts."""
        codes, starts = _joined(self._outside.spellings)
        sizes, times = np.diff(starts), np.array(self._outside.counts, np.int64)
        events = int(((sizes + 1) * times).sum())
        if events > MOST_EVENTS:
            times = np.maximum(1, times * MOST_EVENTS // events)
        first, sizes = np.repeat(starts[:-1], times), np.repeat(sizes, times)
        borders = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(borders[-1]) - np.repeat(borders[:-1] - first, sizes)
        return _Spelt(self._ids(codes)[places], borders)


def _joined(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The code points of all words one after the other, and the words' borders (W + 1)."""
    codes = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), "<u4")
    return codes, np.cumsum([0, *map(len, words)])
