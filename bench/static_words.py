"""Counting and encoding the words of a text beside gensim: words a second of CPU time.

Ours goes from a text file to tokenizer.json and the token store. gensim's `build_vocab(corpus_file=…)` counts, and its
`LineSentence` reads the text once more, as training does; looking each word up, which training also does, is told apart.
Both read one sentence a line, its words parted by spaces. Raw text (sentences split, words by rule, lower case), which
gensim cannot read, stands beside gensim's figure for text that is cut already.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence

from stemma.corpus import read as corpus_read
from stemma.corpus.document import Ledger
from stemma.tokens.build import learn_and_build
from stemma.tokens.tokenizer import Config
from texts import plain

QUICK_BYTES = 11_000_000
ROUNDS = 5


def measure(corpus: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Rows of speed on the corpus or, in quick runs, its first lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = plain(corpus, folder / "corpus.txt", QUICK_BYTES if quick else 0)
        words = sum(len(sentence) for sentence in LineSentence(str(text), max_sentence_length=10**9))
        ingest(text, folder / "warm", "whitespace")  # compile or load the kernels outside the clock
        rounds = []
        for turn in range(ROUNDS):
            own = [clocked(ingest, text, folder / f"{turn}-{kind}", kind) for kind in ("whitespace", "word")]
            counted = clocked(count, text)
            rounds.append((*own, counted, counted + clocked(look_up, text)))
    ours, raw, counting, looking = ([*column] for column in zip(*rounds, strict=True))
    return {
        "counted and encoded": row(words, ours, counting),
        "the same, gensim looking each word up": row(words, ours, looking),
        "from raw text, gensim from words": row(words, raw, counting),
    }


def row(words: int, ours: list[float], peer: list[float]) -> dict[str, Any]:
    """Words a second from the seconds of each round."""
    ratio = statistics.median(b / a for a, b in zip(ours, peer, strict=True))
    speeds = {"ours": words / statistics.median(ours), "peer": words / statistics.median(peer)}
    return {**speeds, "ratio": ratio, "unit": "words/s", "rounds": len(ours)}


def ingest(text: Path, out: Path, kind: Any) -> None:
    """Text to tokenizer and token store."""
    format: Any = "sentences" if kind == "whitespace" else "auto"
    config = Config(kind, 0, lowercase=kind == "word")
    learn_and_build(lambda: corpus_read.read([text], corpus_read.Config(format=format), Ledger()), config, out, "bench")


def count(text: Path) -> None:
    """Counting by gensim, and one reading."""
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
