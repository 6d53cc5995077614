"""Which type products are computed in."""

import pytest
import torch

from stemma.layers import precision


@pytest.mark.parametrize(
    ("times", "sizes", "chosen"),
    [
        ({torch.float32: 1.0, torch.bfloat16: 0.5}, {128, 512}, "bf16"),
        ({torch.float32: 1.0, torch.bfloat16: 0.8}, {128, 512}, "fp32"),
        ({torch.float32: 1.0, torch.bfloat16: 100.0}, {128}, "fp32"),  # where it is imitated, a large product takes a third of a second
    ],
)
def test_the_faster_type_is_chosen_and_what_is_imitated_is_found_by_small_products(monkeypatch, times, sizes, chosen):
    tried = set()

    def seconds(dtype, size):
        tried.add(size)
        return times[dtype]

    monkeypatch.setattr(precision, "_product_seconds", seconds)
    precision._faster_in_bf16.cache_clear()
    try:
        assert precision.choose_precision("auto", torch.device("cpu")) == chosen and tried == sizes
        assert precision.choose_precision("bf16", torch.device("cpu")) == "bf16"
    finally:
        precision._faster_in_bf16.cache_clear()
