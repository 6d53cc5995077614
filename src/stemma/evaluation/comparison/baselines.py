"""The two rows that keep every generation honest: the majority class, and TF-IDF with logistic regression.

They answer with labels, so they stand beside tasks of labels alone. Both need no pre-training. TF-IDF chooses its C as
the generations choose their rates: on the same held-out part of the training examples, with the same number of trials,
never on the dev file.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stemma.corpus.task import Example
from stemma.errors import MissingExtra
from stemma.transfer.selection import hold_out

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = rf"[{CJK}]|[^\W{CJK}]+"  # a Chinese character, or a run of other letters and digits: one rule for mixed text


class Plain(NamedTuple):
    """The label that a baseline gives each dev example, and its head in words."""

    labels: list[str]
    head: str


def majority(train: Sequence[Example], dev: Sequence[Example]) -> Plain:
    """Always the most frequent training label (ties: the first in order)."""
    counts = Counter(example.label for example in train)
    best = min(counts, key=lambda label: (-counts[label], label))
    return Plain([best] * len(dev), f"always {best!r}")


def tfidf(
    train: Sequence[Example],
    dev: Sequence[Example],
    grid: Sequence[float] = (1.0, 10.0, 100.0),
    selection_share: float = 0.1,
    selection_limit: int = 1000,
    seed: int = 1,
) -> Plain:
    """TF-IDF over 1- and 2-grams (words; in Chinese, characters) with logistic regression.

    Needs the extra `eval`; MissingExtra says how to get it.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError as error:
        raise MissingExtra("scikit-learn", "eval") from error
    labels = sorted({example.label for example in train})
    gold = np.array([labels.index(example.label) for example in train])
    learning, selection = hold_out(gold, selection_share, selection_limit, seed)
    texts = np.array([_text(example) for example in train], dtype=object)
    trials = []
    for c in grid:
        vectors = TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(vectors, LogisticRegression(C=c, max_iter=1000))
        model.fit(texts[learning], gold[learning])
        trials.append((float(np.mean(model.predict(texts[selection]) == gold[selection])), model))
    best = max(trials, key=lambda trial: trial[0])[1]
    given = best.predict(np.array([_text(example) for example in dev], dtype=object)) if dev else []
    return Plain([labels[k] for k in given], "multinomial logistic regression on TF-IDF of 1- and 2-grams")


def _text(example: Example) -> str:
    return f"{example.text} {example.text_b}".strip()


class Rival(NamedTuple):
    """A baseline, by its names."""

    name: str
    short: str
    title: str
    answer: Callable[[Sequence[Example], Sequence[Example]], Plain]
    blind: bool = False  # answers without reading


RIVALS = {  # of each task that has any
    "classify": (
        Rival("majority", "majority class", "majority class", majority, blind=True),
        Rival("tfidf", "TF-IDF + LR", "TF-IDF + logistic regression", tfidf),
    )
}
