"""Runs that are copied and pickled: a copy answers as its original, without its folder."""

import copy
import pickle

import numpy as np
import pytest
from tests.transfer.conftest import make_examples, make_run

from stemma.runs.settings import WAYS
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config as Transfer

TEXTS = ["the good film", "坏电影", "", "ዓለም 🙂"]


@pytest.mark.parametrize("name", ["bert", "gpt", "word2vec", "ngram"])
def test_a_pickled_run_answers_as_before(name):
    run = make_run(name)
    if run.row.updates == "backprop":
        run.network.eval()
    for again in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        if name == "ngram":
            assert again.score(TEXTS) == run.score(TEXTS)
        else:
            np.testing.assert_array_equal(again.embed(TEXTS), run.embed(TEXTS))
        assert again.tokenizer.fingerprint == run.tokenizer.fingerprint
        assert repr(again) == repr(run) and "run, kept in memory; can" in repr(run)


@pytest.mark.parametrize(("name", "way"), [("bert", "frozen"), ("gpt", "frozen-network"), ("word2vec", "finetune"), ("ngram", "frozen")])
def test_a_pickled_classifier_answers_as_before(name, way):
    mode, head = WAYS[way]
    config = Transfer(mode=mode, head=head, precision="fp32", seeds=(1,), budget=1, updates=3, epochs=1)
    fitted = finetune(make_run(name), train=make_examples(40, 1), config=config)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(TEXTS)[1], fitted.predict(TEXTS)[1])
    np.testing.assert_array_equal(again.vectors(TEXTS), fitted.vectors(TEXTS))


@pytest.mark.parametrize("words", ["rjieba", "given"])
@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "wordpiece", "bpe", "unigram"])
def test_a_pickled_tokenizer_cuts_and_joins_as_before(kind, words):
    """The one that spaces give is known again as itself, or Chinese would be joined without them."""
    texts = ["the cat sat on the mat .", "今天 天气 很 好 。"] * 40
    config = Config(kind=kind, vocab_size=300, words="auto" if kind == "whitespace" else words)
    tokenizer = train(iter(texts), config)
    again = pickle.loads(pickle.dumps(tokenizer))
    ids = tokenizer.encode(texts[1] + " <unk> ዓ")
    np.testing.assert_array_equal(again.encode(texts[1] + " <unk> ዓ"), ids)
    assert again.decode(ids) == tokenizer.decode(ids) and again.segmenter == tokenizer.segmenter
