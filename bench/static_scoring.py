"""Scoring text with an n-gram model beside the kenlm package: words a second of CPU time, from raw lines.

Both have the same model, ours of order 5, learnt from the first part of the corpus and handed over as ARPA; both score
the same held-out lines, whose words are parted by spaces. kenlm goes line by line (`Model.score`), as its package offers;
we take the lines at once (`run.score`). `stemma score` is timed as a command, less what it takes for one line: beside kenlm's bare
sums, and beside a loop that writes the same fields as JSON from its `full_scores`; and whole, with all its starting and its output,
beside a script that reads the ARPA file with kenlm and prints a sum a line.
"""

import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kenlm

import stemma
from processes import cost
from startup import SCORE
from stemma.export.formats import convert
from texts import lines_of

QUICK_BYTES = 11_000_000
HELD_OUT_BYTES = 30_000_000  # so much that the commands' seconds of starting, however they vary, are few beside it
QUICK_HELD_OUT_BYTES = 3_000_000
ROUNDS = 5


def measure(corpus: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Rows of speed, and the greatest difference of a log10 a word."""
    train, lines = list[str](), list[str]()
    size, held_out = 0, QUICK_HELD_OUT_BYTES if quick else HELD_OUT_BYTES
    for line in lines_of(corpus):
        (lines if size < held_out else train).append(line.rstrip("\n"))
        size += len(line)
        if quick and size > QUICK_BYTES + held_out:
            break
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, some in (("train", train), ("one", lines[:1]), ("lines", lines)):
            (folder / f"{file}.txt").write_text("\n".join(some) + "\n", encoding="utf-8")
        run: Any = stemma.pretrain("ngram", folder / "train.txt", out=folder / "run", settings=["order=5", "tokenizer=whitespace"])
        convert(folder / "run", folder / "run.arpa", "arpa")
        return compared(run, kenlm.Model(str(folder / "run.arpa")), lines, folder)


def compared(run: Any, peer: Any, lines: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """The rounds."""
    words = [len(line.split()) for line in lines]
    theirs = [peer.score(line) for line in lines]
    differences = (abs(a - b.log10) / (n + 1) for a, b, n in zip(theirs, run.score(lines), words, strict=True))
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for line in lines:
            peer.score(line)
        middle = time.process_time()
        run.score(lines)
        ended = time.process_time()
        (folder / "fields").write_text("".join(fields(peer, line) for line in lines), encoding="utf-8")
        written = time.process_time()
        whole, start = command(folder, "lines.txt"), command(folder, "one.txt")
        rounds.append((ended - middle, middle - began, written - ended, whole - start, whole, script(folder, "lines.txt")))
    ours, bare, full, commands, wholes, scripts = ([*column] for column in zip(*rounds, strict=True))

    def row(own: list[float], peers: list[float]) -> dict[str, Any]:
        speeds = {"ours": sum(words) / statistics.median(own), "peer": sum(words) / statistics.median(peers)}
        ratio = statistics.median(b / a for a, b in zip(own, peers, strict=True))
        return {**speeds, "ratio": ratio, "unit": "words/s", "rounds": ROUNDS}

    return {
        "run.score": row(ours, bare),
        "stemma score, kenlm in Python": row(commands, bare),
        "stemma score, kenlm writing the same fields": row(commands, full),
        "stemma score as a whole, kenlm from ARPA as a whole": row(wholes, scripts),
        "greatest difference, log10 a word": {"ours": max(differences), "peer": None, "ratio": None},
    }


def fields(peer: Any, line: str) -> str:
    """A row of JSON as `stemma score` writes it, as far as kenlm knows of it."""
    scores = list(peer.full_scores(line))
    log10, unknown = sum(score for score, _, _ in scores), [score for score, _, lacks in scores if lacks]
    known = len(scores) - len(unknown)
    row = {
        "text": line,
        "log10": log10,
        "nats": log10 * math.log(10),
        "probability": 10**log10,
        "tokens": len(scores),
        "unknown": len(unknown),
        "perplexity": 10 ** (-log10 / len(scores)),
        "perplexity_without_unknown": 10 ** ((sum(unknown) - log10) / max(1, known)),
        "characters": len(line),
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def command(folder: Path, name: str) -> float:
    """CPU seconds of `stemma score`."""
    with (folder / "scores").open("wb") as out:
        return cost([sys.executable, "-m", "stemma", "score", str(folder / "run"), str(folder / name)], out).cpu_seconds


def script(folder: Path, name: str) -> float:
    """CPU seconds of kenlm in a script, from the ARPA file that we wrote."""
    with (folder / "sums").open("wb") as out:
        return cost([sys.executable, "-c", SCORE, str(folder / "run.arpa"), str(folder / name)], out).cpu_seconds
