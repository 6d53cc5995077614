"""ROUGE against its definition, on texts in both scripts."""

from itertools import combinations

import numpy as np
import pytest

from stemma.tasks.generate import Config, Generate
from stemma.tasks.rouge import longest_common, rouge


def test_the_longest_common_subsequence_is_that_of_all_tried():
    rng = np.random.default_rng(0)
    for _ in range(60):
        ours, theirs = (["abc"[k] for k in rng.integers(0, 3, rng.integers(0, 7))] for _ in range(2))
        subsequences = ({c for n in range(len(s) + 1) for c in combinations(s, n)} for s in (ours, theirs))
        assert longest_common(ours, theirs) == max(map(len, set.intersection(*subsequences)))


def test_words_and_characters_marks_left_out():
    assert rouge("The cat, sat.", "the cat lay there!") == pytest.approx((2 * 2 / 7, 2 * 2 / 7, 2 * 1 / 5))
    assert rouge("春眠不觉晓", "春眠，觉晓") == pytest.approx((2 * 4 / 9, 2 * 4 / 9, 2 * 2 / 7))
    assert rouge("", "") == (1, 1, 1) and rouge("", "x") == (0, 0, 0) and rouge("😀", "!") == (1, 1, 1)
    assert rouge("GPT 模型", "gpt 模型")[0] == 1


def test_of_several_targets_the_nearest_counts(tmp_path):
    """A column `targets` alone is parted; the first one is learnt from, and sacreBLEU's own numbers are those of several references."""
    sacrebleu = pytest.importorskip("sacrebleu")
    rows = [("a house stands here", "a red house ||| one house , red"), ("狗在睡觉", "一只狗 ||| 狗 |||"), ("c", "only this one")]
    files = {name: tmp_path / f"{name}.tsv" for name in ("targets", "target")}
    for name, file in files.items():
        file.write_text("\n".join(["source\t" + name, *map("\t".join, rows)]) + "\n", encoding="utf-8")
    task = Generate(Config())
    one, several = task.read(files["target"]), task.read(files["targets"])
    assert [example.target for example in one] == [target for _, target in rows] and not one[0].others
    assert [(example.target, *example.others) for example in several] == [
        ("a red house", "one house , red"),
        ("一只狗", "狗"),
        ("only this one",),
    ]
    assert [text.other for text in task.texts(several)] == ["a red house", "一只狗", "only this one"]
    targets, said = task.targets(several), np.array(["one red house", "狗", "this one"], dtype=object)
    terms = task.terms(task.gold(several, targets), said, targets)
    assert terms[0, 1] == max(rouge("one red house", right)[0] for right in ("a red house", "one house , red")) and terms[1, 1] == 1
    found = task.measures(terms.sum(0), targets)
    streams = [["a red house", "一只狗", "only this one"], ["one house , red", "狗", None]]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(said.tolist(), streams, tokenize=targets["tokenize"]).score, abs=1e-9)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said.tolist(), streams).score, abs=1e-9)
    assert "nrefs:var" in targets["signatures"]["bleu"] and "nrefs:1" in task.targets(one)["signatures"]["bleu"]


def test_terms_add_up():
    pytest.importorskip("sacrebleu")
    task = Generate(Config())
    gold = np.array(["a red house", "the dog sleeps", "一只狗"], dtype=object)
    said = np.array(["a blue house", "dog", "一只猫"], dtype=object)
    targets = {"labels": [], "tokenize": "13a", "signatures": {}}
    terms = task.terms(gold, said, targets)
    found = task.measures(terms[[0, 0, 2]].sum(0), targets)
    assert found["rouge_l"] == pytest.approx(np.mean([rouge(said[k], gold[k])[0] for k in (0, 0, 2)]))
    assert set(found) == {metric.name for metric in task.metrics(targets)} and 0 < found["chrf"] < 100
