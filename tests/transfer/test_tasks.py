"""Every task on runs of each kind, end to end: learnt, saved, opened again, asked."""

import numpy as np
import pytest
from tests.transfer.conftest import FILLERS, WORDS, make_run

from stemma.corpus.choices import Choice
from stemma.corpus.questions import Question
from stemma.corpus.task import Example
from stemma.errors import DataError, UsageError
from stemma.runs.fitted import load
from stemma.runs.settings import WAYS
from stemma.tasks.regress import Config as Regressed
from stemma.tasks.regress import Regress
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

FEW = {"precision": "fp32", "seeds": (1,), "budget": 1, "updates": 6, "epochs": 1}


def settings(way: str, **others) -> Config:
    mode, head = WAYS[way]
    return Config(mode=mode, head=head, **{**FEW, **others})


@pytest.fixture(scope="module")
def runs():
    return {name: make_run(name) for name in ("bert", "gpt", "word2vec", "ngram")}


def rated(count: int, seed: int, pairs: bool = False) -> list[Example]:
    """Fillers with some good words: the number is how many."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        good = int(rng.integers(0, 4))
        words = [*rng.choice(FILLERS, rng.integers(2, 6)), *rng.choice(WORDS["pos"], good)]
        rng.shuffle(words)
        found.append(Example(" ".join(words), str(good / 2), "the film 好" if pairs else ""))
    return found


@pytest.mark.parametrize(
    ("name", "way"), [("bert", "finetune"), ("bert", "frozen"), ("gpt", "frozen-network"), ("word2vec", "frozen"), ("ngram", "frozen")]
)
def test_regress_is_learnt_saved_and_opened(runs, name, way, tmp_path):
    result = finetune(
        runs[name],
        train=rated(150, 1),
        dev=rated(60, 2),
        task="regress",
        config=settings(way, grid=(3e-3,), updates=40),
        out=tmp_path / "o",
    )
    again = load(tmp_path / "o")
    texts = ["the film was good 好", "", "🙂", "lovely fine good 妙"]
    numbers, same = again.predict(texts)
    np.testing.assert_array_equal(same, result.predict(texts)[1])
    assert numbers == same.tolist() and again.vectors(texts).shape[0] == 4
    assert result.facts["pearson"]["mean"] > 0.3 and result.facts["floor"]["answer"]
    assert "Pearson's r on dev" in (tmp_path / "o" / "README.md").read_text(encoding="utf-8")
    assert set(again.answer_rows(["good"])[0]) == {"text", "number"}


def test_what_counts_has_no_classes_of_numbers(runs):
    with pytest.raises(UsageError, match=r"counts a model for each class, and the task regress has none.*use frozen"):
        finetune(runs["ngram"], train=rated(40, 1), task="regress")


def test_gpt_reads_a_symmetric_pair_in_both_orders(runs):
    """Radford 2018, section 3.3: the two orders' states are added, so that neither is the first."""
    texts, others = ["the good film", "故事 was bad"], ["a story", "lovely"]
    for symmetric in (True, False):
        task = Regress(Regressed(symmetric=symmetric))
        result = finetune(runs["gpt"], train=rated(40, 1, pairs=True), task=task, config=settings("finetune"))
        there, back = result.predict(texts, others)[1], result.predict(others, texts)[1]
        assert np.allclose(there, back, atol=1e-5) == symmetric
        assert result.model.prepare(task.texts([Example("a", "", "b")])).windows[0] == ((5, 5) if symmetric else (5,))
    bert = finetune(runs["bert"], train=rated(40, 1, pairs=True), task="regress", config=settings("finetune"))
    assert not np.allclose(bert.predict(texts, others)[1], bert.predict(others, texts)[1], atol=1e-5)


def chosen(count: int, seed: int) -> list[Choice]:
    """Of two to four candidates the one with a good word is right."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        place, most = int(rng.integers(0, 2)), int(rng.integers(2, 5))
        words = [rng.choice(WORDS["pos" if at == place else "neg"]) for at in range(most)]
        found.append(Choice("the story of the film 故事", tuple(f"it was {word}" for word in words), place))
    return found


@pytest.mark.parametrize(
    ("name", "way"),
    [("bert", "finetune"), ("gpt", "finetune"), ("gpt", "frozen"), ("bert", "frozen-network"), ("ngram", "frozen"), ("ngram", "finetune")],
)
def test_choice_is_learnt_saved_and_opened(runs, name, way, tmp_path):
    config = settings(way, grid=(1.0,) if name == "ngram" or way == "frozen" else (3e-3,), updates=30)
    result = finetune(runs[name], train=chosen(120, 1), dev=chosen(40, 2), task="choice", config=config, out=tmp_path / "o")
    again = load(tmp_path / "o")
    lines = ["the film\tbad\tgood 好\tpoor", "the film\tgood 好\tbad", "故事\tgood\tbad"]
    numbers, probabilities = again.predict(lines)
    assert probabilities == result.predict(lines)[1] and numbers[0] in (1, 2, 3)
    assert [len(row) for row in probabilities] == [3, 2, 2] and again.vectors(lines).shape[0] == 3
    np.testing.assert_allclose(again.predict(["the film\tpoor\tbad\tgood 好"])[1][0], np.array(probabilities[0])[[2, 0, 1]], rtol=1e-4)
    assert result.facts["accuracy"]["mean"] > 0.6 and result.facts["floor"]["how"] == "choosing by lot"
    rows = again.answer_rows(lines[:2])
    assert [row["number"] for row in rows] == numbers[:2] and not any("no_known_word" in row for row in rows)


def test_a_choice_has_two_candidates_at_least(runs):
    run = finetune(runs["ngram"], train=chosen(40, 1), task="choice", config=settings("frozen"))
    with pytest.raises(DataError, match="3 or more on a line: context, candidate 1, candidate 2"):
        run.answer_rows(["the film\tgood"])


def asked(count: int, seed: int, longest: int = 12) -> list[Question]:
    """Fillers with one good word, which is the answer; one passage in five has none."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = list(rng.choice(FILLERS, rng.integers(3, longest)))
        answer = rng.choice(WORDS["pos"]) if rng.random() < 0.8 else ""
        at = int(rng.integers(0, len(words)))
        passage = " ".join([*words[:at], answer, *words[at:]] if answer else words)
        start = sum(len(word) + 1 for word in words[:at])
        found.append(Question("what was the film 好", passage, ((start, str(answer)),) if answer else ()))
    return found


@pytest.mark.parametrize(("name", "way"), [("bert", "finetune"), ("bert", "frozen"), ("gpt", "frozen-network"), ("gpt", "finetune")])
def test_span_is_learnt_saved_and_opened(runs, name, way, tmp_path):
    config = settings(way, grid=(1.0,) if way == "frozen" else (3e-3,), updates=30)
    result = finetune(runs[name], train=asked(120, 1), dev=asked(40, 2), task="span", config=config, out=tmp_path / "o")
    again = load(tmp_path / "o")
    questions, passages = ["what was the film", "什么", "what"], ["the good film " + "it was a story " * 30, "棒电影", "🙂 of"]
    given, nats = again.predict(questions, passages)
    assert (given, nats) == result.predict(questions, passages) and again.vectors(questions, passages).shape[0] == 3
    assert all(answer in passage for answer, passage in zip(given, passages, strict=True))
    assert again.targets["null"] and again.targets == result.facts["targets"] and "threshold" in result.facts["seeds"][0]["settled"]
    assert result.facts["f1"]["mean"] > 0.3 and result.facts["floor"]["how"] in ("a sliding window", "a random span", "never answering")
    assert result.model.prepare(again.task.texts([Question(questions[0], passages[0])])).windows[0][0] == 48
    row = again.answer_rows([f"{questions[0]}\t{passages[0]}"])[0]
    assert row["answer"] == given[0] and "no_answer" in row


def test_answers_that_cross_the_border_of_two_windows_are_counted_and_learnt(runs, tmp_path):
    words = ["it"] * 40
    passage = " ".join(words)
    long = [Question("what", passage, ((at * 3, " ".join(words[at : at + 8])),)) for at in range(0, 32)]
    result = finetune(runs["bert"], train=long, task="span", config=settings("frozen", max_length=30))
    assert 0 < result.facts["cut"]["crossing"] < 32
    from stemma.transfer.saving import card

    assert f"{result.facts['cut']['crossing']} training answers cross the border of two windows" in card(result.facts)


def test_what_has_no_context_cannot_answer_questions(runs):
    for name, reason in (("word2vec", "same vector whatever stands round it"), ("ngram", "no states of words")):
        with pytest.raises(UsageError, match=rf"{reason}.*these can learn it: .*bert"):
            finetune(runs[name], train=asked(20, 1), task="span", config=settings("frozen"))
