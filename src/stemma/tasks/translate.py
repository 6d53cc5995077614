# ruff: noqa: F722 (axis names stand in annotations)
"""The task `translate`: a target text for each source, judged by BLEU and chrF against the one that is right.

It reads what pre-training reads: a table of a source, a tab and its target a line. The network itself writes the target, so that
the task has no head, and only networks that write for a source (`lineage.network.Translates`) can be carried over to it.

Axes: N examples, C terms; *R any axes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float

from stemma.bounds import NonNegative, Positive
from stemma.corpus import read as corpus
from stemma.corpus.document import Ledger
from stemma.corpus.given import Frame, given_texts, listed
from stemma.corpus.parallel import SEPARATOR
from stemma.corpus.parse import LONG_PAIR, REJECT
from stemma.corpus.scripts import count_scripts
from stemma.corpus.task import header_of
from stemma.errors import DataError, UsageError
from stemma.tasks.bleu import bleu_of, chrf_of, signatures, statistics
from stemma.tasks.task import Metric, Seat, Targets, Text, primary

Tokenize = Literal["auto", "13a", "zh", "char", "intl"]
_OTHERS = ("Latin", "kana", "hangul", "Cyrillic", "Greek", "Arabic")  # scripts of letters beside Han


@dataclass(frozen=True)
class Config:
    """The section `task`."""

    tokenize: Tokenize = "auto"  # sacreBLEU's tokenizer for BLEU; auto: zh (characters) for Chinese targets, else 13a
    beams: Positive = 4  # texts that the search follows side by side; 1: the likeliest token each time
    length_penalty: NonNegative = 0.6  # of the search: 0 ranks by probability alone, more favours longer texts


@dataclass(frozen=True, slots=True)
class Translated:
    """A source and its target; the target is empty where it is to be written."""

    source: str
    target: str = ""
    place: str = ""  # "file:line"
    others: tuple[str, ...] = ()  # further targets that are right; judged by, not learnt from

    @property
    def right(self) -> str:
        """All targets that are right, a line each."""
        return "\n".join((self.target, *self.others))


class Target(NamedTuple):
    """What was written for a source."""

    text: str
    log_prob: float  # of the text and its end, natural logarithm


class Translate:
    """Targets for sources; the label space tells how BLEU counts, and has no labels."""

    name = "translate"
    per: Literal["target"] = "target"
    more_parts = False
    needs_context = False
    classes = False

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, path: str | Path, learning: bool = True) -> list[Translated]:
        """The pairs of a table, read as a corpus of pairs is; a pair too long for one is a DataError."""
        ledger = Ledger()
        try:
            documents = list(corpus.read([path], corpus.Config(format="pairs"), ledger))
        except DataError as error:
            raise DataError(error.wrong, error.expected, error.mend.replace(REJECT, "")) from error
        if ledger.notes[LONG_PAIR]:
            wrong = f"{path}: {ledger.notes[LONG_PAIR]:,} {LONG_PAIR}"
            raise DataError(wrong, f"{corpus.Config().max_sentence:,} characters at most", "leave those pairs out, or cut both sides alike")
        if header_of(SEPARATOR.join(documents[0].sentences)):
            raise DataError(f"{path}: a table of labelled examples", "pairs of a source and its target", "name a table of pairs")
        sides = ((*document.sentences, document.source) for document in documents)
        return [Translated(source, target, place) for source, target, place in sides]

    def given(self, examples: Iterable[Any] | Frame) -> list[Translated]:
        """Pairs (source, target), mappings or a data frame with these two columns; DataError names one with an empty side."""
        pairs = [_pair(row, f"example {place}") for place, row in enumerate(listed(examples, "the examples"))]
        sources, targets = given_texts([pair[0] for pair in pairs], "source"), given_texts([pair[1] for pair in pairs], "target")
        found = [Translated(source.strip(), target.strip()) for source, target in zip(sources, targets, strict=True)]
        for place, pair in enumerate(found):
            if not (pair.source and pair.target):
                side = "target" if pair.source else "source"
                raise DataError(f"the {side} of example {place} is empty", "a text on both sides", "fill it in, or leave the example out")
        return found

    def written(self, example: Translated) -> str:
        """Source and target with a tab between; further targets in lines of their own."""
        return f"{example.source}\t{example.right}\n"

    def targets(self, examples: Sequence[Translated]) -> Targets:
        """How BLEU counts, decided by the script of these targets, and the signatures of the metrics."""
        found = self.config.tokenize
        if found == "auto":
            found = "zh" if is_chinese(example.target for example in examples) else "13a"
        right = [example.right.split("\n") for example in examples]
        return {"labels": [], "tokenize": found, "signatures": signatures(found, right)}

    def gold(self, examples: Sequence[Translated], targets: Targets) -> np.ndarray:
        """The targets (N), a line each where several are right."""
        return np.array([example.right for example in examples], dtype=object)

    def strata(self, gold: np.ndarray) -> np.ndarray:
        """One class: the selection part is drawn from all pairs alike."""
        return np.zeros(len(gold), dtype=np.int64)

    def texts(self, examples: Sequence[Translated]) -> list[Text]:
        """Source and target; who answers reads the source alone."""
        return [Text(example.source, example.target) for example in examples]

    def quoted(self, answers: list[Any], texts: Sequence[Text]) -> list[Any]:
        """As they are."""
        return answers

    def settled(self, gold: np.ndarray, answers: Sequence[Any], targets: Targets) -> Targets:
        """As it is."""
        return targets

    def decode(self, answers: Sequence[Target], targets: Targets) -> np.ndarray:
        """The texts alone (N)."""
        return np.array([answer.text for answer in answers], dtype=object)

    def named(self, decoded: np.ndarray, targets: Targets) -> list[str]:
        """The texts."""
        return [str(text) for text in decoded]

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """BLEU, whose title tells of tokens that are not the usual ones, and chrF."""
        usual = targets["tokenize"] == "13a"
        title = "BLEU" if usual else f"BLEU ({targets['tokenize']})"
        return Metric("bleu", title, share=False), Metric("chrf", "chrF", share=False)

    def score(self, gold: np.ndarray, answers: Sequence[Target], targets: Targets) -> dict[str, float]:
        """BLEU and chrF of the corpus that the answers are."""
        sums = self.terms(gold, self.decode(answers, targets), targets).sum(0)
        return {name: float(value) for name, value in self.measures(sums, targets).items()}

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N C"]:
        """The statistics of each text that BLEU and chrF of all are made of."""
        return statistics(decoded.tolist(), [right.split("\n") for right in gold], targets["tokenize"])

    def measures(self, sums: Float[np.ndarray, "*R C"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms."""
        return {"bleu": bleu_of(sums), "chrf": chrf_of(sums)}

    def floor(self, learnt: np.ndarray, judged: np.ndarray, texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """The source of each as its target."""
        copied = np.array([text.text for text in texts], dtype=object)
        return {"answer": "", "how": "copying the source", "value": primary(self, judged, copied, targets)}

    def breakdown(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> list[dict[str, Any]]:
        """Nothing: there are no labels."""
        return []

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """One source."""
        return ("source",)

    def example(self, parts: Sequence[str], targets: Targets) -> Translated:
        """A source whose target is to be written."""
        (source,) = parts
        return Translated(source)

    def readable(self, answers: Sequence[Target], targets: Targets) -> tuple[list[str], list[float]]:
        """The target of each source, and its log-probability."""
        return [answer.text for answer in answers], [answer.log_prob for answer in answers]

    def answer_rows(self, examples: Sequence[Translated], answers: Sequence[Target], targets: Targets) -> list[dict[str, Any]]:
        """Source, target and the target's log-probability."""
        return [
            {"text": example.source, "translation": answer.text, "log_prob": answer.log_prob}
            for example, answer in zip(examples, answers, strict=True)
        ]

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The target alone, so that line i of the answers is that of line i of the sources."""
        yield row["translation"]

    def labels(self, gold: np.ndarray) -> NoReturn:
        """UsageError, as of all that stands on a head."""
        raise _no_head()

    def head(self, seat: Seat, targets: Targets) -> NoReturn:
        """UsageError: the network writes."""
        raise _no_head()

    def network(self, seat: Seat, targets: Targets) -> NoReturn:
        """UsageError: the network writes."""
        raise _no_head()

    def link(self, targets: Targets) -> NoReturn:
        """UsageError: no linear model writes a text."""
        raise _no_head()

    def rows(self, gold: np.ndarray) -> NoReturn:
        """UsageError: no linear model writes a text."""
        raise _no_head()

    def from_rows(self, outputs: np.ndarray, starts: np.ndarray, targets: Targets) -> NoReturn:
        """UsageError: no linear model writes a text."""
        raise _no_head()


def is_chinese(texts: Iterable[str]) -> bool:
    """True where most of the texts' letters are Han characters."""
    counts = count_scripts("".join(texts))
    return counts["Han"] > sum(counts[script] for script in _OTHERS)


def _pair(row: Any, where: str) -> tuple[str, str]:
    if isinstance(row, Translated):
        return row.source, row.target
    if isinstance(row, (tuple, list)) and len(row) == 2:
        return row[0], row[1]
    if isinstance(row, Mapping) and {"source", "target"} <= row.keys():
        return row["source"], row["target"]
    expected = "(source, target), or a mapping with `source` and `target`"
    raise DataError(f"{where} is {row!r:.60}", expected, "make each example one of these")


def _no_head() -> UsageError:
    return UsageError("a head for the task translate", "a network that writes the target itself", "use transfer.mode finetune or scratch")
