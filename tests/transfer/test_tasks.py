"""Every task on runs of each kind, end to end: learnt, saved, opened again, asked."""

import numpy as np
import pytest
from tests.transfer.conftest import FILLERS, WORDS, make_run

from stemma.corpus.task import Example
from stemma.errors import UsageError
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
