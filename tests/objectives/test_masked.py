"""Which words are chosen to be masked."""

import numpy as np
import pytest

from stemma.objectives.batch import IGNORE
from stemma.objectives.masked import Draws, Masking, choose, mask_tokens


def drawn(shape: tuple[int, int], seed: int = 3) -> Draws:
    return Draws.at(seed, np.arange(np.prod(shape)).reshape(shape))


def made(rows: int, length: int, most_tokens: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One segment a row, a special at its ends and its middle, in words of 1 to `most_tokens` tokens."""
    candidates = np.ones((rows, length), bool)
    candidates[:, [0, length // 2, -1]] = False
    begins = np.random.default_rng(0).random((rows, length)) < (1 if most_tokens == 1 else 2 / most_tokens)
    return np.ones((rows, length), np.int64), candidates, begins


def test_pieces_of_the_lowest_draws_are_chosen() -> None:
    segments, candidates, begins = made(3, 41, 1)
    draws = drawn(segments.shape)
    chosen = choose(segments, candidates, begins, Masking(0.3), draws) > 0
    for row in range(3):
        lowest = np.sort(draws.choice[row][candidates[row]])[:12]  # round(0.3 * 41)
        assert np.array_equal(chosen[row], np.isin(draws.choice[row], lowest))


def test_words_are_gone_through_by_their_draws_and_passed_over_where_too_large() -> None:
    """Cui 2019 by Google's code, said once more: shuffled words, each taken if it fits."""
    segments, candidates, begins = made(20, 61, 4)
    draws = drawn(segments.shape)
    chosen = choose(segments, candidates, begins, Masking(), draws) > 0
    for row in range(20):
        words: list[list[int]] = []
        for i in np.flatnonzero(candidates[row]):
            if begins[row, i] or not candidates[row, i - 1]:
                words.append([])
            words[-1].append(int(i))
        expected: set[int] = set()
        for word in sorted(words, key=lambda word: draws.choice[row, word[0]]):
            if len(expected) + len(word) <= 9:  # round(0.15 * 61)
                expected |= set(word)
        assert set(np.flatnonzero(chosen[row])) == expected


def test_lengths_of_ngrams_go_as_one_over_n_where_nothing_is_cut() -> None:
    segments, candidates, begins = made(40_000, 23, 1)
    first = choose(segments, candidates, begins, Masking(0.15, longest=3), drawn(segments.shape)) == 1  # all 3 tokens are free then
    starts = first.argmax(1)
    whole = first[(starts < 9) | ((starts > 11) & (starts < 20))]  # three words follow
    assert len(whole) > 30_000
    assert abs(np.bincount(whole.sum(1), minlength=4)[1:] / len(whole) - [6 / 11, 3 / 11, 2 / 11]).max() < 0.01


def test_ngrams_stop_at_specials_and_at_the_quota() -> None:
    segments, candidates, begins = made(40, 31, 1)
    chosen = choose(segments, candidates, begins, Masking(0.3, 7, longest=5), drawn(segments.shape))
    assert not chosen[~candidates].any() and ((chosen > 0).sum(1) == 7).all()
    sides = [set(chosen[row, :15]) & set(chosen[row, 16:]) for row in range(40)]
    assert all(side <= {0} for side in sides)


@pytest.mark.parametrize(("most", "predicted"), [(0, 3), (2, 0), (3, 3)])
def test_of_a_segment_of_large_words_the_smallest_is_chosen(most: int, predicted: int) -> None:
    segments, candidates = np.ones((1, 9), np.int64), np.array([[False] + [True] * 7 + [False]])
    begins = np.array([[1, 1, 0, 0, 0, 1, 0, 0, 1]], bool)
    chosen = choose(segments, candidates, begins, Masking(0.15, most), drawn((1, 9)))
    assert chosen[0, 5:8].all() == bool(predicted) and (chosen > 0).sum() == predicted


def test_text_is_altered_at_masks_alone() -> None:
    segments, candidates, begins = made(50, 400, 3)
    ids = np.random.default_rng(1).integers(10, 999, segments.shape)
    draws, masking = drawn(segments.shape), Masking(0.5)
    hidden, labels = mask_tokens(ids, choose(segments, candidates, begins, masking, draws), masking, 4, 1000, draws)
    predicted = labels != IGNORE
    assert np.array_equal(np.where(predicted, labels, hidden), ids)
    shares = (hidden[predicted] == 4).mean(), (hidden[predicted] == labels[predicted]).mean()
    assert abs(shares[0] - 0.8) < 0.01 and abs(shares[1] - 0.1) < 0.01
