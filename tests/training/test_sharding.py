"""Weights in shards on two processes, and runs that go on with another number of processes than they were begun by."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from stemma.checkpoint import RunFolder, map_tensors
from stemma.errors import Interrupted, UsageError
from stemma.training.facts import Fact, Note
from stemma.training.pretrain import pretrain
from stemma.training.request import Request
from stemma.training.settings import Config

STEPS = 6
TINY = [
    *("tokenizer.vocab_size=300", "training.batch_tokens=128", "training.threads=1", "training.precision=fp32", "training.accumulate=2"),
    *("model.width=32", "model.depth=2", "model.inner=64", "model.dropout=0", f"training.steps={STEPS}", "training.evaluations=2"),
]
LSTM = [line for line in TINY if "inner" not in line and "width" not in line] + ["model.width=24", "objective.window=16"]
RUNS = {  # generation, settings, step at which the run is stopped and taken up again; 0: none
    "gpt": ("gpt", [*TINY, "training.optimiser=muon"], 0),
    "gpt-stopped": ("gpt", [*TINY, "training.optimiser=muon"], 3),
    "bert": ("bert", [*TINY, "training.optimiser=lamb"], 0),
    "lstm": ("lstm", [*LSTM, "training.optimiser=sgd", "training.rate=0.5"], 0),
    "lstm-stopped": ("lstm", [*LSTM, "training.optimiser=sgd", "training.rate=0.5"], 3),
}
WHOLE = ("gpt", "bert", "lstm")  # trained without shards too, beside them


def request(name: str, corpus: Path, sharding: str, **options: bool) -> Request:
    generation, settings, _ = RUNS[name]
    return Request.of(generation, corpus, preset="tiny", settings=[*settings, f"training.sharding={sharding}"], **options)  # type: ignore[arg-type]


def stopping_at(step: int):
    """Progress that stops the run once it has made so many steps."""

    def stop(fact: Fact) -> None:
        if fact.kind == "step" and fact.step == step:
            os.kill(os.getpid(), 2)

    return stop


def trained(folder: Path) -> None:
    """What each of several processes does: all the runs, in shards and whole; a stopped one is left stopped, and taken up in a copy."""
    for name, (_, _, stop) in RUNS.items():
        for sharding in ("full", "none") if name in WHOLE else ("full",):
            out = folder / f"{name}-{sharding}"
            with suppress(Interrupted):
                pretrain(request(name, folder / "text.txt", sharding), out=out, progress=stopping_at(stop))
            if stop:
                if os.environ["RANK"] == "0":
                    shutil.copytree(out, folder / f"{name}-taken-up")
                pretrain(request(name, folder / "text.txt", sharding), out=folder / f"{name}-taken-up")


def on_processes(count: int, function: str, *arguments: object, timeout: float = 900) -> None:
    """`function` of this file in so many processes, started as torchrun starts them."""
    code = (
        f"import sys; from pathlib import Path; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_sharding as t; t.{function}"
    )
    script = Path(str(arguments[0])) / f"{function}-{count}.py"
    script.write_text(f"{code}({', '.join(f'Path({str(one)!r})' for one in arguments)})\n", encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", str(script)]
    done = subprocess.run(launch, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    lines = ["the old sailor told a story of the sea", "老水手讲了一个大海的故事", "rain fell on the quiet harbour all night"]
    text = "\n\n".join("\n".join(rng.permutation(lines * 4).tolist()) for _ in range(16))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    on_processes(2, "trained", folder)
    return folder


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in RunFolder.open(folder).metrics() if line["kind"] in ("step", "epoch", "eval")]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return map_tensors(folder / "model.safetensors")


@pytest.mark.parametrize("name", WHOLE)
def test_shards_learn_what_whole_weights_learn_in_half_the_memory(name: str, two: Path) -> None:
    """By blocks and without, under Muon and LAMB, for which matrices are put together, and in micro-batches."""
    shards, whole = two / f"{name}-full", two / f"{name}-none"
    assert losses(shards) == pytest.approx(losses(whole), rel=1e-5)
    a, b = weights(shards), weights(whole)
    assert a.keys() == b.keys() and all(a[one].shape == b[one].shape for one in a)
    parted, held = (RunFolder.open(folder).done()["processes_state_mib"] for folder in (shards, whole))
    assert all(mib < 0.55 * held[0] for mib in parted) and sum(parted) == pytest.approx(
        held[0], rel=0.05
    )  # of small tensors no part is halved
    assert len(RunFolder.open(shards).done()["processes_peak_memory_mib"]) == 2


def test_each_process_saves_its_own_part_and_the_run_ends_as_one_file(two: Path) -> None:
    stopped = two / "gpt-stopped-full"
    parts = sorted(stopped.glob("state/step-*/shard-*.safetensors"))
    assert len(parts) == 2 and not list(stopped.glob("state/**/*.distcp")) and not list(stopped.glob("state/**/.metadata"))
    assert parts[0].stat().st_size == pytest.approx(parts[1].stat().st_size, rel=0.1)
    RunFolder.open(stopped).verify()  # the manifest tells of them


def test_a_stopped_run_of_shards_goes_on_bit_for_bit(two: Path) -> None:
    a, b = weights(two / "gpt-stopped-taken-up"), weights(two / "gpt-full")
    assert all(a[one].tobytes() == b[one].tobytes() for one in b)


@pytest.mark.parametrize("name", ["gpt-stopped", "lstm-stopped"])
def test_one_process_goes_on_where_two_were_when_it_is_allowed(name: str, two: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two / f"{name}-full", run)
    with pytest.raises(UsageError, match=r"begun by 2 processes, now 1.*--ranks-changed"):
        pretrain(request(name, two / "text.txt", "full"), out=run)
    facts: list[Fact] = []
    pretrain(request(name, two / "text.txt", "full", ranks_changed=True), out=run, progress=facts.append)
    notes = [fact.message for fact in facts if isinstance(fact, Note)]
    assert any("same samples in the same order, but sums round otherwise" in note for note in notes)
    assert any("forgotten" in note for note in notes) == name.startswith("lstm")
    assert "begun by 2 processes; from step 3 on by 1 process" in RunFolder.open(run).done()["notes"]
    # of a recurrent network the first window after the change begins from nothing
    assert losses(run) == pytest.approx(losses(two / f"{name}-taken-up"), rel=1e-5 if name.startswith("gpt") else 1e-2)
    assert [line["tokens"] for line in RunFolder.open(run).metrics() if "step" in line] == [
        line["tokens"] for line in RunFolder.open(two / f"{name}-taken-up").metrics() if "step" in line
    ]


def gone_on(folder: Path, runs: Path) -> None:
    """What each of four processes does: it goes on where two were, and where one was."""
    for run in ("two", "one"):
        pretrain(request("gpt-stopped", folder / "text.txt", "full", ranks_changed=True), out=runs / run)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_four_processes_go_on_where_two_were_and_where_one_was(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "gpt-stopped-full", tmp_path / "two")
    with suppress(Interrupted):
        pretrain(request("gpt-stopped", two / "text.txt", "full"), out=tmp_path / "one", progress=stopping_at(3))
    on_processes(4, "gone_on", two, tmp_path)
    for run in (tmp_path / "two", tmp_path / "one"):
        assert losses(run) == pytest.approx(losses(two / "gpt-full"), rel=1e-5)
        assert len(RunFolder.open(run).done()["processes_state_mib"]) == 4


@pytest.mark.parametrize("option", [{"compile": True}, {"patience": 1}, {"average": 0.5}, {"optimiser": "asgd"}])
def test_what_needs_whole_weights_is_refused_beside_shards(option: dict) -> None:
    with pytest.raises(UsageError, match=r"training\.sharding to \"none\""):
        Config(sharding="full", **option)
