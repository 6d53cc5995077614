# ruff: noqa: F722 (axis names stand in annotations)
"""The task `span`: the words of a passage that answer a question, or none (Devlin 2018, sections 4.2 and 4.3).

The network reads the question with each window of the passage, and every unit (a word, a Chinese character) where it stands furthest
from a window's ends. The scores of start and end stand side by side for all of the passage, with a last unit for "no answer".

Deviates: one softmax runs over the whole passage (Clark & Gardner 2018), where BERT's runs over each window; an answer across the
border of two windows can thus be found. "No answer" is read at the last token of the first window, not at [CLS]. F1 counts the words and
characters in common wherever they stand, as SQuAD's does in every language; CMRC's own (Cui 2019) counts their longest common run alone.

Its heads stand in `span_heads`, its file format in `corpus.questions`. Axes: N examples, B batch, U units, M units of all; *R any axes.
"""

import re
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from stemma.bounds import Natural, Positive
from stemma.corpus.questions import Question, given_questions, read_questions, units_of
from stemma.errors import DataError
from stemma.nouns import counted
from stemma.objectives.batch import generator
from stemma.tasks.task import Link, Metric, Seat, Targets, Text

if TYPE_CHECKING:
    from stemma.tasks.span_heads import SpanHead
    from stemma.tasks.unit_heads import UnitNetwork

_NO_MARKS = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_USUAL = 0.99  # share of the training answers that are no longer than what may be answered
_METRICS = (Metric("f1", "F1 of words"), Metric("exact", "exact match"))


@dataclass(frozen=True)
class Config:
    """How answers are found."""

    longest: Natural = 0  # units of an answer at most; 0: as many as 99 in 100 training answers have
    best: Positive = 20  # answers that are kept of each passage, the best ones
    shown: Positive = 3  # of them in what is written
    width: Positive = 128  # numbers a direction of the task network's LSTM, the same for every generation


class Quote(NamedTuple):
    """A span of a passage's units, and what stands there."""

    first: int  # unit
    last: int  # unit
    log_prob: float  # of its start and of its end, natural logarithm
    text: str = ""
    start: int = 0  # character
    end: int = 0  # the character behind it


@dataclass(frozen=True, slots=True)
class Found:
    """The best spans of a passage, best first, and the log-probability of no answer."""

    quotes: tuple[Quote, ...]
    null: float

    @property
    def doubt(self) -> float:
        """How much likelier no answer is than the best one, in nats."""
        return self.null - self.quotes[0].log_prob if self.quotes else float("inf")


class Span:
    """Answers to questions; `targets` tells how long they are, and from what doubt on there is none."""

    name = "span"
    per: Literal["unit"] = "unit"
    more_parts = False
    classes = False
    needs_context = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, path: str | Path, learning: bool = True) -> list[Question]:
        """The file's questions, those without an answer included."""
        found = read_questions(path)
        if learning and not any(question.answers for question in found):
            raise DataError(f"{path}: no question has an answer", "answers to learn from", "name a file with `answers`")
        return found

    def given(self, examples: Iterable[Any]) -> list[Question]:
        """Questions that a program hands over."""
        return given_questions(examples)

    def written(self, example: Question) -> str:
        """Question, answers and passage."""
        return "\t".join((example.question, *(f"{start} {text}" for start, text in example.answers), example.passage, "\n"))

    def targets(self, examples: Sequence[Question]) -> Targets:
        """Units of an answer at most and usually, and whether some questions have none; answers that cut words are warned of."""
        lengths, cut = [], 0
        for example in examples:
            if example.answers:
                units = units_of(example.passage)
                first, last = _units_at(units, example)
                lengths.append(last - first + 1)
                start, text = example.answers[0]
                cut += (units[first][0], units[last][1]) != (start, start + len(text))
        if not lengths:
            raise DataError("no question has an answer", "answers to learn from", "add questions with `answers`")
        if cut:
            wrong = f"{counted(cut, 'answer')} of {len(lengths):,} begin or end inside a word"
            warnings.warn(f"{wrong}: whole words are learnt, and count as answered if those of the text are right", stacklevel=2)
        longest = self.config.longest or int(np.quantile(lengths, _USUAL, method="higher"))
        return {
            "labels": [],
            "longest": longest,
            "usual": int(np.median(lengths)),
            "null": len(lengths) < len(examples),
            "threshold": 0.0,
        }

    def gold(self, examples: Sequence[Question], targets: Targets) -> np.ndarray:
        """Of each question the units of its first answer, `first` and `last`, and all its answers, `texts`; (N) of mappings."""
        found = np.empty(len(examples), dtype=object)
        for row, example in enumerate(examples):
            units = units_of(example.passage)
            first, last = _units_at(units, example) if example.answers else (len(units), len(units))
            found[row] = {"first": first, "last": last, "texts": list(dict.fromkeys(text for _, text in example.answers))}
        return found

    def strata(self, gold: np.ndarray) -> np.ndarray:
        """Whether there is an answer."""
        return np.array([bool(row["texts"]) for row in gold], dtype=np.int64)

    def labels(self, gold: np.ndarray) -> Int[np.ndarray, "B 2"]:
        """The units of start and end; the last unit where there is no answer."""
        return np.array([(row["first"], row["last"]) for row in gold], dtype=np.int64).reshape(-1, 2)

    def texts(self, examples: Sequence[Question]) -> list[Text]:
        """Each passage with its units, and an empty one for no answer, and the question."""
        return [Text(example.passage, example.question, units=(*units_of(example.passage), _no_unit(example))) for example in examples]

    def head(self, seat: Seat, targets: Targets) -> "SpanHead":
        """Dropout and one linear layer on the units' states."""
        from stemma.tasks.span_heads import SpanHead  # torch: not for who only reads and scores

        return SpanHead(seat, targets, self.config.best)

    def network(self, seat: Seat, targets: Targets) -> "UnitNetwork":
        """A mix of the layers, one LSTM in both directions, and the head."""
        from stemma.tasks.span_heads import SpanHead  # likewise
        from stemma.tasks.unit_heads import UnitNetwork

        return UnitNetwork(seat, self.config.width, lambda seat: SpanHead(seat, targets, self.config.best))

    def link(self, targets: Targets) -> Link:
        """The scores of a start and of an end among a passage's units."""
        return "within"

    def rows(self, gold: np.ndarray) -> Int[np.ndarray, "N 2"]:
        """The units of start and end."""
        return self.labels(gold)

    def from_rows(self, outputs: Float[np.ndarray, "M 2"], starts: np.ndarray, targets: Targets) -> list[Found]:
        """The best spans of each passage."""
        return [best_spans(outputs[first:last], targets["longest"], self.config.best) for first, last in pairwise(starts)]

    def quoted(self, answers: list[Found], texts: Sequence[Text]) -> list[Found]:
        """The answers with the words that they point at; of those with the same words the likeliest alone (run_squad.py)."""
        pairs = zip(answers, texts, strict=True)
        return [replace(found, quotes=_distinct(_quote(quote, text) for quote in found.quotes)) for found, text in pairs]

    def settled(self, gold: np.ndarray, answers: Sequence[Found], targets: Targets) -> Targets:
        """The doubt from which on there is no answer: the one that makes F1 best on these held-out examples."""
        if not targets["null"] or not len(gold):
            return targets
        doubts = np.array([found.doubt for found in answers])
        answered = np.array([_best_match(_said(found), row["texts"])[1] for found, row in zip(answers, gold, strict=True)])
        silent = np.array([float(not row["texts"]) for row in gold])
        order = np.argsort(doubts, kind="stable")
        gains = np.concatenate([[0.0], np.cumsum((answered - silent)[order])])  # of answering the k least doubtful ones
        most = int(gains.argmax())
        edges = [doubts[order[most - 1]] if most else doubts.min() - 1, doubts[order[most]] if most < len(order) else doubts.max() + 1]
        return targets | {"threshold": float(np.clip(np.mean(edges), -1e6, 1e6))}

    def decode(self, answers: Sequence[Found], targets: Targets) -> np.ndarray:
        """The best answer in the form of gold, with no text where there is none."""
        found = np.empty(len(answers), dtype=object)
        for row, answer in enumerate(answers):
            said = _answer(answer, targets)
            found[row] = {"first": said.first, "last": said.last, "texts": [said.text]} if said else {"first": -1, "last": -1, "texts": []}
        return found

    def named(self, decoded: np.ndarray, targets: Targets) -> list[str]:
        """The answers, with strokes between those that are right."""
        return [" / ".join(row["texts"]) or "(no answer)" for row in decoded]

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """F1 and the share of exact answers."""
        return _METRICS

    def score(self, gold: np.ndarray, answers: Sequence[Found], targets: Targets) -> dict[str, float]:
        """The metrics."""
        sums = self.terms(gold, self.decode(answers, targets), targets).sum(0)
        return {name: float(value) for name, value in self.measures(sums, targets).items()}

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N 3"]:
        """F1 and exact match of each answer with the nearest right one, and 1."""
        pairs = [_best_match(" ".join(given["texts"]), right["texts"]) for right, given in zip(gold, decoded, strict=True)]
        return np.array([(f1, exact, 1.0) for exact, f1 in pairs]).reshape(-1, 3)

    def measures(self, sums: Float[np.ndarray, "*R 3"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms."""
        count = np.maximum(sums[..., 2], 1)
        return {"f1": sums[..., 0] / count, "exact": sums[..., 1] / count}

    def floor(self, learnt: np.ndarray, judged: np.ndarray, texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """The better of a sliding window and a random span, or of no answer at all where there may be none."""
        found = {"a sliding window": sliding_window(texts, targets), "a random span": random_span(texts, targets)}
        if targets["null"]:
            found["never answering"] = [""] * len(texts)
        values = {}
        for how, given in found.items():
            matches = [_best_match(said, row["texts"]) for said, row in zip(given, judged, strict=True)]
            values[how] = float(np.mean([f1 for _, f1 in matches]))
        best = max(values, key=lambda how: values[how])
        return {"answer": "", "how": best, "value": values[best], "ways": values}

    def breakdown(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> list[dict[str, Any]]:
        """F1 and exact match of the questions with an answer and of those without."""
        table, there = self.terms(gold, decoded, targets), self.strata(gold)
        kinds = [(name, table[there == kind]) for kind, name in ((1, "with an answer"), (0, "without one"))]
        return [
            {"label": name, "f1": float(rows[:, 0].mean()), "exact": float(rows[:, 1].mean()), "examples": len(rows)}
            for name, rows in kinds
            if len(rows)
        ]

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """A question and its passage."""
        return ("question", "passage")

    def example(self, parts: Sequence[str], targets: Targets) -> Question:
        """A question to be answered."""
        question, passage = parts
        return Question(question, passage)

    def readable(self, answers: Sequence[Found], targets: Targets) -> tuple[list[str], list[float]]:
        """The answers, empty where there is none, and their log-probabilities."""
        said = [_answer(answer, targets) for answer in answers]
        return [one.text if one else "" for one in said], [
            one.log_prob if one else answer.null for one, answer in zip(said, answers, strict=True)
        ]

    def answer_rows(self, examples: Sequence[Question], answers: Sequence[Found], targets: Targets) -> list[dict[str, Any]]:
        """Question, answer (empty where there is none), its characters and log-probability, and the best few."""
        rows = []
        for example, answer in zip(examples, answers, strict=True):
            said = _answer(answer, targets)
            row: dict[str, Any] = {"text": example.question, "answer": said.text if said else ""}
            row |= {"start": said.start, "end": said.end, "log_prob": said.log_prob} if said else {"log_prob": answer.null}
            row["best"] = [
                {"answer": quote.text, "start": quote.start, "end": quote.end, "log_prob": quote.log_prob}
                for quote in answer.quotes[: self.config.shown]
            ]
            rows.append(row | ({"no_answer": answer.null} if targets["null"] else {}))
        return rows

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The answer alone, so that line i of the answers is that of line i of the questions."""
        yield row["answer"] or "(no answer)"


def best_spans(scores: Float[np.ndarray, "U 2"], longest: int, most: int) -> Found:
    """The best spans of `longest` units at most, from the scores of start and end; the last unit stands for no answer."""
    logs = scores.astype(np.float64) - _log_sum(scores.astype(np.float64))
    starts, ends = logs[:-1].T
    sums = np.full((len(starts), longest), -np.inf)
    for more in range(min(longest, len(starts))):
        sums[: len(starts) - more, more] = starts[: len(starts) - more] + ends[more:]
    flat = sums.ravel()
    chosen = np.argsort(-flat, kind="stable")[:most]
    chosen = chosen[np.isfinite(flat[chosen])]
    quotes = tuple(Quote(int(at // longest), int(at // longest + at % longest), float(flat[at])) for at in chosen)
    return Found(quotes, float(logs[-1].sum()))


def sliding_window(texts: Sequence[Text], targets: Targets) -> list[str]:
    """The span of the usual length whose neighbours have most of the question's rarer words (Richardson 2013), without these themselves."""
    return [_window(text, targets["usual"]) for text in texts]


def random_span(texts: Sequence[Text], targets: Targets) -> list[str]:
    """A span of the usual length, drawn by lot."""
    found, size = [], targets["usual"]
    rng = generator("random span")
    for text in texts:
        units = text.units[:-1]
        first = int(rng.integers(0, max(1, len(units) - size + 1)))
        found.append(_between(text, units, first, size))
    return found


def _window(text: Text, size: int) -> str:
    units = text.units[:-1]
    words = [text.text[start:end].lower() for start, end in units]
    words_of_question = {text.other[start:end].lower() for start, end in units_of(text.other)}
    counts = Counter(words)
    weights = np.array([np.log1p(1 / counts[word]) if word in words_of_question else 0.0 for word in words])
    reach = len(words_of_question)  # units to either side that are looked at
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    firsts = np.arange(max(1, len(units) - size + 1))
    inside = sums[np.minimum(firsts + size, len(words))] - sums[firsts]
    around = sums[np.minimum(firsts + size + reach, len(words))] - sums[np.maximum(firsts - reach, 0)]
    return _between(text, units, int((around - 2 * inside).argmax()), size)


def _between(text: Text, units: Sequence[tuple[int, int]], first: int, size: int) -> str:
    chosen = units[first : first + size]
    return text.text[chosen[0][0] : chosen[-1][1]] if chosen else ""


def plain(text: str) -> list[str]:
    """An answer's words as they are compared: in lower case, without marks and articles, Chinese cut into characters.

    ASCII marks leave no gap, as in the evaluation of SQuAD (Rajpurkar 2016); others part words, as in that of CMRC (Cui 2019).
    """
    kept = text.lower().translate(_NO_MARKS)
    words = _ARTICLE.sub(" ", "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in kept))
    return [words[start:end] for start, end in units_of(words)]


def _best_match(said: str, right: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1) with the nearest of the right answers; of none that there is none."""
    if not right:
        return (float(not said), float(not said))
    ours, exact, f1 = plain(said), 0.0, 0.0
    for text in right:
        theirs = plain(text)
        shared = (Counter(ours) & Counter(theirs)).total()
        exact = max(exact, float(ours == theirs))
        f1 = max(f1, 2 * shared / (len(ours) + len(theirs)) if shared else float(ours == theirs))
    return exact, f1


def _answer(found: Found, targets: Targets) -> Quote | None:
    """The best answer; None where there is none, or no answer is likelier by more than the threshold."""
    silent = not found.quotes or (targets["null"] and found.doubt > targets["threshold"])
    return None if silent else found.quotes[0]


def _said(found: Found) -> str:
    return found.quotes[0].text if found.quotes else ""


def _quote(quote: Quote, text: Text) -> Quote:
    start, end = text.units[quote.first][0], text.units[quote.last][1]
    return quote._replace(text=text.text[start:end], start=start, end=end)


def _distinct(quotes: Iterable[Quote]) -> tuple[Quote, ...]:
    first: dict[str, Quote] = {}
    for quote in quotes:
        first.setdefault(quote.text, quote)
    return tuple(first.values())


def _no_unit(example: Question) -> tuple[int, int]:
    return len(example.passage), len(example.passage)


def _units_at(units: Sequence[tuple[int, int]], example: Question) -> tuple[int, int]:
    """The first and the last unit of the first answer."""
    start, text = example.answers[0]
    own = [at for at, (first, last) in enumerate(units) if last > start and first < start + len(text)]
    if not own:
        wrong = f"{example.source or 'an example'}: the answer {text!r:.60} holds no word and no mark"
        raise DataError(wrong, "an answer with a word", "mend the answer, or leave the question out")
    return own[0], own[-1]


def _log_sum(scores: Float[np.ndarray, "U 2"]) -> Float[np.ndarray, " 2"]:
    top = scores.max(0)
    found: np.ndarray = top + np.log(np.exp(scores - top).sum(0))
    return found
