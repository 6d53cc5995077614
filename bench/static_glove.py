"""GloVe side by side with Stanford's C programs: counting, an iteration, the whole, and the peak memory under a limit.

    python bench/static_glove.py [CORPUS] [--quick]

The corpus (plain text, .xz too) is cut once and written as text, a sentence a line, for both. `vocab_count`, `cooccur`, `shuffle` and
`glove` are timed when they stand on the PATH; else ours stands beside the figures published for them, marked so, and beside our
own plain form of the C program (`kernel = "exact"`, float64, entry by entry in random order). Prints one JSON line last.
"""

import argparse
import json
import lzma
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from stemma.lineage.glove import Config, GloVe
from stemma.objectives.cooccurrence import Config as Counting
from stemma.objectives.cooccurrence import Cooccurrence

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "text-en-novels" / "train.txt.xz"
SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
PROGRAMS = ("vocab_count", "cooccur", "shuffle", "glove")
PUBLISHED = {  # one core of an AMD EPYC, nobody beside; 100d, window 10
    "measured_here": False,
    "tokens": 19_000_000,
    "cooccur_seconds": 14.2,
    "shuffle_seconds": 9.8,
    "iteration_seconds": 55.0,
}
LIMITS = (0.1, 0.5, 2.0)  # GiB


def sentences(path: Path) -> Iterator[list[str]]:
    """Lower-case words of each sentence."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            for sentence in re.split(r"(?<=[.!?])\s+", line.lower()):
                if words := re.findall(r"[a-z]+(?:'[a-z]+)?", sentence):
                    yield words


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
    preparation, counting = clocked(counts.prepare, folder, 1, lambda _: None)
    torch.manual_seed(0)
    network = GloVe(Config(width=100, x_max=10.0, kernel=kernel), facts)
    told = [clocked(network.descend, counts.batch(step), 0.05, step) for step in range(iterations)]
    return {
        "counting_seconds": counting,
        "iteration_seconds": statistics.median(seconds for _, seconds in told),
        "cost": float(told[-1][0].mean),
        "entries": told[-1][0].count,
        "mib_on_disk": preparation.bytes / 2**20,
    }


def peak_mib() -> float:
    """The most memory this process has held; the figure of getrusage would begin with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10  # type: ignore[index]


def peak_under(corpus: Any, memory: float, folder: Path, answer: Any) -> None:
    """Sends the most memory (MiB) this process held before counting and after it."""
    facts: Any = SimpleNamespace(vocab_size=len(corpus.counts), specials=SPECIALS, counts=corpus.counts)
    before = peak_mib()
    preparation = Cooccurrence(corpus, facts, Counting(window=10, memory=memory), seed=0).prepare(folder, 1, lambda _: None)
    answer.send((before, peak_mib(), preparation.cpu_seconds))


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
        found[f"{limit} GiB"] = {"before_mib": before, "peak_mib": after, "counting_seconds": seconds}
    return found


def programs(corpus: SimpleNamespace, iterations: int, folder: Path) -> dict[str, Any] | None:
    """CPU seconds of the C programs on the same text, or None when one of them is not on the PATH."""
    if not all(map(shutil.which, PROGRAMS)):
        return None
    text = "\n".join(" ".join(sentence) for sentence in corpus.text) + "\n"
    (folder / "text").write_text(text, encoding="utf-8")

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
    return {
        "measured_here": True,
        "tokens": len(corpus.ids),
        "vocab_count_seconds": vocabulary,
        "cooccur_seconds": counting,
        "shuffle_seconds": shuffling,
        "iteration_seconds": (more - one) / iterations,
    }


def measure(corpus: Path, quick: bool) -> dict[str, Any]:
    """Ours, the C programs (or the figures published for them), our plain form of them, and the peaks of memory."""
    torch.set_num_threads(1)
    encoded = encode(corpus, 2_000_000 if quick else sys.maxsize)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        train(encode(corpus, 2_000), "tiles", 1, folder / "warm")  # compile or load the kernels outside the clock
        train(encode(corpus, 2_000), "exact", 1, folder / "warm")
        ours = train(encoded, "tiles", 5, folder / "ours")
        plain = train(encoded, "exact", 2 if quick else 5, folder / "plain")
        peer = programs(encoded, 2, folder) or PUBLISHED
        memory = peaks(encoded, folder)
    result = {"tokens": len(encoded.ids), "window": 10, "width": 100, "ours": ours, "plain": plain, "stanford": peer, "memory": memory}
    result["iteration_ratio_to_plain"] = plain["iteration_seconds"] / ours["iteration_seconds"]
    if peer["measured_here"]:
        theirs = peer["cooccur_seconds"] + peer["shuffle_seconds"] + 15 * peer["iteration_seconds"]
        result["end_to_end_ratio"] = theirs / (ours["counting_seconds"] + 15 * ours["iteration_seconds"])
    return result


def main() -> None:
    """Measures and prints a short table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--quick", action="store_true", help="the first 2 million words")
    options = parser.parse_args()
    found = measure(options.corpus, options.quick)
    peer = found["stanford"]
    told = "measured here" if peer["measured_here"] else f"published for such a machine, {peer['tokens']:,} words, not measured here"
    print(f"{found['tokens']:,} words, {found['ours']['entries']:,} entries of X; CPU seconds on one thread")
    print(f"{'':34}{'counting':>10}{'iteration':>11}")
    print(f"{'stemma':34}{found['ours']['counting_seconds']:10.2f}{found['ours']['iteration_seconds']:11.2f}")
    print(f"{'plain form of glove.c':34}{'':10}{found['plain']['iteration_seconds']:11.2f}")
    print(f"{'C programs':34}{peer['cooccur_seconds'] + peer['shuffle_seconds']:10.2f}{peer['iteration_seconds']:11.2f}  ({told})")
    for limit, row in found["memory"].items():
        print(f"limit {limit:8} peak {row['peak_mib']:,.0f} MiB, {row['before_mib']:,.0f} of them before counting")
    print(json.dumps({"bench": "static_glove", "quick": options.quick, **found}))


if __name__ == "__main__":
    main()
