"""Scoring text with an n-gram model side by side with the kenlm package: words a second of CPU time, from raw lines.

    python bench/static_scoring.py [CORPUS] [--quick]

Both have the same model, ours of order 5, learnt from the first part of the corpus and handed over as ARPA; both score
the same held-out lines, whose words are parted by spaces. kenlm goes line by line (`Model.score`), as its package offers;
we take the lines at once (`run.score`). `stemma score` is timed as a command, less what it takes for one line. Runs
alternate; a ratio is the median of the rounds' ratios.
"""

import argparse
import json
import lzma
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kenlm

import stemma
from stemma.export.formats import convert

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
QUICK_BYTES, HELD_OUT_BYTES = 11_000_000, 3_000_000


def measure(corpus: Path, quick: bool) -> dict[str, Any]:
    """Words a second of both, the medians of the ratios, and the greatest difference of a log10 a word."""
    with lzma.open(corpus) if corpus.suffix == ".xz" else corpus.open("rb") as source:
        lines = source.read(QUICK_BYTES + HELD_OUT_BYTES if quick else -1).decode("utf-8", "ignore").split("\n")[:-1]
    held = len(lines)
    size = 0
    while size < HELD_OUT_BYTES:
        held -= 1
        size += len(lines[held])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.txt").write_text("\n".join(lines[:held]) + "\n", encoding="utf-8")
        (folder / "one.txt").write_text(lines[held] + "\n", encoding="utf-8")
        lines = lines[held:]
        (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        run: Any = stemma.pretrain("ngram", folder / "train.txt", out=folder / "run", settings=["order=5", "tokenizer=whitespace"])
        convert(folder / "run", folder / "run.arpa", "arpa")
        peer = kenlm.Model(str(folder / "run.arpa"))
        return {"quick": quick, **compared(run, peer, lines, folder)}


def compared(run: Any, peer: Any, lines: list[str], folder: Path) -> dict[str, Any]:
    """The rounds."""
    words = [len(line.split()) for line in lines]
    theirs = [peer.score(line) for line in lines]
    differences = (abs(a - b.log10) / (n + 1) for a, b, n in zip(theirs, run.score(lines), words, strict=True))
    rows = []
    for _ in range(5):
        began = time.process_time()
        for line in lines:
            peer.score(line)
        middle = time.process_time()
        run.score(lines)
        ended = time.process_time()
        rows.append((ended - middle, middle - began, command(folder, "lines.txt") - command(folder, "one.txt")))
    ours, peers, commands = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "words": sum(words),
        "ours": sum(words) / ours,
        "ours_as_command": sum(words) / commands,
        "kenlm": sum(words) / peers,
        "ratio": statistics.median(peer / own for own, peer, _ in rows),
        "ratio_as_command": statistics.median(peer / own for _, peer, own in rows),
        "greatest_difference": max(differences),
        "rounds": len(rows),
    }


def command(folder: Path, name: str) -> float:
    """CPU seconds of `stemma score`."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "scores").open("w", encoding="utf-8") as out:
        subprocess.run([sys.executable, "-m", "stemma", "score", str(folder / "run"), str(folder / name)], stdout=out, check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def main() -> None:
    """Measures and prints, last one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED / "text-en-novels" / "train.txt.xz")
    parser.add_argument("--quick", action="store_true", help="the first 14 MB alone")
    options = parser.parse_args()
    found = measure(options.corpus, options.quick)
    for name, value in found.items():
        print(f"{name.replace('_', ' '):24}{value:14,.6g}" if value < 100 else f"{name.replace('_', ' '):24}{value:14,.0f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
