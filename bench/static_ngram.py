"""From raw text to a model that answers: our order-5 n-gram beside KenLM's lmplz and build_binary.

    python bench/static_ngram.py CORPUS [--quick]

CORPUS has one sentence a line, its words parted by spaces. Each side is a process of its own, measured in CPU seconds, and
ours in all it does: reading, vocabulary, token store, counting, estimating, writing, starting Python. KenLM's programs come
in no package; without them on the PATH the figures known of them stand beside ours, marked as not measured here.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

ORDER = 5
MEMORY_GIB = 1.2  # for both sides
QUICK_BYTES = 12_000_000
PUBLISHED = {
    "tokens": 18_700_000,
    "lmplz_cpu_seconds": 43.3,
    "build_binary_cpu_seconds": 28.1,
    "peak_mib": 1200,
    "note": "published for such a machine, not measured here",
}
OPENING = """
import json, resource, sys, time
import stemma
began = time.perf_counter()
run = stemma.load(sys.argv[1])
run.score(["the first text to be scored"])
print(json.dumps({"seconds": time.perf_counter() - began, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}))
"""


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    cpu_seconds: float
    peak_mib: float


def measure(corpus: Path, quick: bool) -> dict[str, Any]:
    """CPU seconds and peak memory of both sides (medians), sizes of the models, and how fast ours opens."""
    with tempfile.TemporaryDirectory(prefix="stemma-bench-") as name:
        folder = Path(name)
        text = _first_lines(corpus, folder / "text.txt") if quick else corpus
        rounds = 1 if quick else 3
        ours = [_ours(text, folder / f"run-{n}") for n in range(rounds)]
        run = folder / "run-0"
        done = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        opening = json.loads(_output([sys.executable, "-c", OPENING, str(run)]))
        result: dict[str, Any] = {
            "corpus": corpus.name,
            "order": ORDER,
            "tokens": done["tokens"],
            "ngrams": sum(done[f"{n}-grams"] for n in range(1, ORDER + 1)),
            "ours": {**_median(ours), "model_mib": _mib(run / "model.safetensors")},
            "start_cpu_seconds": _cost([sys.executable, "-c", "import stemma.cli.main"]).cpu_seconds,
            "open_seconds": opening["seconds"],
            "open_peak_mib": opening["peak_mib"],
        }
        if shutil.which("lmplz") and shutil.which("build_binary"):
            theirs = [_kenlm(text, folder) for _ in range(rounds)]
            result["kenlm"] = {**_median(theirs), "model_mib": _mib(folder / "model.bin")}
            result["ratio"] = result["kenlm"]["cpu_seconds"] / result["ours"]["cpu_seconds"]
        else:
            result["kenlm"] = PUBLISHED
        return result


def _ours(text: Path, run: Path) -> Cost:
    options = ["--out", str(run), "--preset", "base", "--memory", str(MEMORY_GIB), "--json"]
    settings = ["tokenizer.kind=whitespace", 'corpus.format="sentences"', "training.held_out=0", f"model.order={ORDER}"]
    command = [sys.executable, "-m", "stemma", "pretrain", "ngram", str(text), *options]
    return _cost([*command, *(part for setting in settings for part in ("--set", setting))])


def _kenlm(text: Path, folder: Path) -> Cost:
    arpa = folder / "model.arpa"
    options = ["-o", str(ORDER), "-S", f"{MEMORY_GIB}G", "-T", str(folder), "--discount_fallback"]
    parts = [
        _cost(["lmplz", *options, "--text", str(text), "--arpa", str(arpa)]),
        _cost(["build_binary", "-T", str(folder), str(arpa), str(folder / "model.bin")]),
    ]
    return Cost(sum(part.cpu_seconds for part in parts), max(part.peak_mib for part in parts))


def _cost(command: Sequence[str]) -> Cost:
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{told.read().decode(errors='replace')}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _median(costs: Sequence[Cost]) -> dict[str, float]:
    return {
        "cpu_seconds": statistics.median(cost.cpu_seconds for cost in costs),
        "peak_mib": statistics.median(cost.peak_mib for cost in costs),
    }


def _mib(path: Path) -> float:
    return path.stat().st_size / 2**20


def _first_lines(corpus: Path, path: Path) -> Path:
    with corpus.open("rb") as source, path.open("wb") as file:
        file.writelines(takewhile(lambda _: file.tell() < QUICK_BYTES, source))
    return path


def _lines(result: dict[str, Any]) -> list[str]:
    ours, kenlm = result["ours"], result["kenlm"]
    lines = [
        f"order {result['order']}, {result['tokens']:,} tokens of {result['corpus']}: {result['ngrams']:,} n-grams",
        f"  ours    {ours['cpu_seconds']:.1f} s of CPU ({result['start_cpu_seconds']:.1f} s of it starting Python), "
        f"{ours['peak_mib']:,.0f} MiB at most, model {ours['model_mib']:,.0f} MiB",
        f"  opened and asked in {result['open_seconds']:.2f} s, {result['open_peak_mib']:,.0f} MiB at most",
    ]
    if "ratio" in result:
        told = f"{kenlm['cpu_seconds']:.1f} s, {kenlm['peak_mib']:,.0f} MiB at most, model {kenlm['model_mib']:,.0f} MiB"
        return [*lines, f"  KenLM   {told}: {result['ratio']:.1f}x ours"]
    seconds = kenlm["lmplz_cpu_seconds"] + kenlm["build_binary_cpu_seconds"]
    return [*lines, f"  KenLM   {seconds:.1f} s for {kenlm['tokens']:,} tokens, {kenlm['peak_mib']:,} MiB at most ({kenlm['note']})"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK_BYTES // 10**6} MB, once")
    asked = parser.parse_args()
    result = measure(asked.corpus, asked.quick)
    print("\n".join(_lines(result)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
