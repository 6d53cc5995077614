"""Counting and encoding the words of a text side by side with gensim: words a second of CPU time.

    python bench/static_words.py [CORPUS] [--quick]

Ours goes from a text file to tokenizer.json and the token store. gensim's `build_vocab(corpus_file=…)` counts, and its
`LineSentence` reads the text once more, as training does; looking each word up, which training also does, is told apart.
Both read one sentence a line, its words parted by spaces. The raw text (sentences split, words by rule, lower case) is
measured for us alone. Runs alternate; a ratio is the median of the rounds' ratios.
"""

import argparse
import json
import lzma
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence

from stemma.corpus import read as corpus
from stemma.corpus.document import Ledger
from stemma.tokens.build import learn_and_build
from stemma.tokens.tokenizer import Config

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
QUICK_BYTES = 11_000_000


def measure(corpus: Path, quick: bool) -> dict[str, Any]:
    """Words a second of both, and the medians of the ratios, on `corpus` (.xz too) or the start of it."""
    with tempfile.TemporaryDirectory() as folder:
        text = spaced(corpus, Path(folder), QUICK_BYTES if quick else 0)
        words = sum(len(sentence) for sentence in LineSentence(str(text), max_sentence_length=10**9))
        ingest(text, Path(folder) / "warm", "whitespace")  # compile or load the kernels outside the clock
        rows = []
        for turn in range(5):
            ours = clocked(ingest, text, Path(folder) / f"{turn}", "whitespace")
            raw = clocked(ingest, text, Path(folder) / f"{turn}-raw", "word")
            rows.append((ours, clocked(count, text), clocked(look_up, text), raw))
    ours, counting, looking, raw = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "words": words,
        "ours": words / ours,
        "ours_raw_text": words / raw,
        "gensim": words / counting,
        "gensim_with_look_up": words / (counting + looking),
        "ratio": statistics.median(peer / own for own, peer, _, _ in rows),
        "ratio_with_look_up": statistics.median((peer + more) / own for own, peer, more, _ in rows),
        "rounds": len(rows),
    }


def spaced(corpus: Path, folder: Path, most_bytes: int) -> Path:
    """The corpus as a plain file, its first lines alone where `most_bytes` says so."""
    with lzma.open(corpus) if corpus.suffix == ".xz" else corpus.open("rb") as source:
        text = source.read(most_bytes or -1)
    place = folder / "corpus.txt"
    place.write_bytes(text[: text.rfind(b"\n") + 1])
    return place


def ingest(text: Path, out: Path, kind: Any) -> None:
    """Text to tokenizer and token store."""
    format: Any = "sentences" if kind == "whitespace" else "auto"
    config = Config(kind, 0, lowercase=kind == "word")
    learn_and_build(lambda: corpus.read([text], corpus.Config(format=format), Ledger()), config, out, "bench")


def count(text: Path) -> None:
    """gensim's counting, and one reading."""
    Word2Vec(vector_size=1, min_count=1, workers=1).build_vocab(corpus_file=str(text))
    for _ in LineSentence(str(text)):
        pass


def look_up(text: Path) -> None:
    """What gensim's training does besides: each word's number."""
    known: dict[str, int] = {}
    for sentence in LineSentence(str(text)):
        for word in sentence:
            known.setdefault(word, len(known))


def clocked(work: Callable[..., None], *arguments: Any) -> float:
    """CPU seconds."""
    began = time.process_time()
    work(*arguments)
    return time.process_time() - began


def main() -> None:
    """Measures and prints, last one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED / "text-en-novels" / "train.txt.xz")
    parser.add_argument("--quick", action="store_true", help="the first 11 MB alone")
    options = parser.parse_args()
    found = measure(options.corpus, options.quick)
    for name, value in found.items():
        print(f"{name.replace('_', ' '):24}{value:14,.2f}" if "ratio" in name else f"{name.replace('_', ' '):24}{value:14,.0f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
