"""Runs whose network ONNX Runtime computes say what they say in PyTorch: vectors, answers, and text token for token."""

import numpy as np
import pytest
from tests.export.onnx_runs import CHINESE, ENGLISH, UNSEEN, fitted, made

from stemma.errors import DataError, UsageError
from stemma.lineage.table import find
from stemma.runs.decoding import Decoding
from stemma.serving.engines import through

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TEXTS = [*ENGLISH, *CHINESE, "", "x", "🌧", " ".join(ENGLISH * 12)]  # the last one is longer than a window
GREEDY, BEAMS = Decoding(temperature=0.0), Decoding(beams=3)
SHALLOW = {"depth": 1}  # every file is compared with PyTorch when it is written; what is kept of several layers, `gpt` shows
RUNS = [
    ("nnlm", {}), ("word2vec", {}), ("glove", {}), ("lstm", {}), ("elmo", SHALLOW), ("gpt", {}), ("bert", {}),
    ("seq2seq", {"feeding": True, "attention": "additive"}),
]  # fmt: skip
DEEPER = [
    ("bert-wwm", {}), ("tinybert", {}), ("elmo", {}), ("gpt2", {}), ("albert", {}), ("xlnet", {}), ("transformer", {"norm": "pre"}),
    ("seq2seq", {"cell": "gru"}), ("seq2seq", {}),
]  # fmt: skip


def slow(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("name", "sizes"), [*RUNS, *slow(DEEPER)])
def test_vectors_and_what_is_written_are_the_same(exported, name, sizes):
    ours, file = exported(name, **sizes)
    theirs = through(ours, str(file))
    np.testing.assert_allclose(theirs.embed(TEXTS), ours.embed(TEXTS), atol=1e-4)
    if name in ("gpt", "gpt2", "lstm"):
        prompts = ["the old sailor", "", "大海", "a"]
        same_text(*(run.write(prompts, length=80, options=GREEDY) for run in (ours, theirs)))
        assert ours.generate("the cat", length=9, options=BEAMS) == theirs.generate("the cat", length=9, options=BEAMS)
    if "translate" in ours.row.abilities:
        for options in (GREEDY, BEAMS):
            same_text(*(run.translations([*ENGLISH, *CHINESE, "🌧", ""], options=options) for run in (ours, theirs)))


def same_text(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0].ids == other[0].ids and mine[0].log_prob == pytest.approx(other[0].log_prob, abs=1e-3)


FITTED = [
    ("bert", "classify", "finetune"), ("nnlm", "classify", "frozen"), ("nnlm", "classify", "frozen-network"),
    ("word2vec", "classify", "finetune"), ("gpt", "pair", "finetune"), ("nnlm", "regress", "frozen"),
    ("nnlm", "choice", "finetune"), ("lstm", "span", "finetune"),
    ("bert", "tag", "frozen"), ("lstm", "tag", "finetune"),
]  # fmt: skip
LARGER = [  # heads of those above on networks of those above
    ("bert", "classify", "frozen"), ("xlnet", "classify", "frozen-network"), ("gpt2", "regress", "frozen"),
    ("albert", "choice", "finetune"), ("bert", "choice", "frozen"), ("word2vec", "choice", "frozen"),
    ("bert", "span", "frozen"), ("lstm", "span", "frozen-network"),
    ("transformer", "span", "finetune"), ("elmo", "span", "frozen-network"), ("elmo", "tag", "finetune"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "task", "way"), [*FITTED, *slow(LARGER)])
def test_answers_are_the_same(exported, name, task, way):
    ours, file = exported(name, task, way, **(SHALLOW if name in ("bert", "gpt", "lstm") else {}))
    theirs = through(ours, str(file))
    gap = 5e-3 if way == "frozen-network" else 1e-4  # in PyTorch such a network reads states that were kept in half precision
    for mine, other in zip(*(run.answer_rows(UNSEEN[task]) for run in (ours, theirs)), strict=True):
        assert close(mine, other, gap), (mine, other)


def close(a, b, gap):
    """Equal, but for numbers, which are as near as this."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key], gap) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(close(*both, gap) for both in zip(a, b, strict=True))
    return a == pytest.approx(b, abs=gap) if isinstance(a, float) else a == b


def test_a_file_is_used_with_the_run_it_was_made_of_alone(exported, tmp_path):
    (run, path), other = exported("bert", "classify", "finetune", **SHALLOW), fitted(find("bert"), "classify", width=24, heads=2)
    assert through(run, str(path)).answer_rows(UNSEEN["classify"])[0]["label"] == run.answer_rows(UNSEEN["classify"])[0]["label"]
    with pytest.raises(UsageError, match="a file made of this run"):
        through(other, str(path))
    (tmp_path / "text.onnx").write_text("no graph", encoding="utf-8")
    for name in ("text.onnx", "nothing.onnx"):
        with pytest.raises(DataError, match=r"stemma convert RUN FILE\.onnx --to onnx"):
            through(run, str(tmp_path / name))


def test_what_a_graph_lacks_is_refused():
    run = through(made(find("glove")), "onnx")
    with pytest.raises(UsageError, match="use the engine torch"):
        run.embed(["a"], layer=0)
    with pytest.raises(UsageError, match="there is no engine 'onyx'"):
        through(run, "onyx")
