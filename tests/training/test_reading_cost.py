"""Operations to read a text: those of the formula, as many with shared weights as without."""

import dataclasses

import pytest
import torch

from stemma.lineage.albert import ALBERT, Config
from stemma.tokens.facts import TokenFacts
from stemma.training.reading_cost import reading_cost

FACTS = TokenFacts(23, {"pad": 0, "cls": 1, "sep": 2, "mask": 3})


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_operations_are_those_of_the_formula_and_sharing_saves_none(attention):
    config = Config(width=16, embedding=6, depth=3, heads=2, inner=40, max_length=10, attention=attention)
    networks = [ALBERT(dataclasses.replace(config, **more), FACTS) for more in ({}, {"sharing": "none"}, {"depth": 6})]
    parameters = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert parameters[0] == parameters[2] < parameters[1]
    block = 2 * (4 * 16 * 16 + 2 * 16 * 40) + 4 * 10 * 16  # projections and feed-forward; scores and mixtures of ten positions
    for network, depth in zip(networks, (3, 3, 6), strict=True):
        cost = reading_cost(network, "fp32")
        assert cost["reading_tokens"] == 10 and cost["reading_ms"] > 0
        assert cost["reading_flops_per_token"] == 2 * 6 * 16 + depth * block
        assert torch.is_grad_enabled()
