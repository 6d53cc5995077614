"""The loop: budgets, accumulation, ranks, and what happens when a loss is not finite."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemma.checkpoint import RunFolder, map_tensors
from stemma.errors import Interrupted, RunError, UsageError
from stemma.tokens import files
from stemma.training import descend, recorder
from stemma.training.facts import Fact
from stemma.training.pretrain import pretrain
from stemma.training.ranks import Ranks
from stemma.training.request import Request

SENTENCES = [
    "the old sailor told a story of the sea",
    "rain fell on the quiet harbour all night",
    "老水手讲了一个大海的故事",
    "she read the letter twice and said nothing",
]
SMALL = [
    "tokenizer.vocab_size=300",
    "training.batch_tokens=128",
    "training.threads=1",
    "training.precision=fp32",
    "model.width=32",
    "model.depth=1",
    "model.inner=64",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n\n".join("\n".join(rng.permutation(SENTENCES * 4).tolist()) for _ in range(12)), encoding="utf-8")
    return path


def gpt(corpus: Path, out: Path, *settings: str, **options) -> RunFolder:
    return pretrain(Request.of("gpt", corpus, preset="tiny", settings=[*SMALL, *settings]), out=out, **options)


def weights(path: Path) -> dict[str, np.ndarray]:
    return map_tensors(path / "model.safetensors")


def test_budgets_exclude_each_other_and_override_the_preset(corpus: Path, tmp_path: Path) -> None:
    assert gpt(corpus, tmp_path / "a", "training.steps=3").config["sections"]["training"]["steps"] == 3
    by_tokens = gpt(corpus, tmp_path / "b", "training.tokens=1280").metrics()[-1]
    assert 1100 < by_tokens["tokens"] < 1500
    by_seconds = gpt(corpus, tmp_path / "c", "seconds=1")
    assert by_seconds.config["sections"]["training"]["steps"] > 5 and by_seconds.config["sections"]["training"]["seconds"] == 0
    with pytest.raises(UsageError, match="for example --set"):
        gpt(corpus, tmp_path / "d", "training.steps=3", "training.epochs=1")


def test_accumulated_micro_batches_equal_one_large_batch(corpus: Path, tmp_path: Path) -> None:
    still = ["model.dropout=0", "training.steps=4", "objective.row_length=16"]
    large = gpt(corpus, tmp_path / "large", *still, "training.batch_tokens=256")
    small = gpt(corpus, tmp_path / "small", *still, "training.batch_tokens=128", "training.accumulate=2")
    a, b = weights(large.path), weights(small.path)
    assert all(np.allclose(a[name], b[name], atol=2e-5) for name in a)


OWN = {  # settings of the generations that have others than SMALL
    "elmo": ["model.width=16", "model.cells=32", "model.depth=1", "model.filters=[8,8,8]", "tokenizer.vocab_size=300"],
    "seq2seq": ["tokenizer.vocab_size=300", "model.width=24", "model.cells=32", "model.max_length=16"],
    "transformer": [*SMALL, "model.max_length=16"],
}


SAME = ["training.threads=1", "training.precision=fp32", "model.dropout=0", "training.steps=6", "training.batch_tokens=256"]
ON_TWO = ("gpt", "bert", "elmo", "seq2seq", "transformer")


def on_ranks(generation: str, corpus: Path) -> Request:
    return Request.of(generation, corpus, preset="tiny", settings=[*OWN.get(generation, SMALL), *SAME])


@pytest.fixture(scope="module")
def on_two(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of each generation that two ranks made, one after the other in the same processes."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "train.py"
    lines = [f"pretrain(on_ranks({name!r}, Path({str(corpus)!r})), out={str(folder / name)!r})" for name in ON_TWO]
    imports = [
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})",
        "from pathlib import Path",
        "from test_loop import on_ranks, pretrain",
    ]
    script.write_text("\n".join((*imports, *lines)), encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(launch, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("generation", ON_TWO)
def test_two_ranks_learn_what_one_learns(generation: str, corpus: Path, tmp_path: Path, on_two: Path) -> None:
    """Without dropout the same samples in the same order give the same weights, up to the order of sums.

    BERT's two parts of the loss too, of which the ranks have unlike numbers, and the masks, which are those of the rows.
    """
    one, two = pretrain(on_ranks(generation, corpus), out=tmp_path / "one"), on_two / generation
    a, b = weights(one.path), weights(two)
    free = ("qkv.bias", "key_value.bias")  # a bias of all keys changes no weight of attention: Adam moves it by what rounding leaves
    assert all(np.allclose(a[name], b[name], atol=1e-3 if name.endswith(free) else 1e-4) for name in a)
    alone, together = one.metrics(), RunFolder.open(two).metrics()
    assert together[-1]["tokens"] == alone[-1]["tokens"]
    for left, right in zip(alone, together, strict=True):
        if left["kind"] in ("step", "epoch"):
            assert right["loss"] == pytest.approx(left["loss"], rel=1e-5)
            assert right.get("parts", {}) == pytest.approx(left.get("parts", {}), rel=1e-5)


def test_a_loss_that_is_not_finite_stops_at_its_step_with_the_batch_kept(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Step \d+.*lower training\.rate") as raised:
        gpt(corpus, tmp_path / "run", "training.steps=60", "training.rate=1e30", "training.clip=0", "training.warmup=0")
    kept = next((tmp_path / "run" / "state").glob("not-finite-*.safetensors"))
    assert str(kept) in str(raised.value)
    assert map_tensors(kept)["ids"].shape[1] > 1


def interrupt(fact: Fact) -> None:
    if fact.kind == "step" and fact.step == 4:
        os.kill(os.getpid(), signal.SIGINT)


def losses(folder: RunFolder) -> list[tuple[str, int, float, dict[str, float]]]:
    return [(line["kind"], line["step"], line["loss"], line.get("parts", {})) for line in folder.metrics() if "step" in line]


def test_an_interrupt_saves_and_says_how_to_go_on(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "LOG_LINES", 3)  # three updates a line: the fourth stands within one
    with pytest.raises(Interrupted, match="repeat the same command") as raised:
        gpt(corpus, tmp_path / "run", "training.steps=9", progress=interrupt)
    assert raised.value.exit_code == 5
    facts: list[Fact] = []
    gpt(corpus, tmp_path / "run", "training.steps=9", progress=facts.append)
    whole = gpt(corpus, tmp_path / "whole", "training.steps=9")
    assert [fact.step for fact in facts if fact.kind == "step"] == [5, 6, 7, 8, 9]
    assert losses(RunFolder.open(tmp_path / "run")) == losses(whole)
    a, b = weights(tmp_path / "run"), weights(whole.path)
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)


class Pair(Ranks):
    """The first of two processes, the other of which is made up."""

    def wait(self) -> None:
        """For nobody."""

    def agree(self, value: Any) -> Any:
        """The own value."""
        return value


def test_another_number_of_processes_is_refused(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        gpt(corpus, tmp_path / "run", "training.steps=9", progress=interrupt)
    with monkeypatch.context() as patched, pytest.raises(UsageError, match=r"begun by 1 process, now 2.*without torchrun"):
        patched.setattr(descend, "join", lambda: nullcontext(Pair(0, 2)))
        gpt(corpus, tmp_path / "run", "training.steps=9")
    gpt(corpus, tmp_path / "run", "training.steps=9")


def test_a_second_process_touches_nothing(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)
    held: list[dict[str, bytes]] = []

    def second(fact: Fact) -> None:
        if fact.kind == "save" and fact.step == 2:
            held.append({str(path): path.read_bytes() for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()})
            for settings in ("training.steps=3", "training.steps=4"):
                with pytest.raises(RunError, match="in use by another process"):
                    gpt(corpus, tmp_path / "run", settings)
            held.append({str(path): path.read_bytes() for path in sorted((tmp_path / "run").rglob("*")) if path.is_file()})

    folder = gpt(corpus, tmp_path / "run", "training.steps=3", "training.save_seconds=1e-9", progress=second)
    assert len(held) == 2 and held[0] == held[1]
    assert [line["step"] for line in folder.metrics() if line["kind"] == "step"] == [1, 2, 3]
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_killed_as_it_saves_takes_every_held_out_loss(corpus: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    deaths: list[int] = []

    def die_as_it_saves(fact: Fact) -> None:
        if fact.kind == "save" and fact.step not in deaths:
            deaths.append(fact.step)
            raise Killed

    settings = ("training.steps=4", "training.evaluations=4", "training.save_seconds=1e-9", "training.held_out=0.2")
    run = tmp_path / "run"
    while not (run / "manifest.json").exists() or not RunFolder.open(run).finished:
        with suppress(Killed):
            gpt(corpus, run, *settings, progress=die_as_it_saves)
    saves: list[int] = []
    whole = gpt(corpus, tmp_path / "whole", *settings, progress=lambda fact: saves.append(fact.step) if fact.kind == "save" else None)
    assert saves == [1, 2, 3, 4]  # each told once, the last one too
    killed, unbroken = (
        [(line["step"], line["loss"]) for line in folder.metrics() if line["kind"] == "eval"] for folder in (RunFolder.open(run), whole)
    )
    assert deaths == [step for step, _ in unbroken] == [1, 2, 3, 4]
    assert killed == unbroken


def test_a_run_killed_at_random_steps_ends_with_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    settings = [*SMALL, "training.steps=100", "training.save_seconds=0.05"]
    script.write_text(
        "import sys\nfrom stemma.training.pretrain import pretrain\nfrom stemma.training.request import Request\n"
        f"pretrain(Request.of('gpt', {str(corpus)!r}, preset='tiny', settings={settings!r}), out=sys.argv[1],\n"
        "         progress=lambda fact: fact.kind == 'step' and print(fact.step, flush=True))\n",
        encoding="utf-8",
    )
    rng, deaths = np.random.default_rng(0), []
    while not (tmp_path / "killed" / "manifest.json").exists() or not RunFolder.open(tmp_path / "killed").finished:
        command = [sys.executable, str(script), str(tmp_path / "killed")]
        with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True) as child:
            for _, line in zip(range(int(rng.integers(30, 90))), child.stdout, strict=False):
                step = line
            deaths.append(int(step))
            child.kill()
    whole = gpt(corpus, tmp_path / "whole", "training.steps=100", "training.save_seconds=0.05")
    a, b = weights(tmp_path / "killed"), weights(whole.path)
    assert len(deaths) > 1 and all(a[name].tobytes() == b[name].tobytes() for name in a)
