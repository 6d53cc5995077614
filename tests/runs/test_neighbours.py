"""Nearest rows: the word itself and words without a vector are never among them."""

import numpy as np
import pytest

from stemma.errors import UsageError
from stemma.runs.neighbours import neighbours, unit_rows

VECTORS = np.array([[0.0, 0, 0], [2, 0, 0], [5, 1, 0], [0, 3, 3], [0, 3, 4], [-1, 0, 0]])  # row 0 was never trained


def test_the_nearest_rows_by_cosine_in_order() -> None:
    unit = unit_rows(VECTORS)
    found = neighbours(unit, 3, 2)
    assert [row for row, _ in found] == [4, 2]
    assert found[0][1] == pytest.approx(7 / np.sqrt(2) / 5)
    assert {row for row, _ in neighbours(unit, 3, 50)} == {1, 2, 4, 5}


def test_a_vector_may_be_asked_for() -> None:
    assert neighbours(unit_rows(VECTORS), np.array([-7.0, 0, 0]), 1) == [(5, 1.0)]


@pytest.mark.parametrize("word", [0, -1, 6])
def test_a_word_without_a_vector_is_refused(word: int) -> None:
    with pytest.raises(UsageError, match="ask for another word"):
        neighbours(unit_rows(VECTORS), word)
