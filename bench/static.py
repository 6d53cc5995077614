"""Word vectors side by side with gensim: speed in raw words a second of CPU time, and quality on the same text.

    python bench/static.py [CORPUS] [--words-en DIR] [--quick]

The corpus (plain text, .xz too) is cut by one small tokenizer and encoded once for both. Runs alternate; a ratio is
the median of the rounds' ratios. Prints a table and, last, one JSON line. `--quick` ends in 10 minutes.
"""

import argparse
import json
import lzma
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gensim.models import Word2Vec as Peer

from stemma.evaluation.similarity import analogies, similarity
from stemma.evaluation.word_files import read_analogies, read_pairs
from stemma.lineage.word2vec import Config, Word2Vec
from stemma.lineage.word_vectors import WordVectors
from stemma.objectives.windows import Config as WindowsConfig
from stemma.objectives.windows import Windows

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
RATES = {"skipgram": 0.025, "cbow": 0.05}
BATCH_TOKENS = 100_000


def sentences(path: Path) -> Iterator[list[str]]:
    """Lower-case words of each sentence."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            for sentence in re.split(r"(?<=[.!?])\s+", line.lower()):
                if words := re.findall(r"[a-z]+(?:'[a-z]+)?", sentence):
                    yield words


def encode(path: Path, min_count: int = 5) -> SimpleNamespace:
    """The corpus as ids with sentence borders; words seen fewer times than `min_count` are left out for both sides."""
    text = list(sentences(path))
    counts = Counter(word for sentence in text for word in sentence)
    words = ["<unk>", "<s>", "</s>", *(word for word, count in counts.most_common() if count >= min_count)]
    place = {word: row for row, word in enumerate(words) if row > 2}
    rows = [[place[word] for word in sentence if word in place] for sentence in text]
    ids = np.fromiter((row for sentence in rows for row in sentence), np.uint32)
    starts = np.cumsum([0, *map(len, rows)])
    return SimpleNamespace(words=words, place=place, ids=ids, sentence_starts=starts, counts=np.bincount(ids, minlength=len(words)))


def part(corpus: SimpleNamespace, tokens: int) -> SimpleNamespace:
    """The first sentences of the corpus, about `tokens` words, with the whole vocabulary."""
    last = min(int(np.searchsorted(corpus.sentence_starts, tokens)), len(corpus.sentence_starts) - 1)
    starts = corpus.sentence_starts[: last + 1]
    return SimpleNamespace(**{**vars(corpus), "ids": corpus.ids[: starts[-1]], "sentence_starts": starts})


def train_ours(corpus: Any, architecture: Any, width: int, epochs: int, seed: int, threads: int = 1) -> np.ndarray:
    """Vectors (V D) by Stemma's own objective and kernel, driven as its training loop does."""
    facts: Any = SimpleNamespace(vocab_size=len(corpus.words), specials=SPECIALS, counts=corpus.counts)
    windows = Windows(corpus, facts, WindowsConfig(), seed=seed, batch_tokens=BATCH_TOKENS)
    torch.manual_seed(seed)
    network: Any = Word2Vec(Config(architecture, width=width), facts)
    steps = windows.steps_in_epoch() * epochs
    for step in range(steps):
        rate = RATES[architecture] * max(1 - step / steps, 1e-4)
        network.descend(windows.batch(step), rate, seed=seed * 1_000_003 + step, threads=threads)
    return network.input.detach().numpy()


def train_gensim(corpus: SimpleNamespace, architecture: str, width: int, epochs: int, seed: int, threads: int = 1) -> np.ndarray:
    """Vectors (V D) by gensim from a file of the same ids, its fastest way in; the vocabulary is counted outside the clock."""
    same = {"window": 5, "negative": 5, "sample": 1e-3, "min_count": 1, "alpha": RATES[architecture]}
    model = Peer(vector_size=width, sg=int(architecture == "skipgram"), workers=threads, seed=seed, **same)
    model.build_vocab_from_freq({str(row): int(n) for row, n in enumerate(corpus.counts) if n})
    model.train(corpus_file=str(corpus.file), total_words=len(corpus.ids), total_examples=len(corpus.sentence_starts) - 1, epochs=epochs)
    vectors = np.zeros((len(corpus.words), width), np.float32)
    vectors[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    return vectors


def on_disk(corpus: SimpleNamespace, folder: Path) -> SimpleNamespace:
    """Writes the ids as text, one sentence a line, for gensim."""
    file, borders = folder / f"{len(corpus.ids)}.txt", corpus.sentence_starts
    texts = corpus.ids.astype(str)
    rows = (" ".join(texts[a:b]) for a, b in pairwise(borders) if b > a)
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return SimpleNamespace(**vars(corpus), file=file)


def clocked(train: Callable, *args) -> tuple[float, float]:
    """(CPU seconds, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    train(*args)
    return time.process_time() - cpu, time.perf_counter() - wall


def measure_speed(corpus: SimpleNamespace, architecture: str, width: int, rounds: int, threads: int) -> dict:
    """Words a second of both, alternating; several threads are judged by the wall clock, one by CPU time."""
    train_ours(part(corpus, 1000), architecture, width, 1, 0, threads)  # compile or load the kernels outside the clock
    clock = 0 if threads == 1 else 1
    pairs = []
    for seed in range(rounds):
        ours = clocked(train_ours, corpus, architecture, width, 1, seed, threads)[clock]
        pairs.append((ours, clocked(train_gensim, corpus, architecture, width, 1, seed, threads)[clock]))
    ours, peers = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(peer / own for own, peer in pairs)
    return {"ours": len(corpus.ids) / ours, "gensim": len(corpus.ids) / peers, "ratio": ratio, "rounds": rounds, "threads": threads}


def measure_quality(corpus: SimpleNamespace, tests: Path, architecture: str, width: int, seeds: int, epochs: int = 3) -> dict:
    """Mean percent of each measure over seeds, for both."""
    pairs = {name: read_pairs(tests / f"{name}.tsv") for name in ("wordsim353", "simlex999", "men3000")}
    questions = read_analogies(tests / "analogy-google.tsv")
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(1, seeds + 1):
        for side, train in (("ours", train_ours), ("gensim", train_gensim)):
            words = WordVectors(corpus.words, train(corpus, architecture, width, epochs, seed), specials=range(3))
            told = found.setdefault(side, {})
            for name, judged in pairs.items():
                told.setdefault(name, []).append(100 * similarity(words, judged, resamples=20).rho)
            told.setdefault("analogies", []).append(100 * (analogies(words, questions).total.accuracy("add") or 0))
    return {side: {name: statistics.mean(values) for name, values in told.items()} for side, told in found.items()}


def main() -> None:
    """Measures, prints a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED / "text-en-novels" / "train.txt.xz")
    parser.add_argument("--words-en", type=Path, default=SHARED / "words-en", help="folder of the four files of word tests")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, one seed")
    options = parser.parse_args()
    rounds, seeds, tokens = (5, 1, 1_000_000) if options.quick else (7, 3, 5_000_000)
    torch.set_num_threads(1)
    whole, result = encode(options.corpus), {"bench": "static", "peer": "gensim", "quick": options.quick, "speed": {}, "quality": {}}
    with tempfile.TemporaryDirectory() as folder:
        whole, small = on_disk(whole, Path(folder)), on_disk(part(whole, tokens), Path(folder))
        print(f"{len(whole.ids):,} words, {len(whole.words):,} in the vocabulary; speed on {len(small.ids):,} words, one epoch")
        print(f"{'words a second':24}{'stemma':>12}{'gensim':>12}{'ratio':>8}")
        for architecture, width, threads in (("skipgram", 100, 1), ("skipgram", 300, 1), ("cbow", 100, 1), ("skipgram", 100, 2)):
            row = measure_speed(small, architecture, width, rounds, threads)
            result["speed"][f"{architecture}-{width}-{threads}"] = row
            name = f"{architecture} {width}d, {threads} thread" + "s" * (threads > 1)
            print(f"{name:24}{row['ours']:12,.0f}{row['gensim']:12,.0f}{row['ratio']:8.1f}", flush=True)
        print(f"{'percent, 3 epochs':24}{'wordsim':>10}{'simlex':>10}{'men':>10}{'analogies':>10}")
        for architecture in ("skipgram", "cbow"):
            rows = result["quality"][f"{architecture}-100"] = measure_quality(whole, options.words_en, architecture, 100, seeds)
            for side, told in rows.items():
                print(f"{architecture + ' ' + side:24}" + "".join(f"{value:10.1f}" for value in told.values()), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
