"""Character n-grams: fastText's hashes, and the means of the rows they lead to."""

import numpy as np
import pytest

from stemma.kernels.character_ngrams import average_rows, hashed_ngrams

WORDS = ["sail", "sailor", "sailing", "rain", "rainy", "水手", "老水手", "大海", "a", "naïve", "🦭", "the", ""]


def fnv(text: bytes) -> int:
    """fastText's hash as its paper's code has it: 32-bit FNV-1a over sign-extended bytes."""
    h = 2166136261
    for byte in text:
        h = ((h ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619) & 0xFFFFFFFF
    return h


def spelled(word: str, shortest: int, longest: int) -> list[str]:
    text = f"<{word}>"
    found = [text[i : i + n] for i in range(len(text)) for n in range(shortest, longest + 1) if i + n <= len(text)]
    return [gram for gram in found if gram not in ("<", ">")]


@pytest.mark.parametrize("lengths", [(3, 6), (1, 4), (2, 2), (9, 12)])
def test_ngrams_and_their_hashes_are_fasttexts(lengths):
    starts, hashes = hashed_ngrams([word.encode() for word in WORDS], *lengths, 2_000_000)
    for n, word in enumerate(WORDS):
        expected = [fnv(gram.encode()) % 2_000_000 for gram in spelled(word, *lengths)]
        assert hashes[starts[n] : starts[n + 1]].tolist() == expected
    golden = hashed_ngrams([b"the", "水手".encode()], 3, 6, 2_000_000)[1].tolist()  # gensim 4.4's ft_ngram_hashes
    assert golden == [1151151, 409726, 1648960, 861980, 60934, 816280, 124187, 357951, 1909189]


def test_lengths_out_of_order_make_no_ngram():
    starts, hashes = hashed_ngrams([b"sail", "水手".encode()], 5, 3, 17)
    assert starts.tolist() == [0, 0, 0] and len(hashes) == 0


def test_a_word_is_the_mean_of_its_own_row_and_its_ngrams_rows():
    starts, hashes = hashed_ngrams([word.encode() for word in WORDS], 3, 4, 7)
    rng = np.random.default_rng(0)
    own, rows = rng.normal(size=(len(WORDS), 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    vectors = own.copy()
    average_rows(starts, hashes, rows, vectors)
    for w in range(len(WORDS)):
        np.testing.assert_allclose(vectors[w], np.mean([own[w], *rows[hashes[starts[w] : starts[w + 1]]]], axis=0), atol=1e-6)
