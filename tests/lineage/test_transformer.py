"""The Transformer against PyTorch's own layers on the same weights, transformers' MarianMT, and its properties."""

import math

import pytest
import torch
from tests.lineage.translating import pairs, reversals, sources
from torch import nn

from stemma.errors import DataError, UsageError
from stemma.layers.attention import Mask, block_mask, cross_mask
from stemma.layers.fast import Dropout
from stemma.lineage.transformer import Config, DecoderBlock, EncoderBlock, Transformer
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(31, {"eos": 0, "pad": 1})
D, H, INNER = 20, 4, 40


def network(attention="explicit", **settings):
    torch.manual_seed(4)
    config = {"width": D, "depth": 2, "heads": H, "inner": INNER, "max_length": 24, "dropout": 0.0, "attention": attention, **settings}
    net = Transformer(Config(**config), FACTS).eval()
    with torch.no_grad():  # uneven biases and norms, so that a missing one cannot pass
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


def copied(theirs, ours):
    """PyTorch's layer with our block's weights."""
    own = [ours.attention_sum.norm, ours.feedforward_sum.norm]
    theirs.self_attn.in_proj_weight.data, theirs.self_attn.in_proj_bias.data = ours.attention.qkv.weight.data, ours.attention.qkv.bias.data
    theirs.self_attn.out_proj.load_state_dict(ours.attention.out.state_dict())
    theirs.linear1.load_state_dict(ours.feedforward.up.state_dict())
    theirs.linear2.load_state_dict(ours.feedforward.down.state_dict())
    if isinstance(theirs, nn.TransformerDecoderLayer):
        cross = ours.source_attention
        theirs.multihead_attn.in_proj_weight.data = torch.cat([cross.query.weight, cross.key_value.weight]).detach()
        theirs.multihead_attn.in_proj_bias.data = torch.cat([cross.query.bias, cross.key_value.bias]).detach()
        theirs.multihead_attn.out_proj.load_state_dict(cross.out.state_dict())
        own.insert(1, ours.source_sum.norm)
    for number, norm in enumerate(own, start=1):
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())
    return theirs.train()  # with dropout 0; in `eval` PyTorch takes another path for which masks round differently


def block(kind, norm):
    torch.manual_seed(6)
    made = kind(Config(width=D, heads=H, inner=INNER, dropout=0.0, norm=norm), "explicit")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_blocks_equal_pytorchs(norm):
    """Outputs to 1e-5 and gradients by the inputs to 1e-4, with a padded source."""
    torch.manual_seed(7)
    x, y = torch.randn(2, 5, D, requires_grad=True), torch.randn(2, 4, D, requires_grad=True)
    segments = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    encoder, decoder = block(EncoderBlock, norm), block(DecoderBlock, norm)
    settings = {"dim_feedforward": INNER, "dropout": 0.0, "batch_first": True, "norm_first": norm == "pre"}
    their_encoder = copied(nn.TransformerEncoderLayer(D, H, **settings), encoder)
    their_decoder = copied(nn.TransformerDecoderLayer(D, H, **settings), decoder)
    states = encoder(x, block_mask(segments))
    ours = decoder(y, Mask(None, None, causal=True), decoder.source_attention.remember(states), cross_mask(None, segments))
    blocked = segments == 0
    their_states = their_encoder(x, src_key_padding_mask=blocked)
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    theirs = their_decoder(y, their_states, tgt_mask=later, memory_key_padding_mask=blocked)
    torch.testing.assert_close(states[segments > 0], their_states[segments > 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    weight = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad((ours * weight).sum(), [x, y]), torch.autograd.grad((theirs * weight).sum(), [x, y]), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_logits_equal_marians():
    """Marian is this network with sines before cosines; its output has a bias too, which is 0 here."""
    from transformers import MarianConfig, MarianMTModel

    net = network(positions="halves")
    settings = {"vocab_size": 31, "d_model": D, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 24, "dropout": 0.0}
    heads = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in (("attention_heads", H), ("ffn_dim", INNER))}
    specials = {"pad_token_id": 1, "eos_token_id": 0, "decoder_start_token_id": 0, "bos_token_id": 0}
    more = {"activation_function": "relu", "scale_embedding": True, "attention_dropout": 0.0, "tie_word_embeddings": True}
    theirs = MarianMTModel(MarianConfig(**settings, **heads, **specials, **more)).eval()
    theirs.load_state_dict({**theirs.state_dict(), **marian(net)})
    for waves in (theirs.model.encoder.embed_positions, theirs.model.decoder.embed_positions):
        waves.weight.data[: len(net.waves)] = net.waves  # theirs have the paper's wave lengths in halves; what is compared is the rest
    batch = pairs()
    out = theirs(batch["ids"], attention_mask=batch["segments"], decoder_input_ids=batch["target_ids"]).logits
    ours = nn.functional.linear(net._decode(batch), net.tokens.weight)
    predicted = batch["labels"] != IGNORE
    torch.testing.assert_close(ours[predicted], out[predicted], atol=1e-5, rtol=0)


def marian(net):
    """Our weights under Marian's names."""
    found = {f"model.{name}.weight": net.tokens.weight for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens")}
    found |= {"lm_head.weight": net.tokens.weight}
    for side, blocks in (("encoder", net.blocks), ("decoder", net.decoder_blocks)):
        for number, ours in enumerate(blocks):
            place = f"model.{side}.layers.{number}"
            linears = dict(zip(("q_proj", "k_proj", "v_proj"), _parts(ours.attention.qkv, 3), strict=True))
            linears = {f"self_attn.{name}": linear for name, linear in linears.items()}
            linears |= {"self_attn.out_proj": _whole(ours.attention.out), "fc1": _whole(ours.feedforward.up)}
            linears |= {"fc2": _whole(ours.feedforward.down), "self_attn_layer_norm": _whole(ours.attention_sum.norm)}
            linears |= {"final_layer_norm": _whole(ours.feedforward_sum.norm)}
            if side == "decoder":
                cross = ours.source_attention
                keys, values = _parts(cross.key_value, 2)
                linears |= {"encoder_attn.q_proj": _whole(cross.query), "encoder_attn.k_proj": keys, "encoder_attn.v_proj": values}
                linears |= {"encoder_attn.out_proj": _whole(cross.out), "encoder_attn_layer_norm": _whole(ours.source_sum.norm)}
            for name, (weight, bias) in linears.items():
                found |= {f"{place}.{name}.weight": weight, f"{place}.{name}.bias": bias}
    return found


def _whole(module):
    return module.weight, module.bias


def _parts(linear, parts):
    return list(zip(linear.weight.chunk(parts), linear.bias.chunk(parts), strict=True))


def test_the_papers_size():
    """Section 3.4's one table of 37,000 tokens for all three: 63,082,496 numbers, which the paper rounds to 65 million."""
    with torch.device("meta"):
        net = Transformer(Config(), TokenFacts(37_000, {"eos": 0}))
    assert sum(parameter.numel() for parameter in net.parameters()) == 63_082_496


@pytest.mark.parametrize("tie", ["all", "decoder", "none"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_label_sees_no_later_target(tie, norm):
    net, batch = network(tie=tie, norm=norm), pairs()
    plain = net._decode(batch)
    changed = {**batch, "target_ids": batch["target_ids"].clone()}
    changed["target_ids"][:, 3:] = 7
    torch.testing.assert_close(net._decode(changed)[:, :3], plain[:, :3], atol=0, rtol=0)
    assert not torch.equal(net._decode(changed)[:, 3:], plain[:, 3:])


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_padding_changes_nothing(attention):
    net, batch = network(attention), pairs()
    wide = {name: nn.functional.pad(x, (0, 4), value=IGNORE if name == "labels" else 0) for name, x in batch.items()}
    wide["ids"][wide["segments"] == 0] = 9
    torch.testing.assert_close(net.loss(wide).mean, net.loss(batch).mean, atol=1e-6, rtol=0)
    alone = [net.loss({name: x[row : row + 1] for name, x in batch.items()}).parts["tokens"][0] for row in range(3)]
    torch.testing.assert_close(sum(alone), net.loss(batch).parts["tokens"][0], atol=1e-5, rtol=0)


def test_written_token_by_token_as_read_at_once():
    """What `advance` answers after each token equals the whole target's log-probabilities, in any order of rows."""
    net, batch = network(), pairs()
    whole = nn.functional.linear(net._decode(batch), net.tokens.weight).log_softmax(-1)
    whole[..., net.unwritten] = -torch.inf
    memory, order = net.read_sources(sources(batch)), [0, 1, 2]
    for step in range(4):
        if step == 2:
            order = [2, 0, 0]  # rows leave, one stands twice
            memory = memory.rows(order)
        scores, memory = net.advance([[int(batch["target_ids"][row, step])] for row in order], memory)
        torch.testing.assert_close(scores, whole[order, step], atol=1e-5, rtol=0)


def test_prompts_of_unequal_length():
    net = network()
    memory = net.read_sources([[3, 4, 0], [5, 0]])
    scores, _ = net.advance([[0, 8, 9], [0]], memory)
    for row, (source, prompt) in enumerate((([3, 4, 0], [0, 8, 9]), ([5, 0], [0]))):
        single, _ = net.advance([prompt], net.read_sources([source]))
        torch.testing.assert_close(scores[row], single[0], atol=1e-5, rtol=0)


def test_smoothing_is_in_the_loss_while_training_and_not_in_its_tokens():
    net, batch = network(), pairs()
    plain = net.loss(batch)
    smoothed = net.train().loss(batch)
    assert set(smoothed.parts) == {"tokens", "smoothing"} and net.predictions(batch) == {"tokens": 12, "smoothing": 12}
    torch.testing.assert_close(smoothed.parts["tokens"][0], plain.parts["tokens"][0].detach())
    logits = nn.functional.linear(net._decode(batch), net.tokens.weight)[batch["labels"] != IGNORE]
    labels = batch["labels"][batch["labels"] != IGNORE]
    chances = torch.full_like(logits, 0.1 / 30).scatter_(1, labels[:, None], 0.9)
    torch.testing.assert_close(smoothed.mean, nn.functional.cross_entropy(logits, chances), atol=1e-5, rtol=0)


def test_learns_by_the_smoothed_loss():
    net, batch = network().train(), pairs()
    net.loss(batch).mean.backward()
    ours = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
    net.zero_grad()
    logits = nn.functional.linear(net._decode(batch), net.tokens.weight)[batch["labels"] != IGNORE]
    labels = batch["labels"][batch["labels"] != IGNORE]
    chances = torch.full_like(logits, 0.1 / 30).scatter_(1, labels[:, None], 0.9)
    nn.functional.cross_entropy(logits, chances).backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_where_it_looks(norm):
    """Three kinds of maps; those of the last decoder block, put back through it, give the network's own states."""
    net = network(norm=norm)
    batch = net.attention_batch([3, 4, 5], [6, 7])
    maps = net.attention(batch)
    assert [(found.kind, found.layer) for found in maps] == [
        (kind, n) for kind in ("encoder self", "decoder causal self", "encoder-decoder") for n in (1, 2)
    ]
    assert [tuple(found.weights.shape) for found in maps[::2]] == [(1, H, 4, 4), (1, H, 3, 3), (1, H, 3, 4)]
    for found in maps:
        torch.testing.assert_close(found.weights.sum(-1), torch.ones(found.weights.shape[:3]), atol=1e-6, rtol=0)
    assert not maps[2].weights[0, :, 0, 1:].any()  # the first target position sees itself alone
    block, own, cross = net.decoder_blocks[-1], maps[3], maps[5]
    states = net.encode(batch)[-1]
    x = net._embed(net.tokens, batch["target_ids"], None)
    first = net.decoder_blocks[0]
    visible, causal = cross_mask(None, None), Mask(None, None, causal=True)
    x = first(x, causal, first.source_attention.remember(states), visible)
    x = block.attention_sum.after(x, block.attention.out((own.weights @ own.values).transpose(1, 2).flatten(2)))
    x = block.source_sum.after(x, block.source_attention.out((cross.weights @ cross.values).transpose(1, 2).flatten(2)))
    x = block.feedforward_sum.after(x, block.feedforward(block.feedforward_sum.before(x)))
    torch.testing.assert_close(net.decoder_norm(x), net._decode(batch), atol=1e-5, rtol=0)
    assert [found.kind for found in net.attention(net.attention_batch([3, 4]))] == ["encoder self"] * 2


def test_dropout_falls_on_embeddings_and_every_sub_layers_output(monkeypatch):
    monkeypatch.setattr(Dropout, "forward", lambda self, x: torch.zeros_like(x))
    net, batch = network(norm="pre"), pairs()
    assert not net.encode(batch)[0].any()
    assert torch.equal(net._decode(batch), net.decoder_norm.bias.expand(3, 6, -1))


def test_pre_has_a_norm_on_top_of_the_encoder():
    net, batch = network(norm="pre"), pairs()
    x, mask = net._embed(net.tokens, batch["ids"], None), block_mask(batch["segments"])
    for block in net.blocks:
        x = block(x, mask)
    torch.testing.assert_close(net.encode(batch)[-1], nn.functional.layer_norm(x, (D,), net.norm.weight, net.norm.bias))


@pytest.mark.parametrize("tie", ["all", "decoder", "none"])
def test_the_output_compares_with_the_table_it_is_tied_to(tie):
    net, batch = network(tie=tie, decoder_depth=3), pairs()
    predicted = batch["labels"] != IGNORE
    table = {"all": net.tokens, "decoder": net.target_tokens, "none": net.output}[tie].weight
    assert len(net.decoder_blocks) == 3
    expected = nn.functional.cross_entropy((net._decode(batch) @ table.t())[predicted], batch["labels"][predicted])
    torch.testing.assert_close(net.loss(batch).mean, expected, atol=1e-5, rtol=0)


def test_layers_hold_every_parameter_once():
    for tie in ("all", "decoder", "none"):
        net = network(tie=tie, norm="pre")
        names = [name for found in net.layers() for name in found.parameters]
        assert sorted(names) == sorted(name for name, _ in net.named_parameters())


def test_states_stand_in_segments():
    """Two texts in one row have the states that each has alone."""
    net = network()
    ids, segments = torch.tensor([[5, 6, 0, 7, 8, 9, 0]]), torch.tensor([[1, 1, 1, 2, 2, 2, 2]])
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3]])
    both = net.encode({"ids": ids, "segments": segments, "positions": positions})
    second = net.encode({"ids": ids[:, 3:], "segments": segments[:, 3:] - 1})
    for one, other in zip(both, second, strict=True):
        torch.testing.assert_close(one[:, 3:], other, atol=1e-5, rtol=0)


def test_errors_say_what_to_do():
    with pytest.raises(UsageError, match="multiple of the heads"):
        Transformer(Config(width=10, heads=3), FACTS)
    with pytest.raises(UsageError, match="'eos'"):
        Transformer(Config(width=D, heads=H), TokenFacts(9, {}))
    net, batch = network(), pairs()
    with pytest.raises(DataError, match="no prediction"):
        net.loss({**batch, "labels": torch.full_like(batch["labels"], IGNORE)})
    with pytest.raises(UsageError, match="24 at most"):
        net.encode({"ids": torch.zeros(1, 25, dtype=torch.long)})


def test_learns_to_reverse():
    """A few hundred steps learn to turn six tokens round."""
    torch.manual_seed(1)
    net = Transformer(
        Config(width=32, depth=1, heads=2, inner=64, max_length=16, dropout=0.0, norm="pre"), TokenFacts(12, {"eos": 0})
    ).train()
    adam = torch.optim.Adam(net.parameters(), 3e-3, (0.9, 0.98))
    for _ in range(400):
        batch = reversals(64, 6)
        adam.zero_grad()
        net.loss(batch).mean.backward()
        adam.step()
    net.eval()
    batch = reversals(64, 6)
    found = nn.functional.linear(net._decode(batch), net.tokens.weight).argmax(-1)
    assert (found == batch["labels"]).all(1).float().mean() > 0.95
    assert math.exp(float(net.loss(batch).mean.detach())) < 1.5
