"""Students of real runs: whose teacher may be whom, what is refused, what the run and its card hold, and what they can then do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemma
from stemma.checkpoint import RunFolder, map_tensors
from stemma.errors import NoRunError, RunError, UsageError
from stemma.export.formats import convert
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.rehearse import rehearse
from stemma.training.request import Request

LINES = ["the old sailor told a story of the sea", "a cat sat in the rain with the old sailor", "老水手 给 年轻 的 水手 讲 了 一个 故事"]
FEW = ["training.steps=3", "training.threads=1", "training.batch_tokens=128", "training.precision=fp32", "training.held_out=0.2"]
SIZE = ["model.width=16", "model.inner=20", "model.max_length=24"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and a task of the same words."""
    home = tmp_path_factory.mktemp("home")
    (home / "text.txt").write_text("\n\n".join("\n".join(LINES * 4) for _ in range(6)) + "\n", encoding="utf-8")
    rows = ["land\ta cat sat in the rain", "sea\tthe old sailor told a story", "sea\t老水手 讲 了 一个 故事"] * 8
    (home / "task.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    return home


def made(home: Path, name: str, *more: str) -> Path:
    vocabulary = "tokenizer.vocab_size=120"
    return pretrain(Request.of(name, home / "text.txt", preset="tiny", settings=[*FEW, *SIZE, vocabulary, *more]), out=home / name).path


@pytest.fixture(scope="module")
def bert(home: Path) -> Path:
    return made(home, "bert")


def student(home: Path, teacher: Path, out: Path, *more: str, **options: Any) -> Run:
    return stemma.distill(teacher, home / "text.txt", out=out, preset="tiny", settings=[*FEW, "model.width=8", *more], **options)


def test_the_student_stands_alone_and_its_card_tells_of_its_teacher(home: Path, bert: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    for path in bert.iterdir():
        if path.is_file():
            (teacher / path.name).write_bytes(path.read_bytes())
    run = student(home, teacher, tmp_path / "run")
    for path in teacher.iterdir():
        path.unlink()
    again = Run.open(tmp_path / "run")
    assert np.array_equal(again.embed(LINES), run.embed(LINES)) and again.tokenizer.tokens == Run.open(bert).tokenizer.tokens
    assert again.config["model"]["max_length"] == 24 and again.config["model"]["teacher_width"] == 16  # the teacher's
    done, theirs = again.folder.done(), RunFolder.open(bert).done()
    spent = theirs["cpu_seconds"] + sum(theirs["ingested"][part]["cpu_seconds"] for part in ("reading", "tokenizing"))
    assert done["teacher_cpu_seconds"] == pytest.approx(spent)
    assert done["cpu_seconds_with_teacher"] == pytest.approx(spent + done["cpu_seconds"])
    assert done["imitates"] == "embeddings, block 1, 2 as the teacher's 1, 2 of 2, attention head by head"
    assert "baseline_loss" not in done and not again.doubts[1:]  # nothing is predicted that frequencies could be right about
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert f"It imitates the run {teacher} of bert" in card and "| cpu seconds with teacher |" in card
    with pytest.raises(UsageError, match=r"model\.masked_loss=1"):
        again.fill("the old [MASK]")
    with pytest.raises(NoRunError):  # nobody knows whether the teacher is the same
        student(home, teacher, tmp_path / "run")


def test_albert_another_program_s_folder_and_a_student_may_teach(home: Path, bert: Path, tmp_path: Path) -> None:
    convert(bert, tmp_path / "hf", "huggingface")
    with pytest.raises(NoRunError, match=r"stemma convert .* --to run"):
        student(home, tmp_path / "hf", tmp_path / "no")
    convert(tmp_path / "hf", tmp_path / "again", "run")
    found = student(home, tmp_path / "again", tmp_path / "of-hf").folder
    assert "teacher_cpu_seconds" in found.done() and found.done()["cpu_seconds_with_teacher"] is None  # nobody knows what it took
    ours, theirs = (map_tensors(path / "model.safetensors") for path in (student(home, bert, tmp_path / "own").path, found.path))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert student(home, found.path, tmp_path / "grandchild").folder.done()["teacher"] == str(found.path)
    albert = made(home, "albert", "model.embedding=6", 'tokenizer.kind="unigram"')
    assert student(home, albert, tmp_path / "of-albert").tokenizer.kind == "unigram"


def test_who_is_no_teacher_and_what_is_no_student_is_refused(home: Path, bert: Path, tmp_path: Path) -> None:
    words = pretrain(Request.of("word2vec", home / "text.txt", preset="tiny", settings=["training.epochs=1"]), out=tmp_path / "words")
    with pytest.raises(UsageError, match="a run of word2vec, whose layers no student imitates"):
        student(home, words.path, tmp_path / "no")
    with pytest.raises(UsageError, match="bert with a teacher"):
        pretrain(Request.of("bert", home / "text.txt", teacher=bert), out=tmp_path / "no")
    for wrong, cure in (("tokenizer.vocab_size=90", "drop the settings of tokenizer"), ("model.max_length=30", r"drop model\.max_length")):
        with pytest.raises(UsageError, match=cure):
            student(home, bert, tmp_path / "no", wrong)
    assert not (tmp_path / "no").exists()
    run = student(home, bert, tmp_path / "run")
    with pytest.raises(RunError, match="the teacher is not what it was"):
        student(home, run.path, tmp_path / "run")


def test_it_goes_on_from_a_student_and_learns_to_fill_where_it_is_to(home: Path, bert: Path, tmp_path: Path) -> None:
    both = ["model.masked_loss=1", "objective.mask_share=0.3"]
    first = student(home, bert, tmp_path / "first", *both)
    assert first.folder.metrics()[0]["parts"].keys() == {"embedding", "hidden", "attention", "masked"}
    assert len(first.fill("the old [MASK]")[0]) == 5 and first.folder.done()["left_baseline"] is not None
    still = ["training.rate=1e-30", "training.muon_rate=1e-30"]
    on = stemma.distill(bert, home / "text.txt", out=tmp_path / "on", settings=still, continue_from=first.path)
    before, after = (map_tensors(run.path / "model.safetensors") for run in (first, on))
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_rehearsal_stands_in_for_a_teacher_that_is_still_to_be_made(home: Path, bert: Path) -> None:
    request = Request.of("tinybert", home / "text.txt", preset="tiny", settings=FEW, teacher=bert)
    known = rehearse(request)
    absent = Request.of("tinybert", home / "text.txt", preset="tiny", settings=FEW, teacher=home / "not yet")
    to_come = rehearse(absent, Request.of("bert", home / "text.txt", preset="tiny", settings=[*FEW, *SIZE, "tokenizer.vocab_size=120"]))
    assert known.generation == to_come.generation == "tinybert" and known.vocab_size == to_come.vocab_size
    with pytest.raises(NoRunError):
        rehearse(absent)


def test_it_learns_a_task_from_a_fine_tuned_teacher_with_new_texts(home: Path, bert: Path, tmp_path: Path) -> None:
    task = home / "task.tsv"
    few = ["transfer.updates=2", "transfer.epochs=1", "transfer.budget=1", "transfer.seeds=[1]", "transfer.threads=1"]
    stemma.finetune(bert, train=task, settings=few, out=tmp_path / "teacher")
    run = student(home, bert, tmp_path / "student")
    with pytest.raises(UsageError, match="distil the task: stemma distill"):
        student(home, tmp_path / "teacher", tmp_path / "no")
    settings = [*few, "distill.updates=2", "distill.epochs=1", "distill.augment=2"]
    fitted = stemma.distill_task(tmp_path / "teacher", run.path, train=task, out=tmp_path / "out", settings=settings)
    assert fitted.facts["augmented"] > 0 and fitted.facts["taught"]["of"] == "held-out training example"
    assert stemma.load(tmp_path / "out", stemma.Classifier).predict(["the sea"])[0][0] in ("land", "sea")
    with pytest.raises(UsageError, match=r"set distill\.augment"):
        stemma.distill_task(tmp_path / "teacher", run.path, train=task, settings=few, masked=bert)
