"""Waves that tell positions, against the paper's formula written out."""

import math

import pytest
import torch

from stemma.layers.positions import sinusoids


def test_the_papers_formula():
    table = sinusoids(50, 12)
    for p in (0, 1, 7, 49):
        for i in range(6):
            angle = p / 10000 ** (2 * i / 12)
            assert table[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_known_values():
    torch.testing.assert_close(sinusoids(2, 4)[1], torch.tensor([0.841471, 0.540302, 0.010000, 0.999950]), atol=1e-6, rtol=0)


def test_sines_before_cosines():
    table = sinusoids(5, 8, "halves")
    rates = [10000 ** (-i / 3) for i in range(4)]
    for p in range(5):
        expected = [math.sin(p * r) for r in rates] + [math.cos(p * r) for r in rates]
        torch.testing.assert_close(table[p], torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", ["interleaved", "halves"])
def test_odd_widths_and_one_position(order):
    assert sinusoids(1, 5, order).shape == (1, 5)
