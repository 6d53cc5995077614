"""Classifying with a generation that counts: proper class models, the surprise-weighted bag, saving."""

import dataclasses

import numpy as np
import pytest
from tests.transfer.conftest import CLASSIFY, assigned, lesson_of

from stemma.corpus.task import Example
from stemma.errors import UsageError
from stemma.runs.counted import encode_sides, unigrams
from stemma.runs.fitted import FittedRun
from stemma.runs.ngrams import extended, find, flatten, histories
from stemma.tasks.task import Text
from stemma.transfer.counting import BagOfNgrams, ClassModels
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config


@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch"])
def test_the_task_is_learnt(ngram, train_examples, dev_examples, mode):
    result = finetune(ngram, train=train_examples, dev=dev_examples, mode=mode)
    assert result.facts["accuracy"]["mean"] > 0.9
    assert len(result.facts["seeds"]) == 1 and result.facts["deterministic"]
    labels, probabilities = result.predict(["the film was good", "电影 坏", "", "🙂 unheard of"])
    assert labels[:2] == ["pos", "neg"]
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("mode", ["finetune", "scratch"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_each_class_model_sums_to_one(ngram, train_examples, mode, order):
    """Over all tokens and the end, after any history, seen or not."""
    config = Config(mode=mode, order=order)
    recipe = ClassModels(assigned(ngram, config), config)
    model = recipe.fit(lesson_of(recipe, train_examples), np.arange(len(train_examples)), 3.0, 1)
    V = ngram.tokenizer.vocab_size
    for history in ([], [5], [7, 9], [3, 4, 6, 8]):
        flat, starts = flatten([np.array([*history, w]) for w in range(V + 1)])
        last = model.event_probabilities(flat, starts, 0)[starts[1:] - 1]
        np.testing.assert_allclose(last.sum(0), 1, atol=1e-9)


def test_the_prior_is_the_pre_trained_unigram(ngram):
    prior, uniform = (unigrams(assigned(ngram, Config(mode=mode))) for mode in ("finetune", "scratch"))
    assert prior.sum() == pytest.approx(1) and uniform.sum() == pytest.approx(1)
    the = ngram.tokenizer.id("the")
    assert prior[the] == pytest.approx(ngram.network.probs([], start=False)[the], rel=0.01)
    assert len(set(uniform.tolist())) == 1


def test_a_large_mu_is_the_unigram_model(ngram, train_examples, dev_examples):
    """The prior takes over as its weight grows: order 2 with mu -> infinity is order 1."""
    found = []
    for order, mu in ((1, 1.0), (2, 1e9)):
        recipe = ClassModels(assigned(ngram, Config(order=order)), Config(order=order))
        model = recipe.fit(lesson_of(recipe, train_examples), np.arange(len(train_examples)), mu, 1)
        found.append(model.probabilities(recipe.prepare(CLASSIFY.texts(dev_examples))))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_the_bag_is_what_the_model_kept_weighted_by_surprise(ngram):
    recipe = BagOfNgrams(assigned(ngram, Config(mode="frozen")), Config(mode="frozen"))
    bag = recipe.prepare([Text("the film was good"), Text(""), Text("的 电影")])
    ids = encode_sides(ngram.tokenizer, [Text("the film was good")]).sides[0]
    scored = ngram.network.score_flat(*flatten(ids), closing=False)
    first = slice(bag.starts[0], bag.starts[1])
    kept = [min(order, place + 2) for place, order in enumerate(scored.orders)]  # n-grams that end at each token
    assert bag.starts[1] == sum(kept) and bag.starts[2] == bag.starts[1]
    expected = np.repeat(np.sqrt(-scored.log_probs), kept)
    np.testing.assert_allclose(sorted(bag.values[first]), sorted(expected), rtol=1e-6)


def test_keys_are_of_ngrams_and_nothing_else():
    """Equal n-grams have equal keys wherever they stand; a text's beginning is known as such."""
    flat, starts = flatten([np.array([4, 5, 6]), np.array([5, 6]), np.array([4])])
    past, there = histories(flat, starts, 2)
    assert [row.tolist() for row in there] == [[True] * 6, [True] * 6, [False, True, True, False, True, False]]
    pairs = extended(past[1], flat)
    assert pairs[2] == pairs[4] and pairs[0] == pairs[5] and pairs[1] != pairs[3]
    assert len(set(pairs.tolist())) == 4
    assert extended(past[0], flat)[1] == extended(past[0], flat)[3]
    other = histories(flat, starts, 2, side=1)[0]
    assert not set(extended(other[1], flat).tolist()) & set(pairs.tolist())


def test_find_says_what_is_known():
    place, known = find(np.array([3, 9, 5], np.uint64), np.array([3, 5], np.uint64))
    assert known.tolist() == [True, False, True] and place[known].tolist() == [0, 1]
    assert not find(np.array([3], np.uint64), np.empty(0, np.uint64))[1].any()


@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch"])
def test_saved_and_opened_predicts_the_same(ngram, train_examples, dev_examples, tmp_path, mode):
    result = finetune(ngram, train=train_examples, dev=dev_examples, mode=mode, out=tmp_path / "out")
    texts = [example.text for example in dev_examples]
    again = FittedRun.load(tmp_path / "out")
    np.testing.assert_array_equal(again.predict(texts)[1], result.predict(texts)[1])


def test_pairs_keep_their_sides_apart(ngram):
    examples = [Example("good", "ab"[k], ["bad", "film"][k]) for k in (0, 1) * 40]
    swapped = [dataclasses.replace(example, text=example.text_b, text_b=example.text) for example in examples]
    for mode in ("frozen", "finetune"):
        result = finetune(ngram, train=examples, dev=examples, mode=mode)
        assert result.facts["accuracy"]["mean"] == 1.0
        same, other = (result.predict([e.text for e in texts], [e.text_b for e in texts])[1] for texts in (examples, swapped))
        assert not np.allclose(same, other, atol=0.05)  # what is read on the left is not what is read on the right
        with pytest.raises(UsageError, match="pass texts_b"):
            result.predict(["good"])


def test_random_has_no_meaning_here(ngram, train_examples):
    with pytest.raises(UsageError, match="use frozen, finetune or scratch"):
        finetune(ngram, train=train_examples, mode="random")


def test_there_is_no_task_network_on_counts(ngram, train_examples):
    with pytest.raises(UsageError, match="use frozen, finetune or scratch"):
        finetune(ngram, train=train_examples, config=Config(mode="frozen", head="network"))
