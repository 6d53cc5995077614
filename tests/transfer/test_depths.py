"""Depths, layer-wise rates, freezing, and layers that are loaded."""

import pytest
import torch
from tests.transfer.conftest import CLASSIFY, assigned, make_run
from tests.transfer.made_up_pairs import encoder_decoder

from stemma.errors import UsageError
from stemma.runs.moved import HeadedNetwork
from stemma.transfer import depths
from stemma.transfer.backbone import fresh
from stemma.transfer.load_layers import load_layers
from stemma.transfer.moving import Descent
from stemma.transfer.settings import Config


def headed(run) -> HeadedNetwork:
    """The run's network drawn anew with a head on it."""
    return HeadedNetwork(fresh(assigned(run, Config()), 1), CLASSIFY, {"labels": ["neg", "pos"], "several": False}, 0.1)


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
    split = depths.parameter_groups(model, model.backbone, 0.5, 0.01)
    held = [id(p) for group in split for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    for group in split:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    scales = {group["depth"]: group["scale"] for group in split}
    assert scales[max(scales)] == 1.0 and sorted(scales.values()) == [scales[d] for d in sorted(scales)]


def test_freeze_fixes_the_lowest_layers_alone(run):
    model = headed(run)
    network = model.backbone
    for count in range(len(network.layers()) + 1):
        depths.freeze(model, count)
        still = {name for name, p in network.named_parameters() if not p.requires_grad}
        assert still == {name for layer in network.layers()[:count] for name in layer.parameters}
    assert len(still) == len(list(network.parameters()))


@pytest.mark.parametrize("name", ["albert", "bert", "elmo", "gpt", "gpt2", "lstm", "seq2seq", "tinybert", "transformer", "xlnet"])
def test_layers_that_stand_still_have_no_dropout_and_the_others_have(name):
    """In training, read twice: what stands still gives the same, what moves another thing each time; and all of it does once let go."""
    run = encoder_decoder(name, dropout=0.3) if name == "seq2seq" else make_run(name, dropout=0.3)
    model = headed(run)
    batch = {"ids": torch.randint(5, min(40, model.backbone.vocab_size), (3, 7)), "segments": torch.ones(3, 7, dtype=torch.long)}
    undropped = 1 if name in ("elmo", "seq2seq") else 0  # dropout is on what enters a layer, not on the embeddings
    for still in range(len(model.backbone.layers())):
        depths.freeze(model, still)
        once, again = (model.train().backbone.encode(batch) for _ in range(2))
        same = [torch.equal(a, b) for a, b in zip(once, again, strict=True)]
        moving = [] if (name, still) == ("albert", 2) else same[max(still, undropped) :]  # its one block is all its blocks
        assert all(same[:still]) and not any(moving), still
    once, again = (model.eval().backbone.encode(batch) for _ in range(2))
    assert all(map(torch.equal, once, again))


def test_unfreezing_goes_from_the_top_to_the_embeddings():
    """Three blocks: five layers with the embeddings and what stands above."""
    assert [depths.fixed_after(e, 1, 3, 0) for e in (0, 0.9, 1, 2, 3.5, 4, 9)] == [5, 5, 3, 2, 1, 0, 0]
    assert [depths.fixed_after(e, 0.5, 3, 2) for e in (0, 0.5, 1, 5)] == [5, 3, 2, 2]  # what stands still for good is not reached
    assert depths.fixed_after(0, 0, 3, 0) == 0 and depths.fixed_after(0, 0, 3, 1) == 1


def test_the_lower_layers_are_loaded_and_the_others_left_as_drawn(run):
    trained = run.module()
    for kept in range(len(trained.layers()) + 1):
        network, drawn = fresh(assigned(run, Config()), 1), fresh(assigned(run, Config()), 1)
        new = load_layers(network, trained, kept)
        names = [name for layer in network.layers()[:kept] for name in layer.parameters]
        assert sorted(new + names) == sorted(name for name, _ in network.named_parameters())
        for source, own in ((drawn, new), (trained, names)):
            theirs, found = dict(source.named_parameters()), dict(network.named_parameters())
            assert all(torch.equal(found[name], theirs[name]) for name in own)


@pytest.mark.parametrize("setting", ["load_layers", "freeze_layers"])
def test_settings_of_layers_say_what_is_wrong(bert, setting):
    with pytest.raises(UsageError, match=rf"transfer\.{setting} = 0-5, but the network has 5 layers: 0 embeddings, 1 block 1, .*4 top"):
        Descent(assigned(bert, Config()), Config(**{setting: "0-5"}))
    Descent(assigned(bert, Config()), Config(**{setting: "0-4"}))
    for wrong in ("1-2", "0-", "-1", "0-1-2", "all", "0–1", "0-٣", " 0"):
        with pytest.raises(UsageError, match=rf"{setting} = .*write it like transfer\.{setting}=0-3"):
            Config(**{setting: wrong})


def test_a_network_without_blocks_is_all_embeddings(word2vec):
    assert depths.depths(word2vec.module()) == ({"input": 0, "output": 0}, 0)


def test_depths_are_in_the_order_of_the_parameters_and_leave_none_out(run):
    assert list(depths.depths(run.module())[0]) == [name for name, _ in run.module().named_parameters()]


def test_fresh_networks_repeat_by_seed(run):
    one, same, other = (fresh(assigned(run, Config()), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
