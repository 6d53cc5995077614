"""A run keeps to the number of threads that was found faster when it began."""

import pytest
import torch

import stemma
from stemma.errors import UsageError
from stemma.layers import cores
from stemma.layers.threads import computing_with
from stemma.training import backprop
from stemma.training.facts import Saved, Update
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

SMALL = ["model.width=20", "heads=2", "inner=24", "max_length=16", "vocab_size=300", "batch_tokens=64", "precision=fp32"]


class Killed(Exception):
    """What the test ends a run with."""


def test_a_resumed_run_computes_with_what_was_settled_at_first(tmp_path, monkeypatch):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"the cat sat on mat {n}\n我们去公园看花 {n}\n\n" for n in range(40)), encoding="utf-8")
    request = Request.of("gpt", corpus, preset="tiny", settings=[*SMALL, "training.steps=6", "training.save_seconds=1e-6"])
    seen = []

    def killed(fact):
        if isinstance(fact, Update):
            seen.append(torch.get_num_threads())
        if isinstance(fact, Saved) and fact.step >= 2:
            raise Killed

    monkeypatch.setattr(backprop, "faster_threads", lambda step: (step(), 2)[1])
    with computing_with(3), pytest.raises(Killed):
        pretrain(request, out=tmp_path / "run", progress=killed)
    assert seen == [2, 2]
    monkeypatch.setattr(backprop, "faster_threads", lambda step: pytest.fail("tried again"))
    with computing_with(1):
        folder = pretrain(request, out=tmp_path / "run", progress=lambda fact: seen.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 1
    assert set(seen) == {2}
    assert folder.config["sections"]["training"]["threads"] == 2
    done = folder.metrics()[-1]
    assert 0 < done["earlier"]["seconds"] < done["seconds"] and done["ingested"]["found"]


def test_what_was_begun_on_a_bigger_machine_goes_on_and_nothing_new_begins_there(tmp_path, monkeypatch):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"the cat sat on mat {n}\n我们去公园看花 {n}\n\n" for n in range(40)), encoding="utf-8")
    settings = [*SMALL, "training.steps=4", "training.save_seconds=1e-6", "training.threads=2"]
    options = {"preset": "tiny", "settings": settings}

    def killed(fact):
        if isinstance(fact, Saved):
            raise Killed

    monkeypatch.setattr(cores, "cores_free", lambda: 2)
    with pytest.raises(Killed):
        stemma.pretrain("gpt", corpus, out=tmp_path / "run", progress=killed, **options)
    monkeypatch.setattr(cores, "cores_free", lambda: 1)
    seen = []
    stemma.pretrain("gpt", corpus, out=tmp_path / "run", progress=lambda fact: seen.append(torch.get_num_threads()), **options)
    assert set(seen) == {2}
    with pytest.raises(UsageError, match=r"only 1 core is free for it here.* set training\.threads to 0"):
        stemma.pretrain("gpt", corpus, out=tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()
