"""Arguments within their bounds: the same answer to a command line and to a program."""

import math

import numpy as np
import pytest

from stemma.bounds import real, whole
from stemma.errors import UsageError


def test_numbers_within_bounds_come_back():
    assert whole("k", np.int64(3), 1) == 3 and type(whole("k", np.int64(3), 1)) is int
    assert whole("layer", -1, -4, 3) == -1
    assert real("rate", np.float32(0.5)) == 0.5 and real("rate", 2) == 2.0


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, "1", True, None, math.nan, [1], 10**30])
def test_what_is_no_whole_number_within_bounds_is_refused(value):
    with pytest.raises(UsageError, match=r"k = .* from 1 to 9\. leave it out for the default, 5"):
        whole("k", value, 1, 9, default=5)


@pytest.mark.parametrize("value", [-0.1, 0, math.nan, math.inf, -math.inf, "0.5", False, None, 2])
def test_what_is_no_number_within_bounds_is_refused(value):
    with pytest.raises(UsageError, match=r"share = .* above 0, 1 at most\. set another share"):
        real("share", value, most=1, above=True)
