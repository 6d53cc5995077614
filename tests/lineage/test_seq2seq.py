"""seq2seq against PyTorch's own recurrent layers and a plain loop over its formulas, and its properties."""

import pytest
import torch
from tests.lineage.translating import pairs, reversals, sources
from torch import nn
from torch.nn import functional as F

from stemma.errors import DataError, UsageError
from stemma.layers.threads import computing_with
from stemma.lineage import seq2seq
from stemma.lineage.seq2seq import Config, Seq2Seq
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(31, {"eos": 0, "pad": 1})
E, H = 12, 16
WAYS = ["none", "dot", "scaled_dot", "general", "cosine", "additive", "concat"]
every_way = pytest.mark.parametrize("attention", WAYS)
every_cell = pytest.mark.parametrize("cell", ["lstm", "gru"])


def network(attention="additive", **settings):
    torch.manual_seed(4)
    config = {"width": E, "cells": H, "depth": 2, "attention": attention, "inner": 10, **settings}
    net = Seq2Seq(Config(**config), FACTS).eval()
    with torch.no_grad():  # uneven biases, so that a missing one cannot pass
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


@every_cell
def test_the_encoder_equals_pytorchs(cell):
    net, batch = network(cell=cell), pairs()
    theirs = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](E, H // 2, 2, batch_first=True, bidirectional=True)
    for number, layer in enumerate(net.encoder):
        for suffix, ours in (("", layer.forwards), ("_reverse", layer.backwards)):
            getattr(theirs, f"weight_ih_l{number}{suffix}").data = ours.inputs.data
            getattr(theirs, f"weight_hh_l{number}{suffix}").data = ours.recurrent.data
            getattr(theirs, f"bias_ih_l{number}{suffix}").data = ours.bias.data
            getattr(theirs, f"bias_hh_l{number}{suffix}").data.zero_()
    lengths = batch["segments"].sum(1)
    packed = nn.utils.rnn.pack_padded_sequence(net.tokens(batch["ids"]), lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(net.encode(batch)[-1][..., :H], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("feeding", [False, True])
@every_way
@every_cell
def test_the_decoder_equals_a_plain_loop(attention, cell, feeding):
    """Word for word with PyTorch's cells and the sum over the source spelled out."""
    net, batch = network(attention, cell=cell, depth=1, feeding=feeding), pairs()
    ours, looked = net._decode(batch)
    decoder = net.decoder[0]
    plain = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[cell](E * (1 + feeding), H)
    plain.weight_ih.data, plain.weight_hh.data, plain.bias_ih.data = decoder.inputs.data, decoder.recurrent.data, decoder.bias.data
    plain.bias_hh.data.zero_()
    states = net.encode(batch)[-1][..., :H]
    for row in range(3):
        length = int(batch["segments"][row].sum())
        source = states[row, :length]
        h = torch.tanh(net.bridge[0](torch.cat([source[-1, : H // 2], source[0, H // 2 :]])))[None]
        state, expected = (h, torch.zeros_like(h)) if cell == "lstm" else h, torch.zeros(E)
        for step in range(int((batch["labels"][row] != IGNORE).sum())):
            word = net.tokens(batch["target_ids"][row, step])
            state = plain((torch.cat([word, expected]) if feeding else word)[None], state)
            s = (state[0] if cell == "lstm" else state)[0]
            if attention == "none":
                expected = torch.tanh(net.combine(s))
            else:
                weights = torch.stack([_fit(net, attention, s, h) for h in source]).softmax(0)
                torch.testing.assert_close(looked[row, step, :length], weights, atol=1e-5, rtol=0)
                assert not looked[row, step, length:].any()
                context = sum(weight * h for weight, h in zip(weights, source, strict=True))
                expected = torch.tanh(net.combine(torch.cat([context, s])))
            torch.testing.assert_close(ours[row, step], expected, atol=1e-5, rtol=0)


@every_cell
def test_each_layer_of_the_decoder_begins_from_its_namesake(cell):
    """Two layers, without attention: PyTorch's decoder, begun from both directions' last states of each of the encoder's layers."""
    net, batch = network("none", cell=cell), pairs()
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
    encoder, decoder = kind(E, H // 2, 2, batch_first=True, bidirectional=True), kind(E, H, 2, batch_first=True)
    places = [(encoder, layer.forwards, f"l{n}") for n, layer in enumerate(net.encoder)]
    places += [(encoder, layer.backwards, f"l{n}_reverse") for n, layer in enumerate(net.encoder)]
    places += [(decoder, layer, f"l{n}") for n, layer in enumerate(net.decoder)]
    for theirs, ours, place in places:
        for name, weight in (("weight_ih", ours.inputs), ("weight_hh", ours.recurrent), ("bias_ih", ours.bias)):
            getattr(theirs, f"{name}_{place}").data = weight.data
        getattr(theirs, f"bias_hh_{place}").data.zero_()
    row = {name: x[:1] for name, x in batch.items()}
    _, ends = encoder(net.tokens(row["ids"]))
    h = (ends[0] if cell == "lstm" else ends).view(2, 2, 1, H // 2)  # layers, directions
    begin = torch.stack([torch.tanh(bridge(torch.cat([*layer], 1))) for bridge, layer in zip(net.bridge, h, strict=True)])
    states, _ = decoder(net.tokens(row["target_ids"]), (begin, torch.zeros_like(begin)) if cell == "lstm" else begin)
    torch.testing.assert_close(net._decode(row)[0], torch.tanh(net.combine(states)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("tied", [False, True])
def test_the_output_compares_with_its_own_table_and_smooths_while_training(tied):
    net, batch = network(tied=tied, smoothing=0.1), pairs()
    table = (net.tokens if tied else net.output).weight
    predicted = batch["labels"] != IGNORE
    logits, labels = F.linear(net._decode(batch)[0], table)[predicted], batch["labels"][predicted]
    torch.testing.assert_close(net.loss(batch).mean, F.cross_entropy(logits, labels), atol=1e-5, rtol=0)
    chances = torch.full_like(logits, 0.1 / 30).scatter_(1, labels[:, None], 0.9)
    torch.testing.assert_close(net.train().loss(batch).mean, F.cross_entropy(logits, chances), atol=1e-5, rtol=0)


def test_dropout_falls_on_embeddings_between_layers_and_on_what_the_output_reads(monkeypatch):
    rates = []
    monkeypatch.setattr(seq2seq, "dropout", lambda x, rate, training: rates.append((rate, training)) or x)
    net, batch = network(dropout=0.25).train(), pairs()
    net._decode(batch)
    source, target = [(0.25, True), (0.25, True)], [(0.25, True), (0.0, True), (0.25, True)]
    assert rates == [*source, *target, (0.25, True)]
    rates.clear()
    net.encode(batch)
    assert rates == source


def _fit(net, attention, s, h):
    """e(s, h), as the papers write it."""
    own = net.soft_attention.similarity
    match attention:
        case "dot":
            return s @ h
        case "scaled_dot":
            return s @ h / len(h) ** 0.5
        case "general":
            return s @ (own.map.weight @ h) / len(s) ** 0.5
        case "cosine":
            return own.scale * F.cosine_similarity(s, h, dim=0)
        case "additive":
            return own.score.weight[0] @ torch.tanh(own.query.weight @ s + own.query.bias + own.key.weight @ h)
    return own.score.weight[0] @ torch.tanh(own.joined.weight @ torch.cat([s, h]))


@pytest.mark.parametrize("feeding", [False, True])
@every_way
@every_cell
def test_written_token_by_token_as_read_at_once(attention, cell, feeding):
    net, batch = network(attention, cell=cell, feeding=feeding), pairs()
    whole = F.linear(net._decode(batch)[0], net.tokens.weight).log_softmax(-1)
    whole[..., net.unwritten] = -torch.inf
    memory, order = net.read_sources(sources(batch)), [0, 1, 2]
    for step in range(4):
        if step == 2:
            order = [2, 0, 0]  # rows leave, one stands twice
            memory = memory.rows(order)
        scores, memory = net.advance([[int(batch["target_ids"][row, step])] for row in order], memory)
        torch.testing.assert_close(scores, whole[order, step], atol=1e-5, rtol=0)


def test_prompts_of_unequal_length():
    net = network(feeding=True)
    memory = net.read_sources([[3, 4, 0], [5, 0]])
    scores, memory = net.advance([[0, 8, 9], [0]], memory)
    again, _ = net.advance([[4], [6]], memory)
    for row, (source, prompt, more) in enumerate((([3, 4, 0], [0, 8, 9], 4), ([5, 0], [0], 6))):
        single, kept = net.advance([prompt], net.read_sources([source]))
        torch.testing.assert_close(scores[row], single[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(again[row], net.advance([[more]], kept)[0][0], atol=1e-5, rtol=0)


def test_a_memory_is_used_up_by_nobody_else():
    """Asking twice from one memory gives one answer."""
    net = network()
    memory = net.read_sources([[3, 4, 0]])
    first, _ = net.advance([[0]], memory)
    torch.testing.assert_close(net.advance([[0]], memory)[0], first, atol=0, rtol=0)


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_a_label_sees_no_later_target(tied, feeding):
    net, batch = network(tied=tied, feeding=feeding), pairs()
    plain = net._decode(batch)[0]
    changed = {**batch, "target_ids": batch["target_ids"].clone()}
    changed["target_ids"][:, 3:] = 7
    torch.testing.assert_close(net._decode(changed)[0][:, :3], plain[:, :3], atol=1e-6, rtol=0)
    assert not torch.allclose(net._decode(changed)[0][:, 3:], plain[:, 3:])


@every_way
def test_padding_changes_nothing(attention):
    net, batch = network(attention), pairs()
    wide = {name: F.pad(x, (0, 4), value=IGNORE if name == "labels" else 0) for name, x in batch.items()}
    wide["ids"][wide["segments"] == 0] = 9
    torch.testing.assert_close(net.loss(wide).mean, net.loss(batch).mean, atol=1e-6, rtol=0)
    alone = [net.loss({name: x[row : row + 1] for name, x in batch.items()}).parts["tokens"][0] for row in range(3)]
    torch.testing.assert_close(sum(alone), net.loss(batch).parts["tokens"][0], atol=1e-5, rtol=0)


def test_states_stand_in_segments():
    """Two texts in one row have the states that each has alone."""
    net = network()
    ids, segments = torch.tensor([[5, 6, 0, 7, 8, 9, 0]]), torch.tensor([[1, 1, 1, 2, 2, 2, 2]])
    both = net.encode({"ids": ids, "segments": segments})
    second = net.encode({"ids": ids[:, 3:], "segments": segments[:, 3:] - 1})
    for one, other in zip(both, second, strict=True):
        torch.testing.assert_close(one[:, 3:], other, atol=1e-6, rtol=0)


def test_layers_hold_every_parameter_once():
    for settings in ({}, {"tied": False}, {"attention": "none"}):
        net = network(**settings)
        names = [name for found in net.layers() for name in found.parameters]
        assert sorted(names) == sorted(name for name, _ in net.named_parameters())


def test_errors_say_what_to_do():
    with pytest.raises(UsageError, match=r"set model\.cells = 8"):
        Config(cells=7)
    with pytest.raises(UsageError, match="'eos'"):
        Seq2Seq(Config(width=4, cells=4), TokenFacts(9, {}))
    with pytest.raises(UsageError, match="no attention"):
        network("none").attention_batch([3], [4])
    with pytest.raises(UsageError, match="add the target"):
        network().attention_batch([3])
    net, batch = network(), pairs()
    with pytest.raises(DataError, match="no prediction"):
        net.loss({**batch, "labels": torch.full_like(batch["labels"], IGNORE)})


@pytest.mark.parametrize("feeding", [False, True])
def test_attention_turns_rows_round_and_nothing_else_does(feeding):
    """With attention two hundred steps learn to turn eight tokens round, and look along the other diagonal; without, they do not."""
    right = {}
    with computing_with(1):
        for attention in ("none", "general"):
            torch.manual_seed(1)
            config = Config(width=32, cells=48, attention=attention, cell="lstm", feeding=feeding)
            net = Seq2Seq(config, TokenFacts(12, {"eos": 0})).train()
            adam = torch.optim.Adam(net.parameters(), 1e-2)
            for _ in range(200):
                adam.zero_grad()
                net.loss(reversals(32, 8)).mean.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                adam.step()
            net.eval()
            batch = reversals(64, 8)
            found = F.linear(net._decode(batch)[0], net.tokens.weight).argmax(-1)
            right[attention] = (found == batch["labels"])[:, :-1].float().mean().item()
    assert right["general"] > 0.9 and right["none"] < 0.5, right
    (look,) = net.attention(batch)
    assert look.kind == "soft" and look.weights.shape == (64, 1, 9, 9)
    places = look.weights[:, 0, :8].argmax(-1)
    assert (places == torch.arange(7, -1, -1)).float().mean() > 0.8
