"""Objectives that read the whole text before the first step: where what they make stands, how long, and what it costs."""

import numpy as np
import pytest

from stemma.checkpoint import RunFolder
from stemma.errors import UsageError
from stemma.objectives.cooccurrence import Cooccurrence
from stemma.training.pretrain import pretrain
from stemma.training.rehearse import rehearse
from stemma.training.request import Request

SETTINGS = ["tokenizer.min_count=1", "training.threads=1", "training.save_seconds=1e-6"]
LINES = ["the old sailor told a story of the sea", "老水手讲了一个故事", "rain", ""]


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES * 80) + "\n", encoding="utf-8")
    return path


def run(corpus, out, *settings, **options):
    return pretrain(Request.of("glove", corpus, preset="tiny", settings=[*SETTINGS, *settings]), out=out, **options)


def test_it_stands_in_the_state_until_training_ends(corpus, tmp_path):
    counted, seen = [], []

    def kill(fact):
        counted.append("counting" in str(fact))
        if fact.kind == "save":
            seen.append((folder / "state" / "prepared" / "values").is_file())
            raise Killed

    folder = tmp_path / "run"
    with pytest.raises(Killed):
        run(corpus, folder, "training.steps=4", progress=kill)
    with pytest.raises(Killed):
        run(corpus, folder, "training.steps=4", progress=kill)
    finished = run(corpus, folder, "training.steps=4")
    assert sum(counted) == 1 and seen == [True, True]  # the second call found what the first had counted
    assert not finished.prepared_path.exists()
    arrays = finished.load_state()[0]
    assert arrays["optimiser"].keys() == arrays["model"].keys() == finished.tensors().keys()
    assert any((array > 1).any() for array in arrays["optimiser"].values())


def test_its_time_and_its_tokens_are_those_of_training(corpus, tmp_path, monkeypatch):
    spent = []
    prepare = Cooccurrence.prepare
    monkeypatch.setattr(Cooccurrence, "prepare", lambda self, *rest: spent.append(prepare(self, *rest)) or spent[-1])
    done = run(corpus, tmp_path / "run", "training.steps=3").metrics()[-1]
    assert done["tokens"] == spent[-1].tokens and done["seconds"] > spent[-1].seconds
    timed = run(corpus, tmp_path / "timed", "training.seconds=0.5")
    assert timed.config["sections"]["training"]["steps"] >= 1 and timed.metrics()[-1]["seconds"] > spent[-1].seconds


def test_a_training_without_budget_is_reported(corpus, tmp_path):
    with pytest.raises(UsageError, match="training has no budget"):
        run(corpus, tmp_path / "run", "training.seconds=0")


def test_a_budget_of_tokens_says_how_much_is_read(corpus, tmp_path):
    with pytest.raises(UsageError, match=r"objective\.tokens"):
        run(corpus, tmp_path / "run", "training.tokens=500")
    done = run(corpus, tmp_path / "run", "objective.tokens=100", "training.steps=2").metrics()[-1]
    assert 90 <= done["tokens"] <= 100 and done["steps"] == 2


def test_the_rehearsal_tells_what_the_run_takes(corpus, tmp_path):
    plan = rehearse(Request.of("glove", corpus, preset="tiny", settings=[*SETTINGS, "training.epochs=6"]))
    done = run(corpus, tmp_path / "run", "training.epochs=6").metrics()[-1]
    assert plan.steps == done["steps"] == 6 and plan.parameters == done["parameters"]
    assert plan.tokens == pytest.approx(done["tokens"], rel=0.1) and plan.training_seconds > 0 and np.isfinite(plan.disk_mib)
    part = rehearse(Request.of("glove", corpus, preset="tiny", settings=[*SETTINGS, "training.epochs=6", "objective.tokens=200"]))
    assert part.tokens == 200 and RunFolder.open(tmp_path / "run").finished
