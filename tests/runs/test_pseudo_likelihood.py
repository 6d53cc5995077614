"""Pseudo-log-likelihoods held to their definition: one mask after another, by hand, in English and Chinese."""

import numpy as np
import pytest
import torch

from stemma.layers.loss import surprisal
from stemma.lineage import bert, gpt
from stemma.objectives.batch import IGNORE
from stemma.runs import pseudo_likelihood
from stemma.runs.pseudo_likelihood import gap_nats, pseudo_nats
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train

LINES = ["the cat sat on the mat", "a dog sat", "今天天气很好", "天气好我们就去看花"] * 3
WHOLE = ["the cat sat", "a dog sat on the mat", "天"]  # a token each word
PIECES = ["the caton matthe", "今天天气很好 the cats", "我们", "zebra", ""]


@pytest.fixture(scope="module")
def tokenizer():
    return train(iter(LINES), Config(kind="wordpiece", vocab_size=90, words="rjieba"))


def network(tokenizer, max_length=24):
    torch.manual_seed(3)
    config = bert.Config(width=20, depth=2, heads=2, inner=28, max_length=max_length, dropout=0.0)
    net = bert.BERT(config, tokenizer.facts()).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(6)  # far from even, so that a wrong mask shows
    return net


def by_hand(net, tokenizer, text, within=True):
    """The definition, a forward pass a token, from the scores that `fill` gives."""
    ids, _, starts = tokenizer.encode_words([text])
    words, total = np.cumsum(starts), 0.0
    for place, token in enumerate(ids.tolist()):
        hidden = [n for n in range(place, len(ids)) if n == place or (within and words[n] == words[place])]
        masked = [tokenizer.specials["mask"] if n in hidden else int(i) for n, i in enumerate(ids)]
        framed, types = net.frame(masked)
        scores = net.fill({"ids": torch.tensor([framed]), "types": torch.tensor([types])})
        total -= float(scores[0].log_softmax(-1)[token])
    return total


@pytest.mark.parametrize("text", WHOLE)
def test_of_one_token_words_it_is_the_plain_sum_over_one_mask(tokenizer, text):
    net = network(tokenizer)
    assert all(tokenizer.encode_words([text])[2])
    assert pseudo_nats(net, tokenizer, [text]) == pytest.approx([by_hand(net, tokenizer, text, within=False)], rel=1e-5)


def test_later_tokens_of_the_word_are_masked_too_and_batches_change_nothing(tokenizer, monkeypatch):
    net, texts = network(tokenizer), [*PIECES, *WHOLE]
    expected = [by_hand(net, tokenizer, text) for text in texts]
    plain = [by_hand(net, tokenizer, text, within=False) for text in texts]
    assert all(abs(a - b) > 0.02 for a, b in zip(expected[:3], plain[:3], strict=True))
    for positions in (1, 50, 4096):
        monkeypatch.setattr(pseudo_likelihood, "POSITIONS", positions)
        assert pseudo_nats(net, tokenizer, texts) == pytest.approx(expected, rel=1e-5)
    assert pseudo_nats(net, tokenizer, []) == [] and expected[texts.index("")] == 0


def test_a_text_longer_than_the_window_has_every_token_scored_once(tokenizer):
    net, text = network(tokenizer, max_length=7), "a dog sat on the mat 今天天气很好 the cat"
    short, long = network(tokenizer, max_length=7), pseudo_nats(net, tokenizer, [text])
    batches = []
    short.label_nats = lambda batch: batches.append(batch) or net.label_nats(batch)
    assert pseudo_nats(short, tokenizer, [text]) == long
    labels = torch.cat([batch["labels"][batch["labels"] != IGNORE] for batch in batches]).tolist()
    assert sorted(labels) == sorted(tokenizer.encode(text).tolist()) and all(batch["ids"].shape[1] <= 7 for batch in batches)


class LeftToRight:
    """A GPT used as if it filled masks: it reads the tokens left of the scored one alone."""

    def __init__(self, net):
        self.net, self.max_length = net, net.max_length

    def frame(self, ids, other=None):
        return self.net.frame(ids, other)

    def label_nats(self, batch):
        rows, columns = torch.nonzero(batch["labels"] != IGNORE, as_tuple=True)
        states = self.net.encode({"ids": batch["ids"], "segments": batch["segments"]})[-1][rows, columns - 1]
        return surprisal(states, self.net.tokens.weight, None, batch["labels"][rows, columns])


@pytest.mark.parametrize("texts", [["the cat sat on the mat", "x"], ["今天天气很好", "天气 🌸 matmat"]])
def test_of_a_left_to_right_model_it_is_the_chain(texts):
    pieces = train(iter(LINES), Config(kind="bpe", vocab_size=280, words="rjieba"))
    pieces.specials["mask"] = 0
    torch.manual_seed(1)
    net = gpt.GPT(gpt.Config(width=20, depth=2, heads=2, inner=28, max_length=64), pieces.facts()).eval()
    chain = []
    for text in texts:
        framed, _ = net.frame(pieces.encode(text).tolist())
        chain.append(float(net.score({"ids": torch.tensor([framed])}).sum()))
    assert pseudo_nats(LeftToRight(net), pieces, texts) == pytest.approx(chain, rel=1e-5)


def gap_by_hand(net, tokenizer, text, start, end, whole):
    """The tokens of the gap one by one: those of the gap (or of the word in it) from there on are masked, all others stand."""
    (ids, _, starts), (_, spans) = tokenizer.encode_words([text]), tokenizer.encode_offsets(text)
    words, total = np.cumsum(starts), 0.0
    gap = [n for n, (first, last) in enumerate(spans) if last > start and first < end]
    for place in gap:
        hidden = [n for n in range(place, len(ids)) if (n in gap if whole else words[n] == words[place])]
        masked = [tokenizer.specials["mask"] if n in hidden else int(i) for n, i in enumerate(ids)]
        framed, types = net.frame(masked)
        scores = net.fill({"ids": torch.tensor([framed]), "types": torch.tensor([types])})
        total -= float(scores[0].log_softmax(-1)[int(ids[place])])
    return total, len(gap)


@pytest.mark.parametrize("whole", [True, False])
def test_a_gap_is_priced_token_by_token_and_nothing_else_is(tokenizer, whole):
    net = network(tokenizer)
    texts = ["the caton matthe", "今天天气很好我们去看花", "the cat", "a dog sat 😀", ""]
    gaps = [(4, 16), (2, 8), (4, 7), (0, 5), (0, 0)]
    expected = [gap_by_hand(net, tokenizer, text, *gap, whole) for text, gap in zip(texts, gaps, strict=True)]
    nats, tokens = gap_nats(net, tokenizer, texts, gaps, [whole] * 5)
    assert nats.tolist() == pytest.approx([found for found, _ in expected], rel=1e-5) and expected[0][1] > 2
    assert tokens.tolist() == [count for _, count in expected] and tokens[-1] == 0
    assert gap_nats(net, tokenizer, [], [], [])[0].tolist() == []


def test_all_fillings_of_a_whole_gap_share_one(tokenizer):
    """By the chain rule: of two masks, P(first) times P(second | first), summed over every pair of tokens."""
    net, size = network(tokenizer), tokenizer.vocab_size
    framed, types = net.frame([*tokenizer.encode("the cat").tolist(), tokenizer.specials["mask"], tokenizer.specials["mask"]])
    first = net.fill({"ids": torch.tensor([framed]), "types": torch.tensor([types])})[0].softmax(-1)
    second = []
    for token in range(size):
        ids = [token if n == framed.index(tokenizer.specials["mask"]) else i for n, i in enumerate(framed)]
        second.append(net.fill({"ids": torch.tensor([ids]), "types": torch.tensor([types])})[-1].softmax(-1))
    table = first[:, None] * torch.stack(second)
    assert float(table.detach().sum()) == pytest.approx(1, abs=1e-5)
    two = tokenizer.encode("the cat matat")[-2:].tolist()
    nats, tokens = gap_nats(net, tokenizer, ["the cat matat"], [(8, 13)], [True])
    assert tokens.tolist() == [2] and float(nats[0]) == pytest.approx(float(-table[two[0], two[1]].log()), rel=1e-4)


def test_a_gap_of_a_text_longer_than_the_window_has_every_token_scored_once(tokenizer):
    net, text = network(tokenizer, max_length=7), "a dog sat on the mat 今天天气很好 the cat sat"
    batches, label_nats = [], net.label_nats
    net.label_nats = lambda batch: batches.append(batch) or label_nats(batch)
    _, tokens = gap_nats(net, tokenizer, [text], [(9, len(text))], [False])
    labels = torch.cat([batch["labels"][batch["labels"] != IGNORE] for batch in batches])
    assert len(labels) == tokens[0] == len(tokenizer.encode(text)) - len(tokenizer.encode(text[:9]))
