"""Word maps: the same words everywhere, the same places every time, near words near, and labels that do not cover each other."""

import builtins
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.evaluation.report import map_drawing
from stemma.evaluation.report.word_map import LEAST, WORDS, pca, spread, tsne, turned, word_maps
from stemma.runs.word_vectors import WordVectors
from stemma.tokens.function_words import is_content

PLACES = ["river", "stream", "brook", "lake", "北京", "上海", "广州", "深圳", "bread", "butter", "cheese", "milk"]
TOKENS = ["<unk>", "the", "of", "因为", "1984", *PLACES]


def table(seed=0, width=9, tokens=TOKENS):
    """Vectors in which each four of the words lie close together."""
    draw = np.random.default_rng(seed)
    centres = np.repeat(draw.normal(size=(5, width)), 4, axis=0)[: len(tokens) - 5]
    vectors = np.concatenate([draw.normal(size=(5, width)), centres + 0.05 * draw.normal(size=centres.shape)])
    return WordVectors(tokens, vectors.astype(np.float32), specials=(0,))


def test_the_words_are_the_frequent_content_words_that_all_have():
    known, other = table(), WordVectors([*TOKENS[:9], "Rain"], np.ones((10, 4), np.float32), specials=(0,))
    assert word_maps({"word2vec": known})["words"] == PLACES
    assert word_maps({"word2vec": known, "glove": other})["words"] == PLACES[:4]
    many = WordVectors([f"w{'abcdefghij'[n // 100]}{'abcdefghij'[n // 10 % 10]}{'abcdefghij'[n % 10]}" for n in range(300)], np.eye(300))
    assert len(word_maps({"word2vec": many})["words"]) == WORDS


def test_words_that_are_asked_for_are_drawn_and_those_without_a_vector_reported():
    found = word_maps({"word2vec": table(), "glove": table(1)}, ("the", "unicorn", *PLACES[:6], "the"))
    assert found["words"] == ["the", *PLACES[:6]] and found["missing"] == ["unicorn"] and found["asked"]
    assert list(found["maps"]) == ["word2vec", "glove"] and np.shape(found["maps"]["glove"]) == (7, 2)
    assert {name: len(near) for name, near in found["neighbours"]["river"].items()} == {"word2vec": 5, "glove": 5}
    assert {word for word, _ in found["neighbours"]["river"]["word2vec"][:3]} == {"stream", "brook", "lake"}


def test_too_few_words_make_no_map():
    found = word_maps({"word2vec": table()}, PLACES[: LEAST - 1])
    assert found["maps"] == {} and len(found["neighbours"]) == LEAST - 1
    assert word_maps({"word2vec": table()}, ["unicorn"])["neighbours"] == {}


@pytest.mark.parametrize("method", [tsne, pca])
def test_near_words_stand_near_and_the_map_is_the_same_every_time(method):
    pytest.importorskip("sklearn")
    unit = table().unit[5:]
    places = method(unit)
    np.testing.assert_array_equal(places, method(unit))
    far = np.linalg.norm(places[:, None] - places, axis=2)
    kin = np.arange(len(PLACES)) // 4
    same = kin[:, None] == kin
    assert far[same].max() < far[~same].min()


def test_pca_is_scikit_learns_up_to_mirroring():
    sklearn = pytest.importorskip("sklearn.decomposition")
    vectors = np.random.default_rng(2).normal(size=(20, 7))
    np.testing.assert_allclose(np.abs(pca(vectors)), np.abs(sklearn.PCA(2).fit_transform(vectors)), atol=1e-9)


def test_a_turned_map_lies_on_the_first():
    first = np.random.default_rng(3).normal(size=(15, 2))
    angle = 2.1
    away = 7 * first @ np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]]) + 5  # turned, mirrored, larger, moved
    np.testing.assert_allclose(turned(away, first), turned(first, first), atol=1e-9)


def test_without_scikit_learn_the_map_is_pca(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert word_maps({"word2vec": table()})["method"] == "PCA"


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 300.0]))
def test_labels_never_cover_each_other(count, seed, scale):
    draw = np.random.default_rng(seed)
    middles, wide = draw.normal(size=(count, 2)) * scale, draw.uniform(20, 90, count)
    moved = map_drawing.apart(middles, wide)
    gaps = np.abs(moved[:, None] - moved)
    clear = (gaps[..., 0] > (wide[:, None] + wide) / 2 - 0.5) | (gaps[..., 1] > 15 - 0.5)
    assert (clear | np.eye(count, dtype=bool)).all()


def test_labels_with_room_stay_where_they_are():
    middles = np.array([[0.0, 0], [100, 0], [0, 40]])
    np.testing.assert_array_equal(map_drawing.apart(middles, np.array([50.0, 60, 70])), middles)


def test_the_picture_holds_every_word_inside_its_frame_and_no_markup_of_its_own():
    words = ["<b>", "北京", "cheese", "a&b", "milk"]
    places = np.random.default_rng(4).normal(size=(5, 2))
    drawn = map_drawing.draw(words, places, map_drawing.hues(places), 'a "map"')
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    found = re.findall(r'<text x="(\d+)" y="(\d+)" style="--hue:(\d+)">([^<]+)</text>', drawn)
    assert [text for *_, text in found] == ["&lt;b&gt;", "北京", "cheese", "a&amp;b", "milk"]
    assert all(0 < float(x) < width and 0 < float(y) < height and 0 <= int(hue) <= 360 for x, y, hue, _ in found)
    assert "script" not in drawn and 'aria-label="a &quot;map&quot;"' in drawn


def test_a_few_words_are_spread_over_all():
    assert spread([str(n) for n in range(71)]) == ["0", "10", "20", "30", "40", "50", "60", "70"]
    assert spread(["a", "b"]) == ["a", "b"] and spread([]) == []


@pytest.mark.parametrize("word", ["of", "Whose", "don't", "x2", "我们", "河", "🙂", "12"])
def test_function_words_marks_and_numbers_are_not_content(word):
    assert not is_content(word)
