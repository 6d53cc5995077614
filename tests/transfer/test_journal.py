"""A fine-tuning goes on where a kill, a full disk or a signal left it, to the same run."""

import dataclasses
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.transfer.made_up_pairs import encoder_decoder, pairs

from stemma.checkpoint import RunFolder
from stemma.errors import Interrupted, RunError
from stemma.runs.fitted import FittedRun
from stemma.tasks.translate import Config as TranslateConfig
from stemma.tasks.translate import Translate
from stemma.tokens import files
from stemma.training.facts import Fact
from stemma.transfer import journal
from stemma.transfer.finetune import finetune
from stemma.transfer.saving import save
from stemma.transfer.settings import Config

FAST = Config(precision="fp32", seeds=(1, 2), budget=2, epochs=1, updates=5, threads=1)
WAYS = [("finetune", "linear"), ("frozen", "linear"), ("frozen", "network"), ("random", "linear"), ("scratch", "linear")]


class Killed(Exception):
    pass


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key != "seconds"}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def same(one: Path, two: Path) -> bool:
    """Whether two fine-tuned runs are equal, the times that they took aside."""
    a, b = RunFolder.open(one), RunFolder.open(two)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir()) and "state" not in names and ".lock" not in names
    assert without_times(a.config) == without_times(b.config)
    assert without_times(a.metrics()) == without_times(b.metrics()) != []
    return (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@pytest.fixture(autouse=True)
def saved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)


@pytest.mark.parametrize(("mode", "head"), WAYS)
def test_killed_after_every_save_it_ends_in_the_same_run(
    run, train_examples, dev_examples, tmp_path, monkeypatch, mode, head, task="classify"
) -> None:
    config = dataclasses.replace(FAST, mode=mode, head=head)
    options = {"train": train_examples[:60], "dev": dev_examples[:20], "config": config, "task": task}
    finetune(run, **options, out=tmp_path / "whole")
    save, deaths = RunFolder.save_state, []

    def save_and_die(folder: RunFolder, *state: Any) -> None:
        save(folder, *state)
        deaths.append(folder.manifest["state"])
        raise Killed

    monkeypatch.setattr(RunFolder, "save_state", save_and_die)
    for _ in range(100):
        try:
            finetune(run, **options, out=tmp_path / "killed")
            break
        except Killed:
            assert not RunFolder.open(tmp_path / "killed").finished
    assert len(deaths) >= 3 and len(set(deaths)) == len(deaths)
    assert same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_counts_go_on_too(ngram, train_examples, dev_examples, tmp_path, monkeypatch, mode) -> None:
    test_killed_after_every_save_it_ends_in_the_same_run(ngram, train_examples, dev_examples, tmp_path, monkeypatch, mode, "linear")


@pytest.mark.parametrize("mode", ["finetune", "scratch"])
def test_what_translates_goes_on_too(tmp_path, monkeypatch, mode) -> None:
    pytest.importorskip("sacrebleu")
    run, examples = encoder_decoder("transformer"), pairs(80, 1)
    task = Translate(TranslateConfig(beams=1))
    test_killed_after_every_save_it_ends_in_the_same_run(run, examples, examples[60:], tmp_path, monkeypatch, mode, "linear", task)


def test_layers_that_begin_to_move_later_do_so_in_a_resumed_run(bert, train_examples, tmp_path) -> None:
    options = {"train": train_examples[:60], "config": dataclasses.replace(FAST, unfreeze=0.5, updates=9, seeds=(1,), budget=1)}
    finetune(bert, **options, out=tmp_path / "whole")

    def die(fact: Fact) -> None:
        if fact.kind == "step" and fact.step not in deaths:
            deaths.append(fact.step)
            raise Killed

    deaths: list[int] = []
    while not (tmp_path / "killed" / "model.safetensors").exists():
        with suppress(Killed):
            finetune(bert, **options, out=tmp_path / "killed", progress=die)
    assert deaths == list(range(1, 10)) and same(tmp_path / "whole", tmp_path / "killed")


def test_what_is_finished_is_given_back(bert, train_examples, dev_examples, tmp_path) -> None:
    options = {"train": train_examples[:60], "dev": dev_examples[:20], "config": FAST, "out": tmp_path / "run"}
    first, heard = finetune(bert, **options), []
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = finetune(bert, **options, progress=heard.append)
    assert isinstance(again, FittedRun) and heard == [] and (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.predict(["good"])[1], first.predict(["good"])[1])
    with pytest.raises(RunError, match=r": transfer\.epochs was 1 and is 2 now\..*another --out"):
        finetune(bert, **{**options, "config": dataclasses.replace(FAST, epochs=2)})
    with pytest.raises(RunError, match=r"what --train gives is not what it was\..*another --out"):
        finetune(bert, **{**options, "train": train_examples[:61]})


def test_an_interrupt_tells_the_truth(bert, train_examples, tmp_path) -> None:
    def interrupt(fact: Fact) -> None:
        if fact.kind == "step" and fact.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"train": train_examples[:60], "config": FAST}
    with pytest.raises(Interrupted, match=r"kept in .*run.*goes on where it was"):
        finetune(bert, **options, out=tmp_path / "run", progress=interrupt)
    heard: list[Fact] = []
    finetune(bert, **options, out=tmp_path / "run", progress=heard.append)
    assert heard[0].kind == "note" and "3 updates of the next" in heard[0].message
    assert [fact.step for fact in heard if fact.kind == "step"][:3] == [4, 5, 1]
    fits = [fact.message.partition(":")[0] for fact in heard[1:] if fact.kind == "note"]
    assert fits == ["trial 1 of 2", "trial 2 of 2", "seed 2, 2 of 2"]
    finetune(bert, **options, out=tmp_path / "whole")
    assert same(tmp_path / "whole", tmp_path / "run")
    with pytest.raises(Interrupted, match="nothing of it is kept") as raised:
        finetune(bert, **options, progress=interrupt)
    assert "goes on" not in str(raised.value)


def test_a_second_process_touches_nothing(bert, train_examples, tmp_path) -> None:
    refused: list[str] = []

    def second(fact: Fact) -> None:
        if fact.kind == "step" and not refused:
            before = sorted(path.name for path in (tmp_path / "run").rglob("*"))
            with pytest.raises(RunError, match="in use by another process") as raised:
                finetune(bert, train=train_examples[:60], config=FAST, out=tmp_path / "run")
            refused.append(str(raised.value))
            assert before == sorted(path.name for path in (tmp_path / "run").rglob("*"))

    finetune(bert, train=train_examples[:60], config=FAST, out=tmp_path / "run", progress=second)
    assert refused


def test_a_run_that_no_folder_was_kept_for_is_saved_later(ngram, train_examples, tmp_path) -> None:
    fitted = finetune(ngram, train=train_examples[:60], mode="frozen")
    save(fitted, tmp_path / "late")
    again = FittedRun.load(tmp_path / "late")
    np.testing.assert_array_equal(again.predict(["good"])[1], fitted.predict(["good"])[1])
    with pytest.raises(RunError, match="another --out"):
        save(fitted, tmp_path / "late")
