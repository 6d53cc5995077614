"""BERT against transformers' BertForPreTraining on the same weights, and its properties."""

import math

import pytest
import torch

from stemma.errors import DataError, UsageError
from stemma.export.huggingface import from_huggingface, huggingface_config, to_huggingface
from stemma.layers.positions import sinusoids
from stemma.lineage.bert import BERT, Config
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(53, {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4})
B, T = 3, 9
LENGTHS = (9, 6, 7)


def network(attention="sdpa", activation="gelu"):
    torch.manual_seed(11)
    config = Config(width=20, depth=3, heads=4, inner=44, max_length=16, attention=attention, activation=activation)
    net = BERT(config, FACTS).eval()
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
    return {
        "ids": ids,
        "segments": real.long(),
        "types": ((columns > 3) & real).long(),
        "labels": labels,
        "cls": torch.arange(B) * T,
        "next": torch.tensor([0, 1, 1]),
    }


@pytest.fixture(params=[("sdpa", "gelu"), ("explicit", "gelu"), ("explicit", "gelu_tanh")], ids="-".join)
def net(request):
    return network(*request.param)


@pytest.fixture
def reference(net):
    from transformers import BertConfig, BertForPreTraining

    settings = huggingface_config("bert", net.config, FACTS.vocab_size, FACTS.specials)
    theirs = BertForPreTraining(BertConfig(**settings)).eval()
    state = {name: tensor.detach() for name, tensor in to_huggingface("bert", net.config.depth, net.state_dict()).items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert set(missing) <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "bert.embeddings.position_ids"}
    assert not unexpected
    theirs.tie_weights()
    return theirs


def run(reference, batch, **more):
    return reference(batch["ids"], attention_mask=batch["segments"], token_type_ids=batch["types"], **more)


def test_attention_is_that_of_transformers(net, reference):
    batch = rows()
    reference.set_attn_implementation("eager")
    theirs = run(reference, batch, output_attentions=True).attentions
    ours, real = net.attention(batch), batch["segments"] > 0
    assert [(one.kind, one.layer) for one in ours] == [("encoder self", n + 1) for n in range(net.config.depth)]
    for one, other in zip(ours, theirs, strict=True):
        expected = torch.where(real[:, None, :, None], other, 0.0)  # padding looks at nothing here
        torch.testing.assert_close(one.weights, expected, atol=1e-5, rtol=0)
    pair = net.attention_batch([5, 6], [7])
    assert pair["types"].tolist() == [[0, 0, 0, 0, 1, 1]] and pair["ids"][0, [1, 2, 4]].tolist() == [5, 6, 7]


def test_states_logits_and_losses_equal_transformers(net, reference):
    batch = rows()
    out = run(reference, batch, labels=batch["labels"], next_sentence_label=batch["next"], output_hidden_states=True)
    real, predicted = batch["segments"] > 0, batch["labels"] != IGNORE
    ours = net.encode(batch)
    for one, other in zip(ours, out.hidden_states, strict=True):
        torch.testing.assert_close(one[real], other[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(net.logits(ours[-1][predicted]), out.prediction_logits[predicted], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.next_head(net.pooled(ours[-1])), out.seq_relationship_logits, atol=1e-5, rtol=0)
    loss = net.loss(batch)
    torch.testing.assert_close(loss.mean, out.loss, atol=1e-5, rtol=0)
    assert loss.count == int(predicted.sum())
    parts = {name: float(total) / count for name, (total, count) in loss.parts.items()}
    assert sum(parts.values()) == pytest.approx(out.loss.item(), abs=1e-5)


def test_gradients_equal_transformers(net, reference):
    batch = rows()
    net.loss(batch).mean.backward()
    run(reference, batch, labels=batch["labels"], next_sentence_label=batch["next"]).loss.backward()
    theirs = {name: parameter.grad for name, parameter in reference.named_parameters()}
    ours = to_huggingface("bert", net.config.depth, {name: parameter.grad for name, parameter in net.named_parameters()})
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-5, rtol=1e-4, msg=name)


def test_weights_come_back_from_transformers(net, reference):
    ours = from_huggingface("bert", net.config.depth, {n: t.detach() for n, t in reference.state_dict().items()})
    assert all((net.state_dict()[name].numpy() == array).all() for name, array in ours.items())
    assert ours.keys() == net.state_dict().keys()


@pytest.mark.parametrize(
    ("vocab", "width", "depth", "parameters"),
    [
        (30522, 768, 12, 109_482_240),
        (28996, 768, 12, 108_310_272),
        (21128, 768, 12, 102_267_648),
        (30522, 128, 2, 4_385_920),
        (30522, 256, 4, 11_170_560),
    ],
)
def test_sizes_of_the_published_networks(vocab, width, depth, parameters):
    with torch.device("meta"):
        net = BERT(Config(width=width, depth=depth, heads=width // 64, inner=4 * width), TokenFacts(vocab, FACTS.specials))
    assert sum(p.numel() for name, p in net.named_parameters() if "head" not in name) == parameters
    if parameters == 109_482_240:
        assert sum(p.numel() for p in net.parameters()) == 110_106_428


def test_initial_weights_are_cut_at_two_deviations():
    torch.manual_seed(0)
    net = BERT(Config(width=64, depth=2, heads=4, inner=256, max_length=64), TokenFacts(1000, FACTS.specials))
    for name, parameter in net.named_parameters():
        if name.endswith("norm.weight"):
            assert (parameter == 1).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()
        else:
            assert 0.03 < parameter.abs().max() <= 0.04, name


def packed_and_alone():
    """The padded pairs of `rows`, and the same in one row of 22 positions."""
    alone = rows()
    alone["positions"] = torch.arange(T).expand(B, T)
    real = alone["segments"] > 0
    packed = {name: alone[name][real][None] for name in ("ids", "types", "labels", "positions")}
    packed["segments"] = torch.cat([torch.full((n,), i + 1) for i, n in enumerate(LENGTHS)])[None]
    packed["cls"] = torch.tensor([0, LENGTHS[0], LENGTHS[0] + LENGTHS[1]])
    return packed | {"next": alone["next"]}, alone


def test_packed_rows_equal_padded_ones(net):
    results = []
    for batch in packed_and_alone():
        loss = net.loss(batch)
        results.append((loss.mean, *torch.autograd.grad(loss.mean, list(net.parameters()))))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=0)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_batch_mates_and_padding_change_nothing(net):
    batch = rows()
    ids = batch["ids"][:1]
    alone = net.encode({"ids": ids})[-1]
    together = net.encode({"ids": batch["ids"], "segments": batch["segments"]})[-1][:1]
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    padded = {"ids": torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], 1), "segments": torch.tensor([[1] * T + [0] * 5])}
    torch.testing.assert_close(net.encode(padded)[-1][:, :T], alone, atol=1e-6, rtol=0)


def test_a_row_of_nothing_but_padding_gives_no_nan(net):
    batch = rows()
    batch["segments"][1], batch["labels"][1] = 0, IGNORE
    loss = net.loss(batch).mean
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in net.parameters())


def test_prediction_reads_the_right_context(net):
    batch = rows()
    before = net.fill(batch)
    batch["ids"][:, 5] = 7
    assert not torch.allclose(before[0], net.fill(batch)[0])


def test_fill_gives_a_row_for_each_mask(net):
    batch = rows()
    scores = net.fill(batch)
    assert scores.shape == (int((batch["ids"] == FACTS.specials["mask"]).sum()), FACTS.vocab_size)
    masked = batch["ids"] == FACTS.specials["mask"]
    torch.testing.assert_close(scores, net.logits(net.encode(batch)[-1])[masked])


def test_without_pairs_the_loss_is_that_of_the_masked_tokens():
    net, batch = network(), rows()
    pairs = net.loss(batch)
    masked = net.loss({name: value for name, value in batch.items() if name not in ("cls", "next")})
    assert masked.parts.keys() == {"masked"} and pairs.parts.keys() == {"masked", "next"}
    assert masked.mean.item() == pytest.approx(float(pairs.parts["masked"][0]) / pairs.count)


def test_the_order_of_pairs_is_a_part_of_its_own(net):
    batch = rows()
    loss = net.loss(batch)
    ordered = {name: tensor for name, tensor in batch.items() if name != "next"} | {"order": batch["next"]}
    assert list(net.loss(ordered).parts) == ["masked", "order"] and net.predictions(ordered) == {
        "masked": loss.count,
        "order": len(batch["cls"]),
    }
    assert net.loss(ordered).mean == loss.mean
    nobody = ordered | {"order": batch["next"][:0], "cls": batch["cls"][:0]}  # a batch of sentences without a neighbour
    assert net.loss(nobody).parts["order"][1] == 0 and float(net.loss(nobody).mean) == pytest.approx(
        float(loss.parts["masked"][0]) / loss.count
    )


def test_frame():
    net = network()
    assert net.frame([7, 8]) == ([2, 7, 8, 3], [0, 0, 0, 0])
    assert net.frame([7, 8], [9]) == ([2, 7, 8, 3, 9, 3], [0, 0, 0, 0, 1, 1])
    assert net.frame([]) == ([2, 3], [0, 0])


def test_loss_starts_at_the_uniform_and_bfloat16_is_near():
    torch.manual_seed(0)
    batch = rows()
    net = BERT(Config(width=32, depth=2, heads=2, inner=64, max_length=16), FACTS).eval()
    assert net.loss(batch).mean.item() == pytest.approx(math.log(FACTS.vocab_size) + math.log(2), rel=0.05)
    for path in ("sdpa", "explicit"):
        net = network(path)
        exact = net.loss(batch).mean.item()
        with torch.autocast("cpu", torch.bfloat16):
            assert net.loss(batch).mean.item() == pytest.approx(exact, rel=0.02)


def test_errors_name_the_mend():
    with pytest.raises(UsageError, match="change one of the two"):
        BERT(Config(width=10, heads=4), FACTS)
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to wordpiece"):
        BERT(Config(), TokenFacts(9, {"eos": 1}))
    net = network()
    with pytest.raises(UsageError, match="cut the text"):
        net.encode({"ids": torch.zeros(1, 17, dtype=torch.long)})
    with pytest.raises(DataError, match="leave such batches out"):
        net.loss({"ids": torch.zeros(1, 3, dtype=torch.long), "labels": torch.full((1, 3), IGNORE)})


def test_positions_begin_as_waves_where_they_are_to():
    """Sinusoids of the size that is set; the same draws for everything else."""

    drawn, waves = [], []
    for size, found in ((0.0, drawn), (0.05, waves)):
        torch.manual_seed(5)
        net = BERT(Config(width=16, depth=1, heads=2, inner=24, max_length=12, waves=size), FACTS)
        found.append(net.state_dict())
    assert waves[0]["positions.weight"].square().mean().sqrt().item() == pytest.approx(0.05, rel=1e-5)
    shape = sinusoids(12, 16)
    torch.testing.assert_close(waves[0]["positions.weight"] / 0.05, shape / shape.square().mean().sqrt())
    assert all(torch.equal(drawn[0][name], waves[0][name]) for name in drawn[0] if name != "positions.weight")
