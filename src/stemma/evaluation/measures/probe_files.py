"""The files that layers are probed with, in the forms in which they go round; what a file is, is read from its first line.

- A token and its tag on a line (CoNLL): parts of speech, or entities where tags are BIO.
- Words with their senses, under the header `word index sense sentence`, as for the senses probe.
- Labelled texts or pairs under their header (`label text`), JSON lines, fastText's lines; numbers where the column is `score`.

Half of the examples, drawn by lot, is learnt from, and the other half judged by; equal texts stand on one side only.
Axes: N examples, K labels, S seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemma.corpus.files import STDIN, check_readable_again
from stemma.corpus.task import header_of, read_lines
from stemma.errors import DataError
from stemma.evaluation.measures import senses
from stemma.evaluation.measures.intervals import Effects, effects
from stemma.evaluation.measures.judge import Judge
from stemma.nouns import counted
from stemma.objectives.batch import generator
from stemma.tasks.table import make_task
from stemma.tasks.task import Metric, Targets, Task, Text
from stemma.transfer.selection import drawn, hold_out

SELECTED = (0.1, 1000, 1)  # of the examples to learn from, held out to choose on: the share, at most so many, the seed
LEAST = 1e-20  # chance of a label that may be given: more than any other's
_SENSES = {"word", "index", "sense", "sentence"}
_SENSE = Metric("senses", "senses told apart (each counts equally)")
_LINES = "a token and its tag a line, labelled texts under a header such as `label<TAB>text`, or words with their senses"
Answers = np.ndarray  # to some examples, in the form of their gold


@dataclass(frozen=True)
class ProbeFile:
    """What linear models are asked to read off states: examples, what is right, and how answers are judged."""

    path: str
    about: str  # what is asked for: "tags", "labels", "senses"
    task: Task  # that frames the texts, and turns gold and outputs into rows and back
    targets: Targets
    texts: list[Text]
    gold: np.ndarray  # (N ...)
    learning: np.ndarray  # the examples that heads learn from,
    selection: np.ndarray  # those that settings are chosen on,
    judged: np.ndarray  # and those that figures are of
    metric: Metric
    floor: float  # what needs no reading gets
    lawful: np.ndarray | None  # (N K): the labels that each example may be given; None: all
    _effects: Callable[[np.ndarray, Sequence[Answers]], Effects]

    def decode(self, outputs: np.ndarray, starts: np.ndarray, examples: np.ndarray) -> Answers:
        """The answers to these examples from a linear model's outputs; rows `starts[n]` to `starts[n+1]` are those of the n-th."""
        if self.lawful is not None:
            outputs = np.where(self.lawful[examples], outputs + LEAST, 0)
        return self.task.decode(self.task.from_rows(outputs, starts, self.targets), self.targets)

    def effects(self, examples: np.ndarray, seeds: Sequence[Answers]) -> Effects:
        """The metric of each seed's answers to these examples, counted so that more is better."""
        return self._effects(examples, seeds)

    @property
    def sizes(self) -> dict[str, int]:
        """How many examples each part has."""
        return {name: len(getattr(self, name)) for name in ("learning", "selection", "judged")}


def read_probe(path: str | Path, limit: int = 0) -> ProbeFile:
    """The file, at most `limit` of its examples, drawn by lot (0: all); DataError where it is none that layers can be probed with."""
    if str(path) == STDIN:
        raise DataError("standard input can be read only once, and a probe's file is read twice", "a file", "keep it in a file first")
    check_readable_again(str(path))
    lines = read_lines(str(path))
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise DataError(f"{path}: the file is empty", _LINES, "name a file with examples")
    if set(first.lower().split("\t")) >= _SENSES:
        return _of_senses(path, limit)
    header = header_of(first)
    if header or first.lstrip().startswith(("{", "__label__")):
        numbers = header and "score" in map(str.lower, header[1])
        return _of_task(path, "numbers" if numbers else "labels", make_task("regress" if numbers else "classify"), limit)
    return _of_task(path, "tags", make_task("tag"), limit)


def _of_task(path: str | Path, about: str, task: Task, limit: int) -> ProbeFile:
    examples = drawn(task.read(path), limit)
    targets = task.targets(examples)  # of both halves: a label may be too rare to stand in each
    gold, texts = task.gold(examples, targets), task.texts(examples)
    learnt, judged = _halves(path, [f"{text.text}\t{text.other}" for text in texts])
    learning, selection = _selected(task.strata(gold), learnt)
    floor = task.floor(gold[learning], gold[judged], [texts[k] for k in judged], targets)["value"]

    def judge(examples: np.ndarray, seeds: Sequence[Answers]) -> Effects:
        return Judge(task, targets, gold[examples]).effects(seeds)

    return ProbeFile(
        str(path), about, task, targets, texts, gold, learning, selection, judged, task.metrics(targets)[0], floor, None, judge
    )


def _of_senses(path: str | Path, limit: int) -> ProbeFile:
    """Each occurrence is a unit to be tagged, with a sense of its own word; senses count equally, as in the senses probe."""
    occurrences = drawn(senses.read_senses(Path(path)), limit)
    train, test = senses.split_half(occurrences)
    words = senses.several(train, test)
    train, test = ([o for o in side if o.word in words] for side in (train, test))
    if not train or not test:
        raise DataError(f"{path}: no word has two senses to learn from and an occurrence to be judged by", _LINES, "add occurrences")
    both = [*train, *test]
    labels = sorted({(o.word, o.sense) for o in both})
    number = {label: k for k, label in enumerate(labels)}
    gold = np.array([[number[o.word, o.sense]] for o in both])
    owners, named = np.array([word for word, _ in labels]), np.array([o.word for o in both])
    lawful = owners[None] == named[:, None]
    learning, selection = _selected(gold[:, 0], np.arange(len(train)))

    def judge(examples: np.ndarray, seeds: Sequence[Answers]) -> Effects:
        right = gold[examples, 0]
        here, times = np.unique(right, return_counts=True)
        words, kinds = np.unique(owners[here], return_counts=True)
        each = dict(zip(here.tolist(), times.tolist(), strict=True))
        of_word = dict(zip(words.tolist(), kinds.tolist(), strict=True))
        weights = np.array([1 / (each[k] * of_word[owners[k]]) for k in right.tolist()])
        hits = np.stack([task.rows(answers) == right for answers in seeds])
        terms = np.stack([hits * weights, np.broadcast_to(weights, hits.shape)], -1)
        return effects(terms, lambda sums: sums[..., 0] / sums[..., 1], share=True)

    task = make_task("tag")
    judged = np.arange(len(train), len(both))
    times = np.bincount(gold[learning, 0], minlength=len(labels))
    commonest = np.where(lawful[judged], times + 1, 0).argmax(1)[:, None]
    targets = {"labels": [" ".join(label) for label in labels], "types": [], "units": "words"}
    texts = [Text(o.sentence, units=((o.first, o.last),)) for o in both]
    floor = judge(judged, [commonest]).value
    return ProbeFile(str(path), "senses", task, targets, texts, gold, learning, selection, judged, _SENSE, floor, lawful, judge)


def _halves(path: str | Path, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(learnt, judged): the examples of half of the different texts, and those of the other half."""
    different = sorted(set(texts))
    if len(different) < 2:
        raise DataError(f"{path}: {counted(len(different), 'different text')}", "two to learn from and to judge by", "add examples")
    mixed = generator("probe halves").permutation(len(different))
    learnt = {different[k] for k in mixed[: (len(different) + 1) // 2]}
    inside = np.array([text in learnt for text in texts])
    return np.flatnonzero(inside), np.flatnonzero(~inside)


def _selected(strata: np.ndarray, learnt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(learning, selection) among the examples `learnt`."""
    learning, selection = hold_out(strata[learnt], *SELECTED)
    return learnt[learning], learnt[selection]
