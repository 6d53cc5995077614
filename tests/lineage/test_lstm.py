"""The LSTM language model: torch.nn.LSTM on the same weights, its carried state, its three outputs, AWD's options, learning by heart."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stemma.errors import DataError, UsageError
from stemma.layers.weights import load_weights, weights
from stemma.lineage.lstm import LSTM, Config
from stemma.lineage.table import find
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

V, B, T = 53, 3, 7
COUNTS = np.random.default_rng(1).permutation(V) * 10
BPE = TokenFacts(V, {"eos": 0, "bos": 0})
WORDS = TokenFacts(V, {"unk": 0, "bos": 1, "eos": 2}, COUNTS)
QUIET = {"dropout": 0.0, "dropout_input": 0.0, "dropout_hidden": 0.0}
SMALL = {"width": 12, "inner": 20, "last": 9, **QUIET}
OUTPUTS = ["full", "tied", "adaptive", "sampled"]


def network(output: str = "full", facts: TokenFacts = BPE, seed: int = 3, **settings) -> LSTM:
    torch.manual_seed(seed)
    chosen = {**SMALL, **({"tied": True, "last": 12} if output == "tied" else {"output": output}), **settings}
    net = LSTM(Config(**chosen), facts).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return net


def rows(seed: int = 2, columns: int = T) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    ids = torch.randint(3, V, (B, columns + 1))
    return {"ids": ids[:, :-1], "labels": ids[:, 1:], "segments": torch.ones(B, columns, dtype=torch.long)}


def piece(batch: dict[str, torch.Tensor], columns: slice) -> dict[str, torch.Tensor]:
    return {name: array[:, columns] for name, array in batch.items()}


@pytest.fixture(params=OUTPUTS)
def net(request: pytest.FixtureRequest) -> LSTM:
    return network(request.param)


def test_the_table_knows_it():
    row = find("lstm")
    assert row.load_network() is LSTM and {"model", "objective"} == row.sections().keys()
    assert {"tiny", "small", "base", "awd"} == row.presets().keys()


def test_states_and_loss_are_those_of_torchs_own_modules():
    net, batch = network(), rows()
    x = F.embedding(batch["ids"], net.tokens.weight)
    states = [x]
    for ours in net.lstms:
        theirs = nn.LSTM(x.shape[-1], ours.cells, batch_first=True)
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(ours.inputs)
            theirs.weight_hh_l0.copy_(ours.recurrent)
            theirs.bias_ih_l0.copy_(ours.bias)
            theirs.bias_hh_l0.zero_()
        x, _ = theirs(x)
        states.append(x)
    for mine, other in zip(net.encode(batch), states, strict=True):
        torch.testing.assert_close(mine[..., : other.shape[-1]], other, atol=1e-5, rtol=0)
        assert (mine[..., other.shape[-1] :] == 0).all() and mine.shape[-1] == net.width == 20
    logits = F.linear(x, net.table, net.bias)
    loss = net.loss(batch)
    torch.testing.assert_close(loss.mean, F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten()), atol=1e-5, rtol=0)
    assert loss.count == B * T and loss.parts["tokens"][0].item() == pytest.approx(loss.mean.item() * B * T, rel=1e-5)


def test_windows_with_the_state_carried_are_the_whole(net):
    batch = rows()
    whole = net.loss(batch)
    first = net.loss(piece(batch, slice(0, 3)))
    second = net.loss(piece(batch, slice(3, T)), first.carried)
    assert (first.mean * 3 + second.mean * 4).item() == pytest.approx(whole.mean.item() * T, abs=1e-4)
    for name in ("h", "c"):
        assert whole.carried[name].shape == (B, sum(net.config.sizes))
        torch.testing.assert_close(second.carried[name], whole.carried[name], atol=1e-5, rtol=0)


def test_no_gradient_runs_back_through_the_carried_state(net):
    batch = rows()
    first = net.loss(piece(batch, slice(0, 3)))
    assert not any(tensor.requires_grad for tensor in first.carried.values())
    net.loss(piece(batch, slice(3, T)), first.carried).mean.backward()
    if net.table is not None:  # else each row of the tied table feels the softmax
        later = set(batch["ids"][:, 3:].flatten().tolist())
        only_before = [token for token in batch["ids"][:, :3].flatten().tolist() if token not in later]
        assert only_before and (net.tokens.weight.grad[only_before] == 0).all()


def test_rows_that_begin_forget_and_the_others_do_not(net):
    batch = rows()
    carried = net.loss(rows(seed=8)).carried
    begins = torch.tensor([True, False, True])
    mixed = net.loss({**batch, "begins": begins}, carried).carried["h"]
    anew, on = net.loss(batch).carried["h"], net.loss(batch, carried).carried["h"]
    torch.testing.assert_close(mixed, torch.where(begins[:, None], anew, on), atol=1e-6, rtol=0)
    assert not torch.allclose(anew, on, atol=1e-3)


def test_an_untrained_network_knows_the_vocabularys_size():
    for output in OUTPUTS:
        torch.manual_seed(0)
        settings = {"tied": True} if output == "tied" else {"output": output}
        net = LSTM(Config(width=16, **settings), BPE).eval()
        assert net.loss(rows()).mean.exp().item() == pytest.approx(V, rel=0.05)


def test_deviates_weights_begin_as_merity_s_do_and_forget_gates_open():
    torch.manual_seed(0)
    net = LSTM(Config(width=16, inner=25, last=9), BPE)
    ranges = [(net.tokens.weight, 0.1), (net.table, 0.1)]
    ranges += [(weight, cells**-0.5) for cells, lstm in zip((25, 9), net.lstms, strict=True) for weight in (lstm.inputs, lstm.recurrent)]
    for weight, most in ranges:
        assert 0.95 * most < weight.abs().max().item() <= most and weight.abs().mean().item() == pytest.approx(most / 2, rel=0.1)
    for cells, lstm in zip((25, 9), net.lstms, strict=True):
        assert [part.unique().tolist() for part in lstm.bias.split(cells)] == [[0.0], [1.0], [0.0], [0.0]]


def test_with_counts_it_begins_at_the_words_frequencies():
    net = LSTM(Config(width=16), WORDS).eval()
    batch = rows()
    chances = np.maximum(COUNTS, 1) / np.maximum(COUNTS, 1).sum()
    expected = -np.log(chances[batch["labels"].numpy()]).mean()
    assert net.loss(batch).mean.item() == pytest.approx(expected, rel=0.05)


def test_probabilities_sum_to_one_and_score_is_their_logarithm(net):
    row = rows()["ids"][:1]
    every = torch.cat([row.expand(V, T), torch.arange(V)[:, None]], 1)
    nats = net.score({"ids": every})[:, -1]
    assert nats.neg().exp().sum().item() == pytest.approx(1, abs=1e-5)
    scores, _ = net.advance(row.tolist())
    torch.testing.assert_close(scores[0], -nats, atol=1e-5, rtol=0)  # bpe has no token that is never written


def test_score_sums_to_the_loss(net):
    batch = rows()
    ids = torch.cat([batch["ids"], batch["labels"][:, -1:]], 1)
    nats = net.score({"ids": ids})
    assert (nats[:, 0] == 0).all()
    torch.testing.assert_close(nats.sum() / (B * T), net.loss(batch).mean, atol=1e-5, rtol=0)


def test_segments_of_a_row_are_read_each_from_zeros(net):
    a, b, c = ([5, 9, 11, 4], [7, 8], [30])
    packed = {"ids": torch.tensor([[*a, *b, *c, 0]]), "segments": torch.tensor([[1] * 4 + [2] * 2 + [3] + [0]])}
    scored, states = net.score(packed)[0], net.encode(packed)[-1][0]
    first = 0
    for segment in (a, b, c):
        alone = {"ids": torch.tensor([segment])}
        place = slice(first, first + len(segment))
        torch.testing.assert_close(scored[place], net.score(alone)[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(states[place], net.encode(alone)[-1][0], atol=1e-5, rtol=0)
        first += len(segment)
    assert scored[-1] == 0


def test_a_sentence_has_the_same_vector_in_any_batch(net):
    texts = [[5, 9, 11, 4, 8], [7], [30, 2, 44]]
    framed = [net.frame(text)[0] for text in texts]
    batch = {name: torch.zeros(3, 6, dtype=torch.long) for name in ("ids", "segments")}
    for row, ids in enumerate(framed):
        batch["ids"][row, : len(ids)], batch["segments"][row, : len(ids)] = torch.tensor(ids), 1
    together = net.summary(net.encode(batch), batch)
    for row, ids in enumerate(framed):
        alone = {"ids": torch.tensor([ids]), "segments": torch.ones(1, len(ids), dtype=torch.long)}
        torch.testing.assert_close(net.summary(net.encode(alone), alone)[0], together[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(net.encode(alone)[-1][0, -1], together[row], atol=1e-5, rtol=0)


def test_a_later_token_moves_no_earlier_state(net):
    batch = rows()
    changed = batch["ids"].clone()
    changed[:, 4] = 1
    before, after = net.encode(batch)[-1], net.encode({"ids": changed})[-1]
    torch.testing.assert_close(before[:, :4], after[:, :4], atol=0, rtol=0)
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


def test_reading_on_is_reading_at_once_and_rows_choose(net):
    prompts = [[0, 5, 9, 11], [0, 7], [0, 30, 6, 4]]
    scores, memory = net.advance(prompts)
    for row, ids in enumerate(prompts):
        torch.testing.assert_close(net.advance([ids])[0][0], scores[row], atol=1e-5, rtol=0)
    chosen = memory.rows([2, 0, 2])
    more, _ = net.advance([[8], [3, 9], [17]], chosen)
    for row, ids in enumerate([[*prompts[2], 8], [*prompts[0], 3, 9], [*prompts[2], 17]]):
        torch.testing.assert_close(more[row], net.advance([ids])[0][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(net.advance([[8]], memory.rows([1]))[0][0], net.advance([[0, 7, 8]])[0][0], atol=1e-5, rtol=0)


def test_of_the_specials_the_end_alone_may_come_though_all_have_a_share():
    net = network(facts=WORDS)
    scores, _ = net.advance([[2, 7, 9]])
    assert torch.isneginf(scores[0, [0, 1]]).all() and torch.isfinite(scores[0, 2:]).all()
    unknown = net.score({"ids": torch.tensor([[2, 7, 9, 0]])})[0, -1]
    assert scores[0].exp().sum().item() + math.exp(-unknown) < 1 < math.inf


def test_frame():
    net = network(facts=WORDS)
    assert net.frame([5, 6]) == ([2, 5, 6], [0, 0, 0]) and net.frame([]) == ([2], [0])
    assert net.frame([5, 6], [7]) == ([2, 5, 6, 2, 7], [0] * 5)
    assert net.end == 2 and net.task_input() is net and net.max_length is None


def test_layers_hold_each_parameter_once(net):
    names = [name for layer in net.layers() for name in layer.parameters]
    assert sorted(names) == sorted(dict(net.named_parameters()))
    assert [layer.name for layer in net.layers()] == ["embeddings", "layer 1", "layer 2", "top"]


def test_weights_saved_and_loaded_give_the_same_loss(net):
    saved = {name: array.copy() for name, array in weights(net).items()}
    settings = net.config
    torch.manual_seed(9)
    again = LSTM(settings, TokenFacts(V, BPE.specials, COUNTS)).eval()
    load_weights(again, saved)
    assert again.loss(rows()).mean.item() == net.loss(rows()).mean.item()


def test_sampled_trains_near_the_whole_softmax_and_scores_by_it():
    net, full = network("sampled", negatives=4000, facts=WORDS), network("full", facts=WORDS)
    full.load_state_dict(net.state_dict())
    batch = rows()
    assert net.loss(batch).mean.item() == full.loss(batch).mean.item()
    assert net.train().loss(batch).mean.item() == pytest.approx(full.loss(batch).mean.item(), rel=0.02)


def test_penalties_are_in_the_loss_of_training_alone_and_never_reported():
    plain, batch = network(), rows()
    both = network(activation=2.0, temporal=1.0)
    states = plain.encode(batch)[-1][..., : plain.config.sizes[-1]]
    expected = 2 * states.square().mean() + (states[:, 1:] - states[:, :-1]).square().mean()
    assert both.eval().loss(batch).mean.item() == plain.loss(batch).mean.item()
    trained = both.train().loss(batch)
    assert (trained.mean - plain.loss(batch).mean).item() == pytest.approx(expected.item(), rel=1e-4)
    assert trained.parts["tokens"][0].item() == pytest.approx(plain.loss(batch).parts["tokens"][0].item(), rel=1e-6)
    assert both.loss(piece(batch, slice(0, 1))).mean.isfinite()  # no two states to compare


def test_dropouts_act_in_training_alone():
    drops = {"dropout": 0.3, "dropout_input": 0.3, "dropout_hidden": 0.3, "dropout_embedding": 0.2, "weight_drop": 0.4}
    batch = rows()
    for locked in (False, True):
        net = network(locked=locked, **drops)
        assert net.loss(batch).mean.item() == network().loss(batch).mean.item()
        net.train()
        assert net.loss(batch).mean.item() != net.loss(batch).mean.item()


def test_dropped_words_are_gone_from_all_places():
    net = network(dropout_embedding=0.5).train()
    torch.manual_seed(0)
    ids = torch.arange(V).repeat(2, 1)
    embedded = net._embed(ids)
    gone = (embedded == 0).all(-1)
    assert torch.equal(gone[0], gone[1]) and 10 < gone[0].sum() < V - 10
    torch.testing.assert_close(embedded[~gone], 2 * net.tokens(ids)[~gone])


def test_errors_name_the_mend():
    with pytest.raises(UsageError, match=r"set model\.last = 12, or tied = false"):
        Config(width=12, inner=20, tied=True)
    with pytest.raises(UsageError, match="set tied = false"):
        Config(tied=True, output="adaptive")
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to bpe"):
        LSTM(Config(), TokenFacts(9, {"cls": 1}))
    with pytest.raises(DataError, match="leave such batches out"):
        network().loss({"ids": torch.zeros(1, 3, dtype=torch.long), "labels": torch.full((1, 3), IGNORE)})


def test_bfloat16_is_near(net):
    batch = rows()
    exact = net.loss(batch).mean.item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = net.loss(batch)
    assert loss.mean.item() == pytest.approx(exact, rel=0.02)
    assert {tensor.dtype for tensor in loss.carried.values()} == {torch.float32}


@pytest.mark.parametrize("output", OUTPUTS)
def test_two_hundred_tokens_are_learnt_by_heart(output):
    net = network(output, width=32, inner=32, last=32, cutoffs=(20,)).train()  # one cluster: the next has 2 numbers a state
    torch.manual_seed(5)
    stream = torch.randint(1, V, (4, 51))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        carried = None
        for window in (slice(0, 25), slice(25, 50)):
            batch = {"ids": stream[:, :-1][:, window], "labels": stream[:, 1:][:, window]}
            loss = net.loss(batch, carried)
            carried = loss.carried
            optimiser.zero_grad()
            loss.mean.backward()
            optimiser.step()
    assert net.eval().loss({"ids": stream[:, :-1], "labels": stream[:, 1:]}).mean.exp().item() < 1.1
