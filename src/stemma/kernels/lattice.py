"""The lattice of segmentations of every word, compiled with Numba: expected counts, and what a piece is worth."""

from dataclasses import dataclass

import numpy as np

from stemma.kernels.compiling import compiled

UNKNOWN = 10.0  # nats below the worst piece: what a character without a piece costs (SentencePiece's constant)


@dataclass
class Edges:
    """The pieces that start at each place of the text: those of place p are numbers start[p] to start[p + 1]."""

    start: np.ndarray  # int64 (places + 1)
    length: np.ndarray  # uint8
    piece: np.ndarray  # int32

    def only(self, kept: np.ndarray) -> "Edges":
        """The edges of the pieces of the mask, the pieces numbered anew."""
        stays = kept[self.piece]
        before = np.concatenate(([0], np.cumsum(stays)))
        number = (np.cumsum(kept) - 1).astype(np.int32)
        return Edges(before[self.start], self.length[stays], number[self.piece[stays]])


def expected_counts(edges: Edges, places: np.ndarray, counts: np.ndarray, score: np.ndarray) -> np.ndarray:
    """How often each piece is expected over all segmentations of all words (forward-backward)."""
    return _expected(edges.start, edges.length, edges.piece, places, counts, score, score.min() - UNKNOWN)


def replacement_cost(edges: Edges, place: np.ndarray, length: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Nats lost where a piece is written with the best other pieces (Viterbi)."""
    return _cost(edges.start, edges.length, edges.piece, place, length, score, score.min() - UNKNOWN)


@compiled
def _log_add(a, b):
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@compiled
def _expected(start, length, piece, places, counts, score, unknown):
    expected = np.zeros(len(score))
    longest = np.max(np.diff(places))
    forward, backward = np.empty(longest + 1), np.empty(longest + 1)
    for word in range(len(counts)):
        first, size = places[word], places[word + 1] - places[word]
        forward[: size + 1] = -np.inf
        backward[: size + 1] = -np.inf
        forward[0] = backward[size] = 0.0
        for i in range(size):
            single = False
            for e in range(start[first + i], start[first + i + 1]):
                single |= length[e] == 1
                forward[i + length[e]] = _log_add(forward[i + length[e]], forward[i] + score[piece[e]])
            if not single:
                forward[i + 1] = _log_add(forward[i + 1], forward[i] + unknown)
        for i in range(size - 1, -1, -1):
            single = False
            for e in range(start[first + i], start[first + i + 1]):
                single |= length[e] == 1
                backward[i] = _log_add(backward[i], backward[i + length[e]] + score[piece[e]])
            if not single:
                backward[i] = _log_add(backward[i], backward[i + 1] + unknown)
        for i in range(size):
            for e in range(start[first + i], start[first + i + 1]):
                path = forward[i] + score[piece[e]] + backward[i + length[e]] - forward[size]
                expected[piece[e]] += counts[word] * np.exp(path)
    return expected


@compiled
def _cost(start, length, piece, place, sizes, score, unknown):
    cost = np.empty(len(place))
    best = np.empty(256)
    for p in range(len(place)):
        size = np.int64(sizes[p])
        best[: size + 1] = -np.inf
        best[0] = 0.0
        for i in range(size):
            single = False
            for e in range(start[place[p] + i], start[place[p] + i + 1]):
                single |= length[e] == 1
                if piece[e] != p and i + length[e] <= size:
                    best[i + length[e]] = max(best[i + length[e]], best[i] + score[piece[e]])
            if not single:
                best[i + 1] = max(best[i + 1], best[i] + unknown)
        cost[p] = score[p] - best[size]
    return cost
