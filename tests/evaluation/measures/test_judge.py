"""Answers to a task: every metric the task names, of each seed, from arrays and from what JSON made of them."""

import numpy as np
import pytest

from stemma.evaluation.measures.judge import Judge, rows
from stemma.tasks.table import make_task
from stemma.tasks.task import Metric

TARGETS = {"labels": ["neg", "中", "pos"], "several": False, "pairs": False}


def test_classification_has_the_values_of_scikit_learn():
    scores = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 157)
    answers = [np.where(rng.random(157) < right, gold, rng.integers(0, 3, 157)) for right in (0.5, 0.8)]
    judge = Judge(make_task("classify"), TARGETS, gold)
    found = judge.intervals(answers)
    assert list(found) == ["accuracy", "macro_f1", "matthews"]
    assert found["accuracy"].value == pytest.approx(np.mean([scores.accuracy_score(gold, seed) for seed in answers]))
    assert found["macro_f1"].value == pytest.approx(np.mean([scores.f1_score(gold, seed, average="macro") for seed in answers]))
    assert judge.values(answers) == pytest.approx([scores.accuracy_score(gold, seed) for seed in answers])
    lead = judge.difference(answers[1:], answers[:1])
    assert lead.excludes_zero and lead.value == pytest.approx(judge.values(answers)[1] - judge.values(answers)[0])


class Spelled:
    """A task whose gold is a list of any length: how many of its entries were found."""

    def metrics(self, targets):
        return (Metric("found", "entries found"),)

    def terms(self, gold, decoded, targets):
        return np.array([[np.sum(np.equal(right, given)), len(right)] for right, given in zip(gold, decoded, strict=True)], np.float64)

    def measures(self, sums, targets):
        return {"found": sums[..., 0] / sums[..., 1]}


def test_answers_of_different_lengths_come_back_from_json_as_they_were():
    gold = np.empty(3, dtype=object)
    gold[:] = [np.array([1, 2]), np.array([3]), np.array([4, 5, 6])]
    kept = rows(gold)
    assert kept == [[1, 2], [3], [4, 5, 6]]
    judge = Judge(Spelled(), {}, kept)
    assert judge.values([kept, [[1, 0], [3], [0, 0, 6]]]) == [1.0, 0.5]
    assert judge.intervals([kept])["found"].value == 1.0
