"""Operations to read a text: those of the formula, as many with shared weights as without."""

import dataclasses

import pytest
import torch

from stemma.lineage import seq2seq
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


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_operations_of_recurrent_layers_are_counted(cell):
    config = seq2seq.Config(width=10, cells=12, cell=cell, attention="none", max_length=20)
    cost = reading_cost(seq2seq.Seq2Seq(config, TokenFacts(23, {"eos": 0})), "fp32")
    gates = {"lstm": 4, "gru": 3}[cell]
    assert cost["reading_flops_per_token"] == 2 * 2 * gates * 6 * (10 + 6)  # both directions, six cells each
