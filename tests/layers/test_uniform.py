"""Numbers without PyTorch are PyTorch's own, bit for bit."""

import numpy as np
import pytest
import torch

from stemma.layers.uniform import spread, uniform


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 7, 2**63 - 1])
def test_the_draws_are_those_of_torch(seed):
    draw = uniform(seed)
    torch.manual_seed(seed)
    for count, real, dtype in ((100_001, np.float32, torch.float32), (33, np.float64, torch.float64), (5, np.float32, torch.float32)):
        array = np.empty(count, real)
        draw(array)
        assert array.tobytes() == torch.rand(count, dtype=dtype).numpy().tobytes()


def test_spread_numbers_lie_within_their_bound():
    numbers = np.empty((73, 137), np.float32)
    uniform(3)(numbers)
    spread(numbers, 0.5 / 7)
    assert -0.5 / 7 <= numbers.min() < -0.071 and 0.071 < numbers.max() <= np.float32(0.5 / 7)
    assert abs(float(numbers.mean())) < 1e-3
