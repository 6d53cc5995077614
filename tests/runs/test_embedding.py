"""Vectors of texts: their width and what is reported, whatever the texts are."""

import numpy as np
import pytest
from tests.transfer.conftest import make_run

from stemma.errors import DataError, UsageError

NETWORKS = ["bert", "gpt", "word2vec"]


@pytest.fixture(scope="module")
def runs():
    made = {name: make_run(name) for name in NETWORKS}
    for name in ("bert", "gpt"):
        made[name].network.eval()
    return made


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layer", [0, -1])
def test_every_text_has_a_vector_of_the_right_width(runs, name, layer):
    run = runs[name]
    width = run.embed(["the film"], layer).shape[1]
    with pytest.warns(UserWarning, match="no known word"):
        assert run.embed([""], layer).shape == (1, width) and not run.embed([""], layer).any()
    assert run.embed([], layer).shape == (0, width) and run.embed([], layer).dtype == np.float32
    texts = ["good film", "", "好 电影"]
    with pytest.warns(UserWarning, match="1 of 3 texts"):
        np.testing.assert_allclose(run.embed(iter(texts), layer)[[0, 2]], run.embed([texts[0], texts[2]], layer), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_text_has_its_states_in_every_layer(runs, name):
    some, nothing = runs[name].vectors(["good film 好", ""])
    assert nothing.layers.shape == (some.layers.shape[0], 0, some.layers.shape[2]) and nothing.spans == []


@pytest.mark.parametrize("name", ["bert", "word2vec"])
def test_texts_without_a_known_word_are_reported(runs, name):
    with pytest.warns(UserWarning, match=r"2 of 3 texts have no known word \(the first is 'ዓለም'\): their vectors say nothing"):
        runs[name].embed(["ዓለም", "good", ""])
    assert runs[name].knows(["ዓለም", "good ዓ", "", "坏"]).tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", NETWORKS)
def test_spans_are_places_in_the_text_as_it_was_given(runs, name):
    text = "\ufeffgood\x00 fi\x01lm"
    with pytest.warns(UserWarning, match="as in training"):
        (dirty,) = runs[name].vectors([text])
    (clean,) = runs[name].vectors(["good film"])
    np.testing.assert_array_equal(dirty.layers, clean.layers)
    assert [text[start:end].replace("\x01", "").strip("\x00 ") for start, end in dirty.spans if end > start] == [
        "good film"[start:end].strip() for start, end in clean.spans if end > start
    ]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layer", [99, -99, 1.5, True, None, "last"])
def test_a_layer_that_is_not_there_is_a_usage_error(runs, name, layer):
    with pytest.raises(UsageError, match=r"layer = .* from -\d+ to \d+\. leave it out for the default, -1"):
        runs[name].embed(["the film"], layer=layer)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_no_list_of_texts_is_refused(runs, name):
    for call in (runs[name].embed, runs[name].vectors, runs[name].knows):
        with pytest.raises(UsageError, match="one string"):
            call("abc")
        with pytest.raises(DataError, match=r"texts\[0\] is nan"):
            call([float("nan")])


def test_words_are_asked_for_one_by_one(runs):
    run = runs["word2vec"]
    assert "good" in run and None not in run and ["good"] not in run and 3 not in run
    for call in (lambda word: run[word], lambda word: run.similarity(word, "good"), lambda word: run.nearest(word)):
        with pytest.raises(UsageError, match="one text at a time"):
            call(["good"])
        with pytest.raises(DataError, match="the word is None"):
            call(None)
    with pytest.raises(UsageError, match="one string"):
        run.outlier("good")
