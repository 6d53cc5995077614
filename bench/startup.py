"""What every verb costs from the shell on a tiny run: CPU seconds and peak memory, beside other packages doing the same from a script.

    python bench/startup.py [CORPUS] [--quick]

Each command and each script is a process of its own on one thread, started in turns; figures are medians of the rounds, a ratio is the
median of the rounds' ratios of CPU seconds. Kernels are compiled beforehand. A package that is not installed is named, and its rows
have no peer. The last line printed is JSON.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from processes import Cost, cost
from texts import lines_of, plain

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "text-en-novels" / "train.txt.xz"
TINY_BYTES, SMALL_BYTES, SCORED_BYTES = 200_000, 1_000_000, 3_000_000
SENTENCE = "the old man looked at the sea"

NEAREST = """
import sys
from gensim.models import KeyedVectors
for found in KeyedVectors.load_word2vec_format(sys.argv[1]).most_similar("the"):
    print(*found)
"""
MEAN_VECTOR = """
import sys
from gensim.models import KeyedVectors
print(KeyedVectors.load_word2vec_format(sys.argv[1]).get_mean_vector(sys.argv[2].split()).tolist())
"""
READ_AND_WRITE = """
import sys
from gensim.models import KeyedVectors
KeyedVectors.load_word2vec_format(sys.argv[1]).save_word2vec_format(sys.argv[2])
"""
LEARN_GENSIM = """
import sys
from gensim.models import Word2Vec
from gensim.utils import simple_preprocess
lines = [simple_preprocess(line) for line in open(sys.argv[1], encoding="utf-8")]
Word2Vec(lines, vector_size=100, sg=1, negative=5, sample=1e-3, min_count=5, epochs=5, workers=1).save(sys.argv[2])
"""
LEARN_FASTTEXT = """
import sys, fasttext
fasttext.train_unsupervised(sys.argv[1], "skipgram", dim=100, neg=5, t=1e-3, minCount=5, epoch=5, thread=1, maxn=0).save_model(sys.argv[2])
"""
SCORE = """
import sys, kenlm
model = kenlm.Model(sys.argv[1])
for line in open(sys.argv[2], encoding="utf-8"):
    print(model.score(line))
"""
SCORE_AS_FULLY = """
import json, sys, kenlm
model = kenlm.Model(sys.argv[1])
for line in open(sys.argv[2], encoding="utf-8"):
    text, scores = line.rstrip("\\n"), list(model.full_scores(line))
    log10, unknown = sum(score for score, _, _ in scores), [score for score, _, oov in scores if oov]
    known = len(scores) - len(unknown)
    print(json.dumps({
        "text": text, "log10": log10, "nats": log10 * 2.302585092994046, "tokens": len(scores), "unknown": len(unknown),
        "perplexity": 10 ** (-log10 / len(scores)), "perplexity_without_unknown": 10 ** ((sum(unknown) - log10) / max(1, known)),
    }, ensure_ascii=False))
"""
ENCODE = """
import sys
from sentence_transformers import SentenceTransformer
print(SentenceTransformer(sys.argv[1]).encode(sys.argv[2]).tolist())
"""


@dataclass(frozen=True)
class Row:
    """A command of ours, without `stemma`, and a script that does the same with a peer's package."""

    name: str
    ours: Sequence[str | Path]
    package: str = ""  # none does the same
    script: str = ""
    given: Sequence[str | Path] = ()  # what the script is called with


def main() -> None:
    """Makes the tiny runs, then measures row after row and prints them as they come, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of seven")
    options = parser.parse_args()
    if not options.corpus.is_file():
        parser.error(f"{options.corpus} is not a file. A plain text of some megabytes is measured on. Name one: bench/startup.py CORPUS")
    result: dict = {"bench": "startup", "quick": options.quick, "rows": {}}
    print(f"{'CPU seconds and MiB, medians':44}{'stemma':>16}{'peer':>16}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        made(options.corpus, home)
        rows = [*looking(home), *using(home), *learning(home)]
        missing = {row.package for row in rows if row.package and find_spec(row.package) is None}
        for row in rows:
            found = measured(row, 3 if options.quick else 7, row.package not in missing)
            result["rows"][row.name] = found
            beside = f"{row.name}, {row.package}" if row.package else row.name
            print(f"{beside:44}{shown(found['ours']):>16}{shown(found['peer']):>16}{found['ratio'] or '-':>8}", flush=True)
    for package in sorted(missing):
        print(f"  {package} is not installed: its rows have no peer")
    print(json.dumps({**result, "missing": sorted(missing)}))


def made(corpus: Path, home: Path) -> None:
    """The texts, the tiny runs that verbs use, and what peers read; all of our kernels are on disk afterwards."""
    tiny, one = plain(corpus, home / "tiny.txt", TINY_BYTES), home / "line.txt"
    small = plain(corpus, home / "small.txt", SMALL_BYTES)
    plain(corpus, home / "scored.txt", SCORED_BYTES)
    one.write_text(f"{SENTENCE}\n", encoding="utf-8")
    write_labelled(home / "labelled.tsv", lines_of(tiny))
    for name in ("word2vec", "glove", "ngram"):
        stemma("pretrain", name, tiny, "--out", home / name, "--preset", "tiny")
    for name in ("gpt", "bert"):
        stemma("pretrain", name, tiny, "--out", home / name, "--preset", "tiny", "--set", "training.steps=2")
    stemma("pretrain", "ngram", small, "--out", home / "spaced", "--set", "order=3", "--set", "tokenizer=whitespace")
    stemma("convert", home / "spaced", home / "spaced.arpa", "--to", "arpa")
    stemma("convert", home / "word2vec", home / "vectors.txt", "--to", "word2vec")
    stemma("convert", home / "bert", home / "bert-folder", "--to", "huggingface")
    for name in ("word2vec", "ngram"):
        stemma("finetune", home / name, "--train", home / "labelled.tsv", "--frozen", "--out", home / f"{name}-task")


def write_labelled(place: Path, lines: Iterable[str]) -> None:
    """Lines of the text, told apart by their length: any task will do."""
    kept = [line.strip().replace("\t", " ") for line in islice(lines, 400) if line.strip()]
    middle = statistics.median(map(len, kept))
    rows = (f"{'long' if len(line) > middle else 'short'}\t{line[:200]}\n" for line in kept)
    place.write_text("label\ttext\n" + "".join(rows), encoding="utf-8")


def looking(home: Path) -> list[Row]:
    """Verbs that look."""
    return [
        Row("--version", ["--version"]),
        Row("--help", ["--help"]),
        Row("lineage", ["lineage"]),
        Row("settings word2vec", ["settings", "word2vec"]),
        Row("info", ["info", home / "word2vec"]),
        Row("corpus check, 0.2 MB", ["corpus", "check", home / "tiny.txt"]),
        Row("show tokens", ["show", "tokens", home / "word2vec", "--text", SENTENCE]),
    ]


def using(home: Path) -> list[Row]:
    """Verbs that use a run."""
    line, vectors, out = home / "line.txt", home / "vectors.txt", home / "again.txt"
    scored, arpa = home / "scored.txt", home / "spaced.arpa"
    return [
        Row("nearest, word2vec", ["nearest", home / "word2vec", "the"], "gensim", NEAREST, [vectors]),
        Row("nearest, GloVe", ["nearest", home / "glove", "the"], "gensim", NEAREST, [vectors]),
        Row("embed, word2vec", ["embed", home / "word2vec", line], "gensim", MEAN_VECTOR, [vectors, SENTENCE]),
        Row("embed, GloVe", ["embed", home / "glove", line], "gensim", MEAN_VECTOR, [vectors, SENTENCE]),
        Row("embed, BERT", ["embed", home / "bert", line], "sentence_transformers", ENCODE, [home / "bert-folder", SENTENCE]),
        Row("score, n-gram", ["score", home / "spaced", line], "kenlm", SCORE, [arpa, line]),
        Row("score, n-gram, 3 MB", ["score", home / "spaced", scored], "kenlm", SCORE_AS_FULLY, [arpa, scored]),
        Row("generate, n-gram", ["generate", home / "ngram", "--text", "the", "--length", "10"]),
        Row("generate, GPT", ["generate", home / "gpt", "--text", "the", "--length", "10"]),
        Row("fill, BERT", ["fill", home / "bert", "--text", "the [MASK] sea"]),
        Row("predict, word2vec frozen", ["predict", home / "word2vec-task", line]),
        Row("predict, n-gram frozen", ["predict", home / "ngram-task", line]),
        Row("convert, word2vec", ["convert", home / "word2vec", out, "--to", "word2vec"], "gensim", READ_AND_WRITE, [vectors, out]),
    ]  # fmt: skip


def learning(home: Path) -> list[Row]:
    """A small text to vectors: runs are made anew each time, in a folder that `measured` numbers."""
    text, settings = home / "small.txt", ["--preset", "small", "--set", "training.epochs=5"]
    ours: list[str | Path] = ["pretrain", "word2vec", text, *settings, "--out", home / "learnt"]
    return [
        Row("pretrain, word2vec, 1 MB", ours, "gensim", LEARN_GENSIM, [text, home / "peer.model"]),
        Row("pretrain, word2vec, 1 MB again", ours, "fasttext", LEARN_FASTTEXT, [text, home / "peer.bin"]),
    ]


def measured(row: Row, rounds: int, with_peer: bool) -> dict:
    """The medians of both, and of the ratio."""
    with_peer &= bool(row.package)
    pairs = []
    for turn in range(-1, rounds):  # the first is not counted: files come into memory, kernels onto disk
        command = [f"{part}-{row.package}-{turn}" if str(part).endswith("learnt") else part for part in row.ours]
        own = stemma(*command)
        peer = cost([sys.executable, "-c", row.script, *map(str, row.given)]) if with_peer else None
        pairs += [(own, peer)] if turn >= 0 else []
    ratios = [peer.cpu_seconds / own.cpu_seconds for own, peer in pairs if peer]
    return {
        "ours": medians([own for own, _ in pairs]),
        "peer": medians([peer for _, peer in pairs if peer]) if with_peer else None,
        "package": row.package or None,
        "ratio": round(statistics.median(ratios), 2) if ratios else None,
        "rounds": rounds,
    }


def medians(costs: Sequence[Cost]) -> dict:
    """CPU seconds and MiB."""
    seconds, memory = (statistics.median(column) for column in zip(*((one.cpu_seconds, one.peak_mib) for one in costs), strict=True))
    return {"cpu_seconds": round(seconds, 3), "peak_mib": round(memory)}


def shown(found: dict | None) -> str:
    """`0.45 s  62` for a person."""
    return f"{found['cpu_seconds']:.2f} s {found['peak_mib']:>5}" if found else "-"


def stemma(*words: str | Path) -> Cost:
    """What our command costs."""
    return cost([sys.executable, "-m", "stemma", *map(str, words)])


if __name__ == "__main__":
    main()
