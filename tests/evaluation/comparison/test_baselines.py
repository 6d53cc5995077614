"""The two baselines on both languages, and what a missing extra says."""

import sys

import numpy as np
import pytest

from stemma.corpus.task import Example
from stemma.errors import MissingExtra
from stemma.evaluation.comparison.baselines import majority, tfidf

ENGLISH = {"pos": "a lovely warm film", "neg": "a dull cold film"}
CHINESE = {"pos": "这部电影很好看", "neg": "这部电影太难看"}


def examples(texts, copies):
    rng = np.random.default_rng(0)
    fillers = ["one", "two", "three", "four", "五", "六", "七"]
    return [Example(f"{text} {rng.choice(fillers)}", label) for _ in range(copies) for label, text in texts.items()]


def test_majority_answers_the_most_frequent():
    train = [Example("x", "b")] * 3 + [Example("x", "a")] * 2
    assert majority(train, [Example("x", "a"), Example("x", "b"), Example("x", "b")]) == (["b", "b", "b"], "always 'b'")
    assert majority([*train, Example("x", "a")], [Example("x", "b")]).labels == ["a"]


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE])
def test_tfidf_learns_either_language(texts):
    pytest.importorskip("sklearn")
    dev = examples(texts, 10)
    assert tfidf(examples(texts, 40), dev).labels == [example.label for example in dev]


def test_a_missing_extra_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingExtra, match=r'pip install "stemma-nlp\[eval\]"'):
        tfidf(examples(ENGLISH, 5), [])
