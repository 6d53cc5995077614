"""Low-rank adapters: nothing changes at first, and what is merged computes what was learnt beside."""

import pytest
import torch
from torch import nn

from stemma.layers.attention import CrossAttention, Mask, SelfAttention
from stemma.layers.blocks import FeedForward
from stemma.layers.fast import Dense, Positions
from stemma.layers.lora import Adapted, adapt, adapters, merge
from stemma.layers.relative import RelativeAttention


class Block(nn.Module):
    """Something of every kind, and a map that is no attention's."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.cross = SelfAttention(20, 4, 0.0, "explicit"), CrossAttention(20, 2, 0.0)
        self.relative, self.feedforward, self.pooler = RelativeAttention(20, 4, 0.0), FeedForward(20, 28, "gelu"), Dense(20, 20)


@pytest.fixture
def block():
    torch.manual_seed(3)
    made = Block()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def drawn(network):
    """Adapters that say something."""
    for module in network.modules():
        if isinstance(module, Adapted):
            nn.init.normal_(module.up, std=0.5)


@pytest.mark.parametrize("feedforward", [False, True])
def test_every_projection_of_attention_has_adapters_and_nothing_else_has(block, feedforward):
    adapt(block, 3, 6.0, feedforward)
    names = adapters(block)
    attention = ["attention.qkv", "attention.out", "cross.query", "cross.key_value", "cross.out"]
    attention += [f"relative.{name}" for name in ("query", "key", "value", "distance", "out")]
    expected = attention + (["feedforward.up", "feedforward.down"] if feedforward else [])
    assert names == [f"{name}.{part}" for name in expected for part in ("down", "up")]
    shapes = {name: tuple(p.shape) for name, p in block.named_parameters() if name in names}
    assert shapes["attention.qkv.down"] == (3, 3, 20) and shapes["attention.qkv.up"] == (3, 20, 3)  # queries, keys and values apart
    assert shapes["cross.key_value.up"] == (2, 20, 3) and shapes["relative.key.up"] == (1, 20, 3)


def test_with_nothing_learnt_nothing_changes(block):
    x, mask = torch.randn(3, 7, 20), Mask(None)
    before = block.attention(x, mask), block.feedforward(x)
    adapt(block, 3, 6.0, True)
    assert torch.equal(block.attention(x, mask), before[0]) and torch.equal(block.feedforward(x), before[1])


def test_an_adapter_is_the_formula(block):
    """W x + b + (alpha / R) B A x, one B and A for each of the queries, keys and values."""
    x = torch.randn(5, 20)
    weight, bias = block.attention.qkv.weight.clone(), block.attention.qkv.bias.clone()
    adapt(block, 3, 6.0, False)
    drawn(block)
    adapter = block.attention.qkv
    for part in range(3):
        rows = slice(20 * part, 20 * part + 20)
        expected = x @ weight[rows].T + bias[rows] + 6.0 / 3 * (x @ adapter.down[part].T @ adapter.up[part].T)
        torch.testing.assert_close(adapter(x)[:, rows], expected, atol=1e-5, rtol=1e-5)  # float32 sums in another order


def test_merged_equals_unmerged(block):
    x, mask = torch.randn(3, 7, 20), Mask(None)
    chosen = Positions(torch.rand(3, 7) > 0.5)
    names = [name for name, _ in block.named_parameters()]
    adapt(block, 3, 6.0, True)
    drawn(block)
    scale = 0.02  # states so small that float32 holds the sums to 1e-6
    apart = [part * scale for part in (block.attention(x, mask), block.attention.at(chosen, x, mask), block.feedforward(x))]
    scores = block.attention.scores(x) * scale
    merge(block)
    assert [name for name, _ in block.named_parameters()] == names
    together = [part * scale for part in (block.attention(x, mask), block.attention.at(chosen, x, mask), block.feedforward(x))]
    for one, other in zip([*apart, scores], [*together, block.attention.scores(x) * scale], strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_what_stands_in_several_places_is_adapted_once():
    """As ALBERT's shared layers: one adapter, in every place."""
    shared = SelfAttention(20, 4, 0.0)
    network = nn.ModuleList([shared, shared])
    adapt(network, 2, 2.0, False)
    assert adapters(network) == [f"0.{name}.{part}" for name in ("qkv", "out") for part in ("down", "up")]
    drawn(network)
    x, mask = torch.randn(2, 5, 20), Mask(None)
    before = network[1](x, mask)
    merge(network)
    torch.testing.assert_close(network[1](x, mask), before, atol=1e-5, rtol=1e-5)


def test_the_gradient_reaches_adapters_alone_where_the_rest_stands_still(block):
    adapt(block, 3, 6.0, False)
    names = adapters(block)
    for name, parameter in block.named_parameters():
        parameter.requires_grad_(name in names)
    block.attention(torch.randn(3, 7, 20), Mask(None)).square().sum().backward()
    reached = {name for name, p in block.named_parameters() if p.grad is not None}
    assert reached == {f"attention.{name}.{part}" for name in ("qkv", "out") for part in ("down", "up")}
