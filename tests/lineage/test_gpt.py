"""GPT against transformers' OpenAIGPTLMHeadModel on the same weights, and its properties."""

import math

import pytest
import torch
from tests.lineage.next_tokens import FACTS, LENGTHS, B, T, log_probs, packed_and_alone, rows

from stemma.errors import DataError, UsageError
from stemma.export.huggingface import from_huggingface, huggingface_config, to_huggingface
from stemma.layers.attention import block_mask
from stemma.lineage.gpt import GPT, Config
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts


def network(attention="sdpa", seed=11, **settings):
    torch.manual_seed(seed)
    config = Config(**{"width": 20, "depth": 3, "heads": 4, "inner": 80, "max_length": 16, "attention": attention, **settings})
    net = GPT(config, FACTS).eval()
    with torch.no_grad():  # larger and uneven weights, so that a missing bias or a wrong transpose cannot pass
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return net


@pytest.fixture(params=["sdpa", "explicit"])
def net(request):
    return network(request.param)


@pytest.fixture
def reference(net):
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    settings = huggingface_config("gpt", net.config, FACTS.vocab_size, FACTS.specials)
    theirs = OpenAIGPTLMHeadModel(OpenAIGPTConfig(**settings)).eval()
    state = {name: tensor.detach() for name, tensor in to_huggingface("gpt", net.config.depth, net.state_dict()).items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    theirs.tie_weights()
    return theirs


def test_attention_is_that_of_transformers(net, reference):
    batch = rows()
    reference.set_attn_implementation("eager")
    theirs = reference(batch["ids"], output_attentions=True).attentions
    ours = net.attention(batch)
    assert [(one.kind, one.layer) for one in ours] == [("decoder causal self", n) for n in (1, 2, 3)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.weights, other, atol=1e-6, rtol=0)
        torch.testing.assert_close(one.weights @ one.values, other @ one.values, atol=1e-5, rtol=0)
        assert (one.weights.triu(1) == 0).all() and torch.equal(one.query_ids, batch["ids"]) and torch.equal(one.key_ids, batch["ids"])
    assert net.attention_batch([5, 6], [7])["ids"].tolist() == [[0, 5, 6, 0, 7]]


def test_states_logits_and_loss_equal_transformers(net, reference):
    batch = rows()
    out = reference(batch["ids"], labels=batch["ids"], output_hidden_states=True)
    ours = net.encode(batch)
    assert len(ours) == net.config.depth + 1
    for one, other in zip(ours, out.hidden_states, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(net.logits(ours[-1]), out.logits, atol=1e-5, rtol=0)
    loss = net.loss(batch)
    assert loss.count == B * (T - 1)
    torch.testing.assert_close(loss.mean, out.loss, atol=1e-5, rtol=0)


def test_gradients_equal_transformers(net, reference):
    batch = rows()
    net.loss(batch).mean.backward()
    reference(batch["ids"], labels=batch["ids"]).loss.backward()
    theirs = {name: parameter.grad for name, parameter in reference.named_parameters()}
    ours = to_huggingface("gpt", net.config.depth, {name: parameter.grad for name, parameter in net.named_parameters()})
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-5, rtol=1e-4, msg=name)


def test_weights_come_back_from_transformers(net, reference):
    ours = from_huggingface("gpt", net.config.depth, {n: t.detach() for n, t in reference.state_dict().items()})
    assert all((net.state_dict()[name].numpy() == array).all() for name, array in ours.items())
    assert ours.keys() == net.state_dict().keys()


def test_size_of_the_papers_network():
    with torch.device("meta"):
        net = GPT(Config(), TokenFacts(40_478, {"eos": 0}))
    assert sum(p.numel() for p in net.parameters()) == 116_534_784


def test_initial_weights():
    torch.manual_seed(0)
    net = GPT(Config(width=64, depth=2, heads=4, inner=256, max_length=64), TokenFacts(1000, {"eos": 0}))
    for name, parameter in net.named_parameters():
        if name.endswith("norm.weight"):
            assert (parameter == 1).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name


def test_a_later_token_moves_no_earlier_state(net):
    x = net._embed(rows()["ids"], None).detach().requires_grad_()
    y, mask = x, block_mask(None, causal=True)
    for block in net.blocks:
        y = block(y, mask)
    for t in range(T):
        (gradient,) = torch.autograd.grad(y[:, t].sum(), x, retain_graph=True)
        assert (gradient[:, t + 1 :] == 0).all()
        assert (gradient[:, : t + 1] != 0).any()


def test_packed_rows_equal_padded_ones(net):
    results = []
    for batch in packed_and_alone():
        loss = net.loss(batch)
        results.append((loss.mean, *torch.autograd.grad(loss.mean, list(net.parameters()))))
        assert loss.count == sum(LENGTHS)
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=0)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_batch_mates_and_padding_change_nothing(net):
    batch = rows()
    alone = net.encode({"ids": batch["ids"][:1]})[-1]
    torch.testing.assert_close(net.encode({"ids": batch["ids"]})[-1][:1], alone, atol=5e-6, rtol=0)
    padded = {
        "ids": torch.cat([batch["ids"][:1], torch.zeros(1, 5, dtype=torch.long)], 1),
        "segments": torch.tensor([[1] * T + [0] * 5]),
    }
    torch.testing.assert_close(net.encode(padded)[-1][:, :T], alone, atol=5e-6, rtol=0)


def test_score_sums_to_the_loss_and_skips_starts_and_padding(net):
    packed, _ = packed_and_alone()
    nats = net.score(packed)
    starts = packed["positions"] == 0
    assert (nats[starts] == 0).all() and (nats[packed["segments"] == 0] == 0).all()
    assert (nats[~starts & (packed["segments"] > 0)] > 0).all()
    batch = rows()
    torch.testing.assert_close(net.score(batch).sum() / (B * (T - 1)), net.loss(batch).mean, atol=1e-5, rtol=0)


def test_probabilities_of_the_next_token_sum_to_one(net):
    row = rows()["ids"][:1]
    every = torch.cat([row.expand(FACTS.vocab_size, T), torch.arange(FACTS.vocab_size)[:, None]], 1)
    assert net.score({"ids": every})[:, -1].neg().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_frame():
    net = network()
    assert net.frame([5, 6]) == ([0, 5, 6], [0, 0, 0])
    assert net.frame([5, 6], [7]) == ([0, 5, 6, 0, 7], [0] * 5)
    assert net.frame([]) == ([0], [0])


def test_rows_that_read_on_give_what_a_full_pass_gives(net):
    texts, memory = [[0], [0, 4, 9, 12, 3, 8, 1], [0, 7]], None
    unread = texts
    for more in ([[5], [6], [7, 8, 9]], [[1, 2, 3, 4], [2], [3]], [[9], [9], [9]]):
        scores, memory = net.advance(unread, memory)
        for row, text in enumerate(texts):
            torch.testing.assert_close(scores[row], log_probs(net, text), atol=1e-5, rtol=0)
        texts, unread = [[*text, *new] for text, new in zip(texts, more, strict=True)], more
    order = [2, 0, 0, 1]
    scores, _ = net.advance([unread[row] for row in order], memory.rows(order))
    for row, origin in enumerate(order):
        torch.testing.assert_close(scores[row], log_probs(net, texts[origin]), atol=1e-5, rtol=0)


def test_the_older_half_of_a_full_window_is_forgotten_row_by_row(net):
    """max_length is 16: the row that starts with 14 tokens is full after two, long before its neighbour."""
    torch.manual_seed(5)
    windows, memory, unread = [[0] * 14, [0, 3], list(range(20))], None, [[0] * 14, [0, 3], list(range(20))]
    windows[2] = windows[2][-16:]  # of a longer prompt the end is read
    cuts = [0, 0, 0]
    for _ in range(30):
        scores, memory = net.advance(unread, memory)
        for row, window in enumerate(windows):
            torch.testing.assert_close(scores[row], log_probs(net, window), atol=2e-5, rtol=0)
        unread = torch.randint(1, FACTS.vocab_size, (3, 1)).tolist()
        for row, (new,) in enumerate(unread):
            if len(windows[row]) == 16:
                windows[row], cuts[row] = windows[row][-7:], cuts[row] + 1
            windows[row].append(new)
    assert cuts == [4, 2, 4]


def test_batch_mates_do_not_change_what_comes_next(net):
    texts = [[0, *range(1, 1 + n % 13)] for n in range(64)]
    together, _ = net.advance(texts)
    for size in (1, 8):
        parts = [net.advance(texts[first : first + size])[0] for first in range(0, 64, size)]
        torch.testing.assert_close(torch.cat(parts), together, atol=1e-5, rtol=0)


def test_greedy_text_equals_that_of_transformers(net, reference):
    prompt = [0, 4, 9]
    settings = {"attention_mask": torch.ones(1, 3, dtype=torch.long), "do_sample": False, "use_cache": False}
    theirs = reference.generate(torch.tensor([prompt]), max_new_tokens=10, eos_token_id=None, pad_token_id=0, **settings)[0, 3:]
    scores, memory = net.advance([prompt])
    new = [int(scores.argmax())]
    while len(new) < 10:
        scores, memory = net.advance([new[-1:]], memory)
        new.append(int(scores.argmax()))
    assert new == theirs.tolist()


def test_grow_keeps_old_rows_and_the_tie(net):
    batch = rows()
    before = net.logits(net.encode(batch)[-1])
    torch.manual_seed(0)
    net.grow(3)
    after = net.logits(net.encode(batch)[-1])
    assert net.vocab_size == FACTS.vocab_size + 3 == after.shape[-1]
    torch.testing.assert_close(after[..., :-3], before)
    batch["ids"][0, 0] = FACTS.vocab_size + 2
    net.loss(batch).mean.backward()
    assert net.tokens.weight.grad[-1].abs().sum() > 0


def test_new_rows_are_drawn_round_the_mean_row(net):
    """What all rows of a table share, as a learnt one's do, new rows share too."""
    with torch.no_grad():
        net.tokens.weight.add_(torch.linspace(-3, 3, net.width))
    mean = net.tokens.weight.detach().mean(0)
    torch.manual_seed(0)
    net.grow(400)
    new = net.tokens.weight.detach()[-400:] - mean
    assert float(new.mean(0).abs().max()) < 0.005 and float(new.std()) == pytest.approx(0.02, rel=0.05)


def test_loss_starts_at_the_uniform_and_bfloat16_is_near():
    torch.manual_seed(0)
    net = GPT(Config(width=32, depth=2, heads=2, inner=64, max_length=16), FACTS).eval()
    batch = rows()
    exact = net.loss(batch).mean.item()
    assert exact == pytest.approx(math.log(FACTS.vocab_size), rel=0.05)
    for path in ("sdpa", "explicit"):
        net = network(path)
        exact = net.loss(batch).mean.item()
        with torch.autocast("cpu", torch.bfloat16):
            assert net.loss(batch).mean.item() == pytest.approx(exact, rel=0.02)


def test_errors_name_the_mend():
    with pytest.raises(UsageError, match="change one of the two"):
        GPT(Config(width=10, heads=4), FACTS)
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to bpe"):
        GPT(Config(), TokenFacts(9, {"cls": 1}))
    net = network()
    with pytest.raises(UsageError, match="cut the text"):
        net.encode({"ids": torch.zeros(1, 17, dtype=torch.long)})
    with pytest.raises(DataError, match="leave such batches out"):
        net.loss({"ids": torch.zeros(1, 3, dtype=torch.long), "labels": torch.full((1, 3), IGNORE)})
