# ruff: noqa: F722 (axis names stand in annotations)
"""Tagging: a tag for each word, or each Chinese character, of a text: parts of speech, names (Devlin 2018, section 5.3).

A word is read at its first piece. Tags are chosen one by one (`linear`) or together (`crf`); where they are BIO, answers are
lawful: an I-x stands only after a B-x or I-x. BIO tags are judged by the F1 of their spans, in conlleval's reading, others by
the share of right tags.

Axes: N examples, B batch, U units, L layers, D width, K tags, E types of span, C terms.
"""

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.bounds import Positive
from stemma.corpus.columns import OUTSIDE, Tagged, is_bio, read_columns
from stemma.corpus.given import listed
from stemma.errors import DataError
from stemma.layers.crf import ChainCRF, Lawful, best_path
from stemma.layers.fast import Dropout
from stemma.layers.loss import Loss, soft_cross_entropy
from stemma.objectives.batch import IGNORE
from stemma.tasks.entities import follows, iob2, precision_recall_f1, span_counts, spans, types_of
from stemma.tasks.task import PLACES, Link, Metric, Seat, Targets, Text, primary
from stemma.tasks.unit_heads import UnitNetwork, placed
from stemma.tokens.chinese import are_characters, rejoined, segmenter, word_spans

UNSEEN, UNSEEN_INSIDE = -1, -2  # numbers of tags that training did not have, I-x apart: no answer is right
STRANGE = "?"  # how their type is written


@dataclass(frozen=True)
class Config:
    """How tags are read and decoded."""

    decoder: Literal["linear", "crf"] = "linear"  # each tag for itself, or the best chain (fine-tuned, and on the task network)
    lawful: bool = True  # BIO answers keep to BIO
    width: Positive = 128  # numbers a direction of the task network's LSTM, the same for every generation
    token_column: int = 0  # of the file, from 0, or from -1 backwards
    tag_column: int = -1
    comments: bool = False  # lines that start with # are none of a sentence
    spaced: bool = False  # words of texts to be answered are what stands between spaces; otherwise punctuation is parted from them


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text, where its units stand in it, and their tags (none where they are to be answered)."""

    text: str
    units: tuple[tuple[int, int], ...]  # (start, end) characters
    tagged: Tagged


class Tag:
    """The task `tag`."""

    name = "tag"
    per: Literal["unit"] = "unit"
    more_parts = False
    needs_context = False
    classes = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, path: str | Path, learning: bool = True) -> list[Sentence]:
        """The file's sentences, their texts joined anew; tags as IOB2 where answers are; `learning`: at least two different tags."""
        config = self.config
        found = read_columns(path, token_column=config.token_column, tag_column=config.tag_column, comments=config.comments).sentences
        if is_bio(found) and config.lawful:  # in IOB1, an I-x that begins a span could be learnt and never answered
            found = [dataclasses.replace(sentence, tags=iob2(sentence.tags)) for sentence in found]
        tags = {tag for sentence in found for tag in sentence.tags}
        if learning and len(tags) < 2:
            raise DataError(f"{path}: every token has the tag {tags.pop()!r}", "at least two different tags", "check the tag column")
        characters = are_characters(token for sentence in found for token in sentence.tokens)
        sentences = []
        for sentence in found:
            text, units = rejoined(sentence.tokens, characters)
            sentences.append(Sentence(text, tuple(units), sentence))
        return sentences

    def given(self, examples: Iterable[Sentence]) -> list[Sentence]:
        """Sentences as `read` gives them."""
        found = listed(examples, "the examples")
        for place, example in enumerate(found):
            if not isinstance(example, Sentence):
                raise DataError(f"example {place} is {example!r:.60}", "a tagged Sentence", "read them from a file of tokens and tags")
        return found

    def written(self, example: Sentence) -> str:
        """`token/tag token/tag`."""
        return " ".join(f"{token}/{tag}" for token, tag in zip(example.tagged.tokens, example.tagged.tags, strict=True))

    def targets(self, examples: Sequence[Sentence]) -> Targets:
        """The tags, sorted; of BIO tags O first, then both tags of each type. And what a unit is: a word or a character."""
        tagged = [example.tagged for example in examples]
        tags = sorted({tag for sentence in tagged for tag in sentence.tags})
        types = types_of(tags) if is_bio(tagged) else []
        labels = [OUTSIDE, *(f"{mark}-{name}" for name in types for mark in "BI")] if types else tags
        characters = are_characters(token for sentence in tagged for token in sentence.tokens)
        return {"labels": labels, "types": types, "units": "characters" if characters else "words"}

    def gold(self, examples: Sequence[Sentence], targets: Targets) -> np.ndarray:
        """The numbers of each sentence's tags, as lists. A tag that training did not have is warned of, and counts as answered wrong."""
        number = {tag: k for k, tag in enumerate(targets["labels"])}
        unseen = sorted({tag for example in examples for tag in example.tagged.tags if tag not in number})
        if unseen:
            warnings.warn(f"tags that training did not have, never answered: {', '.join(unseen)}", stacklevel=2)
        number |= {tag: UNSEEN_INSIDE if targets["types"] and tag.startswith("I-") else UNSEEN for tag in unseen}
        return _lists([[number[tag] for tag in example.tagged.tags] for example in examples])

    def strata(self, gold: np.ndarray) -> np.ndarray:
        """How many different tags a sentence has, up to three: so that sentences without names are in every part in their share."""
        return np.array([min(len(set(row)), 3) for row in gold], dtype=np.int64)

    def labels(self, gold: np.ndarray) -> np.ndarray:
        """(B U), padded by IGNORE."""
        table = np.full((len(gold), max([1, *map(len, gold)])), IGNORE, dtype=np.int64)
        for row, numbers in enumerate(gold):
            table[row, : len(numbers)] = numbers
        table[table < 0] = IGNORE
        return table

    def texts(self, examples: Sequence[Sentence]) -> list[Text]:
        """Each text with its units."""
        return [Text(example.text, units=example.units) for example in examples]

    def head(self, seat: Seat, targets: Targets) -> "TagHead":
        """Dropout and one linear layer, with a chain on top where the config says `crf`."""
        return TagHead(seat, targets, self.config)

    def network(self, seat: Seat, targets: Targets) -> UnitNetwork:
        """A mix of the layers, one LSTM in both directions, and the head."""
        return UnitNetwork(seat, self.config.width, lambda seat: TagHead(seat, targets, self.config))

    def link(self, targets: Targets) -> Link:
        """One tag of K."""
        return "softmax"

    def rows(self, gold: np.ndarray) -> np.ndarray:
        """The numbers of all tags, sentence after sentence (M)."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(row, dtype=np.int64) for row in gold)])

    def from_rows(self, outputs: Float[np.ndarray, "M K"], starts: np.ndarray, targets: Targets) -> list[np.ndarray]:
        """The tags of each sentence: the best lawful chain of these probabilities."""
        lengths = torch.from_numpy(np.diff(starts))
        sites = torch.arange(int(lengths.max()) if len(lengths) else 0) < lengths[:, None]
        scores = torch.zeros(*sites.shape, outputs.shape[-1])
        scores[sites] = torch.from_numpy(np.asarray(outputs, dtype=np.float32)).clamp(min=1e-30).log()
        return _answers(Decoder(targets, self.config, chain=False).best(scores, sites), sites)

    def quoted(self, answers: list[Any], texts: Sequence[Text]) -> list[Any]:
        """As they are."""
        return answers

    def settled(self, gold: np.ndarray, answers: Sequence[Any], targets: Targets) -> Targets:
        """As it is."""
        return targets

    def decode(self, answers: Sequence[np.ndarray], targets: Targets) -> np.ndarray:
        """Answers as lists of numbers."""
        return _lists([np.asarray(answer).tolist() for answer in answers])

    def named(self, decoded: np.ndarray, targets: Targets) -> list[str]:
        """The tags with spaces between."""
        return [" ".join(_names(np.asarray(row).tolist(), targets)) for row in decoded]

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """Of spans: F1, strict F1, precision, recall and the share of right tags; otherwise that share first, and macro-F1."""
        accuracy = Metric("accuracy", "token accuracy")
        if not targets["types"]:
            return accuracy, Metric("macro_f1", "macro-F1")
        f1, strict = Metric("f1", "span F1"), Metric("f1_strict", "strict span F1")
        return f1, strict, Metric("span_precision", "span precision"), Metric("span_recall", "span recall"), accuracy

    def score(self, gold: np.ndarray, answers: Sequence[np.ndarray], targets: Targets) -> dict[str, float]:
        """The metrics of these answers."""
        sums = self.terms(gold, self.decode(answers, targets), targets).sum(0)
        return {name: float(value) for name, value in self.measures(sums, targets).items()}

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N C"]:
        """Tokens answered right, tokens; then right, there and answered, of each type (and unseen ones) in both readings, or each tag."""
        count = _span_terms if targets["types"] else _tag_terms
        width = 2 + (6 * (len(targets["types"]) + 1) if targets["types"] else 3 * len(targets["labels"]))
        table = np.zeros((len(gold), width))
        for row, (right, answered) in enumerate(zip(gold, decoded, strict=True)):
            table[row, :2] = sum(a == b for a, b in zip(right, answered, strict=True)), len(right)
            table[row, 2:] = count(right, answered, targets)
        return table

    def measures(self, sums: Float[np.ndarray, "*R C"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms."""
        accuracy = sums[..., 0] / np.maximum(sums[..., 1], 1)
        if not targets["types"]:
            each = _triples(sums[..., 2:])
            seen = (each[..., 1:].sum(-1) > 0).astype(float)  # as scikit-learn, which averages over the classes it sees
            macro = (precision_recall_f1(each)["f1"] * seen).sum(-1) / np.maximum(seen.sum(-1), 1)
            return {"accuracy": accuracy, "macro_f1": macro}
        lenient, strict = np.split(sums[..., 2:], 2, axis=-1)
        micro = precision_recall_f1(_triples(lenient).sum(-2))
        f1_strict = precision_recall_f1(_triples(strict).sum(-2))["f1"]
        return {
            "f1": micro["f1"],
            "f1_strict": f1_strict,
            "span_precision": micro["precision"],
            "span_recall": micro["recall"],
            "accuracy": accuracy,
        }

    def floor(self, learnt: np.ndarray, judged: np.ndarray, texts: Sequence[Text], targets: Targets) -> dict[str, Any]:
        """Always the commonest tag."""
        tags, counts = np.unique(self.rows(learnt), return_counts=True)
        best = int(tags[counts.argmax()])
        same = _lists([[best] * len(units) for units in judged])
        return {"answer": targets["labels"][best], "value": primary(self, judged, same, targets)}

    def breakdown(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> list[dict[str, Any]]:
        """Precision, recall, F1 and number of each type of span, or of each tag."""
        names = targets["types"] or targets["labels"]
        counts = _triples(self.terms(gold, decoded, targets).sum(0)[2:])[: len(names)]
        each = precision_recall_f1(counts)
        return [
            {"label": name, **{key: float(value[k]) for key, value in each.items()}, "examples": int(counts[k, 1])}
            for k, name in enumerate(names)
        ]

    def parts(self, targets: Targets) -> tuple[str, ...]:
        """One text."""
        return ("text",)

    def example(self, parts: Sequence[str], targets: Targets) -> Sentence:
        """A text to be tagged, cut into the units that training had."""
        (text,) = parts
        units = tuple(self._cut(text, targets))
        return Sentence(text, units, Tagged(tuple(text[start:end] for start, end in units), ()))

    def readable(self, answers: Sequence[np.ndarray], targets: Targets) -> tuple[list[list[str]], list[list[int]]]:
        """The tags of each text, and their numbers."""
        numbers = [np.asarray(answer).tolist() for answer in answers]
        return [_names(row, targets) for row in numbers], numbers

    def answer_rows(self, examples: Sequence[Sentence], answers: Sequence[np.ndarray], targets: Targets) -> list[dict[str, Any]]:
        """Each text with its words and their tags; of BIO tags, the spans too, with their characters."""
        rows = []
        for example, answer in zip(examples, answers, strict=True):
            tags = _names(np.asarray(answer).tolist(), targets)
            places = [{"start": start, "end": end} for start, end in example.units]
            words = [{"word": example.text[start:end]} for start, end in example.units]
            row: dict[str, Any] = {"text": example.text}
            row["words"] = [word | {"tag": tag} | place for word, tag, place in zip(words, tags, places, strict=True)]
            if targets["types"]:
                row["entities"] = [_entity(example, span) for span in spans(tags)]
            rows.append(row)
        return rows

    def shown(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The text with its spans marked; of tags that mark no spans, each word with its tag."""
        if "entities" not in row:
            yield " ".join(f"{word['word']}/{word['tag']}" for word in row["words"])
            return
        text, end, marked = row["text"], 0, ""
        for entity in row["entities"]:
            marked += f"{text[end : entity['start']]}[{text[entity['start'] : entity['end']]}]{entity['type']}"
            end = entity["end"]
        yield marked + text[end:]

    def _cut(self, text: str, targets: Targets) -> list[tuple[int, int]]:
        if targets["units"] == "characters":
            return [(at, at + 1) for at, character in enumerate(text) if not character.isspace()]
        if not self.config.spaced:
            return word_spans(text, segmenter("rjieba"))
        units, end = [], 0
        for word in text.split():
            start = text.index(word, end)
            end = start + len(word)
            units.append((start, end))
        return units


class Decoder(nn.Module):
    """What is done with the tags' scores (B U K): a softmax at each unit, or a chain; answers lawful where the config says so."""

    def __init__(self, targets: Targets, config: Config, chain: bool) -> None:
        super().__init__()
        self.chain = ChainCRF(len(targets["labels"])) if chain else None
        self._lawful = lawful_steps(targets["labels"]) if config.lawful and targets["types"] else None

    def loss(self, scores: Float[Tensor, "B U K"], batch: Mapping[str, Tensor]) -> Loss:
        """Nats a unit."""
        labels = batch["labels"]
        count = int((labels != IGNORE).sum())
        if self.chain is None:
            total = F.cross_entropy(scores.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE, reduction="sum")
        else:
            total = -self.chain.log_likelihood(scores, labels, batch["sites"]).sum()
        return Loss.of({"task": (total, count)})

    def imitate(
        self, scores: Float[Tensor, "B U K"], teacher: "Decoder", theirs: Float[Tensor, "B U K"], sites: Tensor, temperature: float
    ) -> Loss:
        """Nats a unit of the teacher's chances; of a chain, nats of the teacher's best tags, which are its answer as a whole."""
        count = int(sites.sum())
        if self.chain is None:
            total = soft_cross_entropy(scores.float()[sites] / temperature, theirs.float()[sites] / temperature).sum()
        else:
            total = -self.chain.log_likelihood(scores, teacher.best(theirs, sites), sites).sum()
        return Loss.of({"task": (total, count)})

    def best(self, scores: Float[Tensor, "B U K"], sites: Tensor) -> Tensor:
        """The tags (B U) of each row."""
        if not sites.any():
            return torch.zeros(sites.shape, dtype=torch.long)
        lawful = None if self._lawful is None else Lawful(*(part.to(scores.device) for part in self._lawful))
        if self.chain is not None:
            return self.chain.decode(scores, sites, lawful)
        if lawful is None:
            return scores.argmax(-1)
        nothing = scores.new_zeros(scores.shape[-1], dtype=torch.float32)
        scores = scores.float().log_softmax(-1)  # a chain without transitions of its own
        return best_path(scores, sites, nothing, nothing.expand(len(nothing), -1), nothing, lawful)


class TagHead(nn.Module):
    """Dropout, one linear layer on each unit's state and its place in its token, and the decoder."""

    def __init__(self, seat: Seat, targets: Targets, config: Config) -> None:
        super().__init__()
        self.dropout = Dropout(seat.dropout)
        self.linear = nn.Linear(seat.width + PLACES, len(targets["labels"]))
        self.decoder = Decoder(targets, config, chain=config.decoder == "crf")
        nn.init.zeros_(self.linear.bias)
        if seat.zeros:
            nn.init.zeros_(self.linear.weight)
        else:
            nn.init.trunc_normal_(self.linear.weight, std=0.02, a=-0.04, b=0.04)

    @property
    def words(self) -> str:
        """What it is made of."""
        return "dropout, one linear layer a unit" + (", a linear chain (CRF)" if self.decoder.chain is not None else "")

    @property
    def reader(self) -> nn.Linear:
        """The linear layer."""
        return self.linear

    def loss(self, states: Float[Tensor, "B U D"], batch: Mapping[str, Tensor]) -> Loss:
        """Nats a unit."""
        return self.decoder.loss(self.scores(self.dropout(states), batch), batch)

    def imitate(
        self, states: Float[Tensor, "B U D"], batch: Mapping[str, Tensor], teacher: "TagHead", shown: Tensor, temperature: float
    ) -> Loss:
        """Nats a unit, the teacher's head reading its own states `shown`, without gradients."""
        with torch.no_grad():
            theirs = teacher.scores(shown, batch)
        return self.decoder.imitate(self.scores(self.dropout(states), batch), teacher.decoder, theirs, batch["sites"], temperature)

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """Units that have a tag."""
        return {"task": int((batch["labels"] != IGNORE).sum())}

    def answers(self, scores: Float[Tensor, "B U K"], batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """The tags of each text."""
        return _answers(self.decoder.best(scores, batch["sites"]), batch["sites"])

    def scores(self, states: Float[Tensor, "B U D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B U K"]:
        """Of each tag at each unit, before the decoder."""
        return self.linear(placed(states, batch))


def lawful_steps(labels: Sequence[str]) -> Lawful:
    """What BIO allows at the start and after each tag."""
    first = torch.tensor([follows(None, tag) for tag in labels])
    return Lawful(first, torch.tensor([[follows(before, tag) for tag in labels] for before in labels]))


def _answers(tags: Tensor, sites: Tensor) -> list[np.ndarray]:
    lengths = sites.sum(1).tolist()
    return [row[:length] for row, length in zip(tags.cpu().numpy(), lengths, strict=True)]


def _lists(rows: Sequence[list[int]]) -> np.ndarray:
    """An object array of lists, which numpy would else make a table where they are equally long."""
    table = np.empty(len(rows), dtype=object)
    for at, row in enumerate(rows):
        table[at] = row
    return table


def _names(numbers: Sequence[int], targets: Targets) -> list[str]:
    """The tags of these numbers."""
    strange = {UNSEEN: f"B-{STRANGE}", UNSEEN_INSIDE: f"I-{STRANGE}"}
    return [strange[k] if k < 0 else targets["labels"][k] for k in numbers]


def _triples(counts: np.ndarray) -> np.ndarray:
    return counts.reshape(*counts.shape[:-1], -1, 3)


def _span_terms(right: Sequence[int], answered: Sequence[int], targets: Targets) -> np.ndarray:
    tags = _names(right, targets), _names(answered, targets)
    return np.concatenate([span_counts(*tags, [*targets["types"], STRANGE], strict).ravel() for strict in (False, True)])


def _tag_terms(right: Sequence[int], answered: Sequence[int], targets: Targets) -> np.ndarray:
    counts = np.zeros((len(targets["labels"]), 3))
    for a, b in zip(right, answered, strict=True):
        counts[b, 2] += 1
        if a >= 0:
            counts[a, 1] += 1
            counts[a, 0] += a == b
    return counts.ravel()


def _entity(example: Sentence, span: tuple[str, int, int]) -> dict[str, Any]:
    kind, first, after = span
    start, end = example.units[first][0], example.units[after - 1][1]
    return {"type": kind, "text": example.text[start:end], "start": start, "end": end}
