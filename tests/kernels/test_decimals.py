"""Decimals and back: NumPy's shortest form going out, Python's `float` coming in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.kernels.decimals import NUMBER, get_number, put_number


def written(value: np.float32) -> str:
    out = np.zeros(NUMBER, np.uint8)
    return out[: put_number(np.float32(value), out, 0)].tobytes().decode()


def read(text: str) -> tuple[float, bool]:
    raw = np.frombuffer(text.encode(), np.uint8)
    number, place, plain = get_number(raw, 0, len(raw))
    return number, plain and place == len(raw)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float32_comes_back(value):
    text = written(value)
    assert np.float32(text) == np.float32(value)
    number, plain = read(text)
    assert plain
    assert np.float32(number) == np.float32(value)


def test_the_usual_sizes_are_numpy_s_shortest_decimals():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.3, 3000), -(10.0 ** rng.uniform(-11, 6, 3000)), [-2.58203125, 0.5, -0.0, 123456.0]])
    for value in values.astype(np.float32):
        assert written(value) == np.format_float_positional(np.abs(value) if value == 0 else value, unique=True, trim="-")


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{!r}", "{:.17g}", "{:.6f}", "{:.12e}", "{:+.3f}"]))
def test_what_is_read_is_python_s_float(value, form):
    text = form.format(value)
    number, plain = read(text)
    if plain:
        with np.errstate(over="ignore"):
            assert np.float32(number) == np.float32(float(text))
    else:  # left to Python: too large or too small for a float32, or too near the middle of two
        assert not 1e-40 < abs(value) < 1e40 or len(text.strip("-0.")) > 8


@pytest.mark.parametrize("text", ["", "-", "+", ".", "e5", "1e", "1e+", "nan", "inf", "1.2.3", "1_0", " 1", "0x1", "１"])
def test_what_is_no_plain_number_is_left(text):
    assert not read(text)[1]


def test_a_number_ends_at_a_blank():
    raw = np.frombuffer(b"x-1.5\t2", np.uint8)
    assert get_number(raw, 1, len(raw)) == (-1.5, 5, True)
    assert get_number(raw, 1, 4) == (-1.0, 4, True)


def test_the_middle_of_two_float32_is_left_to_python():
    middle = (np.float64(np.float32(0.1)) + np.float64(np.nextafter(np.float32(0.1), np.float32(1)))) / 2
    assert not read(f"{middle:.40f}")[1]
