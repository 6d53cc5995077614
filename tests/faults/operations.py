# ruff: noqa: T201 (it is a program)
"""Kills a command at each of its file operations, or fills the disk at each of its writes, gives it again, and compares with a whole one.

The first fault of a run comes at its operation 1, 2, 3 …, those after it at operations drawn by lot, until the command ends.

As a program it prints the table: `python tests/faults/operations.py --kinds ngram bert compare --most 40`. One process imports everything
and makes the whole run; each command is forked from it, counts its operations on files (opened to be written, each write of a buffer,
fsync, renamed, linked, cut, removed, made) and ends itself and its children by SIGKILL at the chosen one, half of a write written; or
is told there that no space is left. What must be equal in the end: every file that is computed with, the log but for its clocks, and
the names of all files: nothing is left aside.
"""

import argparse
import builtins
import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program

from tests.faults.kills import GENERATIONS, figures, texts, unclocked

from stemma.lineage.table import find
from stemma.tokens.sums import file_sum

DOORS = {"convert": "huggingface", "convert-vectors": "word2vec", "convert-arpa": "arpa", "convert-back": "run"}
KINDS = (*GENERATIONS, "finetune", "compare", *DOORS, "pack", "unpack")
AUDITED = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.chmod")
MOST = 6  # faults that one run meets at most
FEW = 20  # operations that any command makes
PATIENCE = 600.0  # seconds that one command may take
SMALL = {"wordpiece": "tokenizer.vocab_size=160", "unigram": "tokenizer.vocab_size=160", "bpe": "tokenizer.vocab_size=300"}
NARROW = {  # settings that make a generation's file small: what a trial costs is copying and summing
    "gpt": ["model.width=16", "model.inner=64", "model.heads=2", "model.depth=1"],
}
open_as_ever = io.open


@dataclass
class Row:
    """What became of the runs of one kind and way."""

    operations: int  # that a whole run makes, or writes
    runs: int = 0
    faults: int = 0  # kills, or writes for which there was no room
    survived: int = 0  # of the latter, those that ended no command: what could not be written was of no weight
    equal: int = 0
    lost: list[str] = field(default_factory=list)


class Counter:
    """Counts operations on the files under a folder, together with all children, and lets the chosen one fail."""

    def __init__(self, place: Path) -> None:
        self.place, self._shared = str(place), mmap(-1, 8)

    @property
    def count(self) -> int:
        """Operations so far."""
        return int.from_bytes(self._shared[:8], "little")

    def arm(self, fatal: int, way: str, group: int) -> None:
        """In a forked process: from now on operations count. `way` is kill, or full: writes alone count then."""
        self.fatal, self.way, self.group = fatal, way, group
        self._shared[:8] = bytes(8)
        sys.addaudithook(self._audited)
        fsync, fallocate = os.fsync, os.posix_fallocate
        os.fsync = lambda file: (self.operation("fsync"), fsync(file))[1]
        os.posix_fallocate = lambda *rest: (self.write("fallocate"), fallocate(*rest))[1]
        builtins.open = io.open = self._open

    def operation(self, name: str) -> None:
        """One more, unless only writes count."""
        if self.way == "kill" and self._next():
            self._end()

    def write(self, name: str, half: Callable[[], Any] = lambda: None) -> None:
        """One more write; when it is the chosen one, half of it is made."""
        if self._next():
            half()
            if self.way == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._end()

    def _next(self) -> bool:
        self._shared[:8] = (self.count + 1).to_bytes(8, "little")
        return self.count == self.fatal

    def _end(self) -> None:
        os.killpg(self.group, signal.SIGKILL)

    def _inside(self, path: Any) -> bool:
        return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(self.place)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if self._inside(path) and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
                self.operation(event)
        elif event in AUDITED and self._inside(arguments[0]):
            self.operation(event)

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+") or not self._inside(file):
            return open_as_ever(file, mode, buffering, *rest, **options)
        names = ("encoding", "errors", "newline", "closefd", "opener")
        options |= dict(zip(names, rest, strict=False))
        raw = _Raw(file, mode.replace("b", "").replace("t", ""), opener=options.pop("opener", None))
        raw.counter = self
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        options.pop("closefd", None)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, **options)


class _Raw(io.FileIO):
    """A file whose writes count."""

    counter: Counter

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.counter.write("write", lambda: super(_Raw, self).write(view[: len(view) // 2]))
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self.counter.operation("truncate")
        return super().truncate(size)


class Forks:
    """A comparison's stages in forked processes: what `Processes` starts anew each time, at a fraction of the price."""

    def __call__(self, comparison: Any, generation: str, corpus_key: str, progress: Any) -> int:
        from stemma.evaluation.comparison import worker
        from stemma.training.facts import from_json

        taken, given, held, alive = *os.pipe(), *os.pipe()
        child = os.fork()
        if not child:
            with _leaving():
                os.close(alive)
                os.dup2(held, 0)
                os.dup2(given, 1)
                os._exit(worker.main([str(comparison.root), generation, corpus_key]))
        os.close(given)
        os.close(held)
        with open_as_ever(taken, encoding="utf-8") as lines:
            for line in lines:
                progress(from_json(json.loads(line)))
        code = os.waitpid(child, 0)[1]
        os.close(alive)
        return os.waitstatus_to_exitcode(code)

    def stop(self) -> None:
        """Nobody interrupts a trial."""


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """A forked process never comes back into the code of its parent."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def earlier(kind: str) -> str:
    """The kind whose whole run this one begins with, if any."""
    if kind in GENERATIONS:
        return find(kind).teacher or ""
    return {"compare": "", "convert-vectors": "word2vec", "convert-arpa": "ngram", "convert-back": "convert", "unpack": "pack"}.get(
        kind, "gpt"
    )


def words(kind: str, folder: Path, out: Path) -> list[str]:
    """The command line of a run of a second."""
    corpus, task, first = str(folder / "corpus.txt"), str(folder / "task.tsv"), str(folder / "whole" / earlier(kind))
    settings: list[str] = []
    if kind in GENERATIONS:
        row = find(kind)
        if row.teacher:
            verb, settings = ["distill", first, "--corpus", corpus], ["model.depth=1"]
        else:
            verb, settings = ["pretrain", kind, corpus], [SMALL.get(row.tokenizer, "tokenizer.min_count=1"), *NARROW.get(kind, [])]
        if row.learns != "count":
            settings += ["training.steps=2", "training.batch_tokens=128", "training.threads=1", "training.save_seconds=0.000001"]
            settings += [] if row.updates == "by hand" else ["training.precision=fp32", "training.evaluations=1"]
        verb += ["--preset", "tiny"]
    elif kind == "finetune":
        verb = ["finetune", first, "--train", task, "--dev", task]
        settings = ["transfer.threads=1", "transfer.updates=4", "transfer.seeds=[1,2]", "transfer.budget=1"]
        settings += ["transfer.max_length=16"]
    elif kind == "compare":
        verb = ["compare", corpus, "--train", task, "--dev", task, "--generations", "ngram", "glove", "gpt", "--budget-tokens", "600"]
        verb += ["--preset", "tiny", "--seeds", "1", "--trials", "1", "--threads", "1", "--modes", "frozen", "finetune"]
        settings = ["transfer.updates=2", "transfer.max_length=16", "gpt.training.precision=fp32"]
    elif kind in DOORS:
        return ["convert", first, str(out), "--to", DOORS[kind]]
    else:
        return [kind, first, str(out)]
    return [*verb, "--out", str(out), *(word for setting in settings for word in ("--set", setting))]


def result(out: Path) -> dict[str, Any]:
    """All that must not depend on what failed: names of files, and what is in them but for clocks."""
    found: dict[str, Any] = {}
    for name, path in files_of(out).items():
        found[name] = "there"
        if path.name == "metrics.jsonl":
            found[name] = [unclocked(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        elif path.name == "report.json":
            found |= figures(json.loads(path.read_text("utf-8")))
        elif path.suffix in (".safetensors", ".txt", ".vec", ".arpa", ".bin") or path.name == "tokenizer.json" or path == out:
            found[name] = file_sum(path)
    return found


def files_of(out: Path) -> dict[str, Path]:
    """All files of a command's output by their names in it, hidden ones beside it too; but for what a clock said of reading."""
    paths = [out, *out.parent.glob(f".{out.name}*"), *out.rglob("*")]
    named = {str(path.relative_to(out.parent)).replace(out.name, "OUT", 1): path for path in sorted(paths) if path.is_file()}
    return {name: path for name, path in named.items() if path.name != "costs.json"}


def forked(folder: Path, argv: list[str], counter: Counter, fatal: int = 0, way: str = "kill") -> tuple[int, str]:
    """The exit code of the command in a forked process (-9: killed) and what it said; its children are gone with it."""
    said = folder / "said.txt"
    child = os.fork()
    if not child:
        with _leaving():
            os.setpgid(0, 0)
            for number, path in ((0, os.devnull), (1, os.devnull), (2, str(said))):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = open_as_ever(1, "w", closefd=False), open_as_ever(2, "w", closefd=False)
            counter.arm(fatal, way, os.getpid())
            code = run_here(argv)
            sys.stderr.flush()
            os._exit(code)
    until = time.monotonic() + PATIENCE
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            return (os.waitpid(child, 0), -1)[1], f"hung: {said.read_text('utf-8', 'replace')[-500:]}"
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(done[1]), said.read_text("utf-8", "replace")


def run_here(argv: list[str]) -> int:
    """The command in this process, a comparison's stages forked from it."""
    from stemma.cli.main import main
    from stemma.evaluation.comparison import compare

    compare.Processes = Forks  # type: ignore[misc,assignment]
    return main(argv)


def whole(kind: str, folder: Path) -> dict[str, Any]:
    """What the run that nothing fails for comes to, made once; in this process, which has then loaded whatever it needs."""
    out = folder / "whole" / kind
    out.parent.mkdir(exist_ok=True)
    if not out.exists():
        if earlier(kind):
            whole(earlier(kind), folder)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            code = run_here(words(kind, folder, out))
        if code:
            raise RuntimeError(f"{kind}: {said.getvalue()[-800:]}")
    return result(out)


def tried(kind: str, way: str, most: int, folder: Path, seed: int = 0) -> Row:
    """Runs of a kind that meet their first fault at `most` of its operations, or at each, and further ones at any until they end."""
    counter, out = Counter(folder), folder / way / kind  # of the same name: a packed file has it in its README
    out.parent.mkdir(exist_ok=True)
    right, argv = whole(kind, folder), words(kind, folder, out)
    code, said = forked(folder, argv, counter, 0, way)
    assert code == 0, said
    row = Row(counter.count)
    if changed := differences(right, result(out)):
        raise RuntimeError(f"{kind}: two whole runs differ: {changed}")
    clear(out)
    draw = random.Random(f"{seed}/{kind}/{way}")
    for first in sorted(draw.sample(range(1, row.operations + 1), min(most, row.operations))):
        what, code, met = list[str](), -1, [first]
        while code and not what:
            fatal = met[-1] if len(met) <= MOST else 0
            code, said = forked(folder, argv, counter, fatal, way)
            hit = bool(fatal) and counter.count >= fatal
            row.faults += hit
            row.survived += hit and not code
            what = wrong(code, said, way, hit, out)
            met.append(draw.randint(1, max(FEW, row.operations - first)))  # of what is left, about
        what = what or differences(right, result(out))
        row.runs += 1
        row.equal += not what
        row.lost += [f"{kind} {way} {met[:-1]}: {line}" for line in what[:3]]
        clear(out)
    return row


def wrong(code: int, said: str, way: str, hit: bool, out: Path) -> list[str]:
    """What should not have come of a command that met a fault, or met none."""
    expected = (-signal.SIGKILL if way == "kill" else 4) if hit else 0
    found = [] if code == expected or (hit and way == "full" and not code) else [f"exit code {code}: {said.strip()[-600:]}"]
    found += ["a traceback: " + said.strip()[-600:]] if "Traceback" in said or "mistake, not yours" in said else []
    aside = [name for name in files_of(out) if ".aside" in name or ".part" in name] if way == "full" and code == 4 else []
    return found + [f"left behind: {name}" for name in aside]


def differences(right: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Names under which two results differ."""
    return [name for name in sorted(right.keys() | found.keys()) if right.get(name) != found.get(name)]


def clear(out: Path) -> None:
    """Removes what a trial has made."""
    for path in (out, *out.parent.glob(f".{out.name}*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def program() -> None:
    """The table of all chosen kinds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--ways", nargs="+", default=["kill", "full"], choices=["kill", "full"])
    parser.add_argument("--most", type=int, default=10_000, help="runs of a kind and way; one an operation where there are fewer")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| | operations | runs | faults | equal | lost | seconds |\n|---|---|---|---|---|---|---|")
    total = (0, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts(folder, 40)
        for kind in options.kinds:
            for way in options.ways:
                began = time.monotonic()
                row = tried(kind, way, options.most, folder, options.seed)
                total = total[0] + row.faults, total[1] + row.runs - row.equal
                numbers = (
                    f"{row.operations} | {row.runs} | {row.faults} | {row.equal} | {row.runs - row.equal} | {time.monotonic() - began:.0f}"
                )
                print(f"| `{kind}`, {way} | {numbers} |", *row.lost, sep="\n  " if row.lost else "", flush=True)
    print(f"{total[0]} faults, {total[1]} lost")


if __name__ == "__main__":
    program()
