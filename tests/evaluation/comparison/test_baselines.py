"""The baselines on both languages, and what a missing extra says."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from stemma.corpus.choices import Choice
from stemma.corpus.columns import Tagged
from stemma.corpus.questions import Question
from stemma.corpus.task import Example
from stemma.errors import MissingExtra
from stemma.evaluation.comparison.baselines import (
    GRID,
    first_candidate,
    first_words,
    majority,
    majority_tag,
    mean_number,
    merging,
    most_shared,
    shared_tokens,
    span_by_lot,
    span_by_window,
    tag_of_word,
    tfidf,
)
from stemma.tasks.tag import Sentence
from stemma.tasks.translate import Translated
from stemma.tokens.chinese import rejoined

ENGLISH = {"pos": "a lovely warm film", "neg": "a dull cold film"}
CHINESE = {"pos": "这部电影很好看", "neg": "这部电影太难看"}


def examples(texts, copies):
    rng = np.random.default_rng(0)
    fillers = ["one", "two", "three", "four", "五", "六", "七"]
    return [Example(f"{text} {rng.choice(fillers)}", label) for _ in range(copies) for label, text in texts.items()]


def test_majority_answers_the_most_frequent():
    train = [Example("x", "b")] * 3 + [Example("x", "a")] * 2
    found = majority(train, [Example("x", "a"), Example("y", "b"), Example("x", "b")])
    assert found.answered == [Example("x", "b"), Example("y", "b"), Example("x", "b")] and found.head == "always 'b'"
    assert majority([*train, Example("x", "a")], [Example("x", "b")]).answered == [Example("x", "a")]


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE])
def test_tfidf_learns_either_language(texts):
    pytest.importorskip("sklearn")
    dev = examples(texts, 10)
    assert tfidf(examples(texts, 40), dev).answered == dev


def test_tfidf_chooses_from_its_own_grid(monkeypatch):
    """C is chosen among all of its grid, on training examples alone; the better C is taken, and its head says which."""
    linear = pytest.importorskip("sklearn.linear_model")
    tried = []

    class Watched(linear.LogisticRegression):
        def fit(self, texts, labels):
            tried.append((self.C, texts.shape[0]))
            return super().fit(texts, labels)

    monkeypatch.setattr(linear, "LogisticRegression", Watched)
    rng = np.random.default_rng(1)
    noisy = [Example(" ".join(rng.permutation(list("abcdefghijkl"))[:6]) + f" {label * 2}", label) for label in "xy" * 40]
    found = tfidf(noisy, noisy[:4])
    assert [c for c, _ in tried] == list(GRID) and len(GRID) > 3 and {n for _, n in tried} == {72}
    assert found.head.endswith(f" of {len(GRID)} tried") and f"C = {GRID[0]:g} " in found.head  # of equals the strongest penalty


def sentence(written: str, characters: bool = False) -> Sentence:
    """`token/tag token/tag` as a sentence."""
    tokens, tags = zip(*(pair.split("/") for pair in written.split()), strict=True)
    text, units = rejoined(tokens, characters)
    return Sentence(text, tuple(units), Tagged(tokens, tags))


@pytest.mark.parametrize(
    ("train", "dev", "majority", "looked_up"),
    [  # 😀 and 猫 were not seen; ties go to the first in order
        (["dogs/N bark/V loud/N", "bark/V bark/N run/V dogs/N"], "bark/V run/N 😀/N dogs/V", "N N N N", "V V N N"),
        (["我/O 在/O 北/B-LOC 京/I-LOC", "北/B-LOC 风/O 在/O"], "猫/O 北/O 京/O 风/O", "O O O O", "O B-LOC I-LOC O"),
    ],
)
def test_tags_are_looked_up_word_by_word(train, dev, majority, looked_up):
    characters = "我" in train[0]
    learnt, tested = [sentence(line, characters) for line in train], sentence(dev, characters)
    for answer, tags in ((majority_tag, majority), (tag_of_word, looked_up)):
        (answered,) = answer(learnt, [tested]).answered
        assert answered.tagged.tags == tuple(tags.split())
        assert (answered.text, answered.tagged.tokens) == (tested.text, tested.tagged.tokens)


def test_features_that_one_text_alone_has_are_learnt_as_one_to_the_same_probabilities():
    linear, sparse = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    seen, tested = (sparse.csr_matrix(rng.random((n, 61)) * (rng.random((n, 61)) < 0.05)) for n in (23, 31))
    labels = np.arange(23) % 3
    turn = merging(seen)
    assert turn.shape[0] == 61 and turn.shape[1] < 55
    for c in (1.0, 100.0):
        plain, merged = (linear.LogisticRegression(C=c, max_iter=5000, tol=1e-9).fit(texts, labels) for texts in (seen, seen @ turn))
        np.testing.assert_allclose(merged.predict_proba(tested @ turn), plain.predict_proba(tested), atol=1e-5)


def test_a_missing_extra_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingExtra, match=r'pip install "stemma-nlp\[eval\]"'):
        tfidf(examples(ENGLISH, 5), [])


def test_numbers_choices_questions_and_targets_have_baselines_that_learn_next_to_nothing():
    pairs = [
        Example("a red dog", str(number), other) for number, other in ((5, "a red dog"), (0, "two cats"), (3, "a dog"), (1, "the red cat"))
    ]
    given = shared_tokens(pairs, pairs[:2])
    assert float(given.answered[0].label) > 4 > 1 > float(given.answered[1].label)
    assert [one.label for one in mean_number(pairs, pairs).answered] == ["2.25"] * 4
    choices = [Choice("the dog barks", ("a cat", "the dog runs", "no"), 1), Choice("我爱狗", ("猫", "狗"), 1)]
    assert [one.right for one in most_shared(choices, choices).answered] == [1, 1]
    assert [one.right for one in first_candidate(choices, [replace(choices[1], right=0)]).answered] == [1]
    passage = "The mill is old. The dog sleeps in the barn all day."
    questions = [Question("Where does the dog sleep?", passage, ((32, "in the barn"),))]
    for answer in (span_by_lot, span_by_window):
        (one,) = answer(questions, questions).answered
        assert one.answers[0][1] in passage and len(one.answers[0][1].split()) == 3
    targets = [Translated("one two three four", "one two"), Translated("春眠不觉晓", "春眠")]
    assert [one.target for one in first_words(targets, targets).answered] == ["one two", "春眠"]
