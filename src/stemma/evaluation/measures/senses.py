"""The senses probe: whether the vector of a word's occurrence tells which of its senses is meant.

Every occurrence gets the mean vector of its tokens; its sense is that of the nearest average vector
(cosine) of the training occurrences. A static vector is the same in every sentence: all senses are
then equally near, and the commonest is named. Senses count equally, however common: a word's score is
the mean over its senses of the share named right (balanced accuracy), so one sense for all gets 1/k
of a word with k. Axes: N occurrences, L layers, D width, G senses of all words.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stemma.corpus.files import held_whole
from stemma.errors import DataError
from stemma.evaluation.measures.intervals import Effects, mean_of_shares, share_effects
from stemma.nouns import counted
from stemma.objectives.batch import generator, seed_for

CHUNK = 64  # sentences whose token vectors are held at once
_HEADER = "a tab-separated file with the header word, index, sense, sentence"


@dataclass(frozen=True)
class Occurrence:
    """One use of a word: `first` to `last` are its characters in the sentence."""

    word: str
    sense: str
    sentence: str
    first: int
    last: int


class Reader(Protocol):
    """What a run must give: every token's states in every layer, with its place in the text."""

    def vectors(self, texts: Sequence[str]) -> list[Any]:
        """Each text's `Vectors` (`runs.run`)."""


def read_senses(path: Path) -> list[Occurrence]:
    """The occurrences of a file; DataError names the line that is wrong."""
    try:
        lines = held_whole(path).decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", _HEADER, "check the path") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        wrong = f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise DataError(wrong, "text in UTF-8", "Re-save it as UTF-8") from error
    header = lines[0].rstrip("\r").split("\t")
    missing = [name for name in ("word", "index", "sense", "sentence") if name not in header]
    if missing:
        raise DataError(f"{path}, line 1: no column {missing[0]!r}", _HEADER, "add the header as the first line, or rename the columns")
    place = {name: header.index(name) for name in header}
    return [_occurrence(line.rstrip("\r").split("\t"), place, f"{path}, line {n}") for n, line in enumerate(lines[1:], 2) if line.strip()]


def split_half(occurrences: Sequence[Occurrence]) -> tuple[list[Occurrence], list[Occurrence]]:
    """(train, test): half of each sense of each word, drawn by lot; equal sentences on one side only."""
    groups: dict[tuple[str, str], dict[str, list[Occurrence]]] = defaultdict(lambda: defaultdict(list))
    for occurrence in occurrences:
        groups[occurrence.word, occurrence.sense][occurrence.sentence].append(occurrence)
    train: list[Occurrence] = []
    test: list[Occurrence] = []
    for (word, sense), sentences in sorted(groups.items()):
        texts = sorted(sentences)
        random.Random(seed_for("senses", word, sense)).shuffle(texts)
        for side, part in ((train, texts[: (len(texts) + 1) // 2]), (test, texts[(len(texts) + 1) // 2 :])):
            side += [occurrence for text in part for occurrence in sentences[text]]
    return train, test


def thinned(occurrences: Sequence[Occurrence], most: int) -> list[Occurrence]:
    """At most `most` occurrences of each word, drawn by lot, so that the senses keep their shares."""
    by_word: dict[str, list[Occurrence]] = defaultdict(list)
    for occurrence in occurrences:
        by_word[occurrence.word].append(occurrence)
    return [
        found
        for word, group in sorted(by_word.items())
        for found in random.Random(seed_for("thin", word)).sample(group, min(most, len(group)))
    ]


def majority(train: Sequence[Occurrence], test: Sequence[Occurrence]) -> dict[str, float]:
    """The score of always naming the commonest sense of the training part."""
    hits: Hits = {}
    for word, commonest in _commonest(train, test).items():
        senses = np.array([o.sense for o in test if o.word == word])
        hits[word] = _by_sense(senses, senses == commonest)
    return _averaged(hits)


def majority_hits(train: Sequence[Occurrence], test: Sequence[Occurrence]) -> list[int | None]:
    """Whether the commonest sense of the training part is each test occurrence's, 1 or 0; None of a word that is not judged."""
    commonest = _commonest(train, test)
    return [int(o.sense == commonest[o.word]) if o.word in commonest else None for o in test]


def effects_of(
    hits: Sequence[int | None], others: Sequence[int | None], occurrences: Sequence[tuple[str, str]]
) -> tuple[Effects, Effects] | None:
    """What the occurrences, each a word and its sense, do to two scores, senses counting equally.

    Those alone that both have judged; None where there are none.
    """
    both = [k for k, pair in enumerate(zip(hits, others, strict=True)) if None not in pair]
    if not both:
        return None
    of = [occurrences[k] for k in both]
    times, senses = Counter(of), Counter(word for word, _ in set(of))
    weights = np.array([1 / (times[place] * senses[place[0]]) for place in of])
    first, second = (share_effects(np.array([side[k] for k in both], np.float64), weights) for side in (hits, others))
    return first, second


def probe(run: Reader, train: Sequence[Occurrence], test: Sequence[Occurrence], in_context: bool) -> dict[str, Any]:
    """The probe's results for a run: `probes` for the tables and charts, and the accuracy of each layer.

    A run in context is judged by the layer that does best on the training part, each half of it
    named from the other; the test part is for reporting alone.
    """
    kept, tested, places = _vectors(run, train, test)
    words = several(kept[0], tested[0])
    first = "the word's static vector" if not in_context else "layer 0: the embedding, before any context"
    probes = [
        _result("static", first, kept[1][:, 0], tested[1][:, 0], kept[0], tested[0], words) | {"short": "static vector", "shown": True}
    ]
    averages = _result(
        "context-average", "mean of the sentence's vectors, the word's own left out", kept[2], tested[2], kept[0], tested[0], words
    )
    layers: list[dict[str, float]] = []
    best = None
    if in_context:
        by_layer = [_result("in-context", "", kept[1][:, k], tested[1][:, k], kept[0], tested[0], words) for k in range(kept[1].shape[1])]
        layers = [result["accuracy"] for result in by_layer]
        best = _best_layer(kept[0], kept[1], words)
        probes.append(
            by_layer[best] | {"title": f"in context, layer {best} of {len(layers) - 1}", "short": "word in context", "shown": True}
        )
    probes.append(averages | {"short": "rest of the sentence", "shown": not in_context})
    for found in probes:  # of all test occurrences, those without a vector too
        hits = dict(zip(places, found["hits"], strict=True))
        found["hits"] = [hits.get(place) for place in range(len(test))]
    return {"probes": probes, "layers": layers, "best_layer": best, "without_vector": len(train) + len(test) - len(kept[0]) - len(places)}


def _occurrence(cells: list[str], place: dict[str, int], where: str) -> Occurrence:
    if len(cells) != len(place):
        raise DataError(
            f"{where}: {counted(len(cells), 'cell')}",
            f"{counted(len(place), 'cell')}, as in the header",
            "separate the cells by one tab each",
        )
    sentence, tokens = cells[place["sentence"]], cells[place["sentence"]].split(" ")
    index = cells[place["index"]]
    if not index.isdecimal() or int(index) >= len(tokens):
        raise DataError(
            f"{where}: the index {index!r} is not in a sentence of {counted(len(tokens), 'word')}",
            "the word's place, from 0",
            "mend the index",
        )
    first = sum(len(token) + 1 for token in tokens[: int(index)])
    return Occurrence(cells[place["word"]], cells[place["sense"]], sentence, first, first + len(tokens[int(index)]))


def _commonest(train: Sequence[Occurrence], test: Sequence[Occurrence]) -> dict[str, str]:
    """The commonest training sense of each word that can be judged."""
    return {word: _by_frequency([o.sense for o in train if o.word == word])[0] for word in several(train, test)}


def several(train: Sequence[Occurrence], test: Sequence[Occurrence]) -> list[str]:
    """The words that can be judged: two senses or more to learn from, and something to test."""
    senses = defaultdict(set)
    for occurrence in train:
        senses[occurrence.word].add(occurrence.sense)
    tested = {occurrence.word for occurrence in test}
    return sorted(word for word, found in senses.items() if len(found) > 1 and word in tested)


Hits = dict[str, list[np.ndarray]]  # word -> for each of its senses which occurrences were named right
Read = tuple[list[Occurrence], np.ndarray, np.ndarray]  # occurrences, their vectors (N L D), the mean of the rest of the sentence (N D)


def _vectors(run: Reader, train: Sequence[Occurrence], test: Sequence[Occurrence]) -> tuple[Read, Read, list[int]]:
    """The two sides as far as they have vectors, and which test occurrences have."""
    sides, places = [], list[int]()
    for side in (train, test):
        found, own, rest, places = [], [], [], []
        for start in range(0, len(side), CHUNK):
            part = side[start : start + CHUNK]
            for place, (occurrence, read) in enumerate(zip(part, run.vectors([o.sentence for o in part]), strict=True), start):
                inside = np.array([first < occurrence.last and last > occurrence.first for first, last in read.spans], bool)
                if not inside.any():
                    continue
                found.append(occurrence)
                places.append(place)
                own.append(read.layers[:, inside].astype(np.float64).mean(1))
                others = read.layers[-1, ~inside]
                rest.append(others.mean(0) if len(others) else np.zeros(read.layers.shape[2]))
        sides.append((found, np.array(own, np.float64), np.array(rest, np.float64)))
    if not sides[0][0] or not sides[1][0]:
        raise DataError(
            "no word of the senses file has a vector", "words that the run's vocabulary has", "use senses of words in the corpus"
        )
    return sides[0], sides[1], places


def _result(
    kind: str, title: str, kept: np.ndarray, tested: np.ndarray, train: list[Occurrence], test: list[Occurrence], words: list[str]
) -> dict[str, Any]:
    right: Hits = {}
    hits: list[int | None] = [None] * len(test)
    within, across = [], []
    for word in words:
        mine, theirs = _rows(train, word), _rows(test, word)
        senses = np.array([test[k].sense for k in theirs])
        named = _named(kept[mine], [train[k].sense for k in mine], tested[theirs]) == senses
        for k, hit in zip(theirs, named.tolist(), strict=True):
            hits[k] = int(hit)
        right[word] = _by_sense(senses, named)
        gap = _cosines(tested[theirs], senses)
        if gap is not None:
            within.append(gap[0])
            across.append(gap[1])
    return {
        "kind": kind,
        "title": title,
        "accuracy": _averaged(right),
        "hits": hits,
        "words": {word: float(np.mean([part.mean() for part in parts])) for word, parts in right.items()},
        "within": float(np.mean(within)) if within else None,
        "across": float(np.mean(across)) if across else None,
    }


def _rows(occurrences: Sequence[Occurrence], word: str) -> list[int]:
    return [k for k, occurrence in enumerate(occurrences) if occurrence.word == word]


def _named(kept: np.ndarray, senses: Sequence[str], tested: np.ndarray) -> np.ndarray:
    """The sense (N) whose average vector is nearest; of equally near ones the commonest."""
    names = _by_frequency(senses)
    labels = np.array(senses)
    centres = np.stack([_unit(kept[labels == name]).mean(0) for name in names])
    near = np.round(_unit(tested) @ _unit(centres).T, 9)  # rounded, so that a static vector's senses are equally near
    return np.array(names)[near.argmax(1)]


def _best_layer(train: list[Occurrence], vectors: np.ndarray, words: list[str]) -> int:
    """The layer above the embeddings that names the senses of the training part best, each half named from the other."""
    scores = np.zeros(vectors.shape[1])
    for word in words:
        rows = np.array(_rows(train, word))
        senses = np.array([train[k].sense for k in rows])
        half = generator("layer", word).permutation(len(rows)) % 2 == 0
        for layer in range(vectors.shape[1]):
            for part in (half, ~half):
                if part.any() and (~part).any():
                    found = _named(vectors[rows[part], layer], list(senses[part]), vectors[rows[~part], layer])
                    scores[layer] += np.mean([hits.mean() for hits in _by_sense(senses[~part], found == senses[~part])])
    return 1 + int(scores[1:].argmax()) if len(scores) > 1 else 0


def _cosines(vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float] | None:
    """Mean cosine of pairs of one sense, and of pairs of two; None where there is no such pair."""
    near = _unit(vectors) @ _unit(vectors).T
    same, pairs = labels[:, None] == labels[None], ~np.eye(len(labels), dtype=bool)
    if not (same & pairs).any() or same.all():
        return None
    return float(near[same & pairs].mean()), float(near[~same].mean())


def _by_sense(senses: np.ndarray, hits: np.ndarray) -> list[np.ndarray]:
    return [hits[senses == sense] for sense in np.unique(senses)]


def _averaged(right: Hits) -> dict[str, float]:
    """The mean over words of the mean over senses, with a 95 % interval in which each sense keeps its number of occurrences."""
    parts = [(part, 1 / len(senses)) for senses in right.values() for part in senses]
    hits, sizes = (np.array([count(part) for part, _ in parts], np.float64) for count in (np.sum, len))
    return mean_of_shares(hits, sizes, np.array([weight for _, weight in parts]) / len(right)).as_dict()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _by_frequency(senses: Sequence[str]) -> list[str]:
    return [name for name, _ in sorted(Counter(senses).items(), key=lambda pair: (-pair[1], pair[0]))]
