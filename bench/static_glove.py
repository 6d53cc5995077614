"""GloVe beside Stanford's C programs: counting, an iteration, the whole, and the peak memory under a limit.

The corpus is cut once and written as text, a sentence a line, for both. The whole is a command for us, from that text
to saved vectors with all that has to be loaded, and the four programs for them. `vocab_count`, `cooccur`, `shuffle` and
`glove` are timed when they stand on the PATH; else what is known of them stands in a note, and ours stands beside our
own plain form of the C program alone (`kernel = "exact"`, float64, entry by entry in random order).
"""

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from processes import cost
from stemma.layers.uniform import uniform
from stemma.lineage.glove import Config, GloVe
from stemma.objectives.cooccurrence import Config as Counting
from stemma.objectives.cooccurrence import Cooccurrence
from stemma.training.peak import peak_memory_mib
from texts import sentences

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
PROGRAMS = ("vocab_count", "cooccur", "shuffle", "glove")
PUBLISHED = "the C programs on such a machine, not measured here: 24 s to count and shuffle 19 M words, 55 s an iteration"
ITERATIONS = 15
LIMITS = (0.1, 0.5, 2.0)  # GiB


def encode(path: Path, most: int, min_count: int = 5) -> SimpleNamespace:
    """The first `most` words as ids with sentence borders; words seen fewer times than `min_count` are id 0."""
    text, words = [], 0
    for sentence in sentences(path):
        text.append(sentence)
        words += len(sentence)
        if words >= most:
            break
    counts = Counter(word for sentence in text for word in sentence)
    kept = [word for word, count in counts.most_common() if count >= min_count]
    place = {word: row for row, word in enumerate(kept, len(SPECIALS))}
    ids = np.fromiter((place.get(word, 0) for sentence in text for word in sentence), np.uint32)
    starts = np.cumsum([0, *map(len, text)])
    header = {"fingerprint": str(path), "tokenizer": str(most)}
    return SimpleNamespace(
        text=text, ids=ids, sentence_starts=starts, counts=np.bincount(ids, minlength=len(kept) + len(SPECIALS)), header=header
    )


def clocked(work: Any, *args: Any) -> tuple[Any, float]:
    """What the call gives, and its CPU seconds."""
    began = time.process_time()
    return work(*args), time.process_time() - began


def train(corpus: Any, kernel: Any, iterations: int, folder: Path, memory: float = 4.0) -> dict[str, Any]:
    """Counting once and the iterations, on one thread, by Stemma's own objective and network."""
    facts: Any = SimpleNamespace(vocab_size=len(corpus.counts), specials=SPECIALS, counts=corpus.counts)
    shutil.rmtree(folder, ignore_errors=True)
    counts = Cooccurrence(corpus, facts, Counting(window=10, memory=memory), seed=0)
    _, counting = clocked(counts.prepare, folder, 1, lambda _: None)
    network = GloVe.drawn(Config(width=100, x_max=10.0, kernel=kernel), facts, uniform(0))
    steps = [clocked(network.descend, counts.batch(step), 0.05, step) for step in range(iterations)]
    return {
        "counting": counting,
        "iteration": statistics.median(seconds for _, seconds in steps),
        "cost": float(steps[-1][0].mean),
        "entries": steps[-1][0].count,
    }


def peak_under(corpus: Any, memory: float, folder: Path, answer: Any) -> None:
    """Sends the most memory (MiB) this process held before counting and after it."""
    facts: Any = SimpleNamespace(vocab_size=len(corpus.counts), specials=SPECIALS, counts=corpus.counts)
    before = peak_memory_mib()
    preparation = Cooccurrence(corpus, facts, Counting(window=10, memory=memory), seed=0).prepare(folder, 1, lambda _: None)
    answer.send((before, peak_memory_mib(), preparation.cpu_seconds))


def peaks(corpus: SimpleNamespace, folder: Path) -> dict[str, dict[str, float]]:
    """Peak memory by limit, each counted in a process of its own."""
    plain = SimpleNamespace(**{name: value for name, value in vars(corpus).items() if name != "text"})
    context, found = get_context("spawn"), {}
    for limit in LIMITS:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=peak_under, args=(plain, limit, folder / f"limit-{limit}", theirs))
        worker.start()
        before, after, seconds = ours.recv()
        worker.join()
        found[f"{limit} GiB"] = row(after, None, "MiB") | {"before_mib": before, "counting_seconds": seconds}
    return found


def programs(iterations: int, folder: Path) -> dict[str, Any] | None:
    """CPU seconds of the C programs on `folder`/text, or None when one of them is not on the PATH."""
    if not all(map(shutil.which, PROGRAMS)):
        return None

    def seconds(command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["sh", "-c", command], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    options = "-vocab-file vocab -input-file shuffled -save-file vectors -threads 1 -vector-size 100 -x-max 10 -binary 1"
    vocabulary = seconds("vocab_count -min-count 5 -verbose 0 < text > vocab")
    counting = seconds("cooccur -vocab-file vocab -window-size 10 -memory 4 -verbose 0 < text > pairs")
    shuffling = seconds("shuffle -memory 4 -verbose 0 < pairs > shuffled")
    one, more = (seconds(f"glove {options} -iter {n} -verbose 0") for n in (1, 1 + iterations))
    prepared, iteration = vocabulary + counting + shuffling, (more - one) / iterations
    return {"counting": prepared, "iteration": iteration, "whole": prepared + one + (ITERATIONS - 1) * iteration}


def command(folder: Path) -> float:
    """CPU seconds from `folder`/text to saved vectors, from the shell."""
    settings = ["--preset", "small", "--set", f"training.epochs={ITERATIONS}", "--memory", "4"]
    verb = [sys.executable, "-m", "stemma", "pretrain", "glove"]
    return cost([*verb, str(folder / "text"), "--out", str(folder / "run"), *settings]).cpu_seconds


def measure(corpus: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Rows of CPU seconds: counting, an iteration, the whole; of the final cost; of peak memory under limits."""
    encoded = encode(corpus, 2_000_000 if quick else sys.maxsize)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        train(encode(corpus, 2_000), "tiles", 1, folder / "warm")  # compile or load the kernels outside the clock
        train(encode(corpus, 2_000), "exact", 1, folder / "warm")
        ours = train(encoded, "tiles", 5, folder / "ours")
        plain = train(encoded, "exact", 5, folder / "plain")
        (folder / "text").write_text("\n".join(map(" ".join, encoded.text)) + "\n", encoding="utf-8")
        whole, peer = command(folder), programs(2, folder)
        memory = peaks(encoded, folder)
    text = f"{len(encoded.ids):,} words, window 10, 100d, {ours['entries']:,} entries of X"
    rows = {
        "counting": row(ours["counting"], peer["counting"] if peer else None, note=text),
        "an iteration": row(ours["iteration"], peer["iteration"] if peer else None, note="" if peer else PUBLISHED),
        f"text to vectors, {ITERATIONS} iterations": row(whole, peer["whole"] if peer else None),
        "an iteration, our plain form of glove.c": row(ours["iteration"], plain["iteration"]),
        "cost after 5 iterations, our plain form": row(ours["cost"], plain["cost"], unit="a record"),
    }
    return rows | {f"peak memory under {limit}": figures for limit, figures in memory.items()}


def row(ours: float, peer: float | None, unit: str = "CPU s", note: str = "") -> dict[str, Any]:
    """A row; what the peer takes over what we take is its ratio."""
    return {"ours": ours, "peer": peer, "ratio": peer / ours if peer else None, "unit": unit, **({"note": note} if note else {})}
