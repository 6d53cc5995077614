"""The two rows that keep every generation honest: the majority class, and TF-IDF with logistic regression.

Both need no pre-training. TF-IDF chooses its C as the generations choose their rates: on the same
held-out part of the training examples, with the same number of trials, never on the dev file.
"""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from stemma.corpus.task import Example
from stemma.errors import MissingExtra
from stemma.tasks.scores import accuracy, macro_f1
from stemma.transfer.selection import hold_out

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = rf"[{CJK}]|[^\W{CJK}]+"  # a Chinese character, or a run of other letters and digits: one rule for mixed text


def majority(train: Sequence[Example], dev: Sequence[Example]) -> dict:
    """The facts of always answering the most frequent training label (ties: the first in order)."""
    labels = _labels(train, dev)
    counts = Counter(example.label for example in train)
    best = min(counts, key=lambda label: (-counts[label], label))
    return _facts("majority class", labels, dev, [best] * len(dev), {}, 0.0) | {"head": f"always {best!r}"}


def tfidf(
    train: Sequence[Example],
    dev: Sequence[Example],
    grid: Sequence[float] = (1.0, 10.0, 100.0),
    selection_share: float = 0.1,
    selection_limit: int = 1000,
    seed: int = 1,
) -> dict:
    """The facts of TF-IDF over 1- and 2-grams (words; in Chinese, characters) with logistic regression.

    Needs the extra `eval`; MissingExtra says how to get it.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError as error:
        raise MissingExtra("scikit-learn", "eval") from error
    started = time.perf_counter()
    labels = _labels(train, dev)
    gold = np.array([labels.index(example.label) for example in train])
    learning, selection = hold_out(gold, selection_share, selection_limit, seed)
    texts = np.array([_text(example) for example in train], dtype=object)
    trials = []
    for c in grid:
        vectors = TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(vectors, LogisticRegression(C=c, max_iter=1000))
        model.fit(texts[learning], gold[learning])
        trials.append((float(np.mean(model.predict(texts[selection]) == gold[selection])), c, model))
    best, c, model = max(trials, key=lambda trial: trial[0])
    predicted = [labels[k] for k in model.predict(np.array([_text(example) for example in dev], dtype=object))] if dev else []
    facts = _facts("TF-IDF + logistic regression", labels, dev, predicted, {"C": c, "accuracy": best}, time.perf_counter() - started)
    width = len(model[0].vocabulary_)
    return facts | {
        "head": "multinomial logistic regression on TF-IDF of 1- and 2-grams",
        "trials": [{"C": value, "accuracy": score} for score, value, _ in trials],
        "parameters": {"total": int(model[-1].coef_.size), "trained": int(model[-1].coef_.size), "features": width},
    }


def _labels(train: Sequence[Example], dev: Sequence[Example]) -> list[str]:
    return sorted({example.label for example in (*train, *dev)})


def _text(example: Example) -> str:
    return f"{example.text} {example.text_b}".strip()


def _facts(name: str, labels: list[str], dev: Sequence[Example], predicted: list[str], chosen: dict, seconds: float) -> dict:
    gold = np.array([labels.index(example.label) for example in dev], dtype=np.int64)
    answers = np.array([labels.index(label) for label in predicted], dtype=np.int64)
    scores = {"accuracy": accuracy(gold, answers), "macro_f1": macro_f1(gold, answers, len(labels))} if len(dev) else {}
    seeds = [{"seed": 0, "predictions": answers.tolist(), **scores}]
    return {"name": name, "labels": labels, "chosen": chosen, "seconds": seconds, "seeds": seeds, **scores}
