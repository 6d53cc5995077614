"""The task `choice`: its file format, its scores, its heads: permuted candidates have permuted probabilities."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stemma.corpus.choices import Choice
from stemma.errors import DataError
from stemma.tasks.choice import ChoiceTask, Config
from stemma.tasks.task import Seat

TASK, TARGETS = ChoiceTask(Config()), {"labels": []}


def answers_of(head, states, batch):
    return head.answers(head.scores(states, batch), batch)


def read(folder, text):
    path = folder / "c.tsv"
    path.write_text(text, encoding="utf-8")
    return TASK.read(path)


def test_tables_and_json_lines_say_the_same(tmp_path):
    rows = "label\tcontext\tquestion\tc1\tc2\tc3\n2\tIt rains.\tAnd so?\ta\tb 🙂\tc\nA\t下雨。\t然后？\t甲\t乙\t\n"
    lines = (
        '{"label": 2, "context": "It rains.", "question": "And so?", "choices": ["a", "b 🙂", "c"]}\n'
        '{"label": "A", "context": "下雨。", "question": "然后？", "choices": ["甲", "乙"]}\n'
    )
    found = read(tmp_path, rows)
    assert [(one.context, one.candidates, one.right) for one in found] == [
        ("It rains. And so?", ("a", "b 🙂", "c"), 1),
        ("下雨。 然后？", ("甲", "乙"), 0),
    ]
    assert [TASK.written(one) for one in read(tmp_path, lines)] == [TASK.written(one) for one in found]
    assert TASK.gold(found, TARGETS).tolist() == [1, 0] and TASK.texts(found)[1].candidates == ("甲", "乙")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0\tx\ta\tb", r"line 2: the label '0'.*from 1, or its letter"),
        ("4\tx\ta\tb\tc", r"line 2: the label names candidate 4 of 3.*1 to 3"),
        ("1\t\ta\tb", "line 2: the context is empty"),
        ("1\tx\t\tb", "line 2: the candidate 1 is empty"),
        ("1\tx\ta", "line 2: 1 candidate"),
        ("1\tx\ta\tb\tc\td", "line 2: 6 cells"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, f"label\tcontext\tc1\tc2\tc3\n{row}\n")


def test_other_forms_are_refused_with_the_right_one(tmp_path):
    for text in ("label\ttext\n1\ta\n", '{"label": 1, "context": "x"}\n', '{"label": 1, "context": "x", "choices": "ab"}\n', "{\n"):
        with pytest.raises(DataError, match=r"c\.tsv, line 1"):
            read(tmp_path, text)


def test_choices_of_a_program():
    found = TASK.given([(1, "x", ["a", "b"]), {"label": "B", "context": "y", "choices": ["c", "d"]}, Choice("z", ("e", "f"), 1)])
    assert [one.right for one in found] == [0, 1, 1]
    with pytest.raises(DataError, match="example 0"):
        TASK.given([("1", "x", "ab")])


def test_chance_is_told_for_candidates_of_different_numbers():
    texts = TASK.texts([Choice("x", ("a",) * count) for count in (2, 4, 4)])
    assert TASK.floor(np.zeros(1), np.zeros(3), texts, TARGETS) == {"answer": "", "how": "choosing by lot", "value": pytest.approx(1 / 3)}


def test_scores_of_probabilities():
    answers = [np.array([0.2, 0.8]), np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.5])]
    found = TASK.score(np.array([1, 2, 0]), answers, TARGETS)
    assert found == {"accuracy": pytest.approx(2 / 3), "loss": pytest.approx(-np.log([0.8, 0.2, 0.5]).mean())}
    rows = TASK.from_rows(np.array([[0.0], [1.0], [2.0], [2.0], [2.0]]), np.array([0, 2, 5]), TARGETS)
    assert [row.tolist() for row in rows] == [pytest.approx([0.2689, 0.7311], abs=1e-4), pytest.approx([1 / 3] * 3)]


@pytest.mark.parametrize("kind", ["head", "network"])
def test_the_loss_is_cross_entropy_within_a_context_and_candidates_may_be_permuted(kind):
    torch.manual_seed(0)
    module = getattr(TASK, kind)(Seat(5, layers=3), TARGETS).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    states = torch.randn((5, 5) if kind == "head" else (5, 4, 3, 5))
    batch = {"windows": torch.tensor([[0, 1, -1], [2, 3, 4]]), "labels": torch.tensor([1, 0])}
    batch["halves"] = torch.tensor([[0, 1, 2, 2]] * 5)
    with torch.no_grad():
        answers = answers_of(module, states, batch)
        scores = (module(states) if kind == "head" else module(states, batch))[:, 0]
        expected = (F.cross_entropy(scores[None, :2], torch.tensor([1])) + F.cross_entropy(scores[None, 2:], torch.tensor([0]))) / 2
        loss = module.loss(states, batch)
        torch.testing.assert_close(loss.mean, expected)
        turned = answers_of(module, states, batch | {"windows": torch.tensor([[1, 0, -1], [4, 2, 3]])})
    assert [row.shape for row in answers] == [(2,), (3,)] and module.predictions(batch) == {"task": 2}
    np.testing.assert_allclose(turned[0], answers[0][[1, 0]], rtol=1e-5)
    np.testing.assert_allclose(turned[1], answers[1][[2, 0, 1]], rtol=1e-5)


def test_answers_as_rows_and_as_lines():
    (row,) = TASK.answer_rows([TASK.example(("x", "a", "乙"), TARGETS)], [np.array([0.25, 0.75])], TARGETS)
    assert row == {"text": "x", "number": 2, "choice": "乙", "probabilities": [0.25, 0.75]}
    assert list(TASK.shown(row)) == ["2 0.75  乙"]
