# ruff: noqa: T201 (it is a program)
"""Kills commands at random moments (SIGKILL), gives them again until they end, and compares with the run that nobody killed.

As a program it prints the table: `python tests/faults/kills.py --runs 5 --kinds nnlm lstm glove compare`. What must be equal: the
weights, and the log but for its clocks; of a comparison the weights of all its runs, and every figure that is no cost.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.lineage.table import TABLE, find
from stemma.tokens.sums import file_sum

GENERATIONS = tuple(row.name for row in TABLE if row.ready)
KINDS = (*GENERATIONS, "finetune", "compare")
MOST = 4  # kills of one run at most; then it may end
MEASURES = ("accuracy", "macro_f1", "bits_per_character", "held_out_loss")
CLOCKED = {"seconds", "cpu_seconds", "cpu_seconds_with_teacher", "tokens_per_second", "peak_memory_mib"}
CLOCKED |= {"earlier", "ingested", "message", "threads", "reading_ms"}


@dataclass(frozen=True)
class Row:
    """What became of the killed runs of one kind."""

    runs: int
    kills: int
    equal: int
    differences: tuple[str, ...]  # how the others differed


def texts(folder: Path, sentences: int = 3000) -> None:
    """A corpus of so many sentences in both languages, and a task."""
    draw = random.Random(1)
    words = ("the", "old", "mill", "turns", "by", "a", "river", "and", "nobody", "minds", "rain", "falling", "on", "grey", "stones")
    lines = [" ".join(draw.choices(words, k=9)) + "." + ("" if n % 4 else "\n老磨坊在河边慢慢地转动。\n") for n in range(sentences)]
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [
        f"{label}\t{' '.join(draw.choices(words, k=5))} {word}" for _ in range(60) for label, word in (("good", "fine"), ("bad", "grim"))
    ]
    (folder / "task.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")


def command(kind: str, folder: Path, out: Path) -> list[str]:
    """The command line of a run of some seconds."""
    corpus, task = str(folder / "corpus.txt"), str(folder / "task.tsv")
    if kind == "finetune":
        settings = ["transfer.threads=1", "transfer.updates=40", "transfer.seeds=[1,2]", "transfer.budget=2"]
        verb = ["finetune", str(folder / "gpt-whole"), "--train", task, "--dev", task]
    elif kind == "compare":
        settings = ["transfer.updates=20", "transfer.max_length=24"]
        verb = ["compare", corpus, "--train", task, "--dev", task, "--generations", "ngram", "glove", "bert", "--budget-tokens", "20000"]
        verb += ["--preset", "tiny", "--seeds", "2", "--trials", "1", "--threads", "1", "--modes", "frozen", "finetune"]
    else:
        counted, teacher = kind == "ngram", find(kind).teacher
        settings = [] if counted else ["training.steps=150", "training.batch_tokens=256", "training.threads=1", "training.save_seconds=0.3"]
        verb = ["distill", str(folder / f"{teacher}-whole"), "--corpus", corpus] if teacher else ["pretrain", kind, corpus]
        verb += ["--preset", "tiny"]
    return [sys.executable, "-m", "stemma", *verb, "--out", str(out), *(word for s in settings for word in ("--set", s))]


def unclocked(value: Any) -> Any:
    """A fact without what the clock says."""
    return {key: found for key, found in value.items() if key not in CLOCKED} if isinstance(value, dict) else value


def figures(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The measures in a report, with the way to each."""
    for key, found in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from [(f"{name}/{key}", found)] if key in MEASURES else figures(found, f"{name}/{key}")


def result(kind: str, out: Path) -> dict[str, Any]:
    """All that must not depend on kills."""
    found: dict[str, Any] = {str(path.relative_to(out)): file_sum(path) for path in sorted(out.rglob("model.safetensors"))}
    for path in sorted(out.rglob("metrics.jsonl")):
        found[str(path.relative_to(out))] = [unclocked(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if kind == "compare":
        found |= figures(json.loads((out / "report.json").read_text("utf-8")))
    return found


def run(words: list[str], within: float | None = None) -> int:
    """The exit code of the command, killed with all its processes after so many seconds if any are given."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, start_new_session=True, **quiet) as process:
        try:
            _, errors = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        else:
            if process.returncode:
                raise RuntimeError(f"{' '.join(words)}: {errors[-500:]}")
    return process.returncode


def tried(kind: str, runs: int, folder: Path, seed: int = 0) -> Row:
    """So many runs of a kind, each killed up to `MOST` times."""
    whole = folder / f"{kind}-whole"
    earlier = "gpt" if kind == "finetune" else find(kind).teacher if kind in GENERATIONS else ""
    if earlier and not (folder / f"{earlier}-whole").exists():
        run(command(earlier, folder, folder / f"{earlier}-whole"))
    began = time.monotonic()
    if not whole.exists():
        run(command(kind, folder, whole))
    took, right = time.monotonic() - began, result(kind, whole)
    kills, differences = 0, list[str]()
    for number in range(runs):
        draw, out = random.Random(f"{seed}/{kind}/{number}"), folder / f"{kind}-{number}"
        for _ in range(MOST):
            if run(command(kind, folder, out), draw.uniform(0.15, 1.0) * took) == 0:
                break
            kills += 1
        else:
            run(command(kind, folder, out))
        found = result(kind, out)
        differences += [f"{kind} {number}: {key}" for key in sorted(right.keys() | found.keys()) if right.get(key) != found.get(key)][:3]
        shutil.rmtree(out)
    differing = len({line.partition(":")[0] for line in differences})
    return Row(runs, kills, runs - differing, tuple(differences))


def program() -> None:
    """The table of all chosen kinds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| | runs | kills | equal |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        texts(Path(name))
        for kind in options.kinds:
            row = tried(kind, options.runs, Path(name), options.seed)
            print(
                f"| {kind} | {row.runs} | {row.kills} | {row.equal} |", *row.differences, sep="\n  " if row.differences else "", flush=True
            )


if __name__ == "__main__":
    program()
