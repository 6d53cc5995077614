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
