"""ALBERT against transformers' AlbertForPreTraining on the same weights, and what sharing means."""

import dataclasses

import pytest
import torch

from stemma.errors import UsageError
from stemma.export.huggingface import from_huggingface, huggingface_config, to_huggingface
from stemma.lineage.albert import ALBERT, Config, places
from stemma.lineage.table import find
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(53, {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4})
B, T = 3, 9
LENGTHS = (9, 6, 7)
SIZES = {"width": 20, "embedding": 12, "depth": 4, "heads": 4, "inner": 44, "max_length": 16}


def network(**more):
    torch.manual_seed(11)
    net = ALBERT(Config(**{**SIZES, **more}), FACTS).eval()
    with torch.no_grad():  # larger and uneven weights, so that a missing bias or a wrong third cannot pass
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return net


def rows():
    """Three padded pairs with masked tokens."""
    torch.manual_seed(2)
    columns = torch.arange(T).expand(B, T)
    real = columns < torch.tensor(LENGTHS)[:, None]
    ids = torch.where(real, torch.randint(5, FACTS.vocab_size, (B, T)), 0)
    labels = torch.where(real & (columns % 3 == 1), ids, IGNORE)
    ids = torch.where(labels != IGNORE, FACTS.specials["mask"], ids)
    types, cls = ((columns > 3) & real).long(), torch.arange(B) * T
    return {"ids": ids, "segments": real.long(), "types": types, "labels": labels, "cls": cls, "order": torch.tensor([0, 1, 1])}


def reference(net):
    from transformers import AlbertConfig, AlbertForPreTraining

    settings = huggingface_config("albert", net.config, FACTS.vocab_size, FACTS.specials)
    theirs = AlbertForPreTraining(AlbertConfig(**settings)).eval()
    state = {name: tensor.detach() for name, tensor in renamed(net, net.state_dict()).items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert set(missing) <= {"predictions.decoder.weight", "predictions.decoder.bias"} and not unexpected
    theirs.tie_weights()
    return theirs


def renamed(net, tensors):
    inner = net.config.blocks_in_layer
    return to_huggingface("albert", net.config.different * inner, tensors, inner)


GROUPS = [
    {},
    {"groups": 2, "attention": "explicit"},
    {"groups": 3, "blocks_in_layer": 2},
    {"sharing": "none", "activation": "gelu"},
    {"embedding": 20, "groups": 4},
]


@pytest.mark.parametrize("more", GROUPS, ids=str)
def test_states_losses_and_gradients_equal_transformers(more):
    """With 1, 2 and as many groups as layers, groups that do not divide the layers, two blocks in a layer, E = H."""
    net, batch = network(**more), rows()
    theirs = reference(net)
    out = theirs(
        batch["ids"],
        attention_mask=batch["segments"],
        token_type_ids=batch["types"],
        labels=batch["labels"],
        sentence_order_label=batch["order"],
        output_hidden_states=True,
    )
    real, predicted = batch["segments"] > 0, batch["labels"] != IGNORE
    ours = net.encode(batch)
    assert len(ours) == len(out.hidden_states) == 1 + net.config.depth * net.config.blocks_in_layer
    for one, other in zip(ours, out.hidden_states, strict=True):
        torch.testing.assert_close(one[real], other[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(net.logits(ours[-1][predicted]), out.prediction_logits[predicted], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.next_head(net.pooled(ours[-1])), out.sop_logits, atol=1e-5, rtol=0)
    loss = net.loss(batch)
    assert loss.parts.keys() == {"masked", "order"}
    torch.testing.assert_close(loss.mean, out.loss, atol=1e-5, rtol=0)
    loss.mean.backward()
    out.loss.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, gradient in renamed(net, {name: parameter.grad for name, parameter in net.named_parameters()}).items():
        torch.testing.assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-4, msg=name)
    inner = net.config.blocks_in_layer
    back = from_huggingface("albert", net.config.different * inner, {n: t.detach() for n, t in theirs.state_dict().items()}, inner)
    assert back.keys() == net.state_dict().keys() and all((net.state_dict()[n].numpy() == array).all() for n, array in back.items())


def unshared(net):
    """The same function with weights of its own in every block."""
    own = ALBERT(dataclasses.replace(net.config, sharing="none", groups=1), FACTS).eval()
    found = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith(("attentions.", "feedforwards."))}
    for block, halves in enumerate(places(net.config)):
        for kind, half in zip(("attentions", "feedforwards"), halves, strict=True):
            place = f"{kind}.{half}."
            found |= {f"{kind}.{block}.{n.removeprefix(place)}": t for n, t in net.state_dict().items() if n.startswith(place)}
    own.load_state_dict(found)
    return own


@pytest.mark.parametrize(
    "more", [{}, {"groups": 2, "blocks_in_layer": 2}, {"sharing": "attention", "groups": 2}, {"sharing": "feedforward"}]
)
def test_a_shared_weight_has_the_sum_of_the_gradients_of_its_uses(more):
    net, batch = network(**more), rows()
    own = unshared(net)
    one, other = net.loss(batch).mean, own.loss(batch).mean
    torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    one.backward()
    other.backward()
    apart, sums = {name: parameter.grad for name, parameter in own.named_parameters()}, {}
    for block, halves in enumerate(places(net.config)):
        for kind, half in zip(("attentions", "feedforwards"), halves, strict=True):
            for name, gradient in apart.items():
                if name.startswith(f"{kind}.{block}."):
                    shared = name.replace(f"{kind}.{block}.", f"{kind}.{half}.")
                    sums[shared] = sums.get(shared, 0) + gradient
    assert sums
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, sums.get(name, apart.get(name)), atol=1e-6, rtol=1e-4, msg=name)


def parameters(vocab, with_heads=True, **sizes):
    with torch.device("meta"):
        net = ALBERT(Config(**sizes), TokenFacts(vocab, FACTS.specials))
    return sum(p.numel() for name, p in net.named_parameters() if with_heads or "head" not in name)


@pytest.mark.parametrize(
    ("preset", "vocab", "count"),
    [
        ("base", 30_000, 11_683_584),
        ("large", 30_000, 17_683_968),
        ("xlarge", 30_000, 58_724_864),
        ("xxlarge", 30_000, 222_595_584),
        ("zh-tiny", 21_128, 4_080_520),
        ("zh-small", 21_128, 4_742_272),
        ("base", 21_128, 10_547_968),
    ],
)
def test_presets_have_the_sizes_of_the_published_networks(preset, vocab, count):
    """Without the pre-training heads; twice the layers, and other heads, have no weight more."""
    sizes = find("albert").presets()[preset]["model"]
    assert parameters(vocab, with_heads=False, **sizes) == count
    assert parameters(vocab, with_heads=False, **{**sizes, "depth": 48, "heads": 1}) == count


def test_what_is_shared_is_counted_once_and_stands_in_one_layer():
    counts = {sharing: parameters(100, **SIZES, sharing=sharing) for sharing in ("all", "attention", "feedforward", "none")}
    assert counts["all"] < counts["attention"] and counts["all"] < counts["feedforward"]
    assert counts["attention"] + counts["feedforward"] == counts["all"] + counts["none"]
    for more, blocks in (({}, 1), ({"groups": 3}, 3), ({"sharing": "attention"}, 4), ({"sharing": "none", "blocks_in_layer": 2}, 8)):
        net = network(**more)
        layers = net.layers()
        assert len(layers) == blocks + 2
        named = [name for layer in layers for name in layer.parameters]
        assert sorted(named) == sorted(name for name, _ in net.named_parameters())
    assert next(iter(layers[2].parameters)).startswith("attentions.1.")


def test_the_last_block_answers_at_wanted_places_as_everywhere():
    batch = rows()
    for net in (network(), network(factorised="tokens", sharing="attention")):
        masked = batch["ids"] == FACTS.specials["mask"]
        torch.testing.assert_close(net.fill(batch), net.logits(net.encode(batch)[-1])[masked])
        maps = net.attention(batch)
        assert [one.layer for one in maps] == [1, 2, 3, 4] and not torch.equal(maps[0].weights, maps[1].weights)
        assert net.label_nats(batch).shape == (int((batch["labels"] != IGNORE).sum()),)


def test_with_the_token_table_alone_factorised_it_is_a_bert_whose_table_is_a_product():
    """The layout of brightmart/albert_zh: positions and types at the states' width, the head for masked tokens back through the table."""
    net, batch = network(factorised="tokens"), rows()
    real = batch["segments"] > 0
    table = net.tokens.weight @ net.widen.weight.t()  # (V D)
    embedded = torch.nn.functional.layer_norm(
        table[batch["ids"]] + net.positions.weight[:T] + net.types.weight[batch["types"]], (20,), net.norm.weight, net.norm.bias, 1e-12
    )
    states = net.encode(batch)
    torch.testing.assert_close(states[0][real], embedded[real], atol=1e-5, rtol=0)
    logits = net.masked_head(states[-1]) @ table.t() + net.masked_head.bias
    torch.testing.assert_close(net.logits(states[-1])[real], logits[real], atol=1e-4, rtol=1e-5)
    net.loss(batch).mean.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_layer_belongs_to_the_group_that_googles_code_gives_it():
    for depth in range(1, 49):
        for groups in range(1, depth + 1):
            found = [first for first, _ in places(Config(depth=depth, groups=groups))]
            assert found == [int(layer / depth * groups + 1e-9) for layer in range(depth)]


def test_errors_name_the_mend():
    with pytest.raises(UsageError, match=r"lower model\.groups"):
        ALBERT(Config(depth=2, groups=3), FACTS)
    with pytest.raises(UsageError, match="wordpiece or unigram"):
        ALBERT(Config(), TokenFacts(9, {"eos": 1}))
