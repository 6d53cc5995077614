"""From raw text to a model that answers: our order-5 n-gram beside KenLM's lmplz and build_binary.

Each side is a process of its own, measured in CPU seconds, and ours in all it does: reading, vocabulary, token store,
counting, estimating, writing, starting Python. Both take a line for a sentence and its words as parted by spaces, and
neither counts a `<unk>`, `<s>` or `</s>` that the text writes. KenLM's programs come in no package; without them on the
PATH what is known of them stands in the row's note.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import Cost, cost
from texts import plain

ORDER = 5
MEMORY_GIB = 1.2  # for both sides
QUICK_BYTES = 12_000_000
PUBLISHED = "KenLM on such a machine, not measured here: 71.4 s and 1,200 MiB for 18.7 M tokens"
OPENING = """
import json, sys, time
import stemma
from stemma.training.peak import peak_memory_mib
began = time.perf_counter()
run = stemma.load(sys.argv[1])
run.score(["the first text to be scored"])
print(json.dumps({"seconds": time.perf_counter() - began, "peak_mib": peak_memory_mib()}))
"""


def measure(corpus: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Rows of CPU seconds, peak memory and sizes (medians), and how fast ours opens."""
    with tempfile.TemporaryDirectory(prefix="stemma-bench-") as name:
        folder = Path(name)
        text = plain(corpus, folder / "text.txt", QUICK_BYTES if quick else 0)
        _ours(plain(corpus, folder / "warm.txt", 100_000), folder / "warm")  # compiles where nothing is on disk yet
        rounds, found = 1 if quick else 3, bool(shutil.which("lmplz") and shutil.which("build_binary"))
        pairs = [(_ours(text, folder / f"run-{n}"), _kenlm(text, folder) if found else None) for n in range(rounds)]
        ours, peers = [own for own, _ in pairs], [peer for _, peer in pairs if peer]
        done = json.loads((folder / "run-0" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        opening = json.loads(_output([sys.executable, "-c", OPENING, str(folder / "run-0")]))
        sizes = [_mib(folder / place) for place in ("run-0/model.safetensors", *(["model.bin"] if found else []))]
    note = f"order {ORDER}, {done['tokens']:,} tokens, {sum(done[f'{n}-grams'] for n in range(1, ORDER + 1)):,} n-grams"
    return {
        "text to answers": {**_row(ours, peers, "cpu_seconds", "CPU s"), "note": note if found else f"{note}; {PUBLISHED}"},
        "peak memory": _row(ours, peers, "peak_mib", "MiB"),
        "model on disk": {"ours": sizes[0], "peer": sizes[1] if found else None, "ratio": None, "unit": "MiB"},
        "opened and asked": {"ours": opening["seconds"], "peer": None, "ratio": None, "unit": "s", "peak_mib": opening["peak_mib"]},
    }


def _row(ours: Sequence[Cost], peers: Sequence[Cost], of: str, unit: str) -> dict[str, Any]:
    own, peer = [[getattr(cost, of) for cost in side] for side in (ours, peers)]
    ratio = statistics.median(b / a for a, b in zip(own, peer, strict=True)) if peer else None
    medians = {"ours": statistics.median(own), "peer": statistics.median(peer) if peer else None}
    return {**medians, "ratio": ratio, "unit": unit, "rounds": len(own)}


def _ours(text: Path, run: Path) -> Cost:
    options = ["--out", str(run), "--preset", "base", "--memory", str(MEMORY_GIB), "--json"]
    settings = ["--set", "tokenizer=whitespace", "--set", f"order={ORDER}"]
    return cost([sys.executable, "-m", "stemma", "pretrain", "ngram", str(text), *options, *settings])


def _kenlm(text: Path, folder: Path) -> Cost:
    arpa = folder / "model.arpa"
    options = ["-o", str(ORDER), "-S", f"{round(MEMORY_GIB * 1024)}M", "-T", str(folder), "--discount_fallback", "--skip_symbols"]
    parts = [
        cost(["lmplz", *options, "--text", str(text), "--arpa", str(arpa)]),
        cost(["build_binary", "-T", str(folder), str(arpa), str(folder / "model.bin")]),
    ]
    return Cost(sum(part.cpu_seconds for part in parts), max(part.peak_mib for part in parts))


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _mib(path: Path) -> float:
    return path.stat().st_size / 2**20
