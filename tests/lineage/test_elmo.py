"""ELMo: the formulas in NumPy float64, no direction sees the word that it predicts, carried state, and the mirrored stream."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stemma.errors import UsageError
from stemma.layers.spelling import BEGIN_WORD, END_WORD, LONGEST, PADDING, spell
from stemma.layers.weights import weights
from stemma.lineage.elmo import Config, ELMo
from stemma.objectives.both_ways import BothWays, Mirrored
from stemma.objectives.both_ways import Config as Columns
from stemma.tokens.facts import TokenFacts

WORDS = ["<unk>", "<s>", "</s>", "sailor", "雨", "sea", "a", "水手", "internationalisation", "🦭"]
FACTS = TokenFacts(len(WORDS), {"unk": 0, "bos": 1, "eos": 2}, np.arange(1, len(WORDS) + 1), WORDS)


def network(**options) -> ELMo:
    """A small network whose clips act."""
    torch.manual_seed(0)
    chosen = {"characters": 3, "filters": (2, 5, 4), "highways": 2, "width": 6, "cells": 7, "depth": 3, "clip": 0.3, "output": "full"}
    net = ELMo(Config(**{**chosen, **options}), FACTS).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.5)
    return net


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def restated(net: ELMo, ids: list[int]) -> list[np.ndarray]:
    """The states of every layer for one text of words, in float64, by the paper's formulas."""
    w = {name: array.astype(np.float64) for name, array in weights(net).items()}
    config, clip = net.config, net.config.clip
    x = []
    for word in ids:
        characters = w["words.characters.weight"][net.spelled[word].long().numpy()]
        y = []
        for place, number in enumerate(config.filters):
            windows = np.stack([characters[k : k + place + 1].T for k in range(LONGEST - place)])
            y.append((np.einsum("kdw,ndw->kn", windows, w[f"words.filters.{place}.weight"]) + w[f"words.filters.{place}.bias"]).max(0))
            assert len(y[-1]) == number
        v = np.maximum(np.concatenate(y), 0)
        for k in range(config.highways):
            g, t = (w[f"words.highways.{k}.{part}.weight"] @ v + w[f"words.highways.{k}.{part}.bias"] for part in ("gate", "transform"))
            v = sigmoid(g) * np.maximum(t, 0) + (1 - sigmoid(g)) * v
        x.append(w["words.project.weight"] @ v + w["words.project.bias"])
    found = {}
    for name, order in (("forward", range(len(ids))), ("backward", [0, *range(len(ids) - 1, 0, -1)])):
        layers = [{} for _ in range(config.depth)]
        h, c = np.zeros((config.depth, config.width)), np.zeros((config.depth, config.cells))
        for t in order:
            below = x[t]
            for n in range(config.depth):
                lstm = {part: w[f"{name}_chain.lstms.{n}.{part}"] for part in ("inputs", "recurrent", "bias", "project")}
                i, f, g, o = np.split(lstm["inputs"] @ below + lstm["recurrent"] @ h[n] + lstm["bias"], 4)
                c[n] = np.clip(sigmoid(f) * c[n] + sigmoid(i) * np.tanh(g), -clip, clip)
                h[n] = np.clip(lstm["project"] @ (sigmoid(o) * np.tanh(c[n])), -clip, clip)
                below = h[n] + below if n and config.skip else h[n].copy()
                layers[n][t] = below
        found[name] = [np.stack([layer[t] for t in range(len(ids))]) for layer in layers]
    first = np.stack(x)
    return [np.concatenate([first, first], 1), *(np.concatenate(pair, 1) for pair in zip(*found.values(), strict=True))]


@pytest.mark.parametrize("skip", [True, False])
def test_every_layer_is_the_papers_alone_and_among_others(skip):
    net = network(skip=skip)
    texts = [[2, 3, 4, 8, 5, 9], [2, 7, 6]]
    ids = torch.tensor([texts[0], [*texts[1], 2, 2, 2]])
    segments = torch.tensor([[1] * 6, [1] * 3 + [0] * 3])
    states = net.encode({"ids": ids, "segments": segments})
    for row, text in enumerate(texts):
        for layer, expected in zip(states, restated(net, text), strict=True):
            np.testing.assert_allclose(layer[row, : len(text)].detach().numpy(), expected, atol=2e-6)


def test_no_direction_sees_the_word_that_it_predicts():
    net = network(clip=50.0)
    x = torch.randn(1, 5, 6, requires_grad=True)
    for outputs in net.forward_chain(x)[0]:
        for t in range(5):
            (slope,) = torch.autograd.grad(outputs[0, t].sum(), x, retain_graph=True)
            assert not slope[0, t + 1 :].any() and slope[0, : t + 1].any(1).all()
    ids, place = torch.tensor([[2, 3, 4, 8, 5]]), net.config.width
    kept = net._embed(ids).detach().requires_grad_()
    net._embed = lambda *_: kept
    for layer in net.encode({"ids": ids})[1:]:
        for t in range(1, 5):
            ahead, behind = (torch.autograd.grad(part.sum(), kept, retain_graph=True)[0][0] for part in layer[0, t].split(place))
            assert not ahead[t + 1 :].any() and ahead[: t + 1].any(1).all()
            assert not behind[1:t].any() and behind[t:].any(1).all()


def test_a_stream_in_two_batches_is_the_stream_in_one():
    net = network()
    torch.manual_seed(1)
    stream = {name: torch.randint(0, len(WORDS), (3, 8)) for name in ("ids", "labels", "back_ids", "back_labels")}
    whole = net.loss(stream)
    first = net.loss({name: part[:, :3] for name, part in stream.items()})
    second = net.loss({name: part[:, 3:] for name, part in stream.items()}, first.carried)
    for name in ("forward", "backward"):
        assert whole.parts[name][0].item() == pytest.approx((first.parts[name][0] + second.parts[name][0]).item(), rel=1e-5)
    assert whole.mean.item() == pytest.approx(sum(nats.item() / 48 for nats, _ in whole.parts.values()), rel=1e-5)
    fresh = net.loss({name: part[:, 3:] for name, part in stream.items()} | {"begins": torch.ones(3, dtype=torch.bool)}, first.carried)
    assert fresh.mean.item() == pytest.approx(net.loss({name: part[:, 3:] for name, part in stream.items()}).mean.item(), rel=1e-6)


def test_words_beyond_the_targets_are_read_by_their_spelling_and_predicted_as_unknown():
    whole, net = network(), network(targets=5)
    assert len(net.table) == 5 and net.frequencies.tolist() == [1 + sum(range(6, 11)), 2, 3, 4, 5]
    net.load_state_dict(whole.state_dict() | {name: net.state_dict()[name] for name in ("table", "bias", "frequencies")})
    ids = torch.tensor([[2, 3, 8, 5, 9]])
    for layer, expected in zip(net.encode({"ids": ids}), whole.encode({"ids": ids}), strict=True):
        assert torch.equal(layer, expected)
    other = ids.clone()
    other[0, 2] = 7
    assert torch.equal(net.score({"ids": ids})[:, 2], net.score({"ids": other})[:, 2])  # either is the unknown word
    assert not torch.equal(net.score({"ids": ids})[:, 3], net.score({"ids": other})[:, 3])  # but is read as itself
    back = {"back_ids": ids, "back_labels": ids}
    cut = net.loss({"ids": ids, "labels": ids, **back}).mean
    assert torch.equal(cut, net.loss({"ids": ids, "labels": torch.where(ids < 5, ids, 0), **back}).mean)
    assert net.lacks(np.array([0, 4, 5, 9, 99])).tolist() == [True, False, True, True, True]


def test_a_word_of_no_vocabulary_is_read_as_one_of_the_vocabulary_is():
    net = network()
    known = net.encode({"ids": torch.tensor([[2, 5, 8, 7, 2]])})
    beyond = torch.from_numpy(net.spell([WORDS[7], WORDS[5]]))
    batch = {"ids": torch.tensor([[2, 11, 8, 10, 2]]), "spelled": beyond}
    for layer, expected in zip(net.encode(batch), known, strict=True):
        torch.testing.assert_close(layer, expected)


def test_the_baseline_counts_words_beyond_the_targets_as_one():
    counts = np.arange(1, len(WORDS) + 1)
    ids = np.repeat(np.arange(len(WORDS)), counts)
    store = SimpleNamespace(
        ids=ids, counts=counts, documents=3, sentence_starts=np.array([0, 9, 20, len(ids)]), document_starts=np.arange(4)
    )
    predicted = np.array([1 + sum(range(6, 11)), 2, 3, 4, 5, 3])
    shares = predicted / predicted.sum()
    data = BothWays(store, FACTS, Columns(4), seed=0, batch_tokens=12, targets=5)
    assert data.constant_losses(store)["backward"] == pytest.approx(-(shares * np.log(shares)).sum())


def test_byte_level_tokens_are_read_by_the_bytes_that_they_stand_for():
    facts = TokenFacts(4, {"eos": 0}, np.ones(4), ["<|endoftext|>", "Ġthe", "éĽ¨", "éĽ"], byte_level=True)
    the, rain, part = ELMo(Config(filters=(4, 4), width=6, cells=5), facts).spelled[1:].tolist()
    assert the[1:6] == [*b" the", END_WORD] and rain[1:5] == [*"雨".encode(), END_WORD] and part[1:4] == [*"雨".encode()[:2], END_WORD]


def test_words_are_cut_at_48_bytes():
    rain, water, less, long, nothing = spell(["雨", "水" * 17, "水" * 16, "x" * 90, ""]).tolist()
    assert rain[:6] == [BEGIN_WORD, *"雨".encode(), END_WORD, PADDING]
    assert water == less and len(long) == LONGEST and long[-1] == END_WORD and nothing[:3] == [BEGIN_WORD, END_WORD, PADDING]


def test_the_mirrored_text_is_predicted_once_and_ends_where_it_began():
    rng = np.random.default_rng(0)
    store = SimpleNamespace(
        ids=rng.integers(3, 10, 47), sentence_starts=np.array([0, 5, 20, 31, 47]), document_starts=np.array([0, 1, 3, 4])
    )
    mirrored = Mirrored.of(store)
    borders = mirrored.sentence_starts[mirrored.document_starts]
    assert borders.tolist() == [0, 16, 42, 47] and (mirrored.ids[:16] == store.ids[31:][::-1]).all()
    data = BothWays(store, FACTS, Columns(4), seed=0, batch_tokens=12)
    batches = [data.batch(step) for step in range(data.steps_in_epoch(0))]
    for name in ("labels", "back_labels"):
        predicted = np.concatenate([batch[name][batch[name] >= 0] for batch in batches])
        assert (np.bincount(predicted, minlength=10) == np.bincount([*store.ids, 2, 2, 2], minlength=10)).all()


def test_errors_name_the_mend():
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to word"):
        ELMo(Config(), TokenFacts(9, {"cls": 1}))
    for specials in ({"eos": 2}, {"eos": 2, "unk": 3}):
        with pytest.raises(UsageError, match=r"set model\.targets = 0"):
            ELMo(Config(targets=3), TokenFacts(9, specials))
