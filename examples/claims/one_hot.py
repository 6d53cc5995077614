"""Claim (g): one-hot words cannot be alike; distributed ones are.

Pairs of words that mean like things in docstrings, beside pairs drawn by lot.
"""

import random
import sys

import numpy as np
from claims import WORDS, Verdict, arguments, bars_chart, command, run_of, write_page

ALIKE = (
    *("list tuple", "string str", "file path", "raise raised", "error exception", "row column", "rows columns", "matrix array"),
    *("first last", "minimum maximum", "min max", "integer float", "int float", "input output", "read write", "true false"),
    *("start end", "left right", "upper lower", "mean median", "node edge", "graph tree", "class object", "function method"),
    *("return returns", "default optional", "given specified", "same different", "number count", "size length", "width height"),
    *("key value", "module package", "add remove", "compute calculate", "create make", "one two", "large small", "new old"),
)
RUNS = {
    "NNLM": ("nnlm", WORDS),
    "word2vec, CBOW": ("word2vec", {"model.architecture": "cbow", **WORDS}),
    "word2vec, skip-gram": ("word2vec", {"model.architecture": "skipgram", **WORDS}),
    "GloVe": ("glove", WORDS),
}


def above_lot(vectors: dict[str, np.ndarray], pairs: list[tuple[str, str]]) -> float:
    """The share of pairs, alike and drawn by lot side by side, in which the alike one has the greater cosine (ties half): the AUC."""
    draws, words = random.Random(0), sorted(vectors)
    lot = [tuple(draws.sample(words, 2)) for _ in range(2000)]
    alike, drawn = (np.array([vectors[a] @ vectors[b] for a, b in some]) for some in (pairs, lot))
    return float(((alike[:, None] > drawn) + 0.5 * (alike[:, None] == drawn)).mean())


def main() -> None:
    """Four kinds of learnt vectors and the one-hot ones."""
    options = arguments("one_hot.py", 3_000_000, "words that are alike")
    pairs = [(a, b) for a, b in map(str.split, ALIKE)]
    runs = {name: run_of(options, f"{g}-{i}", g, settings) for i, (name, (g, settings)) in enumerate(RUNS.items())}
    pairs = [(a, b) for a, b in pairs if all(a in run and b in run for run in runs.values())]
    words = sorted({word for pair in pairs for word in pair})
    print(f"{len(pairs)} pairs of {len(words)} words", file=sys.stderr)
    one_hot = dict(zip(words, np.eye(len(words)), strict=True))
    shares = {"one-hot": above_lot(one_hot, pairs)}
    shares |= {name: above_lot({word: run[word] for word in words}, pairs) for name, run in runs.items()}
    rows = [{"vectors": name, "alike above lot": share} for name, share in shares.items()]
    learnt = [share for name, share in shares.items() if name != "one-hot"]
    verdict = Verdict(
        letter="g",
        claim="One-hot words cannot be alike; distributed ones are.",
        holds="yes" if min(learnt) > 0.6 and shares["one-hot"] == 0.5 else "in part" if max(learnt) > 0.6 else "no",
        by="A pair that is alike is above one drawn by lot in "
        + ", ".join(f"{100 * s:.0f} % ({name})" for name, s in shares.items())
        + ".",
        page="one_hot.md",
        command=command(),
    )
    done = (
        f"{len(pairs)} pairs of words that mean like things in this text, beside 2,000 pairs of the same words drawn by lot. Which cosine "
        f"is the greater? Ties count half, and chance is 0.5. Preset `tiny`, {options.tokens:,} tokens each."
    )
    read = "All one-hot words stand at right angles: every cosine is 0, every comparison a tie."
    write_page(options, verdict, done, rows, bars_chart(rows, "alike above lot", "vectors", chance=0.5), read)


if __name__ == "__main__":
    main()
