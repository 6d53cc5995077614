"""Learning unigram pieces: many candidates, EM on their probabilities, the least useful dropped round by round.

Kudo 2018, "Subword Regularization", section 3.2. The trainer of the `tokenizers` library adds floats in the order of
a random hash, so that every run gives other pieces; here the order is that of the text.

Deviates: a piece's usefulness is its expected count (not its count in the best segmentation) times the log-probability
that its best replacement would cost; candidates are taken inside runs of one script, as SentencePiece does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stemma.kernels.lattice import Edges, expected_counts, replacement_cost
from stemma.kernels.word_scan import borders
from stemma.kernels.word_table import WordTable
from stemma.tokens.sample import batches
from stemma.tokens.scripts import bytes_of, codes_of, inner_classes

LONGEST = 16  # characters in a piece (SentencePiece's default)
CANDIDATES = 10  # for each of `num_pieces`, at the start
SHRINK = 0.75  # of the pieces stay after a round (Kudo 2018 drops 20 to 25 %)
NEARLY = 1.1  # times `num_pieces`: where the rounds end
LEAST_EXPECTED = 0.5  # a piece expected less often than this goes (SentencePiece's constant)
SPACE = ord("▁")


@dataclass
class Candidates:
    """Pieces: where one of each stands in the text, its length, and the edges of all their occurrences."""

    place: np.ndarray
    length: np.ndarray
    edges: Edges

    def only(self, kept: np.ndarray) -> "Candidates":
        """Those of the mask."""
        return Candidates(self.place[kept], self.length[kept], self.edges.only(kept))


def learn_pieces(
    sample: Sequence[str], normalise: Callable[[str], str], num_pieces: int, characters: int, min_count: int
) -> list[tuple[str, float]]:
    """At most `num_pieces` pieces with their log-probabilities, the likeliest first.

    The `characters` most frequent characters are always among them, those seen less than `min_count` times never.
    """
    text, places, counts = _words(sample, normalise)
    found = _candidates(text, places, counts, characters, min_count, CANDIDATES * num_pieces)
    score = -found.length * np.log(2.0)  # any start that favours few pieces
    while True:
        for _ in range(2):  # EM steps a round
            expected = expected_counts(found.edges, places, counts, score)
            alive = (expected >= LEAST_EXPECTED) | (found.length == 1)
            found, expected = found.only(alive), np.maximum(expected[alive], LEAST_EXPECTED)
            score = _digamma(expected) - _digamma(expected.sum())  # Bayesian EM: rare pieces fade (SentencePiece)
        if len(score) <= NEARLY * num_pieces:
            return _written(text, found, score, num_pieces)
        loss = expected * replacement_cost(found.edges, found.place, found.length, score)
        loss[found.length == 1] = np.inf
        stay = np.argsort(-loss, kind="stable")[: max(int(NEARLY * num_pieces), int(SHRINK * len(score)))]
        kept = np.isin(np.arange(len(score)), stay)
        found, score = found.only(kept), score[kept]


def _words(sample: Sequence[str], normalise: Callable[[str], str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct words of the sample one after the other (a space before a word is its first character), the place
    where each begins, and their counts.
    """
    table = WordTable()
    for batch in batches(sample):
        text = " " + normalise("\n".join(batch))
        starts, ends = borders(codes_of(text), np.zeros(0, dtype=bool), inner_classes())
        codes = codes_of(text.replace(" ", "▁"))
        starts = starts - (codes[starts - 1] == SPACE)
        data = bytes_of(text.replace(" ", "▁"))
        places = np.append(np.flatnonzero(data & 0xC0 != 0x80), len(data))  # of the characters
        table.add(data, places[starts], places[ends])
    data, places = table.bytes()
    first = np.append(0, np.cumsum(data & 0xC0 != 0x80))  # characters before each byte
    return codes_of(data.tobytes().decode("utf-8", "surrogatepass")), first[places], table.counts


def _candidates(text: np.ndarray, places: np.ndarray, counts: np.ndarray, characters: int, min_count: int, most: int) -> Candidates:
    """The frequent characters, and the substrings seen twice or more that cover most text."""
    codes, letter = np.unique(text, return_inverse=True)
    weight = np.repeat(counts, np.diff(places)).astype(np.float64)
    room = np.repeat(places[1:], np.diff(places)) - np.arange(len(text))  # characters to the end of the word
    seen = np.bincount(letter, weights=weight)
    rank = np.empty(len(codes), dtype=np.int64)
    rank[np.argsort(-seen, kind="stable")] = np.arange(len(codes))
    number = np.where((rank < characters) & (seen >= min_count), np.cumsum((rank < characters) & (seen >= min_count)) - 1, -1)
    current = number[letter]  # the number of the piece of this length at each place, or -1
    levels = []
    for length in range(1, LONGEST + 1):
        if length > 1:
            at = np.flatnonzero((current[:-1] >= 0) & (current[1:] >= 0) & (room[:-1] >= length))
            keys, which = np.unique(current[at] * len(codes) + letter[at + length - 1], return_inverse=True)
            often = np.bincount(which, weights=weight[at], minlength=len(keys)) >= 2
            current = np.full(len(text), -1)
            current[at] = np.where(often, np.cumsum(often) - 1, -1)[which]
        at = np.flatnonzero(current >= 0)
        if len(at) == 0:
            break
        levels.append((length, at, current[at], np.bincount(current[at], weights=weight[at])))
    return _chosen(levels, len(text), most)


def _chosen(levels: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]], size: int, most: int) -> Candidates:
    """Of the pieces of all lengths (places, numbers and counts of each) the single characters and the `most` that
    cover most text.
    """
    covered = np.concatenate([np.full(len(count), np.inf) if length == 1 else length * count for length, _, _, count in levels])
    kept = np.zeros(len(covered), dtype=bool)
    kept[np.argsort(-covered, kind="stable")[: most + len(levels[0][3])]] = True
    offsets = np.cumsum([0, *(len(count) for *_, count in levels)])
    at = np.concatenate([at for _, at, _, _ in levels])
    piece = np.concatenate([number + offset for (_, _, number, _), offset in zip(levels, offsets[:-1], strict=True)])
    length = np.concatenate([np.full(len(at), length, dtype=np.uint8) for length, at, _, _ in levels])
    order = np.argsort(at, kind="stable")
    start = np.searchsorted(at[order], np.arange(size + 1))
    place = np.empty(len(covered), dtype=np.int64)
    place[piece[::-1]] = at[::-1]  # the first place of each: the last one written
    lengths = np.repeat([length for length, *_ in levels], np.diff(offsets))
    return Candidates(place, lengths, Edges(start, length[order], piece[order].astype(np.int32))).only(kept)


def _written(text: np.ndarray, found: Candidates, score: np.ndarray, num_pieces: int) -> list[tuple[str, float]]:
    order = np.lexsort((-score, found.length > 1))[:num_pieces]  # single characters first: they all stay
    pieces = []
    for i in order.tolist():
        codes = text[found.place[i] : found.place[i] + found.length[i]]
        pieces.append((codes.tobytes().decode("utf-32-le", "surrogatepass"), round(float(score[i]), 6)))  # 6 digits: read back exactly
    return sorted(pieces, key=lambda piece: (-piece[1], piece[0]))


def _digamma(x: np.ndarray | float) -> np.ndarray:
    """The derivative of ln gamma: recurrence up to 6, then the asymptotic series."""
    x = np.array(x, dtype=np.float64)
    shift = np.zeros_like(x)
    for _ in range(6):
        shift -= 1.0 / x
        x = x + 1.0
    inverse = 1.0 / (x * x)
    return shift + np.log(x) - 0.5 / x - inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252))
