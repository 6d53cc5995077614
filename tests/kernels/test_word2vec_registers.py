"""The register kernels against NumPy, at widths that fill their last register and that don't."""

import numba
import numpy as np
import pytest

from stemma.kernels import word2vec_registers as registers
from stemma.kernels.word2vec_registers import FLOATS, LANES

WIDTHS = pytest.mark.parametrize("width", [4, 20, 64, 300])


def buffer(rows, lanes, seed):
    """Rows of normal draws on cache lines, (R, pitch) and flat; zero past the width."""
    pitch = int(registers.pitch.py_func(lanes))
    flat = registers.aligned.py_func(rows * pitch)
    table = flat.reshape(rows, pitch)
    table[:, : FLOATS * len(lanes)] = np.random.default_rng(seed).normal(size=(rows, FLOATS * len(lanes)))
    return table, flat


@numba.njit
def sums(lanes, height, factors, at, across, along, count, rows, into, first, onto):
    if height == 2:
        registers.combine_2(lanes, factors, at, across, along, count, rows, 0, into, first, onto)
    elif height == 4:
        registers.combine_4(lanes, factors, at, across, along, count, rows, 0, into, first, onto)
    else:
        registers.combine_8(lanes, factors, at, across, along, count, rows, 0, into, first, onto)


@numba.njit
def scored(lanes, ones, first, rows, scores, at, apart):
    registers.score_2x4(lanes, ones, first, rows, 0, scores, at, apart)


@numba.njit
def turned(lanes, rows, into):
    registers.turn(lanes, rows, into)


@WIDTHS
@pytest.mark.parametrize("height", [2, 4, 8])
@pytest.mark.parametrize("onto", [False, True])
def test_sums_of_rows_are_a_product_of_matrices(width, height, onto):
    lanes = (0,) * (width // FLOATS)
    rows, flat = buffer(11, lanes, seed=1)
    into, target = buffer(height + 2, lanes, seed=2)
    factors = np.random.default_rng(3).normal(size=200).astype(np.float32)
    for count, across, along in ((0, 1, 5), (7, 1, 9), (11, 13, 1)):
        matrix = np.array([[factors[6 + r * across + n * along] for n in range(count)] for r in range(height)]).reshape(height, count)
        expected = into.copy()
        expected[1 : height + 1] = matrix @ rows[:count] + onto * expected[1 : height + 1]
        sums(lanes, height, factors, 6, across, along, count, flat, target, into.shape[1], onto)
        np.testing.assert_allclose(into, expected, atol=1e-5)  # rows before and after are left alone


@WIDTHS
def test_scores_stand_where_they_are_asked_for(width):
    lanes = (0,) * (width // FLOATS)
    ones, flat_ones = buffer(3, lanes, seed=4)
    rows, flat = buffer(4, lanes, seed=5)
    scores = np.full(40, 7, np.float32)
    scored(lanes, flat_ones, ones.shape[1], flat, scores, 3, 15)
    expected = np.full(40, 7.0)
    expected[3:7], expected[18:22] = ones[1] @ rows.T, ones[2] @ rows.T
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@WIDTHS
def test_turned_rows_are_columns(width):
    lanes = (0,) * (width // FLOATS)
    rows, flat = buffer(LANES, lanes, seed=6)
    into = registers.aligned.py_func(rows.size)
    turned(lanes, flat, into)
    np.testing.assert_array_equal(into.reshape(-1, LANES), rows.T)
