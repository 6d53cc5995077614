"""Cloze: the same gaps for every run, filled as a plain loop fills them, and what needs no model beside it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stemma.corpus.document import Document
from stemma.errors import DataError, UsageError
from stemma.evaluation.measures.cloze import cloze, gaps
from stemma.lineage import bert
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train

ENGLISH = "The mill is old, and the river is low. "
CHINESE = "使用语言模型来预测下一个词。"
TEXTS = [ENGLISH * 4, CHINESE * 3, "Word2Vec 使用 models, and the mill."]


@pytest.fixture(scope="module", params=["wordpiece", "unigram"])
def run(request):
    tokenizer = train(iter([ENGLISH, CHINESE] * 3), Config(kind=request.param, vocab_size=70, words="rjieba"))
    torch.manual_seed(1)
    config = bert.Config(width=16, depth=1, heads=2, inner=32, max_length=48, dropout=0.0)
    network = bert.BERT(config, tokenizer.facts()).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(6)  # far from even
    unknown = tokenizer.specials["unk"]
    return SimpleNamespace(tokenizer=tokenizer, network=network, row=SimpleNamespace(abilities=("fill",)), lacks=lambda ids: ids == unknown)


def documents(texts):
    return [Document((text,), "given") for text in texts]


def test_gaps_are_of_the_text_alone_and_of_whole_units():
    words = gaps(TEXTS[0], "words", 0.15)
    assert len(words) == round(0.15 * 44)  # nine words and two symbols, four times
    assert {TEXTS[0][start:end] for start, end in words} <= {"The", "mill", "is", "old", ",", "and", "the", "river", "low", "."}
    assert {TEXTS[1][start:end] for start, end in gaps(TEXTS[1], "words", 1.0)} >= {"语言", "预测"}
    single = gaps(TEXTS[2], "characters", 1.0)
    assert [TEXTS[2][start:end] for start, end in single] == ["Word2Vec", "使", "用", "models", ",", "and", "the", "mill", "."]


@pytest.mark.parametrize("units", ["words", "characters"])
def test_gaps_are_filled_as_a_plain_loop_fills_them(run, units):
    """Short texts, one window each: every gap masked at once, the likeliest token at each mask."""
    texts = [text[:24] for text in TEXTS]
    right, bits, masks, keys, units_hidden = 0, 0.0, 0, [], []
    for text in texts:
        ids, spans = run.tokenizer.encode_offsets(text)
        holes = [[n for n, (start, end) in enumerate(spans) if start < last and end > first] for first, last in gaps(text, units, 0.5)]
        masked = [run.tokenizer.specials["mask"] if any(n in hole for hole in holes) else int(i) for n, i in enumerate(ids)]
        framed, types = run.network.frame(masked)
        scores = run.network.fill({"ids": torch.tensor([framed]), "types": torch.tensor([types])})
        scores = dict(zip((n for n, i in enumerate(masked) if i == run.tokenizer.specials["mask"]), scores, strict=True))
        for hole in holes:
            wanted = [int(ids[n]) for n in hole]
            right += [int(scores[n].argmax()) for n in hole] == wanted and not run.lacks(np.array(wanted)).any()
            bits -= sum(float(torch.log_softmax(scores[n].double(), -1)[i]) for n, i in zip(hole, wanted, strict=True)) / np.log(2)
            masks += len(hole)
            keys.append(tuple(wanted))
        units_hidden += [text[first:last] for first, last in gaps(text, units, 0.5)]
    found = cloze(run, documents(texts), units, 0.5)
    known = [key for key in keys if not run.lacks(np.array(key)).any()]
    assert found.gaps == len(keys) and found.unknown == len(keys) - len(known)
    assert (found.right.value, found.masks_per_gap) == pytest.approx((right / len(keys), masks / len(keys)))
    assert found.bits_per_gap == pytest.approx(bits / len(keys), rel=1e-5)
    assert found.most_frequent == pytest.approx(max(map(units_hidden.count, units_hidden)) / len(keys))


def test_no_gap_is_lost_between_windows(run):
    """A text of many windows has all of its gaps in some window, whole."""
    texts = documents([TEXTS[0] * 5, TEXTS[1] * 5])
    assert cloze(run, texts, "words", 0.4).gaps == sum(len(gaps(text.text, "words", 0.4)) for text in texts)


def test_a_network_that_knows_the_answers_fills_all_but_the_unknown(run, monkeypatch):
    """The scores of each mask point at the token that stood there, whatever window it is in."""
    ids, mask = run.tokenizer.encode(ENGLISH * 6).tolist(), run.tokenizer.specials["mask"]

    def knowing(batch):
        answers, lead = [], run.network.frame([-1])[0].index(-1)
        for row, real in zip(batch["ids"].tolist(), batch["segments"].sum(1).tolist(), strict=True):
            own = row[lead : real - 1]
            first = next(n for n in range(len(ids)) if all(a in (b, mask) for a, b in zip(own, ids[n:], strict=False)))
            answers += [ids[first + n] for n, i in enumerate(own) if i == mask]
        return torch.nn.functional.one_hot(torch.tensor(answers), run.tokenizer.vocab_size) * 30.0

    monkeypatch.setattr(run.network, "fill", knowing)
    found = cloze(run, documents([ENGLISH * 6]), "words", 0.2)
    assert found.gaps > 10 and found.right.value == 1 - found.unknown / found.gaps
    assert found.bits_per_gap < 1e-6


def test_what_cannot_be_asked_is_refused(run):
    with pytest.raises(DataError, match="no gap"):
        cloze(run, documents(["", "\n"]))
    with pytest.raises(UsageError, match="units 'pieces'"):
        cloze(run, documents([ENGLISH]), "pieces")
    with pytest.raises(UsageError, match="share"):
        cloze(run, documents([ENGLISH]), share=0.0)
