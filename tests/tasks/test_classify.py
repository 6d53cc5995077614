"""The task `classify`: its label space, its metrics as sums of terms, several labels a text, its heads."""

import numpy as np
import pytest
import torch

from stemma.corpus.task import Example
from stemma.errors import DataError, UsageError
from stemma.tasks.classify import Config
from stemma.tasks.table import TASKS, make_task
from stemma.tasks.task import Seat

sklearn_metrics = pytest.importorskip("sklearn.metrics")
TOPICS = [Example("a", "sport|politics", several=True), Example("b", "", several=True), Example("c", " 财经 | sport|sport", several=True)]


def answers_of(head, states, batch):
    return head.answers(head.scores(states, batch), batch)


def drawn(seed, several, n=61, classes=4):
    """Gold and probabilities at random."""
    rng = np.random.default_rng(seed)
    targets = {"labels": [f"l{k}" for k in range(classes)], "several": several, "pairs": False}
    if several:
        return targets, rng.integers(0, 2, (n, classes)), list(rng.random((n, classes)))
    probabilities = rng.random((n, classes))
    return targets, rng.integers(0, classes, n), list(probabilities / probabilities.sum(1, keepdims=True))


@pytest.mark.parametrize("several", [False, True])
def test_sums_of_terms_give_the_metrics(several):
    """Of all examples, and of any resample of them: what the bootstrap rests on."""
    task = make_task("classify")
    targets, gold, answers = drawn(0, several)
    decoded = task.decode(answers, targets)
    terms = task.terms(gold, decoded, targets)
    rng = np.random.default_rng(1)
    picks = [np.arange(len(gold)), *rng.integers(0, len(gold), (5, len(gold)))]
    resampled = task.measures(np.stack([terms[pick].sum(0) for pick in picks]), targets)
    for k, pick in enumerate(picks):
        found = task.score(gold[pick], [answers[n] for n in pick], targets)
        for metric in task.metrics(targets):
            assert resampled[metric.name][k] == pytest.approx(found[metric.name])


def test_metrics_of_several_labels_equal_scikit_learn():
    task = make_task("classify")
    targets, gold, answers = drawn(3, several=True)
    found = task.score(gold, answers, targets)
    decoded = task.decode(answers, targets)
    assert [metric.name for metric in task.metrics(targets)] == ["micro_f1", "macro_f1"]
    for average in ("micro", "macro"):
        assert found[f"{average}_f1"] == pytest.approx(sklearn_metrics.f1_score(gold, decoded, average=average))
    nats = [sklearn_metrics.log_loss(g, p) for g, p in zip(gold.T, np.stack(answers).T, strict=True)]
    assert found["loss"] == pytest.approx(np.mean(nats))
    rows = task.breakdown(gold, decoded, targets)
    assert rows[1]["precision"] == pytest.approx(sklearn_metrics.precision_score(gold[:, 1], decoded[:, 1]))


def test_accuracy_is_the_primary_metric_of_one_label():
    task = make_task("classify")
    targets, gold, answers = drawn(4, several=False)
    assert task.metrics(targets)[0].name == "accuracy" and task.metrics(targets)[0].higher_is_better
    assert task.breakdown(gold, task.decode(answers, targets), targets)[2]["examples"] == (gold == 2).sum()


def test_several_labels_are_read_and_reported():
    task = make_task("classify")
    targets = task.targets(TOPICS)
    assert targets == {"labels": ["politics", "sport", "财经"], "several": True, "pairs": False}
    gold = task.gold(TOPICS, targets)
    assert gold.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]] and task.strata(gold).tolist() == [0, 3, 1]
    answers = [np.array([0.9, 0.2, 0.6], np.float32), np.array([0.1, 0.2, 0.3], np.float32)]
    assert task.readable(answers, targets)[0] == [["politics", "财经"], []]
    assert task.answer_rows(TOPICS[:2], answers, targets)[0]["labels"] == ["politics", "财经"]
    with pytest.raises(DataError, match=r"the label 'kultur'.*mend the label"):
        task.gold([Example("d", "kultur|sport", several=True)], targets)


@pytest.mark.parametrize(("header", "config"), [("labels", Config()), ("label", Config(multilabel=True))])
def test_a_header_or_a_setting_says_that_there_are_several(tmp_path, header, config):
    path = tmp_path / "t.tsv"
    path.write_text(f"{header}\ttext\nsport|politics\tone\n\ttwo 🙂\n财经\t三\n", encoding="utf-8")
    examples = make_task("classify", config).read(path)
    assert make_task("classify", config).targets(examples)["labels"] == ["politics", "sport", "财经"]
    assert [example.several for example in examples] == [True] * 3


def test_one_label_may_hold_the_separator():
    examples = [Example("a", "x|y"), Example("b", "z")]
    assert make_task("classify").targets(examples)["labels"] == ["x|y", "z"]
    with pytest.raises(DataError, match="add examples of another label"):
        make_task("classify").targets(examples[:1])


def test_the_task_network_sees_no_padding_and_has_one_size():
    torch.manual_seed(0)
    task, targets = make_task("classify"), {"labels": ["a", "b", "c"], "several": False, "pairs": False}
    head = task.network(Seat(width=20, layers=3, dropout=0.5), targets).eval()
    states, sites = torch.randn(2, 7, 3, 20), torch.tensor([[True] * 7, [True] * 2 + [False] * 5])
    both = answers_of(head, states, {"sites": sites})
    alone = answers_of(head, states[1:, :2], {"sites": sites[1:, :2]})
    np.testing.assert_allclose(both[1], alone[0], atol=1e-6)
    assert np.isfinite(answers_of(head, states, {"sites": sites & False})).all()  # texts without tokens
    other = task.network(Seat(width=50, layers=1), targets)
    size = {name: p.numel() for name, p in head.named_parameters()} | {"mix.weights": 1, "projection.weight": 128 * 50}
    assert size == {name: p.numel() for name, p in other.named_parameters()}
    assert head.layer_weights() == pytest.approx([1 / 3] * 3)


def test_the_loss_is_the_mean_over_texts():
    task = make_task("classify")
    for several, labels in ((False, torch.tensor([0, 2])), (True, torch.tensor([[1.0, 0, 1], [0, 0, 0]]))):
        head = task.head(Seat(width=5, dropout=0.0), {"labels": ["a", "b", "c"], "several": several})
        states = torch.randn(2, 5)
        both = head.loss(states, {"labels": labels})
        each = [float(head.loss(states[k : k + 1], {"labels": labels[k : k + 1]}).mean.detach()) for k in range(2)]
        assert float(both.mean.detach()) == pytest.approx(np.mean(each), abs=1e-6) and both.count == 2


def test_a_wrong_name_is_given_its_nearest():
    assert set(TASKS) >= {"classify"}
    with pytest.raises(UsageError, match="did you mean 'classify'"):
        make_task("classfy")
