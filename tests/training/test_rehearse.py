"""`--dry-run`: what it reckons is near to what a run then takes, and nothing is left behind."""

import tempfile
from pathlib import Path

import pytest

from stemma.errors import DataError, UsageError
from stemma.training import rehearse as room
from stemma.training.pretrain import pretrain
from stemma.training.rehearse import rehearse
from stemma.training.request import Request

LINES = ["the cat sat on the mat", "今天天气很好", "a dog and a cat ran home", "我们去公园看花"]
SMALL = ["model.width=20", "heads=2", "inner=24", "max_length=16", "vocab_size=300", "batch_tokens=64", "precision=fp32"]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Eighty documents, and a folder for temporary files that can be looked into."""
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"{line} {n}\n" + ("\n" if n % 4 == 3 else "") for n, line in enumerate(LINES * 80)), encoding="utf-8")
    return path


def planned(generation, corpus, *settings):
    return rehearse(Request.of(generation, corpus, preset="tiny", settings=settings))


def test_the_plan_of_a_small_corpus_is_exact(corpus, tmp_path):
    settings = [*SMALL, "training.epochs=2"]
    plan = planned("bert", corpus, *settings)
    run = pretrain(Request.of("bert", corpus, preset="tiny", settings=settings), out=tmp_path / "run")
    done = next(line for line in run.metrics() if line["kind"] == "done")
    assert plan.exact
    assert plan.parameters == done["parameters"]
    assert plan.steps == pytest.approx(done["steps"], rel=0.25)
    assert plan.tokens == pytest.approx(done["tokens"], rel=0.25)
    assert plan.settings["model"]["width"] == 20
    assert list(Path(tempfile.gettempdir()).glob("stemma-*")) == []


def test_a_part_of_the_text_stands_for_all_of_it(corpus, monkeypatch):
    whole = planned("ngram", corpus, "order=2")
    monkeypatch.setattr(room, "SAMPLE", whole.corpus_characters // 4)
    part = planned("ngram", corpus, "order=2")
    assert whole.exact
    assert not part.exact
    assert part.corpus_characters == pytest.approx(whole.corpus_characters, rel=0.1)
    assert part.corpus_tokens == pytest.approx(whole.corpus_tokens, rel=0.1)


def test_a_plan_of_more_text_grows_with_it(corpus):
    """Reading, disk and counting are in proportion to the text; a network that descends so many steps is not."""
    request = Request.of("ngram", corpus, preset="tiny", settings=["order=2"])
    size = corpus.stat().st_size
    ten, hundred = rehearse(request, scale=f"{10 * size}"), rehearse(request, scale=f"{size / 10:.0f}KB")
    assert not ten.exact and ten.corpus_characters == pytest.approx(10 * rehearse(request).corpus_characters, rel=0.1)
    assert hundred.corpus_tokens == pytest.approx(10 * ten.corpus_tokens, rel=0.02)
    assert hundred.disk_mib == pytest.approx(10 * ten.disk_mib, rel=0.1)
    with pytest.raises(UsageError, match=r"less than the .* bytes"):
        rehearse(request, scale="10B")


@pytest.mark.parametrize(("text", "size"), [("100GB", 1e11), ("1.5 TB", 1.5e12), ("800MiB", 800 * 2**20), ("7", 7), ("2k", 2000)])
def test_sizes_are_as_people_write_them(text, size):
    assert room.text_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-5GB", "0GB", "5 GBs"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="for example --scale 100GB"):
        room.text_size(text)


@pytest.mark.parametrize(("budget", "steps"), [("steps=7", 7), ("tokens=640", None), ("seconds=0.5", None)])
def test_every_budget_becomes_steps(corpus, budget, steps):
    plan = planned("gpt", corpus, *SMALL[:-2], "batch_tokens=64", "precision=fp32", f"training.{budget}")
    assert plan.steps >= 1
    assert steps is None or plan.steps == steps
    assert plan.training_seconds > 0


def test_mistakes_are_reported_as_by_the_run_itself(corpus):
    with pytest.raises(UsageError, match="did you mean 'width'"):
        planned("bert", corpus, "model.widht=3")
    with pytest.raises(DataError, match="check the path"):
        planned("bert", corpus.with_name("none.txt"))
