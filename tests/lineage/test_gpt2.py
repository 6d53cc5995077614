"""GPT-2 against transformers' GPT2LMHeadModel on the same weights, and what tells it from GPT."""

import dataclasses

import pytest
import torch
from tests.lineage.next_tokens import FACTS, LENGTHS, B, T, log_probs, packed_and_alone, rows

from stemma.export.huggingface import from_huggingface, huggingface_config, to_huggingface
from stemma.layers.attention import block_mask
from stemma.lineage.gpt2 import GPT2, Config
from stemma.lineage.table import find
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

PUBLISHED = {"base": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}


def network(attention):
    torch.manual_seed(11)
    config = Config(width=20, depth=3, heads=4, inner=52, max_length=16, attention=attention)
    net = GPT2(config, FACTS).eval()
    with torch.no_grad():  # larger and uneven weights, so that a missing bias or a wrong transpose cannot pass
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return net


@pytest.fixture(params=["sdpa", "explicit"])
def net(request):
    return network(request.param)


@pytest.fixture
def reference(net):
    from transformers import GPT2Config, GPT2LMHeadModel

    settings = huggingface_config("gpt2", net.config, FACTS.vocab_size, FACTS.specials)
    theirs = GPT2LMHeadModel(GPT2Config(**settings)).eval()
    state = {name: tensor.detach() for name, tensor in to_huggingface("gpt2", net.config.depth, net.state_dict()).items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    theirs.tie_weights()
    return theirs


def test_states_logits_and_attention_equal_transformers(net, reference):
    reference.set_attn_implementation("eager")
    batch = rows()
    out = reference(batch["ids"], labels=batch["ids"], output_hidden_states=True, output_attentions=True)
    ours = net.encode(batch)
    assert len(ours) == net.config.depth + 1
    for one, other in zip(ours, out.hidden_states, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(net.logits(ours[-1]), out.logits, atol=1e-5, rtol=0)
    for one, other in zip(net.attention(batch), out.attentions, strict=True):
        torch.testing.assert_close(one.weights, other, atol=1e-6, rtol=0)
    torch.testing.assert_close(net.score(batch).sum() / (B * (T - 1)), out.loss, atol=1e-5, rtol=0)


def test_loss_and_gradients_of_padded_rows_equal_transformers(net, reference):
    """Texts of odd lengths, a row each; packed into fewer rows, the same once more."""
    packed, alone = packed_and_alone()
    real = alone["segments"] > 0
    labels = torch.cat([torch.full((len(real), 1), -100), alone["labels"][:, :-1]], 1)  # theirs are moved by one there
    labels[labels == IGNORE] = -100
    reference(alone["ids"], attention_mask=real.long(), labels=labels).loss.backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    with torch.no_grad():
        expected = reference(alone["ids"], attention_mask=real.long(), labels=labels).loss
    for batch in (alone, packed):
        net.zero_grad()
        loss = net.loss(batch)
        assert loss.count == sum(LENGTHS)
        torch.testing.assert_close(loss.mean, expected, atol=1e-5, rtol=0)
        loss.mean.backward()
        ours = to_huggingface("gpt2", net.config.depth, {name: parameter.grad for name, parameter in net.named_parameters()})
        for name, gradient in ours.items():
            torch.testing.assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def test_greedy_text_equals_that_of_transformers(net, reference):
    prompt = [0, 4, 9]
    settings = {"attention_mask": torch.ones(1, 3, dtype=torch.long), "do_sample": False}
    theirs = reference.generate(torch.tensor([prompt]), max_new_tokens=10, eos_token_id=None, pad_token_id=0, **settings)[0, 3:]
    scores, memory = net.advance([prompt])
    new = [int(scores.argmax())]
    while len(new) < 10:
        scores, memory = net.advance([new[-1:]], memory)
        new.append(int(scores.argmax()))
    assert new == theirs.tolist()


def test_rows_that_read_on_give_what_a_full_pass_gives(net):
    texts, memory = [[0], [0, 4, 9, 12, 3, 8, 1], [0, 7]], None
    unread = texts
    for more in ([[5], [6], [7, 8, 9]], [[1, 2, 3, 4], [2], [3]]):
        scores, memory = net.advance(unread, memory)
        for row, text in enumerate(texts):
            torch.testing.assert_close(scores[row], log_probs(net, text), atol=1e-5, rtol=0)
        texts, unread = [[*text, *new] for text, new in zip(texts, more, strict=True)], more


def test_weights_come_back_from_transformers(net, reference):
    ours = from_huggingface("gpt2", net.config.depth, {n: t.detach() for n, t in reference.state_dict().items()})
    assert all((net.state_dict()[name].numpy() == array).all() for name, array in ours.items())
    assert ours.keys() == net.state_dict().keys()


def test_a_later_token_moves_no_earlier_state(net):
    x = net._embed(rows()["ids"], None).detach().requires_grad_()
    y = net._tower(x, block_mask(None, causal=True))
    for t in range(T):
        (gradient,) = torch.autograd.grad(y[:, t].sum(), x, retain_graph=True)
        assert (gradient[:, t + 1 :] == 0).all() and (gradient[:, : t + 1] != 0).any()


def test_every_weight_stands_in_one_layer():
    net = network("sdpa")
    names = [name for found in net.layers() for name in found.parameters]
    assert sorted(names) == sorted(name for name, _ in net.named_parameters())
    assert list(net.layers()[-1].parameters) == ["norm.weight", "norm.bias"]


@pytest.mark.parametrize(("preset", "count"), PUBLISHED.items())
def test_sizes_of_the_papers_networks(preset, count):
    settings = find("gpt2").presets()[preset]
    with torch.device("meta"):
        net = GPT2(Config(**settings["model"]), TokenFacts(settings["tokenizer"]["vocab_size"], {"eos": 0}))
    assert sum(p.numel() for p in net.parameters()) == count
    if preset == "base":
        assert net.config == Config()
    assert settings["training"]["batch_tokens"] * settings["training"]["accumulate"] == 512 * 1024


def test_initial_weights():
    torch.manual_seed(0)
    net = GPT2(Config(width=128, depth=3, heads=4, inner=512, max_length=128), TokenFacts(500, {"eos": 0}))
    spread = {"positions.weight": 0.01, "attention.out.weight": 0.02 / 6**0.5, "feedforward.down.weight": 0.02 / 6**0.5}
    for name, parameter in net.named_parameters():
        if name.endswith("norm.weight"):
            assert (parameter == 1).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()
        else:
            expected = next((std for end, std in spread.items() if name.endswith(end)), 0.02)
            assert parameter.std().item() == pytest.approx(expected, rel=0.02), name


def test_deeper_towers_begin_with_states_no_wider():
    """What the scaled residual matrices are for."""
    spreads = []
    for depth in (2, 12):
        torch.manual_seed(0)
        net = GPT2(dataclasses.replace(Config(), width=40, depth=depth, heads=2, inner=160, max_length=16), FACTS).eval()
        spreads.append(net.encode(rows())[-2].std().item())
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1)
