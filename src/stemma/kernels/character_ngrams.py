"""The character n-grams of words, hashed as fastText does (Bojanowski et al. 2017), and the rows they lead to.

Those of `<where>` of three characters are `<wh`, `whe`, `her`, `ere`, `re>`. They share `buckets` rows by their hash.

W words, V vocabulary, D width, G n-grams of a word.
"""

from collections.abc import Sequence

import numpy as np

from stemma.kernels.compiling import compiled, inlined

OFFSET, PRIME = np.uint32(2166136261), np.uint32(16777619)  # FNV-1a, 32 bits


def hashed_ngrams(words: Sequence[bytes], shortest: int, longest: int, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """(starts (W+1), hashes) of the n-grams of `shortest`..`longest` characters of words in UTF-8, the hashes below `buckets`.

    Those of word w are hashes[starts[w] : starts[w + 1]].
    """
    framed = [b"<" + word + b">" for word in words]
    ends = np.cumsum([0, *map(len, framed)])
    longest = min(longest, max(map(len, framed), default=0))  # room is made for no more than there can be
    return _hash_ngrams(np.frombuffer(b"".join(framed), np.uint8), ends, shortest, longest, buckets)


@inlined
def _mixed_in(h, byte):
    """A step of 32-bit FNV-1a. fastText extends the byte's sign first: bytes from 0x80 on also flip the upper 24 bits."""
    return np.uint32((h ^ np.uint32(np.int8(byte))) * PRIME)


@compiled(fastmath=True, error_model="numpy")
def _hash_ngrams(text, ends, shortest, longest, buckets):
    """The hash of each n-gram's bytes, in fastText's order; < and > alone are no n-grams."""
    most = max(longest - shortest + 1, 0) * len(text)
    hashes, starts, n = np.empty(most, np.int32), np.zeros(len(ends), np.int64), 0
    for w in range(len(ends) - 1):
        first, end = ends[w], ends[w + 1]
        for i in range(first, end):
            if text[i] & 0xC0 == 0x80:  # inside a character
                continue
            h, j, characters = OFFSET, i, 0
            while j < end and characters < longest:
                h, j = _mixed_in(h, text[j]), j + 1
                while j < end and text[j] & 0xC0 == 0x80:
                    h, j = _mixed_in(h, text[j]), j + 1
                characters += 1
                if characters >= shortest and not (characters == 1 and (i == first or j == end)):
                    hashes[n] = np.int32(h % np.uint32(buckets))
                    n += 1
        starts[w + 1] = n
    return starts, hashes[:n].copy()


def word_rows(starts: np.ndarray, hashes: np.ndarray, trained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(starts (V+1), rows) in the one table: each trained word's own row, then those of its n-grams; none for other words."""
    vocab_size = len(trained)
    lengths = (np.diff(starts) + 1) * trained
    begins = np.concatenate(([0], np.cumsum(lengths)))
    rows = np.empty(begins[-1], np.int32)
    own = np.zeros(len(rows), bool)
    own[begins[:-1][trained]] = True
    rows[own] = np.flatnonzero(trained)
    rows[~own] = vocab_size + hashes[np.repeat(trained, np.diff(starts))]
    return begins, rows


@compiled
def average_rows(starts, hashes, ngram_rows, vectors):
    """Turns each word's own row in `vectors` (W D) into the mean with those of its n-grams in `ngram_rows` (buckets, D)."""
    for w in range(len(vectors)):
        for g in range(starts[w], starts[w + 1]):
            for d in range(vectors.shape[1]):
                vectors[w, d] += ngram_rows[hashes[g], d]
        for d in range(vectors.shape[1]):
            vectors[w, d] /= np.float32(1 + starts[w + 1] - starts[w])
