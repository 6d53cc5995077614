"""A fine-tuned run in use: what it loads, and what it says of lines that are not its task's."""

import dataclasses
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from tests.transfer.conftest import make_examples, make_run

from stemma.checkpoint import RunFolder
from stemma.corpus.choices import Choice
from stemma.corpus.columns import Tagged
from stemma.corpus.task import Example
from stemma.errors import DataError, RunError, UsageError
from stemma.runs.fitted import FITTED, load
from stemma.runs.fixed import Probed
from stemma.runs.fixed_vectors import ProbedVectors
from stemma.runs.settings import WAYS
from stemma.tasks.tag import Sentence
from stemma.tokens.tokenizer import Tokenizer
from stemma.transfer.finetune import finetune
from stemma.transfer.recipe import RECIPES
from stemma.transfer.settings import Config

FAST = {"precision": "fp32", "seeds": (1,), "budget": 1, "updates": 5, "epochs": 1}


@pytest.fixture(scope="module")
def runs():
    return {name: make_run(name) for name in ("bert", "gpt", "word2vec", "ngram")}


def saved(run, way, out, examples):
    mode, head = WAYS[way]
    return finetune(run, train=examples, config=Config(mode=mode, head=head, **FAST), out=out)


@pytest.mark.parametrize(("name", "way"), [("bert", "finetune"), ("gpt", "frozen-network"), ("word2vec", "frozen"), ("ngram", "scratch")])
def test_predicting_loads_neither_training_nor_transfer(runs, name, way, tmp_path):
    saved(runs[name], way, tmp_path / "out", make_examples(40, 1))
    script = (
        f"import stemma, sys; run = stemma.load({str(tmp_path / 'out')!r}); run.predict(['good film', '好']); run.vectors(['good'])\n"
        "print('LOADED', *(name for name in sys.modules if name.startswith(('stemma.training', 'stemma.transfer'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["LOADED"]


@pytest.mark.parametrize("name", ["bert", "gpt", "word2vec"])
@pytest.mark.parametrize("way", ["frozen-network", "random-network", "random"])
def test_saved_and_opened_predicts_the_same(runs, name, way, tmp_path):
    result = saved(runs[name], way, tmp_path / "out", make_examples(60, 1))
    again = load(tmp_path / "out")
    texts = ["the film was good", "", "🙂", "好", "bad " * 90]
    np.testing.assert_array_equal(again.predict(texts)[1], result.predict(texts)[1])
    np.testing.assert_array_equal(again.vectors(texts), result.vectors(texts))
    assert again.vectors(texts).shape[0] == len(texts) and again.predict([])[0] == []


@pytest.mark.parametrize(("name", "way"), [("bert", "finetune"), ("word2vec", "frozen"), ("ngram", "frozen"), ("ngram", "scratch")])
@pytest.mark.parametrize("pairs", [False, True])
def test_each_text_is_tokenised_once_and_blank_lines_have_their_answer(runs, name, way, pairs, monkeypatch):
    mode, head = WAYS[way]
    examples = [Example(e.text, e.label, "the film" if pairs else "") for e in make_examples(40, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of some ways: what was learnt is no better than one answer
        result = finetune(runs[name], train=examples, config=Config(mode=mode, head=head, **FAST))
    seen = []
    real = Tokenizer.encode_flat
    monkeypatch.setattr(Tokenizer, "encode_flat", lambda self, texts, *rest: seen.extend(texts) or real(self, texts, *rest))
    lines = ["good film", "", "  ", "ዓ", "好"]
    if pairs:
        lines = ["good film\t好", "\t", "  \tgood", "good\tዓ", "好\tgood"]
    with pytest.warns(UserWarning, match="have no known word"):
        rows = result.answer_rows(lines)
    assert [row.get("no_known_word", False) for row in rows] == [False, True, True, True, False]
    assert seen.count("good film") == 1 and len(rows) == len(lines)


CHOICES = [Choice("the film", ("was good 好", "awful", "差 a 坏")[: 2 + n % 2], n % 2) for n in range(12)]
TAGGED = [Sentence("the 好 film", ((0, 3), (4, 5), (6, 10)), Tagged(("the", "好", "film"), ("A", "B", "A")))] * 12
ODD = {
    "classify": ["the film was good", "", "🙂", "好", "bad " * 90],
    "pair": [("good film", "好"), ("", "the"), ("🙂", "film"), ("bad " * 90, "差 " * 70)],
    "choice": [("the", "好", "film"), ("", "🙂", "bad"), ("a", "was good", "差", "坏 " * 90)],
}


@pytest.mark.parametrize("task", ["classify", "pair", "choice", "tag"])
def test_tables_answer_as_their_module_does(runs, task):
    """Static vectors under a linear head are read without PyTorch; the network of the same tables is the oracle."""
    examples = make_examples(24, 1)
    taught = {"pair": [Example(e.text, e.label, "电影 film") for e in examples], "choice": CHOICES, "tag": TAGGED}.get(task, examples)
    result = finetune(runs["word2vec"], train=taught, task=task, config=Config(mode="frozen", **FAST))
    model = result.model
    assert isinstance(model, ProbedVectors)
    oracle = Probed.restore(dataclasses.replace(result.assignment, network=runs["word2vec"].module()), model.arrays(), model.facts)
    lines = [parts if isinstance(parts, tuple) else (parts,) for parts in ODD.get(task, ())]
    odd = [result.task.example(parts, result.targets) for parts in lines] or [
        *TAGGED,
        Sentence("🙂", ((0, 1),), Tagged((), ())),
        Sentence("", (), Tagged((), ())),
    ]
    texts = result.task.texts(odd)
    for own, other in zip(model.answers(model.prepare(texts)), oracle.answers(oracle.prepare(texts)), strict=True):
        np.testing.assert_allclose(*(getattr(answer, "probabilities", answer) for answer in (own, other)), atol=1e-5)
    np.testing.assert_allclose(model.vectors(model.prepare(texts)), oracle.vectors(oracle.prepare(texts)), atol=1e-4)
    assert model.answers(model.prepare([])) == [] and model.vectors(model.prepare([])).shape == (0, model.width)


def test_what_is_learnt_can_be_used():
    ways = {kind: set(known) for kind, known in FITTED.items()}
    assert {kind: set(known) for kind, known in RECIPES.items()} == ways


@pytest.mark.parametrize("name", ["bert", "ngram", "word2vec"])
def test_several_labels_from_end_to_end(runs, name, tmp_path):
    """A text may say that it is good, that it is bad, both or neither."""
    rng = np.random.default_rng(0)
    rows = [(int(a), int(b)) for a, b in rng.integers(0, 2, (160, 2))]
    examples = [Example("the film " + "good 好 " * a + "awful 差 " * b, "|".join(["pos"] * a + ["neg"] * b), several=True) for a, b in rows]
    config = Config(mode="frozen", precision="fp32", seeds=(1,))
    result = finetune(runs[name], train=examples, dev=examples, config=config, out=tmp_path / "out")
    assert [metric["name"] for metric in result.facts["metrics"]] == ["micro_f1", "macro_f1"] and result.facts["micro_f1"]["mean"] > 0.9
    labels, probabilities = load(tmp_path / "out").predict(["the film good 好 awful 差", "the film", "the film good 好"])
    assert labels == [["neg", "pos"], [], ["pos"]] and probabilities.shape == (3, 2)
    assert "micro-F1 on dev" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_several_labels_by_moving_and_by_the_task_network(runs):
    rng = np.random.default_rng(0)
    examples = [
        Example(" ".join(["the film", *["good"] * a, *["awful"] * b]), "|".join(["pos"] * a + ["neg"] * b), several=True)
        for a, b in rng.integers(0, 2, (120, 2)).tolist()
    ]
    for way, rate in (("finetune", 3e-3), ("frozen-network", 3e-3)):
        mode, head = WAYS[way]
        config = Config(mode=mode, head=head, precision="fp32", seeds=(1,), grid=(rate,), updates=240)
        assert finetune(runs["bert"], train=examples, dev=examples, config=config).facts["micro_f1"]["mean"] > 0.9
    with pytest.raises(UsageError, match=r"use transfer\.mode = frozen"):
        finetune(runs["ngram"], train=examples)


def test_a_line_has_exactly_the_parts_of_the_task(runs):
    single = finetune(runs["ngram"], train=make_examples(40, 1))
    pairs = finetune(runs["ngram"], train=[Example("good", "ab"[k], ["bad", "film"][k]) for k in (0, 1) * 20])
    assert single.answer_rows(["good film"])[0].keys() == {"text", "label", "probabilities"}
    assert pairs.answer_rows(["good\tfilm"])[0] | {"probabilities": 0} == {"text": "good\tfilm", "label": "b", "probabilities": 0}
    with pytest.raises(DataError, match=r"has 2 parts\. Expected: 1 on a line: text\. write a tab inside a text as a space"):
        single.answer_rows(["fine", "good\tfilm"])
    with pytest.raises(DataError, match=r"has 1 part\. Expected: 2 on a line: text_a, text_b\. put one tab between"):
        pairs.answer_rows(["good film"])
    with pytest.raises(UsageError, match="leave texts_b out"):
        single.predict(["good"], ["film"])


def test_the_head_of_a_moving_network_is_its_own(runs):
    with pytest.raises(UsageError, match=r"drop transfer\.head"):
        finetune(runs["bert"], train=make_examples(40, 1), config=Config(head="network"))
    with pytest.raises(UsageError, match=r"drop transfer\.auxiliary"):
        finetune(runs["bert"], train=make_examples(40, 1), config=Config(auxiliary=0.5))


@pytest.mark.parametrize("lost", [("task", "targets"), ("sections", "task"), ("sections", "transfer", "head")])
def test_a_folder_of_an_older_format_is_reported(runs, tmp_path, lost):
    saved(runs["word2vec"], "frozen", tmp_path / "old", make_examples(40, 1))
    path = tmp_path / "old" / "config.json"
    written = path.read_text()
    config = part = json.loads(written)
    for key in lost[:-1]:
        part = part[key]
    del part[lost[-1]]
    path.write_text(json.dumps(config).ljust(len(written.encode())))  # as long as its manifest says
    RunFolder.open(path.parent)._commit(state=None, metrics_bytes=0, finished=True)
    with pytest.raises(RunError, match=rf"older format: config.json has no {lost[0]}.*{lost[-1]}"):
        load(tmp_path / "old")


@pytest.mark.parametrize("name", ["bert", "word2vec", "ngram"])
def test_what_is_measured_and_what_is_used_read_the_same_text(runs, name, tmp_path):
    """A file's cells are cleaned and stripped; so are the texts of a program and the lines of a command."""
    fitted = finetune(runs[name], train=make_examples(60, 1), config=Config(mode="frozen", seeds=(1,), precision="fp32"))
    texts = ["good\x00 film", " the\x0bbad 坏\x01 film ", "\ufefffine\u2028story"]
    (tmp_path / "dev.tsv").write_text("label\ttext\n" + "".join(f"pos\t{text}\n" for text in texts), encoding="utf-8", newline="")
    measured = fitted.answers(fitted.task.read(tmp_path / "dev.tsv", learning=False))
    with pytest.warns(UserWarning, match="as in training"):
        np.testing.assert_array_equal(np.stack(measured), fitted.predict(texts)[1])
    with pytest.warns(UserWarning, match="2 NUL|1 NUL"):
        rows = fitted.answer_rows(texts)
    np.testing.assert_array_equal(np.stack(measured), [list(row["probabilities"].values()) for row in rows])


@pytest.mark.parametrize("way", ["finetune", "frozen"])
def test_what_is_cut_is_reported_where_it_happens(runs, way, tmp_path):
    examples = [Example(f"{example.text} {'the film ' * 20}", example.label) for example in make_examples(40, 1)]
    config = Config(mode=way, precision="fp32", seeds=(1,), budget=1, updates=2, epochs=1, max_length=12)
    with pytest.warns(UserWarning, match=r"40 of 40 training examples were cut .*transfer\.max_length.*tokens were not read"):
        finetune(runs["bert"], train=examples, config=config, out=tmp_path / "out")
    assert "40 training examples were cut" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    fitted = load(tmp_path / "out")
    with pytest.warns(UserWarning, match="1 of 2 texts were cut"):
        rows = fitted.answer_rows(["good film", examples[0].text])
    assert "tokens_cut" not in rows[0] and rows[1]["tokens_cut"] > 20
    with pytest.warns(UserWarning, match="1 of 1 texts were cut"):
        fitted.predict([examples[0].text])
    with pytest.warns(UserWarning, match="1 of 1 texts were cut"):
        fitted.vectors([examples[0].text])


@pytest.mark.parametrize("name", ["bert", "word2vec", "ngram"])
def test_texts_without_a_known_word_are_reported(runs, name):
    fitted = finetune(runs[name], train=make_examples(40, 1), config=Config(mode="frozen", seeds=(1,), precision="fp32"))
    with pytest.warns(UserWarning, match=r"2 of 3 texts have no known word \(the first is ''\): their answers"):
        rows = fitted.answer_rows(["", "ዓለም", "good"])
    assert [row.get("no_known_word", False) for row in rows] == [True, True, False]
    with pytest.warns(UserWarning, match="2 of 3 texts have no known word"):
        assert fitted.predict(["", "ዓለም", "good"])[1].shape == (3, 2)
    width = fitted.vectors(["good"]).shape[1]
    with pytest.warns(UserWarning, match="their vectors say nothing"):
        assert [len(row["vector"]) for row in fitted.vector_rows(["", "good"])] == [width, width]
    assert fitted.vectors([]).shape == (0, width)


def test_pairs_need_a_known_word_on_either_side(runs):
    pairs = finetune(runs["ngram"], train=[Example("good", "ab"[k], ["bad", "film"][k]) for k in (0, 1) * 20])
    rows = pairs.answer_rows(["good\tfilm", "good\t", "ዓለም\tfilm"])
    assert [row.get("no_known_word", False) for row in rows] == [False, True, True]


@pytest.mark.parametrize("header", ["label\ttext_a\ttext_b", "label\ttext", "text_a\ttext_b", "Sentence1\tSentence2\tLabel"])
def test_the_header_of_a_table_is_no_text(runs, header):
    pairs = finetune(runs["ngram"], train=[Example("good", "ab"[k], ["bad", "film"][k]) for k in (0, 1) * 20])
    with pytest.raises(UsageError, match=r"header of a table.*text_a, text_b on a line.*stemma evaluate"):
        pairs.answer_rows([header, "a\tthe good\ta film"])
    with pytest.raises(DataError, match="has 3 parts"):
        pairs.answer_rows(["a\tthe good\ta film"])


def test_one_string_and_what_is_no_text_are_refused(runs):
    fitted = finetune(runs["ngram"], train=make_examples(40, 1))
    for call in (fitted.predict, fitted.vectors, fitted.answer_rows, fitted.vector_rows):
        with pytest.raises(UsageError, match="one string"):
            call("abc")
        with pytest.raises(DataError, match=r"\[1\] is None"):
            call(["good", None])
        with pytest.raises(DataError, match="join its tokens"):
            call([["good", "film"]])
    pairs = finetune(runs["ngram"], train=[Example("good", "ab"[k], ["bad", "film"][k]) for k in (0, 1) * 20])
    with pytest.raises(UsageError, match="pass both of the same length"):
        pairs.predict(["good", "bad"], ["film"])


def test_a_column_of_labels_read_as_texts_is_reported(runs):
    pairs = finetune(runs["ngram"], train=[Example("good", "ab"[k], ["bad", "film"][k]) for k in (0, 1) * 20])
    with pytest.warns(UserWarning, match="first part of every line is a label of this run, and is read as its text_a"):
        pairs.answer_rows(["a\tthe good film", "b\tbad"])
