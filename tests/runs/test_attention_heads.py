"""Where a run looks: its heads with their tokens, in both languages, and the steps behind them."""

import numpy as np
import pytest
import torch

from stemma.errors import DataError, UsageError
from stemma.lineage.network import AttentionMap
from stemma.runs.attention_heads import AttentionHead, heads_of
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

TEXTS = ["the old sailor told a story", "老水手讲了一个故事", "雨 rain 雨", ""]
DEPTH, HEADS = 2, 2


@pytest.fixture(scope="module", params=["gpt", "bert"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "text.txt").write_text("\n".join(TEXTS[:3] * 20), encoding="utf-8")
    sizes = ["tokenizer.vocab_size=290", "training.steps=20", "training.batch_tokens=64", "model.width=16", "model.inner=32"]
    sizes += [f"model.depth={DEPTH}", f"model.heads={HEADS}", "model.max_length=40", "training.threads=1"]
    pretrain(Request.of(request.param, folder / "text.txt", preset="tiny", settings=sizes), out=folder / "run")
    return Run.open(folder / "run")


@pytest.mark.parametrize("text", TEXTS)
def test_every_head_of_every_layer_is_given_with_its_tokens(run, text):
    heads = run.attend(text)
    assert [(one.layer, one.head) for one in heads] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    framed, _ = run.network.frame(run.tokenizer.encode(text).tolist())
    for one in heads:
        assert len(one.rows) == len(one.columns) == len(framed) == one.weights.shape[0] == one.weights.shape[1]
        np.testing.assert_allclose(one.weights.sum(1), 1, atol=1e-6)
        if one.kind == "decoder causal self":
            assert (np.triu(one.weights, 1) == 0).all()
        assert 1 <= one.spread <= len(framed)
    assert {one.kind for one in heads} == {"decoder causal self" if run.row.name == "gpt" else "encoder self"}
    assert set(text) - {" "} <= set("".join(heads[0].rows))  # every character can be read off, be it cut into bytes


def test_the_steps_are_those_of_the_head(run):
    for one in run.attend("the sailor told", "一个故事"):
        steps = one.steps()
        np.testing.assert_allclose(steps.weights.numpy(), one.weights, atol=1e-6)
        np.testing.assert_allclose(steps.output.numpy(), one.weights @ one.vectors[2], atol=1e-5)


def test_the_second_text_of_a_pair_is_seen(run):
    alone, pair = run.attend("the sailor"), run.attend("the sailor", "a story")
    assert pair[0].columns[: len(alone[0].columns)] == alone[0].columns and len(pair[0].columns) > len(alone[0].columns)


def test_a_text_too_long_is_refused(run):
    with pytest.raises(DataError, match="at most 40"):
        run.attend("the sailor told " * 40)


def test_spread_counts_the_tokens_looked_at():
    even = AttentionHead("soft", 1, 1, ("a", "b"), tuple("wxyz"), np.array([[0.25] * 4, [0, 1, 0, 0]], np.float32), None)
    assert even.spread == pytest.approx(2.5)
    relative = AttentionHead("relative self", 1, 1, ("a", "b"), ("a", "b"), np.eye(2, dtype=np.float32), None)
    for one, told in ((even, "three stages"), (relative, "distances and segments")):
        with pytest.raises(UsageError, match=f"{told}.*without the steps"):
            one.steps()


def test_rows_and_columns_may_be_of_two_texts(run):
    rows, columns = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 10, 11]])
    one, other = heads_of([AttentionMap("encoder-decoder", 1, rows, columns, torch.full((1, 2, 3, 4), 0.25))], run.tokenizer)
    assert one.rows == tuple(run.tokenizer.read([5, 6, 7])) and len(other.columns) == 4 and (one.head, other.head) == (1, 2)


def test_a_generation_that_does_not_attend_says_so(tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(TEXTS[:3] * 20), encoding="utf-8")
    settings = ["tokenizer.min_count=1"]
    pretrain(Request.of("ngram", tmp_path / "text.txt", preset="tiny", settings=settings), out=tmp_path / "run")
    with pytest.raises(UsageError, match="ngram cannot attend"):
        Run.open(tmp_path / "run").attend("the sailor")
