"""word2vec beside gensim: words a second, the time of a small corpus from the shell, and what the vectors know.

The original C program is timed too where `word2vec` stands on the PATH.
The corpus is cut by one small tokenizer and encoded once for both. Word tests are taken from the folders `words-en`
and `words-zh` beside the corpus's own; Chinese is measured when the folders `text-zh-tech` and `text-zh-histories` are
there too, and not in quick runs.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gensim.models import Word2Vec as Peer

from processes import cost
from stemma.evaluation.measures.similarity import analogies, similarity
from stemma.evaluation.measures.word_files import read_analogies, read_pairs
from stemma.layers.uniform import uniform
from stemma.lineage.word2vec import Config, Word2Vec
from stemma.objectives.windows import Config as WindowsConfig
from stemma.objectives.windows import Windows
from stemma.runs.word_vectors import WordVectors
from stemma.tokens.chinese import segmenter, word_spans
from stemma.tokens.scripts import is_han
from texts import lines_of, plain, sentences

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
RATES = {"skipgram": 0.025, "cbow": 0.05}
BATCH_TOKENS = 100_000
SPEEDS = (  # architecture, width, threads, racing
    ("skipgram", 100, 1, False),
    ("skipgram", 300, 1, False),
    ("cbow", 100, 1, False),
    ("skipgram", 100, 2, False),
    ("skipgram", 100, 2, True),
)
ENGLISH = (("wordsim353", "simlex999", "men3000"), ("analogy-google",))
CHINESE = (("wordsim240", "wordsim297"), ("analogy-ca8-morphological", "analogy-ca8-semantic"))
SMALL_BYTES = 1_000_000
GENSIM_FROM_THE_SHELL = """
import sys
from gensim.models import Word2Vec
from gensim.utils import simple_preprocess
lines = [simple_preprocess(line) for line in open(sys.argv[1], encoding="utf-8")]
Word2Vec(lines, vector_size=100, sg=1, negative=5, sample=1e-3, min_count=5, epochs=5, workers=1).save(sys.argv[2])
"""


def measure(corpus: Path, quick: bool) -> dict:
    """Rows of speed and of quality: name -> what Stemma and gensim reach."""
    rounds, seeds, tokens, text = (5, 1, 500_000, 1_500_000) if quick else (7, 3, 5_000_000, 10**12)
    torch.set_num_threads(1)
    whole, rows = encode(sentences(corpus)), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, judged = on_disk(part(whole, tokens), folder), on_disk(part(whole, text), folder)
        for architecture, width, threads, racing in SPEEDS:
            label = f"{architecture} {width}d, threads: {threads}{', racing' if racing else ''}"
            rows[label] = measure_speed(small, architecture, width, rounds, threads, racing)
        if shutil.which("word2vec"):
            for architecture in RATES:
                rows[f"{architecture} 100d, the C program"] = measure_program(small, architecture, 3, folder)
        rows["1 MB of text from the shell, second start"] = measure_start(corpus, folder, 3 if quick else 5)
        for architecture in RATES:
            rows |= measure_quality(judged, corpus.parents[1] / "words-en", ENGLISH, architecture, 100, seeds)
        chinese = [corpus.parents[1] / name / "train.txt.xz" for name in ("text-zh-tech", "text-zh-histories")]
        if not quick and all(path.is_file() for path in chinese):
            judged = on_disk(encode(chain.from_iterable(map(chinese_sentences, chinese))), folder)
            for architecture in RATES:
                rows |= measure_quality(judged, corpus.parents[1] / "words-zh", CHINESE, architecture, 100, seeds)
    return rows


# --- text ----------------------------------------------------------------------------------------


def chinese_sentences(path: Path) -> Iterator[list[str]]:
    """Chinese words of each line and Latin ones in lower case, as Stemma's own word tokenizer cuts them."""
    cutter = segmenter("rjieba")
    for line in lines_of(path):
        words = [line[start:end].lower() for start, end in word_spans(line, cutter)]
        if words := [word for word in words if is_han(word[0]) or word.isalpha()]:
            yield words


def encode(texts: Iterable[list[str]], min_count: int = 5) -> SimpleNamespace:
    """The corpus as ids with sentence borders; words seen fewer times than `min_count` are left out for both sides."""
    text = list(texts)
    counts = Counter(chain.from_iterable(text))
    words = ["<unk>", "<s>", "</s>", *(word for word, count in counts.most_common() if count >= min_count)]
    place = {word: row for row, word in enumerate(words) if row > 2}
    rows = [[place[word] for word in sentence if word in place] for sentence in text]
    ids = np.fromiter(chain.from_iterable(rows), np.uint32)
    starts = np.cumsum([0, *map(len, rows)])
    return SimpleNamespace(words=words, place=place, ids=ids, sentence_starts=starts, counts=np.bincount(ids, minlength=len(words)))


def part(corpus: SimpleNamespace, tokens: int) -> SimpleNamespace:
    """The first sentences of the corpus, about `tokens` words, with the whole vocabulary and its counts."""
    last = min(int(np.searchsorted(corpus.sentence_starts, tokens)), len(corpus.sentence_starts) - 1)
    starts = corpus.sentence_starts[: last + 1]
    return SimpleNamespace(**{**vars(corpus), "ids": corpus.ids[: starts[-1]], "sentence_starts": starts})


def on_disk(corpus: SimpleNamespace, folder: Path) -> SimpleNamespace:
    """Writes the ids as text, one sentence a line, for gensim."""
    file, borders = folder / f"{len(corpus.ids)}.txt", corpus.sentence_starts
    texts = corpus.ids.astype(str)
    rows = (" ".join(texts[a:b]) for a, b in pairwise(borders) if b > a)
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return SimpleNamespace(**vars(corpus), file=file)


# --- both sides ----------------------------------------------------------------------------------


def train_ours(corpus: Any, architecture: Any, width: int, epochs: int, seed: int, threads: int = 1, racing: bool = False) -> np.ndarray:
    """Vectors (V D) by Stemma's own objective and kernel, driven as its training loop does."""
    facts: Any = SimpleNamespace(vocab_size=len(corpus.words), specials=SPECIALS, counts=corpus.counts)
    windows = Windows(corpus, facts, WindowsConfig(), seed=seed, batch_tokens=BATCH_TOKENS)
    network = Word2Vec.drawn(Config(architecture, width=width, racing=racing), facts, uniform(seed))
    steps = windows.steps_in_epoch() * epochs
    for step in range(steps):
        rate = RATES[architecture] * max(1 - step / steps, 1e-4)
        network.descend(windows.batch(step), rate, seed=seed * 1_000_003 + step, threads=threads)
    return network.word_vectors()


def train_gensim(corpus: SimpleNamespace, architecture: str, width: int, epochs: int, seed: int, threads: int = 1) -> np.ndarray:
    """Vectors (V D) by gensim from a file of the same ids, its fastest way in; the vocabulary is counted outside the clock."""
    same = {"window": 5, "negative": 5, "sample": 1e-3, "min_count": 1, "alpha": RATES[architecture]}
    model = Peer(vector_size=width, sg=int(architecture == "skipgram"), workers=threads, seed=seed, **same)
    model.build_vocab_from_freq({str(row): int(n) for row, n in enumerate(corpus.counts) if n})
    model.train(corpus_file=str(corpus.file), total_words=len(corpus.ids), total_examples=len(corpus.sentence_starts) - 1, epochs=epochs)
    vectors = np.zeros((len(corpus.words), width), np.float32)
    vectors[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    return vectors


# --- speed ---------------------------------------------------------------------------------------


def clocked(train: Callable, *args) -> tuple[float, float]:
    """(CPU seconds, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    train(*args)
    return time.process_time() - cpu, time.perf_counter() - wall


def speeds(corpus: SimpleNamespace, pairs: list[tuple[float, float]]) -> dict:
    """The row of rounds of (our seconds, the peer's) over the corpus."""
    words, (ours, peers) = len(corpus.ids), (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(peer / own for own, peer in pairs)
    return {"ours": words / ours, "peer": words / peers, "ratio": ratio, "unit": "words/s", "rounds": len(pairs)}


def measure_speed(corpus: SimpleNamespace, architecture: str, width: int, rounds: int, threads: int, racing: bool) -> dict:
    """Words a second of both, alternating; several threads are judged by the wall clock, one by CPU time."""
    train_ours(part(corpus, 1000), architecture, width, 1, 0, threads, racing)  # compile or load the kernels outside the clock
    clock = 0 if threads == 1 else 1
    pairs = []
    for seed in range(rounds):
        ours = clocked(train_ours, corpus, architecture, width, 1, seed, threads, racing)[clock]
        pairs.append((ours, clocked(train_gensim, corpus, architecture, width, 1, seed, threads)[clock]))
    return speeds(corpus, pairs)


def measure_program(corpus: SimpleNamespace, architecture: str, rounds: int, folder: Path) -> dict:
    """Words a second beside the C program over one epoch, alternating; what it takes for a line alone is taken off."""
    train_ours(part(corpus, 1000), architecture, 100, 1, 0)
    vocabulary, line, vectors = folder / "vocabulary", folder / "line.txt", folder / "vectors.bin"
    line.write_text(corpus.file.read_text(encoding="utf-8").partition("\n")[0] + "\n", encoding="utf-8")
    cost(["word2vec", "-train", str(corpus.file), "-save-vocab", str(vocabulary), "-min-count", "1"])
    same: dict[str, Any] = {"size": 100, "window": 5, "negative": 5, "hs": 0, "sample": 1e-3, "min-count": 1, "threads": 1}
    same |= {"alpha": RATES[architecture], "cbow": int(architecture == "cbow"), "iter": 1}
    same |= {"read-vocab": vocabulary, "output": vectors, "binary": 1, "debug": 0}
    options = [part for name, value in same.items() for part in (f"-{name}", str(value))]
    pairs = []
    for seed in range(rounds):
        ours = clocked(train_ours, corpus, architecture, 100, 1, seed)[0]
        whole, start = (cost(["word2vec", "-train", str(file), *options]).cpu_seconds for file in (corpus.file, line))
        pairs.append((ours, whole - start))
    return speeds(corpus, pairs)


def measure_start(corpus: Path, folder: Path, rounds: int) -> dict:
    """CPU seconds from a small text to saved vectors, five epochs, with everything that has to be loaded; kernels are on disk."""
    text = plain(corpus, folder / "small.txt", SMALL_BYTES)

    def ours(turn: int) -> float:
        settings = ["--preset", "small", "--set", "training.epochs=5"]
        command = [sys.executable, "-m", "stemma", "pretrain", "word2vec", str(text), "--out", str(folder / f"run{turn}"), *settings]
        return cost(command).cpu_seconds

    ours(-1)  # compiles where nothing is on disk yet
    peer = [sys.executable, "-c", GENSIM_FROM_THE_SHELL, str(text), str(folder / "peer.model")]
    pairs = [(ours(turn), cost(peer).cpu_seconds) for turn in range(rounds)]
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"ours": own, "peer": other, "ratio": statistics.median(b / a for a, b in pairs), "unit": "CPU s", "rounds": rounds}


# --- quality -------------------------------------------------------------------------------------


def measure_quality(corpus: SimpleNamespace, tests: Path, names: tuple, architecture: str, width: int, seeds: int) -> dict:
    """Rows of mean percent of each word test over seeds, three epochs; tests that are not in the folder are named and left out."""
    files = {name: tests / f"{name}.tsv" for name in (*names[0], *names[1])}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        print(f"left out, not found: {', '.join(missing)}", file=sys.stderr)
    pairs = {name: read_pairs(files[name]) for name in names[0] if files[name].is_file()}
    questions = {name: read_analogies(files[name]) for name in names[1] if files[name].is_file()}
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(1, seeds + 1) if pairs or questions else ():
        for side, train in (("ours", train_ours), ("peer", train_gensim)):
            words = WordVectors(corpus.words, train(corpus, architecture, width, 3, seed), specials=range(3))
            for name, judged in pairs.items():
                found.setdefault((name, side), []).append(100 * similarity(words, judged).rho.value)
            for name, file_questions in questions.items():
                found.setdefault((name, side), []).append(100 * (analogies(words, file_questions).total.accuracy("add") or 0))
    rows = {}
    for name in (*pairs, *questions):
        own, peer = (statistics.mean(found[name, side]) for side in ("ours", "peer"))
        rows[f"{architecture} {width}d, {name}"] = {
            "ours": own,
            "peer": peer,
            "ratio": own / peer if peer else None,
            "unit": "percent",
            "seeds": seeds,
        }
    return rows
