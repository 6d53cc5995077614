"""The task `regress`: numbers read and refused, metrics against SciPy's, terms that add up, the strata of the selection part."""

import numpy as np
import pytest

from stemma.corpus.task import Example
from stemma.errors import DataError
from stemma.tasks.regress import Config, Regress

TASK = Regress(Config())
PAIRS = "score\ttext1\ttext2\n5.0\ta dog\ta hound\n0\t一只狗\t一座山\n2.5\tthe mill 🙂\tthe old mill\n"


def read(folder, text, **options):
    path = folder / "n.tsv"
    path.write_text(text, encoding="utf-8")
    return TASK.read(path, **options)


def test_pairs_with_numbers(tmp_path):
    examples = read(tmp_path, PAIRS)
    targets = TASK.targets(examples)
    assert targets == {"labels": [], "mean": 2.5, "scale": pytest.approx(np.std([5, 0, 2.5])), "pairs": True}
    assert TASK.gold(examples, targets).tolist() == [5.0, 0.0, 2.5]
    assert TASK.parts(targets) == ("text_a", "text_b") and TASK.texts(examples)[1].symmetric
    assert TASK.link(targets) == "identity"


@pytest.mark.parametrize("label", ["good", "nan", "inf", "2,5", "", "1e39", "-1e300"])
def test_what_is_no_number_is_told_with_its_line(tmp_path, label):
    expected = "line 3: the cell 'label' is empty" if not label else rf"line 3: the label '{label}'.*a number, as 2\.5.*classify"
    with pytest.raises(DataError, match=expected):
        read(tmp_path, f"label\ttext\n1\tone\n{label}\ttwo\n")


def test_one_number_cannot_be_learnt_but_measured_on(tmp_path):
    with pytest.raises(DataError, match="different label"):
        read(tmp_path, "label\ttext\n1\ta\n1\tb\n")
    assert len(read(tmp_path, "label\ttext\n1\ta\n1\tb\n", learning=False)) == 2
    with pytest.raises(DataError, match="1 different number in 2 examples"):
        TASK.targets([Example("a", "1"), Example("b", "1.0")])


def test_examples_that_a_program_gives():
    rows = [(3, "a text"), (np.float32(2.5), "b"), {"score": 1.25, "text": "c"}, ("4", "d"), Example("e", "0.5")]
    assert TASK.gold(TASK.given(rows), {}).tolist() == [3.0, 2.5, 1.25, 4.0, 0.5]
    with pytest.raises(DataError, match="example 1: the label 'much'"):
        TASK.given([(1, "a"), ("much", "b")])


def test_metrics_are_those_of_scipy_and_add_up():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 11, 73) / 2
    given = np.round(0.4 * gold + rng.normal(size=73), 1)  # with ties on both sides
    targets = {"labels": [], "mean": 2.0, "scale": 1.5}
    found = TASK.score(gold, given.tolist(), targets)
    assert found["pearson"] == pytest.approx(stats.pearsonr(gold, given)[0], abs=1e-12)
    assert found["spearman"] == pytest.approx(stats.spearmanr(gold, given)[0], abs=1e-12)
    assert found["mse"] == pytest.approx(((gold - given) ** 2).mean(), abs=1e-12)
    terms = TASK.terms(gold, given, targets)
    drawn = rng.integers(0, 73, (5, 73))
    many = TASK.measures(terms[drawn].sum(1), targets)
    for row, chosen in enumerate(drawn):
        assert many["pearson"][row] == pytest.approx(stats.pearsonr(gold[chosen], given[chosen])[0], abs=1e-9)
        assert many["spearman"][row] == pytest.approx(stats.spearmanr(gold[chosen], given[chosen])[0], abs=0.02)


def test_what_does_not_vary_correlates_with_nothing():
    gold, targets = np.array([1.0, 2.0, 4.0]), {"labels": [], "mean": 7 / 3, "scale": 1.0}
    assert TASK.score(gold, [7 / 3] * 3, targets) == pytest.approx({"pearson": 0, "spearman": 0, "mse": 14 / 9})
    least = TASK.floor(gold, gold, [], targets)
    assert least == {"answer": "2.333", "value": 0.0, "error": pytest.approx(1 / np.sqrt(2))}


def test_strata_are_fifths_of_equal_size():
    gold = np.random.default_rng(0).permutation(100).astype(float)
    assert np.bincount(TASK.strata(gold)).tolist() == [20] * 5
    assert TASK.strata(gold)[gold.argmin()] == 0 and TASK.strata(gold)[gold.argmax()] == 4
    assert set(TASK.strata(np.arange(8.0)).tolist()) == {0}
    assert len(set(TASK.strata(np.ones(60)).tolist())) == 1


def test_answers_as_rows_and_as_lines():
    targets = {"labels": [], "mean": 0.0, "scale": 1.0, "pairs": True}
    (row,) = TASK.answer_rows([TASK.example(("a", "乙"), targets)], [1.23456], targets)
    assert row == {"text": "a\t乙", "number": 1.23456}
    assert list(TASK.shown(row)) == ["1.235  a ⇥ 乙"]
