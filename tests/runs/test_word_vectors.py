"""Queries in words: neighbours, sums and odd words, held against gensim's; what is missing is reported with what is near."""

import warnings

import numpy as np
import pytest

from stemma.errors import DataError
from stemma.runs.word_vectors import FREQUENT, WordVectors, parse

TOKENS = ["<unk>", "king", "queen", "man", "woman", "北京", "上海", "apple", "never", "well-known", "-"]
ROWS = [[1, 1, 0, 0], [1, 0, 1, 0], [0.2, 1, 0, 0.1], [0.2, 0, 1, 0.1], [0, 0.2, 0.2, 2], [0, 0.3, 0.1, 2], [0.1, 0.5, 0.5, 0.3]]
VECTORS = np.array([[9, 9, 9, 9], *ROWS, [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
WORDS = WordVectors(TOKENS, VECTORS, specials=(0,))


@pytest.fixture(scope="module")
def drawn():
    """Sixty random vectors, ours and gensim's."""
    gensim = pytest.importorskip("gensim.models")
    draw = np.random.default_rng(0)
    names, vectors = [f"w{n}" for n in range(60)], draw.normal(size=(60, 7)).astype(np.float32)
    keyed = gensim.KeyedVectors(7)
    keyed.add_vectors(names, vectors)
    return draw, names, WordVectors(names, vectors), keyed


def test_sums_have_gensims_neighbours(drawn):
    draw, names, words, keyed = drawn
    for _ in range(30):
        a, b, c = draw.choice(names, 3, replace=False)
        theirs = keyed.most_similar(positive=[b, c], negative=[a], topn=5)
        ours = words.nearest(f"{b} - {a} + {c}", 5)
        assert [word for word, _ in ours] == [word for word, _ in theirs]
        np.testing.assert_allclose([x for _, x in ours], [x for _, x in theirs], atol=1e-5)
        assert [word for word, _ in words.nearest(a, 60)] == [word for word, _ in keyed.most_similar(a, topn=60)]


def test_rare_words_are_no_neighbours_unless_asked_for():
    vectors = np.random.default_rng(1).normal(size=(FREQUENT + 2, 6)).astype(np.float32)
    vectors[-1] = vectors[3]  # the rarest word stands just where a frequent one does
    words = WordVectors([f"w{n}" for n in range(len(vectors))], vectors)
    assert words.nearest("w3", 1, restrict=0)[0][0] == f"w{FREQUENT + 1}" != words.nearest("w3", 1)[0][0]
    assert words.nearest(f"w{FREQUENT + 1}", 1)[0][0] == "w3"  # by its name, it has its vector


@pytest.mark.filterwarnings("ignore:left out")
def test_the_odd_word_is_gensims(drawn):
    draw, names, words, keyed = drawn
    for size in (3, 4, 9):
        for _ in range(20):
            group = [str(name) for name in draw.choice(names, size, replace=False)]
            found = words.outlier([*group, "no such word"])
            assert found.word == keyed.doesnt_match(group) and found.missing == ("no such word",)
            others = [name for name in group if name != found.word]
            assert found.cosines[found.word] == pytest.approx(float(np.mean([keyed.similarity(found.word, o) for o in others])), abs=1e-5)


def test_the_odd_word_is_found_and_what_is_left_out_is_reported():
    with pytest.warns(UserWarning, match=r"left out.*London"):
        found = WORDS.outlier(["北京", "London", "上海", "queen"])
    assert found.word == "queen" and found.missing == ("London",)
    with pytest.raises(DataError, match=r"only 2 of 3 words.*'quen' without one.*did you mean 'queen'"):
        WORDS.outlier(["quen", "man", "woman"])


def test_case_is_given_up_before_the_word_is():
    assert WORDS.row("King") == 1 and WORDS.row("<unk>") is None and WORDS.row("never") is None
    assert WORDS.nearest("KING", 1) == WORDS.nearest("king", 1)
    assert WORDS.nearest("king - man + woman", 1)[0][0] == "queen"
    assert {word for word, _ in WORDS.nearest("-", 50)} == set(TOKENS) - {"<unk>", "never", "-"}


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("well-known", [(1, "well-known")]),
        ("-", [(1, "-")]),
        ("北京 + 上海", [(1, "北京"), (1, "上海")]),
        ("- a − b", [(-1, "a"), (-1, "b")]),
    ],
)
def test_a_sum_has_blanks_round_its_signs(query, terms):
    assert parse(query) == terms


@pytest.mark.parametrize("query", ["", "king man", "king -", "king - - man", "+ king man"])
def test_what_is_no_sum_is_refused(query):
    with pytest.raises(DataError, match="king - man \\+ woman"):
        parse(query)


@pytest.mark.parametrize(("query", "cure"), [("womann", "did you mean 'woman'"), ("上海市", "'上海'"), ("zzzz", "try another form")])
def test_an_unknown_word_is_reported_with_what_is_near(query, cure):
    with pytest.raises(DataError, match=cure):
        WORDS.nearest(query)


def test_words_that_cancel_out_have_no_neighbours():
    with pytest.raises(DataError, match="cancel out"):
        WORDS.nearest("king - king")


def test_frequency_is_the_counts_where_they_are_known():
    counts = np.array([99, 1, 5, 2, 3, 0, 7, 5, 4, 0, 0])
    by_counts = WordVectors(TOKENS, VECTORS, counts, specials=(0,)).by_frequency
    assert [TOKENS[row] for row in by_counts[:4]] == ["上海", "queen", "apple", "woman"]
    assert [TOKENS[row] for row in WORDS.by_frequency[:2]] == ["king", "queen"] and len(by_counts) == 9


def test_a_word_never_seen_may_be_composed():
    made = {"kingly": np.array([5.0, 5, 0, 0]), "womanly": np.array([0.2, 0, 1, 0.1])}
    words = WordVectors(TOKENS, VECTORS, specials=(0,), compose=made.get)
    assert words.nearest("kingly", 1) == [("king", pytest.approx(1))]
    assert words.nearest("kingly - man + womanly", 1)[0][0] == "queen"
    assert words.outlier(["北京", "上海", "kingly"]).word == "kingly"
    assert words.row("kingly") is None  # files are judged by the vocabulary's own words
    with pytest.raises(DataError, match="not in the vocabulary"):
        words.nearest("qqq")


def test_a_word_is_found_with_the_space_before_it_and_without():
    tokens = [" the", "the", " sea", "sea", "海", " 海", "\\xe7", " never"]
    vectors = np.array([[5, 1, 0], [4, 1, 1], [0, 1, 3], [0, 2, 3], [1, 0, 2], [1, 0, 1], [1, 1, 1], [0, 0, 0]], np.float32)
    words = WordVectors(tokens, vectors, np.array([90, 7, 6, 80, 70, 2, 1, 0]))
    assert [words.row(word) for word in ("the", "The", " sea", "sea", "海", "never")] == [0, 0, 2, 3, 4, None]
    assert {word for word, _ in words.nearest("the - sea", 9)} == {"海", " 海", "\\xe7"}  # no form of those in the query
    assert words.outlier(["the", "sea", "海"]).missing == ()
    with pytest.raises(DataError, match="did you mean 'sea'"):
        words.nearest("seaa")


def test_vectors_that_hardly_differ_are_reported_once():
    draws = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
    names = [f"w{n}" for n in range(40)]
    alike = WordVectors(names, draws + 30)
    with pytest.warns(UserWarning, match=r"cosine of (0\.9\d|1\.00) on average.*train longer"):
        alike.nearest("w3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alike.nearest("w4")
        WordVectors(names, draws).nearest("w3")
        WordVectors(names[:1], draws[:1]).nearest("w0")
    assert alike.alike > 0.9 > abs(WordVectors(names, draws).alike)


def test_a_word_that_is_as_near_to_anything_is_told():
    draws = np.random.default_rng(0)
    frequent, rare = draws.normal(size=(200, 16)), draws.normal(size=(50, 16)) / 100 + np.ones(16)
    vectors = WordVectors([f"w{row}" for row in range(250)], np.concatenate([frequent, rare]))
    with pytest.warns(UserWarning, match="'w220' is as near to anything"):
        vectors.nearest("w220")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vectors.nearest("w3")
