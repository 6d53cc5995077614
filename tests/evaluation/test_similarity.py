"""Similarity and analogies against hand-made vectors and against scipy and gensim's rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import DataError
from stemma.evaluation.similarity import Question, analogies, read_analogies, read_pairs, similarity, spearman

WORDS = ["<unk>", "king", "queen", "man", "woman", "北京", "上海", "apple"]
FIND = {word: row for row, word in enumerate(WORDS)}.get
ROYAL = [[1, 1, 0, 0], [1, 0, 1, 0], [0.2, 1, 0, 0.1], [0.2, 0, 1, 0.1]]
VECTORS = np.array([[0, 0, 0, 0], *ROYAL, [0, 0.2, 0.2, 2], [0, 0.3, 0.1, 2], [0.1, 0.5, 0.5, 0.3]], np.float32)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_spearman_is_scipys_ties_included(points):
    stats = pytest.importorskip("scipy.stats")
    x, y = np.array(points, float).T
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    else:
        assert np.isnan(spearman(x, y))


def test_similarity_orders_pairs_and_names_the_missing():
    known = [("King", "man", 8.0), ("北京", "上海", 9.5), ("king", "上海", 1.0), ("queen", "man", 4.0)]
    pairs = [*known, ("queen", "women", 7.0), ("<unk>", "man", 3.0)]
    result = similarity(VECTORS, FIND, pairs, resamples=200)
    assert result.rho == pytest.approx(1) and result.low <= result.rho <= result.high
    assert (result.pairs, result.used, result.missing) == (6, 4, ("<unk>", "women"))


def test_similarity_without_known_words_is_refused():
    with pytest.raises(DataError, match="train on more text"):
        similarity(VECTORS, FIND, [("king", "queen", 1.0), ("no", "such", 2.0)])


@pytest.mark.parametrize("method", ["add", "mul"])
def test_analogies_by_section_with_coverage(method):
    royal = [Question("royal", "man", "king", "woman", answer) for answer in ("queen", "apple")]
    questions = [*royal, Question("zh", "北京", "上海", "东京", "king")]
    result = analogies(VECTORS, FIND, questions, method)
    royal, zh = result.sections["royal"], result.sections["zh"]
    assert (royal.correct, royal.covered, royal.asked) == (1, 2, 2) and royal.accuracy == 0.5
    assert (zh.covered, zh.asked) == (0, 1) and np.isnan(zh.accuracy)
    assert result.as_dict()["sections"]["total"] == {"correct": 1, "covered": 2, "asked": 3, "accuracy": 0.5}


def test_restricting_the_vocabulary_lowers_coverage():
    question = [Question("zh", "king", "queen", "北京", "上海")]
    assert analogies(VECTORS, FIND, question).total.covered == 1 and analogies(VECTORS, FIND, question, restrict=5).total.covered == 0


@pytest.mark.parametrize("method", ["add", "mul"])
def test_answers_are_gensims(method):
    gensim = pytest.importorskip("gensim.models")
    draw = np.random.default_rng(0)
    names, vectors = [f"w{n}" for n in range(60)], draw.normal(size=(60, 7)).astype(np.float32)
    keyed = gensim.KeyedVectors(7)
    keyed.add_vectors(names, vectors)
    ask = keyed.most_similar if method == "add" else keyed.most_similar_cosmul
    for _ in range(30):
        a, b, c = draw.choice(60, 3, replace=False)
        best = ask(positive=[names[b], names[c]], negative=[names[a]], topn=1)[0][0]
        question = [Question("s", names[a], names[b], names[c], best)]
        assert analogies(vectors, dict(zip(names, range(60), strict=True)).get, question, method).total.correct == 1


def test_files_are_read_and_bad_lines_named(tmp_path, shared_data):
    assert len(read_pairs(shared_data / "words-en" / "wordsim353.tsv")) == 353
    assert len(read_pairs(shared_data / "words-zh" / "wordsim240.tsv")) == 240
    questions = read_analogies(shared_data / "words-en" / "analogy-google.tsv")
    assert len(questions) == 19544 and len({q.section for q in questions}) == 14
    bad = tmp_path / "bad.tsv"
    bad.write_text("word1\tword2\tscore\n男\t女\t8\nking\tqueen\thigh\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3.*mend the line"):
        read_pairs(bad)
    bad.write_text("word1\tword2\tscore\nking queen 3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2.*separate them with tabs"):
        read_pairs(bad)
