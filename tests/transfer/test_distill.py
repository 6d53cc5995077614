"""A student that learns a task from its teacher: what it learns, what it keeps, where it goes on, and what is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stemma.checkpoint import RunFolder
from stemma.errors import UsageError
from stemma.lineage.table import find
from stemma.objectives.batch import IGNORE
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tasks.tag import Config as TagConfig
from stemma.tasks.tag import TagHead
from stemma.tasks.task import Seat
from stemma.tasks.text_heads import Labels, Number, TextHead
from stemma.tokens import files
from stemma.transfer import journal
from stemma.transfer.augment import Augmenter
from stemma.transfer.distill import TaskTeacher, augmenter_of
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config, Distilling

FAST = Config(precision="fp32", seeds=(1,), budget=2, epochs=1, updates=5, threads=1)
HOW = Distilling(epochs=1, updates=12)


@pytest.fixture(scope="module")
def teacher(bert, train_examples, dev_examples, tmp_path_factory) -> Path:
    """BERT, fine-tuned."""
    path = tmp_path_factory.mktemp("teacher") / "run"
    config = dataclasses.replace(FAST, updates=60, budget=1)
    finetune(bert, train=train_examples[:80], dev=dev_examples[:40], config=config, out=path)
    return path


@pytest.fixture
def student(bert) -> Run:
    """A student with BERT's tokens and nothing learnt."""
    row = find("tinybert")
    sizes = {"width": 12, "depth": 2, "heads": 2, "inner": 20, "max_length": 48, "dropout": 0.1, "teacher_width": 24}
    torch.manual_seed(4)
    network = row.load_network()(row.model_config()(**sizes), bert.tokenizer.facts())
    return Run(None, row, bert.tokenizer, network)


def distilled(teacher: Path, student: Run, train, dev, out: Path, how: Distilling = HOW, config: Config = FAST) -> FittedRun:
    taught = TaskTeacher(teacher, how)
    taught.check(student, config, "")
    return finetune(student, train=train[:60], dev=dev[:20], task=taught.task, config=config, out=out, teacher=taught)


def test_the_student_is_a_fine_tuned_run_like_any_other(teacher, student, train_examples, dev_examples, tmp_path) -> None:
    before = (teacher / "model.safetensors").read_bytes()
    made = distilled(teacher, student, train_examples, dev_examples, tmp_path / "run", dataclasses.replace(HOW, updates=16))
    assert (teacher / "model.safetensors").read_bytes() == before
    texts = [example.text for example in dev_examples[:9]]
    again = FittedRun.load(tmp_path / "run")
    assert np.array_equal(again.predict(texts)[1], made.predict(texts)[1]) and again.labels == ("neg", "pos")
    facts = again.facts
    assert facts["generation"] == "tinybert" and facts["mode"] == "finetune"
    assert facts["first_step"]["loss"] < 0.9 * facts["first_step"]["first_loss"]
    rows = {row["who"]: row for row in facts["taught"]["rows"]}
    assert rows["student"]["accuracy"] == pytest.approx(facts["accuracy"]["mean"]) and facts["taught"]["examples"] == 20
    gold = np.array([made.labels.index(example.label) for example in dev_examples[:20]])
    opened = FittedRun.load(teacher)
    assert rows["teacher"]["accuracy"] == opened.task.score(gold, opened.answers(dev_examples[:20]), made.targets)["accuracy"]
    assert rows["student"]["parameters"] < rows["teacher"]["parameters"] and min(rows["student"]["ms"], rows["teacher"]["ms"]) > 0
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "| | teacher, bert | student, tinybert |" in card and "| parameters |" in card and "| accuracy of 20 dev examples |" in card
    assert "block 1, 2 as the teacher's 2, 3 of 3, attention head by head" in card and "16 updates" in card


class Killed(Exception):
    pass


def test_killed_after_every_save_it_ends_in_the_same_weights(teacher, student, train_examples, dev_examples, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)
    few = dataclasses.replace(HOW, updates=3), dataclasses.replace(FAST, updates=3)
    distilled(teacher, student, train_examples, dev_examples, tmp_path / "whole", *few)
    save, deaths = RunFolder.save_state, []

    def save_and_die(folder: RunFolder, number: int, arrays: Any, facts: Any) -> None:
        save(folder, number, arrays, facts)
        deaths.append(("first-step" in arrays, bool(facts["reached"])))
        if len(deaths) % 2 == 1:  # in both steps, and between them
            raise Killed

    monkeypatch.setattr(RunFolder, "save_state", save_and_die)
    for _ in range(40):
        try:
            distilled(teacher, student, train_examples, dev_examples, tmp_path / "killed", *few)
            break
        except Killed:
            pass
    assert {(False, True), (True, True), (True, False)} <= set(deaths)
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == (tmp_path / "killed" / "model.safetensors").read_bytes()


def test_what_cannot_be_imitated_is_refused(teacher, student, bert, gpt, train_examples, tmp_path) -> None:
    few = dataclasses.replace(FAST, updates=2, budget=1)
    finetune(gpt, train=train_examples[:40], config=few, out=tmp_path / "gpt")
    with pytest.raises(UsageError, match="whose layers no student imitates"):
        TaskTeacher(tmp_path / "gpt", HOW)
    finetune(bert, train=train_examples[:40], config=few, mode="frozen", out=tmp_path / "frozen")
    with pytest.raises(UsageError, match="without --frozen"):
        TaskTeacher(tmp_path / "frozen", HOW)
    taught = TaskTeacher(teacher, HOW)
    with pytest.raises(UsageError, match="imitates nobody"):
        taught.check(bert, FAST, "")
    with pytest.raises(UsageError, match="drop the task tag"):
        taught.check(student, FAST, "tag")
    with pytest.raises(UsageError, match="one that moves"):
        taught.check(student, dataclasses.replace(FAST, mode="frozen"), "")
    with pytest.raises(UsageError, match="--masked RUN"):
        augmenter_of(student, dataclasses.replace(HOW, augment=2), 1, None, None)
    student.network.config = dataclasses.replace(student.network.config, teacher_width=20)
    with pytest.raises(UsageError, match=r"model\.teacher_width = 20"):
        taught.check(student, FAST, "classify")


def task_file(task: str, path: Path) -> Path:
    """A few examples of each kind of task."""
    if task == "span":
        passages = [("the lovely film was fine", "what was fine ?", "film"), ("a bad story of 故事", "a story of what ?", "故事")] * 8
        paragraphs = []
        for n, (context, question, text) in enumerate(passages):
            answers = [{"text": text, "answer_start": context.index(text)}]
            paragraphs.append({"context": context, "qas": [{"id": str(n), "question": question, "answers": answers}]})
        path = path.with_suffix(".json")
        path.write_text(json.dumps({"data": [{"title": "", "paragraphs": paragraphs}]}), encoding="utf-8")
        return path
    rows = {
        "tag": ["the\tD\nlovely\tA\nfilm\tN\n", "a\tD\nstory\tN\nof\tP\n故事\tN\n", "bad\tA\nfilm\tN\n"],
        "regress": ["0.5\tthe lovely film was fine", "-2\ta bad story", "1.5\tvery good 故事"],
        "choice": ["1\tthe film was\tfine\tof", "2\ta bad\tand\tstory", "2\tvery good\tthe\t故事"],
    }[task]
    heads = {"tag": [], "regress": ["label\ttext"], "choice": ["label\tcontext\tchoice_1\tchoice_2"]}[task]
    path.write_text("\n".join([*heads, *rows * 8]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("task", ["tag", "regress", "span", "choice"])
def test_every_task_with_a_head_is_distilled(task: str, bert, student, tmp_path) -> None:
    """Units are read in the texts that were made as well; of numbers the gold ones are learnt."""
    path = task_file(task, tmp_path / "train.txt")
    few = dataclasses.replace(FAST, updates=2, budget=1)
    finetune(bert, train=path, task=task, config=few, out=tmp_path / "teacher")
    augmenter = Augmenter(bert, None, copies=2, share=0.5, candidates=4, seed=1)
    taught = TaskTeacher(tmp_path / "teacher", dataclasses.replace(HOW, updates=2, augment=2), augmenter)
    taught.check(student, few, task)
    made = finetune(student, train=path, task=taught.task, config=few, out=tmp_path / "run", teacher=taught)
    assert made.facts["augmented"] > 0
    again, dev = FittedRun.load(tmp_path / "run"), taught.task.read(path, learning=False)[:2]
    assert str(again.answers(dev)) == str(made.answers(dev))


def head_pair(make) -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """A student's head of 6 numbers, a teacher's of 9, and states for both."""
    torch.manual_seed(3)
    own, theirs = make(6), make(9)
    for head in (own, theirs):
        for parameter in head.parameters():
            nn.init.normal_(parameter)
        head.eval()
    return own, theirs, torch.randn(4, 5, 6), torch.randn(4, 5, 9)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("several", [False, True])
def test_labels_are_imitated_by_their_chances(several: bool, temperature: float) -> None:
    own, theirs, states, shown = head_pair(lambda width: TextHead(Seat(width), Labels(3, several)))
    loss = own.imitate(states[:, 0], {"labels": torch.zeros(4, dtype=torch.long)}, theirs, shown[:, 0], temperature)
    a, z = (head(x[:, 0]).detach().double().numpy() / temperature for head, x in ((own, states), (theirs, shown)))
    if several:
        chances, p = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-a))
        expected = -(chances * np.log(p) + (1 - chances) * np.log(1 - p)).sum(1).mean()
    else:
        chances, p = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (z, a))
        expected = -(chances * np.log(p)).sum(1).mean()
    assert float(loss.mean.detach()) == pytest.approx(expected, rel=1e-5) and loss.count == 4
    loss.mean.backward()
    assert own.weight.grad is not None and theirs.weight.grad is None


def test_a_number_is_learnt_from_what_is_right() -> None:
    own, theirs, states, shown = head_pair(lambda width: TextHead(Seat(width), Number(2.0, 3.0)))
    batch = {"labels": torch.tensor([1.0, 2.0, 3.0, 5.0])}
    with torch.no_grad():
        assert float(own.imitate(states[:, 0], batch, theirs, shown[:, 0], 1.0).mean) == float(own.loss(states[:, 0], batch).mean)


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_tags_are_imitated_unit_by_unit_or_as_a_whole(decoder: str) -> None:
    targets = {"labels": ["A", "B", "C"], "types": []}
    own, theirs, states, shown = head_pair(lambda width: TagHead(Seat(width), targets, TagConfig(decoder=decoder)))
    sites = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
    labels = torch.where(sites, 0, IGNORE)
    batch = {"sites": sites, "places": torch.zeros(4, 5, dtype=torch.long), "labels": labels}
    loss = own.imitate(states, batch, theirs, shown, 1.0)
    assert loss.count == own.predictions(batch)["task"] == 13
    a, z = own.scores(states, batch).detach().double().numpy(), theirs.scores(shown, batch).detach().double().numpy()
    if decoder == "softmax":
        chances, p = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (z, a))
        expected = -((chances * np.log(p)).sum(-1) * sites.numpy()).sum() / 13
    else:
        expected = float(own.loss(states, batch | {"labels": theirs.decoder.best(theirs.scores(shown, batch), sites)}).mean) * 20 / 13
    assert float(loss.mean.detach()) == pytest.approx(expected, rel=1e-4)
