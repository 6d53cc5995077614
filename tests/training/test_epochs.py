"""The exact loss of an epoch, and text that no step may cut."""

import json
from pathlib import Path

import numpy as np
import pytest

from stemma.training.facts import Fact
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

SMALL = ['corpus.format="sentences"', "tokenizer.min_count=1", "training.threads=1", "training.batch_tokens=500", "model.width=16"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    words = np.random.default_rng(0).zipf(1.5, (600, 8)) % 50
    (tmp_path / "text.txt").write_text("\n".join(" ".join(f"w{n}" for n in row) for row in words), encoding="utf-8")
    return tmp_path / "text.txt"


@pytest.mark.parametrize("more", [[], ["model.architecture=cbow"], ["model.output=both"], ["model.subwords=true", "model.buckets=500"]])
def test_an_epochs_loss_is_the_mean_of_all_its_predictions(corpus: Path, tmp_path: Path, more: list[str]) -> None:
    facts: list[Fact] = []
    settings = [*SMALL, *more, "training.epochs=2.5"]
    run = pretrain(Request.of("word2vec", corpus, preset="tiny", settings=settings), out=tmp_path / "run", progress=facts.append)
    steps = [fact for fact in facts if fact.kind == "step"]
    lines = [line for line in run.metrics() if line["kind"] == "epoch"]
    borders = [0, *(line["step"] for line in lines)]
    assert [line["epoch"] for line in lines][:2] == [1.0, 2.0] and 2.3 < lines[2]["epoch"] < 2.6 and borders[-1] == len(steps)
    for line, first, last in zip(lines, borders, borders[1:], strict=False):
        own = steps[first:last]
        assert line["count"] == sum(fact.count for fact in own) > 0
        assert line["loss"] == pytest.approx(sum(fact.loss * fact.count for fact in own) / line["count"], rel=1e-12)
    done = run.metrics()[-1]
    assert done["epoch_losses"] == [line["loss"] for line in lines]
    assert "| epoch losses | " in (run.path / "README.md").read_text(encoding="utf-8")


def test_a_sentence_of_fifty_thousand_words_is_used_whole(tmp_path: Path) -> None:
    """gensim leaves out what comes after the 10,000th word of a sentence, word2vec.c cuts it after the 1,000th."""
    words = np.random.default_rng(0).integers(0, 40, 50_000)
    words[-10:] = 40  # a word that only the end of the line has
    (tmp_path / "line.txt").write_text(" ".join(f"w{n}" for n in words) + "\n", encoding="utf-8")
    settings = [*SMALL, "training.epochs=1", "training.held_out=0", "objective.sample=0", "model.window=1"]
    for most, cuts in ((1_000_000, 0), (10_000, 18)):  # characters of a sentence; the second is the default
        given = [*settings, f"corpus.max_sentence={most}"]
        run = pretrain(Request.of("word2vec", tmp_path / "line.txt", preset="tiny", settings=given), out=tmp_path / f"run-{most}")
        (epoch,) = [line for line in run.metrics() if line["kind"] == "epoch"]
        assert epoch["count"] == 2 * (50_000 - 1 - cuts)  # with a window of one, every word is a pair with each of its neighbours
        ledger = json.loads((run.path / "ledger.json").read_text(encoding="utf-8"))
        assert ledger["tokens"]["used"] == ledger["tokens"]["tokens"] == 50_000
        assert ("sentences cut, being too long" in ledger["characters"]["notes"]) == bool(cuts)  # no word is lost, and it is reported
