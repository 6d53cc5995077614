"""The rows that keep every generation honest, none of them pre-trained.

Beside labels of texts: the majority class, and TF-IDF with logistic regression, which chooses its C as the generations choose
their rates: on the same held-out part of the training examples, never on the dev file. Its grid is its own, whatever trials the
generations are allowed: it costs next to nothing, and a yardstick is not to be shortened.
Beside numbers: their mean, and a line through the share of words that two texts have in common.
Beside targets: the source as it is.
Beside tags of words: the majority tag, and a look-up of each word's commonest tag, which sees no neighbour.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from stemma.corpus.choices import Choice
from stemma.corpus.questions import Question
from stemma.corpus.task import Example
from stemma.errors import MissingExtra
from stemma.nouns import counted
from stemma.tasks.span import random_span, sliding_window
from stemma.tasks.table import make_task
from stemma.tasks.tag import Sentence
from stemma.tasks.translate import Translated
from stemma.transfer.selection import hold_out

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = rf"[{CJK}]|[^\W{CJK}]+"  # a Chinese character, or a run of other letters and digits: one rule for mixed text


GRID = (1.0, 3.0, 10.0, 30.0, 100.0)  # of C: the best lay inside on every task tried, English and Chinese


@dataclass(frozen=True)
class Plain:
    """The dev examples with what a baseline answers in place of what is right, its head in words, and how it came to it."""

    answered: list[Any]
    head: str
    settings: dict[str, float] = field(default_factory=dict)  # those that were chosen
    trials: int = 1  # values that they were chosen from
    threads: int = 1  # that it was free to compute with


def majority(train: Sequence[Example], dev: Sequence[Example]) -> Plain:
    """Always the most frequent training label (ties: the first in order)."""
    best = _commonest(Counter(example.label for example in train))
    return Plain([replace(example, label=best) for example in dev], f"always {best!r}")


def tfidf(
    train: Sequence[Example],
    dev: Sequence[Example],
    grid: Sequence[float] = GRID,
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
    except ImportError as error:
        raise MissingExtra("scikit-learn", "eval") from error
    labels = sorted({example.label for example in train})
    gold = np.array([labels.index(example.label) for example in train])
    learning, selection = hold_out(gold, selection_share, selection_limit, seed)
    texts = np.array([_text(example) for example in train], dtype=object)
    vectors = TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True)
    seen = vectors.fit_transform(texts[learning])
    turn = merging(seen)
    seen, selected = seen @ turn, vectors.transform(texts[selection]) @ turn
    models = [LogisticRegression(C=c, max_iter=1000).fit(seen, gold[learning]) for c in grid]
    best = max(models, key=lambda model: float(np.mean(model.predict(selected) == gold[selection])))
    given = best.predict(vectors.transform([_text(example) for example in dev]) @ turn) if dev else []
    answered = [replace(example, label=labels[k]) for example, k in zip(dev, given, strict=True)]
    head = f"multinomial logistic regression on TF-IDF of 1- and 2-grams, C = {best.C:g} of {len(grid)} tried"
    return Plain(answered, head, {"C": float(best.C)}, len(grid), _free_threads())


def merging(seen: Any) -> Any:
    """The map (V U) of features to fewer ones that learn the same from the texts `seen` (N V), both sparse.

    Features that one text alone has are multiples of each other. Under a penalty on squares they act as one feature, in the
    direction of that text: the map turns the space so that this one is left, and loses nothing. Most 2-grams are such.
    """
    from scipy.sparse import csr_matrix

    columns = seen.tocsc()
    alone = np.diff(columns.indptr) == 1
    first = columns.indptr[:-1][alone]
    texts, values = columns.indices[first], columns.data[first]
    lengths = np.sqrt(np.bincount(texts, values**2, minlength=seen.shape[0]))
    owners, merged = np.unique(texts, return_inverse=True)
    target = np.empty(seen.shape[1], np.int64)
    target[~alone] = np.arange(np.count_nonzero(~alone))
    target[alone] = np.count_nonzero(~alone) + merged
    weights = np.ones(seen.shape[1])
    weights[alone] = values / lengths[texts]
    return csr_matrix((weights, (np.arange(seen.shape[1]), target)), shape=(seen.shape[1], np.count_nonzero(~alone) + len(owners)))


def _free_threads() -> int:
    """The most threads that a library loaded by now may compute with."""
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info()), default=1)


def mean_number(train: Sequence[Example], dev: Sequence[Example]) -> Plain:
    """Always the mean of the training numbers."""
    mean = float(np.mean([float(example.label) for example in train]))
    return Plain([replace(example, label=repr(mean)) for example in dev], f"always {mean:.4g}")


def shared_tokens(train: Sequence[Example], dev: Sequence[Example]) -> Plain:
    """A line through the share of words (in Chinese, characters) that two texts have in common (Jaccard 1912), by least squares.

    Of single texts, through their length.
    """
    seen, right = np.array([_shared(example) for example in train]), np.array([float(example.label) for example in train])
    slope = float(np.cov(seen, right, bias=True)[0, 1] / max(float(np.var(seen)), 1e-12))
    given = right.mean() + slope * (np.array([_shared(example) for example in dev]) - seen.mean())
    answered = [replace(example, label=repr(float(number))) for example, number in zip(dev, given, strict=True)]
    return Plain(answered, "a line through the share of words in common" if train[0].text_b else "a line through the text's length")


def _shared(example: Example) -> float:
    ours, theirs = (set(re.findall(TOKEN, text.lower())) for text in (example.text, example.text_b))
    return len(ours & theirs) / max(1, len(ours | theirs)) if example.text_b else float(len(re.findall(TOKEN, example.text)))


def first_candidate(train: Sequence[Choice], dev: Sequence[Choice]) -> Plain:
    """The place that is right most often in training, where a context has so many candidates; else the first."""
    best = Counter(example.right for example in train).most_common(1)[0][0]
    answered = [replace(example, right=best if best < len(example.candidates) else 0) for example in dev]
    return Plain(answered, f"always candidate {best + 1}")


def most_shared(train: Sequence[Choice], dev: Sequence[Choice]) -> Plain:
    """The candidate that has the largest share of its words (in Chinese, characters) in common with the context; of equals the first."""
    answered = []
    for example in dev:
        shares = [_shared(Example(example.context, "", candidate)) for candidate in example.candidates]
        answered.append(replace(example, right=int(np.argmax(shares))))
    return Plain(answered, "the candidate with the largest share of words in common")


def span_by_lot(train: Sequence[Question], dev: Sequence[Question]) -> Plain:
    """A span of the usual length, drawn by lot."""
    return _quoted(train, dev, random_span, "a span of the usual length, drawn by lot")


def span_by_window(train: Sequence[Question], dev: Sequence[Question]) -> Plain:
    """The span near the question's words."""
    return _quoted(train, dev, sliding_window, "the span of the usual length that stands nearest to the question's rarer words")


def _quoted(train: Sequence[Question], dev: Sequence[Question], answer: Callable[..., list[str]], head: str) -> Plain:
    task = make_task("span")
    said = answer(task.texts(dev), task.targets(train))
    answered = [replace(one, answers=((one.passage.find(text), text),) if text else ()) for one, text in zip(dev, said, strict=True)]
    return Plain(answered, head)


def majority_tag(train: Sequence[Sentence], dev: Sequence[Sentence]) -> Plain:
    """Always the most frequent training tag (ties: the first in order)."""
    best = _commonest(Counter(tag for example in train for tag in example.tagged.tags))
    return Plain([_tagged(example, [best] * len(example.units)) for example in dev], f"always {best!r}")


def tag_of_word(train: Sequence[Sentence], dev: Sequence[Sentence]) -> Plain:
    """Each word, or character, its most frequent training tag; the majority tag for one that training did not have."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for example in train:
        for token, tag in zip(example.tagged.tokens, example.tagged.tags, strict=True):
            counts[token][tag] += 1
    known = {token: _commonest(tags) for token, tags in counts.items()}
    other = _commonest(sum(counts.values(), Counter()))
    answered = [_tagged(example, [known.get(token, other) for token in example.tagged.tokens]) for example in dev]
    return Plain(answered, f"the commonest tag of each of {counted(len(known), 'word')}; {other!r} for others")


def copy_of_source(train: Sequence[Translated], dev: Sequence[Translated]) -> Plain:
    """Each source as its own target: near where the languages are."""
    return Plain([replace(example, target=example.source, others=()) for example in dev], "the source as it is")


def first_words(train: Sequence[Translated], dev: Sequence[Translated]) -> Plain:
    """The first words of each source (in Chinese, characters), as many as a training target usually has."""
    usual = int(np.median([len(re.findall(TOKEN, example.target)) for example in train]))
    answered = []
    for example in dev:
        ends = [match.end() for match in re.finditer(TOKEN, example.source)][:usual]
        answered.append(replace(example, target=example.source[: ends[-1]] if ends else example.source))
    return Plain(answered, f"the first {counted(usual, 'word')} of the source")


def _commonest(counts: Counter[str]) -> str:
    return min(counts, key=lambda name: (-counts[name], name))


def _tagged(example: Sentence, tags: Sequence[str]) -> Sentence:
    return replace(example, tagged=replace(example.tagged, tags=tuple(tags)))


def _text(example: Example) -> str:
    return f"{example.text} {example.text_b}".strip()


class Rival(NamedTuple):
    """A baseline, by its names."""

    name: str
    short: str
    title: str
    answer: Callable[[Sequence[Any], Sequence[Any]], Plain]  # (train, dev)
    blind: bool = False  # answers without reading


_OF_LABELS = (
    Rival("majority", "majority class", "majority class", majority, blind=True),
    Rival("tfidf", "TF-IDF + LR", "TF-IDF + logistic regression", tfidf),
)
RIVALS = {  # of each task that has any
    "classify": _OF_LABELS,
    "pair": _OF_LABELS,
    "regress": (
        Rival("mean", "training mean", "mean of the training numbers", mean_number, blind=True),
        Rival("overlap", "shared words", "share of words in common", shared_tokens),
    ),
    "choice": (
        Rival("majority", "majority place", "place that is right most often", first_candidate, blind=True),
        Rival("overlap", "shared words", "share of words in common", most_shared),
    ),
    "span": (
        Rival("random", "random span", "random span", span_by_lot, blind=True),
        Rival("window", "sliding window", "sliding window", span_by_window),
    ),
    "tag": (
        Rival("majority", "majority tag", "majority tag", majority_tag, blind=True),
        Rival("tag-of-word", "word look-up", "look-up of each word's commonest tag", tag_of_word),
    ),
    "generate": (
        Rival("copy", "source copied", "the source, copied", copy_of_source, blind=True),
        Rival("lead", "first words", "first words of the source", first_words),
    ),
    "translate": (Rival("copy", "source copied", "the source, copied", copy_of_source),),
}
