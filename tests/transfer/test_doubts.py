"""Figures on dev that say less than they seem to: learnt by heart, or no better than one answer to everything."""

import warnings

import numpy as np
import pytest
from tests.transfer.conftest import CLASSIFY, make_examples

from stemma.corpus.task import Example
from stemma.runs.doubts import Doubt, floor_warning
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tasks.table import make_task
from stemma.transfer.doubts import DevDoubt, repeats_warning
from stemma.transfer.finetune import finetune
from stemma.transfer.saving import card
from stemma.transfer.settings import Config

FAST = Config(precision="fp32", seeds=(1,), budget=1, updates=0)


def rows(first: int, last: int, pairs: bool = False) -> list[Example]:
    return [Example(f"文本 {n}", "ab"[n % 2], f"other {n}" if pairs else "") for n in range(first, last)]


@pytest.mark.parametrize("pairs", [False, True])
def test_repeats_are_told_from_one_in_a_hundred_by_what_is_written(pairs: bool) -> None:
    train = rows(0, 300, pairs)
    assert repeats_warning(CLASSIFY, train, rows(298, 498, pairs)) == ""  # 2 of 200
    assert repeats_warning(CLASSIFY, train, rows(297, 497, pairs)).startswith("3 of 200 dev examples (2%) stand word for word")
    assert repeats_warning(CLASSIFY, train, train[::-1]).startswith("300 of 300 dev examples (100%)")
    assert repeats_warning(CLASSIFY, train, []) == ""
    if pairs:  # the same first half is another pair
        assert repeats_warning(CLASSIFY, train, rows(0, 300)) == ""


def test_dev_that_is_train_is_warned_of(ngram, train_examples) -> None:
    with pytest.warns(DevDoubt, match=r"240 of 240 dev examples \(100%\) stand word for word among the training examples"):
        finetune(ngram, train=train_examples, dev=list(train_examples), mode="frozen", config=FAST)


def test_the_floor_of_each_kind_of_task() -> None:
    targets = {"labels": ["a", "b", "c"], "several": False}
    assert CLASSIFY.floor(np.array([2, 2, 1, 0]), np.array([2, 0, 2, 1]), [], targets) == {"answer": "c", "value": 0.5}
    several = {"labels": ["a", "b"], "several": True}
    found = CLASSIFY.floor(np.array([[1, 1], [1, 1], [0, 1]]), np.array([[1, 0], [1, 1]]), [], several)
    assert found == {"answer": "a, b", "value": pytest.approx(2 * 3 / (3 + 4))}
    tag = make_task("tag")
    learnt, judged = np.empty(2, object), np.empty(3, object)
    learnt[:], judged[:] = [[0, 1, 1], [1]], [[1, 0], [], [1]]
    assert tag.floor(learnt, judged, [], {"labels": ["N", "V"], "types": []}) == {"answer": "V", "value": pytest.approx(2 / 3)}
    spans = {"labels": ["O", "B-PER", "I-PER"], "types": ["PER"]}
    learnt[:], judged[:] = [[0, 0, 1], [0]], [[0, 1], [], [1]]
    assert tag.floor(learnt, judged, [], spans) == {"answer": "O", "value": 0.0}


def test_a_run_that_learnt_nothing_says_so(ngram, tmp_path) -> None:
    rng = np.random.default_rng(4)
    train, dev = (
        [Example(example.text, "pos" if rng.random() < 0.7 else "neg") for example in make_examples(count, seed)]
        for count, seed in ((120, 5), (60, 6))
    )
    with pytest.warns(DevDoubt, match="than always answering 'pos'"):
        finetune(ngram, train=train, dev=dev, mode="frozen", config=FAST, out=tmp_path / "noise")
    facts = FittedRun.load(tmp_path / "noise").facts
    share = np.mean([example.label == "pos" for example in dev])
    assert facts["floor"]["value"] == pytest.approx(share) and facts["floor"]["examples"] == 60
    assert floor_warning(facts) and f"accuracy {share:.4f} on 60 dev examples" in card(facts)


def test_a_run_that_learnt_says_nothing(ngram, train_examples, dev_examples) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DevDoubt)
        facts = finetune(ngram, train=train_examples, dev=dev_examples, mode="frozen", config=FAST).facts
        held = finetune(ngram, train=train_examples, mode="frozen", config=FAST).facts
    assert floor_warning(facts) == "" and "Doubt it" not in card(facts)
    assert held["floor"]["of"] == "held-out training example" and held["floor"]["examples"] == held["examples"]["selection"]


@pytest.mark.parametrize(("reached", "message"), [(0.5, "no better"), (0.4, "no better"), (0.55, "not surely better"), (0.7, "")])
def test_how_much_better_is_better(reached: float, message: str) -> None:
    facts = {
        "metrics": [{"name": "accuracy", "title": "accuracy", "higher_is_better": True, "share": True}],
        "floor": {"answer": "x", "value": 0.5, "reached": reached, "examples": 100, "of": "dev example"},
    }
    assert floor_warning(facts).startswith(message) and bool(floor_warning(facts)) == bool(message)
    assert floor_warning({"metrics": facts["metrics"]}) == ""  # of an earlier version


@pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")
def test_of_a_run_that_has_learnt_little_the_warning_says_so_in_words(word2vec, train_examples, monkeypatch):
    monkeypatch.setattr(Run, "path", "runs/words")
    monkeypatch.setattr(Run, "doubts", [Doubt("steps", "it learnt for 3 steps alone", 3)])
    with pytest.warns(UserWarning, match=r": it learnt for 3 steps alone; what it learns of the task is its head's doing$"):
        finetune(word2vec, train=train_examples[:30], mode="frozen", config=FAST)
