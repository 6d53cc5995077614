"""XLNet against transformers' XLNetLMHeadModel on the same weights, and its properties: above all that no target sees itself."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stemma.errors import DataError, UsageError
from stemma.export.huggingface import from_huggingface, huggingface_config, to_huggingface
from stemma.layers.attention import Mask
from stemma.lineage import xlnet
from stemma.lineage.xlnet import Config, XLNet
from stemma.objectives.batch import IGNORE
from stemma.runs.reading import surprises
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(53, {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4, "eos": 5, "bos": 6})
B, T, MEMORY, KEPT = 4, 9, 7, 5


def network(activation="gelu", depth=3):
    torch.manual_seed(11)
    net = XLNet(Config(width=20, depth=depth, heads=4, inner=44, max_length=16, memory=MEMORY, activation=activation), FACTS).eval()
    with torch.no_grad():  # larger and uneven weights, so that a missing bias or a wrong axis cannot pass
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return net


def theirs_of(net, **more):
    from transformers import XLNetConfig, XLNetLMHeadModel

    settings = huggingface_config("xlnet", net.config, FACTS.vocab_size, FACTS.specials) | more
    theirs = XLNetLMHeadModel(XLNetConfig(**settings)).eval()
    state = {name: tensor.detach() for name, tensor in to_huggingface("xlnet", net.config.depth, net.state_dict()).items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert missing == ["lm_loss.weight"] and not unexpected
    theirs.tie_weights()
    return theirs


def drawn(seed, rows=B, targets=4):
    """Rows of two segments, with `targets` tokens to be predicted in a drawn order, and one more token in it that is not."""
    torch.manual_seed(seed)
    ids = torch.stack([torch.randperm(46)[:T] + 7 for _ in range(rows)])  # every position of a row has a token of its own
    order = torch.zeros(rows, T, dtype=torch.long)
    labels = torch.full((rows, T), IGNORE)
    for row in range(rows):
        places = torch.randperm(T)[: targets + 1]
        order[row, places] = 1 + torch.randperm(targets + 1)
        labels[row, places[:targets]] = ids[row, places[:targets]]
    return {"ids": ids, "types": (torch.arange(T) > 4).long().expand(rows, T), "turns": order, "labels": labels}


def their_order(batch):
    """transformers' perm_mask and target_mapping of a batch, and which of the slots are real."""
    order, predicted = batch["turns"], batch["labels"] != IGNORE
    sees = (order[:, :, None] > order[:, None, :]) | ((order[:, :, None] == order[:, None, :]) & (order == 0)[:, :, None])
    slots = xlnet.Positions(predicted)
    return {"perm_mask": (~sees).float(), "target_mapping": F.one_hot(slots.columns, T).float()}, slots.real


def compare_gradients(net, theirs):
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    ours = to_huggingface("xlnet", net.config.depth, {name: parameter.grad for name, parameter in net.named_parameters()})
    assert len(ours) == len(expected)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_states_logits_and_attention_are_those_of_transformers(activation):
    net = network(activation)
    theirs, batch = theirs_of(net), drawn(1)
    theirs.set_attn_implementation("eager")
    for types in ({"types": batch["types"]}, {}):
        out = theirs(batch["ids"], token_type_ids=types.get("types"), output_hidden_states=True, output_attentions=True)
        ours = net.encode({"ids": batch["ids"], **types})
        for one, other in zip(ours, out.hidden_states, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
        torch.testing.assert_close(net.logits(ours[-1]), out.logits, atol=1e-5, rtol=1e-5)
        for one, other in zip(net.attention({"ids": batch["ids"], **types}), out.attentions, strict=True):
            torch.testing.assert_close(one.weights, other, atol=1e-5, rtol=0)
    pair = net.attention_batch([7, 8], [9])
    assert pair["types"].tolist() == [[0, 0, 0, 1, 1, 2]] and pair["ids"].tolist() == [[7, 8, 3, 9, 3, 2]]


def test_three_rows_with_memory_have_the_losses_and_gradients_of_transformers():
    """The query stream in a drawn order, two segments, and what each row leaves to the next."""
    net = network()
    theirs = theirs_of(net, mem_len=MEMORY, reuse_len=KEPT)
    carried, mems = None, None
    for number in range(3):
        batch = drawn(number)
        order, real = their_order(batch)
        out = theirs(batch["ids"], token_type_ids=batch["types"], mems=mems, use_mems=True, **order)
        expected = F.cross_entropy(out.logits[real], batch["labels"][batch["labels"] != IGNORE])
        loss = net.loss(batch | {"kept": torch.tensor(KEPT), "begins": torch.zeros(B, dtype=torch.bool)}, carried)
        torch.testing.assert_close(loss.mean, expected, atol=1e-5, rtol=0)
        carried, mems = loss.carried, out.mems
        assert loss.count == 4 * B and carried["memory"].shape == (3, B, min(MEMORY, KEPT * (number + 1)), 20)
        torch.testing.assert_close(carried["memory"].transpose(1, 2), torch.stack(mems), atol=1e-5, rtol=0)
    loss.mean.backward()
    expected.backward()
    compare_gradients(net, theirs)


def test_rows_from_right_to_left_are_those_of_transformers():
    net, batch = network(), drawn(3)
    theirs = theirs_of(net, bi_data=True)
    order, real = their_order(batch)
    out = theirs(batch["ids"], token_type_ids=batch["types"], **order)
    expected = F.cross_entropy(out.logits[real], batch["labels"][batch["labels"] != IGNORE])
    loss = net.loss(batch | {"backward": torch.tensor([False] * (B // 2) + [True] * (B // 2))}).mean
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    compare_gradients(net, theirs)
    forward = net.loss(batch)
    mirrored = {name: part.flip(1) for name, part in batch.items()} | {"backward": torch.ones(B, dtype=torch.bool)}
    torch.testing.assert_close(net.loss(mirrored).mean, forward.mean)  # the mirrored text, read backward


def test_weights_come_back_from_transformers():
    net = network()
    ours = from_huggingface("xlnet", net.config.depth, {name: t.detach() for name, t in theirs_of(net).state_dict().items()})
    assert all((net.state_dict()[name].numpy() == array).all() for name, array in ours.items())
    assert ours.keys() == net.state_dict().keys()


@pytest.mark.parametrize(("width", "depth", "parameters"), [(768, 12, 116_750_336), (1024, 24, 360_300_800)])
def test_sizes_of_the_published_networks(width, depth, parameters):
    with torch.device("meta"):
        net = XLNet(Config(width=width, depth=depth, heads=width // 64, inner=4 * width), TokenFacts(32_000, FACTS.specials))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert sum(len(layer.parameters) for layer in net.layers()) == len(list(net.parameters()))


def influences(net, batch):
    """Of each target its row, its position, and how much the token at each position of the row moves its loss."""
    found = []
    embed = net.tokens.forward
    for row, place in (batch["labels"] != IGNORE).nonzero().tolist():
        one = torch.full_like(batch["labels"], IGNORE)
        one[row, place] = batch["labels"][row, place]
        embedded = embed(batch["ids"]).detach().requires_grad_()
        net.tokens.forward = lambda ids, embedded=embedded: embedded
        net.loss(batch | {"labels": one}).mean.backward()
        found.append((row, place, torch.zeros(T) if embedded.grad is None else embedded.grad[row].abs().amax(1)))
    net.tokens.forward = embed
    return found


def leaks(net, batch):
    """Targets that see what the order hides from them, themselves first of all, or that do not see what it shows."""
    shown = batch["turns"][:, :, None] > batch["turns"][:, None, :]
    return [(row, place) for row, place, moved in influences(net, batch) if not torch.equal(moved > 0, shown[row, place])]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_target_sees_exactly_what_its_order_shows(seed, monkeypatch):
    """Through all layers, for every target of drawn orders; a mask that hides nothing fails the same test."""
    net, batch = network(), drawn(seed, rows=2, targets=6)
    assert leaks(net, batch) == []
    assert leaks(net, batch | {"turns": torch.stack([torch.randperm(T) for _ in range(2)])}) == []  # no context but what was predicted
    monkeypatch.setattr(xlnet, "_mask", lambda allowed, filled, real: Mask(None))
    assert len(leaks(net, batch)) == 12 and all(moved[place] > 1e-3 for _, place, moved in influences(net, batch))


def test_from_left_to_right_a_token_has_exactly_its_left_context():
    net, batch = network(), drawn(4, rows=2)
    identity = batch | {"turns": torch.arange(T).expand(2, T), "labels": batch["ids"]}
    for _, place, moved in influences(net, identity):
        assert ((moved > 0) == (torch.arange(T) < place)).all()
    nats, ids = net.score({"ids": batch["ids"]}), batch["ids"]
    expected = net.loss({"ids": ids, "turns": identity["turns"], "labels": torch.where(torch.arange(T) > 0, ids, IGNORE)})
    assert (nats[:, 0] == 0).all() and nats.sum().item() == pytest.approx(expected.mean.item() * expected.count, rel=1e-5)


def test_memory_and_row_are_one_long_text():
    """Where memory holds all that came before, rows read one after the other give what one row of both gives."""
    net = network()
    net.config = Config(width=20, depth=3, heads=4, inner=44, max_length=16, memory=2 * T)
    batch = {"ids": torch.randint(7, 53, (2, 2 * T)), "turns": torch.arange(2 * T).expand(2, -1)}
    labels = torch.where(torch.arange(2 * T) >= T, batch["ids"], IGNORE)
    whole = net.loss(batch | {"labels": labels})
    first, second = ({name: part[:, a : a + T] for name, part in (batch | {"labels": batch["ids"]}).items()} for a in (0, T))
    carried = net.loss(first | {"kept": torch.tensor(T)}).carried
    torch.testing.assert_close(net.loss(second, carried).mean, whole.mean)
    mixed = net.loss(second | {"begins": torch.tensor([True, False])}, carried)
    alone = net.loss({name: part[:1] for name, part in second.items()})
    row = {name: part[:, 1:2] if name == "memory" else part[1:2] for name, part in carried.items()}
    after = net.loss({name: part[1:2] for name, part in second.items()}, row)
    torch.testing.assert_close(mixed.mean, (alone.mean + after.mean) / 2)  # the row that begins forgets


@pytest.mark.parametrize("before", [0, 3, 8])
def test_padding_on_either_side_and_packing_move_nothing(before):
    net, ids = network(), drawn(5)["ids"]
    alone = net.encode({"ids": ids[:1], "segments": torch.ones(1, T, dtype=torch.long)})
    padded = F.pad(ids[:1], (before, 8 - before))
    segments = F.pad(torch.ones(1, T, dtype=torch.long), (before, 8 - before))
    batch = {"ids": padded, "segments": segments}
    states = net.encode(batch)
    torch.testing.assert_close(states[-1][:, before : before + T], alone[-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(net.summary(states, batch), alone[-1][:, -1], atol=1e-5, rtol=0)
    packed = {"ids": torch.cat([ids[1:2, :before], ids[:1]], 1), "segments": torch.tensor([[1] * before + [2] * T])}
    torch.testing.assert_close(net.encode(packed)[-1][:, before:], alone[-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(net.score(packed)[:, before:], net.score({"ids": ids[:1]}), atol=1e-5, rtol=0)


def read_on(net, texts, parts):
    """Minus the log-probability of every token of the texts but the first ones, which are read in rows, so many of each at a time."""
    read, memory, found = [0] * len(texts), None, [torch.zeros(0) for _ in texts]
    before = list(range(len(texts)))
    for amount in parts:
        rows = [row for row, text in enumerate(texts) if read[row] < len(text)]
        memory = memory if memory is None else memory.rows([before.index(row) for row in rows])
        unread = [texts[row][read[row] : read[row] + amount + row * (amount > 1)] for row in rows]
        scores, memory = net.advance(unread, memory)
        for row, ids, own in zip(rows, unread, scores, strict=True):
            read[row] += len(ids)
            if read[row] < len(texts[row]):
                found[row] = torch.cat([found[row], -own[texts[row][read[row]]][None]])
        before = rows
    return found


@pytest.mark.parametrize("first", [3, 19, 40])
def test_writing_goes_by_the_scores_of_a_text(first):
    """Token by token after a prompt of any length, in rows of different ones, over windows of 16: each has its chance in `score`."""
    net = network()
    texts = [(torch.randperm(46)[:length] + 7).tolist() for length in (44, 9, 42)]
    whole = surprises(net, [np.array(text) for text in texts], end=net.end)
    for row, nats in enumerate(read_on(net, texts, [first, *[1] * 50])):
        start = len(texts[row]) - len(nats)
        assert (len(nats) > 0) == (first + row < len(texts[row]))
        torch.testing.assert_close(nats.double(), torch.from_numpy(whole[row][start:]), atol=1e-4, rtol=1e-4)


def test_the_greedy_token_is_the_likeliest_of_score_and_no_special_but_the_end():
    net = network()
    scores, memory = net.advance([[], [9, 8, 7]])  # a row may begin with nothing but the end of another text
    assert torch.isneginf(scores).nonzero()[:, 1].tolist() == [0, 1, 2, 3, 4, 6] * 2
    for row, ids in enumerate(([net.end], [net.end, 9, 8, 7])):
        candidates = torch.tensor([[*ids, token] for token in range(7, FACTS.vocab_size)])
        nats = net.score({"ids": candidates})[:, -1]
        torch.testing.assert_close(-scores[row, 7:], nats, atol=1e-4, rtol=1e-4)
        assert scores[row, 7:].argmax() == nats.argmin()
    twice, _ = net.advance([[20], [20], [30]], memory.rows([1, 1, 0]))
    again, _ = net.advance([[30]], net.advance([[]])[1])
    assert torch.equal(twice[0], twice[1])
    torch.testing.assert_close(twice[2:], again, atol=1e-5, rtol=1e-5)


def test_fills_see_all_but_the_masks():
    net, batch = network(), drawn(6)
    masked = batch["ids"].clone()
    masked[:, [2, 5]] = FACTS.specials["mask"]
    masked[0, 5] = batch["ids"][0, 5]  # rows may differ in their number
    scores = net.fill({"ids": masked})
    assert scores.shape == (2 * B - 1, FACTS.vocab_size)
    with torch.no_grad():
        net.tokens.weight[FACTS.specials["mask"]] += 1.0  # the table's row for <mask> is never read
    torch.testing.assert_close(net.fill({"ids": masked})[:, 7:], scores[:, 7:])
    labels = torch.full_like(masked, IGNORE)
    labels[:, 2] = batch["ids"][:, 2]
    first = [0, 1, 3, 5]  # of each row's masks
    expected = F.cross_entropy(net.fill({"ids": masked})[first], batch["ids"][:, 2], reduction="none")
    torch.testing.assert_close(net.label_nats({"ids": masked, "labels": labels}), expected)
    nothing = torch.full((1, 3), FACTS.specials["mask"])
    assert net.fill({"ids": nothing}).isfinite().all()  # nothing is visible to anyone


def test_a_row_of_nothing_but_padding_gives_no_nan():
    net, batch = network(), drawn(7)
    batch["segments"] = torch.ones(B, T, dtype=torch.long)
    batch["segments"][1], batch["labels"][1] = 0, IGNORE
    loss = net.loss(batch).mean
    loss.backward()
    assert loss.isfinite() and all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in net.parameters())


def test_loss_starts_at_the_uniform_and_bfloat16_is_near():
    batch = drawn(8)
    torch.manual_seed(0)
    fresh = XLNet(Config(width=32, depth=2, heads=2, inner=64, max_length=16), FACTS).eval()
    assert fresh.loss(batch).mean.item() == pytest.approx(math.log(FACTS.vocab_size), rel=0.05)
    net = network()
    exact = net.loss(batch).mean.item()
    with torch.autocast("cpu", torch.bfloat16):
        assert net.loss(batch).mean.item() == pytest.approx(exact, rel=0.02)


def test_frame():
    net = network(depth=1)
    assert net.frame([7, 8]) == ([7, 8, 3, 2], [0, 0, 0, 2])
    assert net.frame([7, 8], [9]) == ([7, 8, 3, 9, 3, 2], [0, 0, 0, 1, 1, 2])
    assert net.frame([]) == ([3, 2], [0, 2])


def test_errors_name_the_mend():
    with pytest.raises(UsageError, match="change one of the two"):
        XLNet(Config(width=10, heads=4), FACTS)
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to unigram"):
        XLNet(Config(), TokenFacts(9, {"cls": 1, "sep": 2, "mask": 3}))
    batch = drawn(9)
    with pytest.raises(DataError, match="leave such batches out"):
        network(depth=1).loss(batch | {"labels": torch.full((B, T), IGNORE)})
