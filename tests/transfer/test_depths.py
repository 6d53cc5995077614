"""Depths, layer-wise rates, freezing and redrawing."""

import pytest
import torch
from tests.transfer.conftest import CLASSIFY, assigned

from stemma.errors import UsageError
from stemma.runs.moved import HeadedNetwork
from stemma.transfer import depths
from stemma.transfer.backbone import fresh
from stemma.transfer.settings import Config


def test_the_rate_table_of_twelve_layers():
    """spec 00: decay 0.8 gives head 1, top layer 0.64, embeddings 0.8^14."""
    table = [depths.rate_scale(depth, 12, 0.8) for depth in range(15)]
    assert table[14] == 1.0
    assert table[12] == pytest.approx(0.64)
    assert table[0] == pytest.approx(0.8**14) == pytest.approx(0.04398, abs=1e-5)


def test_depths_follow_the_flow(bert):
    found, layers = depths.depths(bert.network)
    assert layers == 3
    assert found["tokens.weight"] == found["norm.weight"] == 0
    assert found["blocks.0.attention.qkv.weight"] == 1
    assert found["blocks.2.feedforward_norm.bias"] == 3
    assert found["pooler.weight"] == 5  # with the head


def test_groups_cover_each_moving_parameter_once(run):
    model = HeadedNetwork(fresh(assigned(run, Config()), 1), CLASSIFY, {"labels": ["a", "b", "c"], "several": False}, 0.1)
    depths.freeze(model.backbone, None)
    split = depths.parameter_groups(model, model.backbone, 0.5, 0.01)
    held = [id(p) for group in split for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    for group in split:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    scales = {group["depth"]: group["scale"] for group in split}
    assert scales[max(scales)] == 1.0 and sorted(scales.values()) == [scales[d] for d in sorted(scales)]


def test_freeze_leaves_the_top(bert):
    network = fresh(assigned(bert, Config()), 1)
    frozen = depths.freeze(network, 1)
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == set(frozen)
    assert any(name.startswith("blocks.1.") for name in frozen) and not any(name.startswith("blocks.2.") for name in frozen)
    assert "tokens.weight" in frozen and "pooler.weight" not in frozen
    assert len(depths.freeze(network, 0)) == len(list(network.parameters()))
    with pytest.raises(UsageError, match=r"lower transfer\.moving"):
        depths.freeze(network, 4)


def test_unfreezing_goes_from_the_top_to_the_embeddings():
    assert [depths.moving_after(e, 1, 3, None) for e in (0, 0.9, 1, 2, 3.5, 4, 9)] == [0, 0, 1, 2, 3, None, None]
    assert [depths.moving_after(e, 0.5, 3, 2) for e in (0, 0.5, 1, 5)] == [0, 1, 2, 2]  # never more than may move
    assert depths.moving_after(0, 0, 3, None) is None and depths.moving_after(0, 0, 3, 1) == 1


def test_redraw_changes_the_named_tensors_alone(bert):
    network, other = fresh(assigned(bert, Config()), 1), fresh(assigned(bert, Config()), 2)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    names = depths.redraw(network, other, 2)
    for name, p in network.named_parameters():
        expected = dict(other.named_parameters())[name] if name in names else before[name]
        assert torch.equal(p, expected)
    assert "blocks.1.attention.qkv.weight" in names and "blocks.0.attention.qkv.weight" not in names
    with pytest.raises(UsageError, match=r"lower transfer\.redraw"):
        depths.redraw(network, other, 9)


def test_a_network_without_blocks_is_all_embeddings(word2vec):
    assert depths.depths(word2vec.module()) == ({"input": 0, "output": 0}, 0)


def test_depths_are_in_the_order_of_the_parameters_and_leave_none_out(run):
    assert list(depths.depths(run.module())[0]) == [name for name, _ in run.module().named_parameters()]


def test_fresh_networks_repeat_by_seed(run):
    one, same, other = (fresh(assigned(run, Config()), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
