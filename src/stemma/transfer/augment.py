"""New texts from labelled ones: some of their words replaced by others that may stand there (Jiao 2019, section 3.2 and algorithm 1).

A word that is one token is masked, and a masked language model names the likeliest others, the text as it was standing beside as the
second half of a pair. The tokens of a Chinese word are masked together. Words of several pieces have the nearest words of a run with
word vectors, where one is given, and stay where there is none. Function words, numbers and marks are never replaced, and stand for
nothing. A new text has the label of the old one, and no text is made twice.

Deviates: a word is none of its own candidates, so that `share` is the share of words that change; both halves of a pair are varied at
once, each from its own words; a text is tried ten times as often as it may be varied, since some tries come out alike.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from stemma.errors import UsageError
from stemma.lineage.table import able
from stemma.objectives.batch import Batch, generator
from stemma.runs.framing import under_budget
from stemma.runs.run import Run
from stemma.tasks.task import Text
from stemma.tokens.function_words import is_content
from stemma.tokens.scripts import is_han
from stemma.tokens.tokenizer import Tokenizer
from stemma.transfer.saving import weights_identity

POSITIONS = 4096  # copies times positions of one forward pass
TEXTS = 256  # whose words are looked up together
TRIES = 10  # for each text that may be made
Span = tuple[int, int]


@dataclass
class _Word:
    """A word that may be replaced: its characters in the text, its tokens, and what may stand for it."""

    span: Span
    spelling: str
    tokens: range
    candidates: list[str]


class Augmenter:
    """Makes up to `copies` texts of each, in which every word that has candidates is replaced with the chance `share`."""

    def __init__(self, masked: Run, vectors: Run | None, *, copies: int, share: float, candidates: int, seed: int) -> None:
        for run, ability in ((masked, "fill"), (vectors, "nearest")):
            if run is not None and ability not in run.row.abilities:
                wrong = f"a run of {run.row.name}, which names no words to stand for others"
                raise UsageError(wrong, f"a run of one of these: {able(ability)}", "name another run")  # type: ignore[arg-type]
        masked.network.check_fills()
        self._masked, self._vectors = masked, vectors
        self._copies, self._share, self._most, self._seed = copies, share, candidates, seed
        self._near: dict[str, list[str]] = {}  # of words that were looked up
        self._words = _whole_words(masked.tokenizer)
        self._han = np.array([bool(word) and is_han(word[0]) for word in self._words])
        self._characters = np.array([han and len(word) == 1 for han, word in zip(self._han, self._words, strict=True)])
        self._others = np.array([bool(word) and is_content(word) and not is_han(word[0]) for word in self._words])

    def identity(self) -> dict[str, Any]:
        """The weights that candidates come from."""
        runs = {"masked": self._masked, "vectors": self._vectors}
        return {"augment": {name: weights_identity(run) for name, run in runs.items() if run is not None}}

    def all_of(self, texts: Sequence[Text]) -> list[tuple[int, Text]]:
        """The new texts, each with the number of the text that it was made of."""
        found = []
        for first in range(0, len(texts), TEXTS):
            part = texts[first : first + TEXTS]
            halves = [self._words_of(half, text.units if k == 0 else ()) for text in part for k, half in enumerate((text.text, text.other))]
            self._look_up([(half, words) for half, words in zip(_halves(part), halves, strict=True) if words])
            for n, text in enumerate(part):
                found += [(first + n, new) for new in self._varied(text, halves[2 * n : 2 * n + 2], first + n)]
        return found

    def _words_of(self, text: str, units: Sequence[Span]) -> list[_Word]:
        """The words of the text that may be replaced; where units are answered for, those that are one, or that keep their length."""
        if not text:
            return []
        _, _, begins = self._masked.tokenizer.encode_words([text])
        ids, spans = self._masked.tokenizer.encode_offsets(text)
        assert begins is not None  # of kinds with a mask
        starts = np.flatnonzero(begins).tolist()
        found = []
        for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
            first, last = spans[start][0], spans[end - 1][1]
            spelling = text[first:last].strip()
            first += text[first:last].index(spelling)  # of kinds whose pieces hold the space before them
            span = first, first + len(spelling)
            known = self._masked.tokenizer.specials.get("unk") not in ids[start:end].tolist()
            one_script = len({is_han(character) for character in spelling}) == 1
            if known and one_script and is_content(spelling) and end <= self._room:
                found.append(_Word(span, spelling, range(start, end), []))
        return found

    @property
    def _room(self) -> int:
        """Tokens of a text that the network reads."""
        network = self._masked.network
        return (network.max_length or 512) - len(network.frame([])[0])

    def _look_up(self, texts: Sequence[tuple[str, list[_Word]]]) -> None:
        """Finds the candidates of the words of these texts."""
        asked: list[tuple[_Word, np.ndarray, np.ndarray]] = []
        for text, words in texts:
            ids = self._masked.tokenizer.encode(text)[: self._room].astype(np.int64)
            for word in words:
                if len(word.tokens) == 1 or (is_han(word.spelling[0]) and len(word.tokens) == len(word.spelling)):
                    asked.append((word, *self._hidden(ids, word.tokens)))
                else:
                    word.candidates = self._nearest(word.spelling)
        for rows, scores in self._filled([row for _, *row in asked]):
            for place, own in zip(rows, scores, strict=True):
                word = asked[place][0]
                word.candidates = self._likeliest(word, own)

    def _hidden(self, ids: np.ndarray, tokens: range) -> tuple[np.ndarray, np.ndarray]:
        """(the framed text with these tokens masked, its types), the text as it was behind it where both fit."""
        network, hidden = self._masked.network, ids.copy()
        hidden[tokens.start : tokens.stop] = self._masked.tokenizer.specials["mask"]
        framed, types = network.frame(hidden.tolist(), ids.tolist())
        if network.max_length and len(framed) > network.max_length:
            framed, types = network.frame(hidden.tolist())
        return np.array(framed), np.array(types)

    def _filled(self, asked: Sequence[Sequence[np.ndarray]]) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """(rows, the scores (masks V) of each) for some of the rows at a time."""
        import torch

        lengths = np.array([len(ids) for ids, _ in asked], np.int64)
        mask = self._masked.tokenizer.specials["mask"]
        for rows in under_budget(lengths, np.arange(len(asked)), POSITIONS):
            batch = _padded([asked[row] for row in rows])
            counts = (batch["ids"] == mask).sum(1)
            scores = self._masked.network.fill({name: torch.from_numpy(array) for name, array in batch.items()}).float().numpy()
            yield rows.tolist(), np.split(scores, np.cumsum(counts)[:-1])

    def _likeliest(self, word: _Word, scores: np.ndarray) -> list[str]:
        """The likeliest words of the same script at the masks of a word, the tokens of several drawn to be likely together."""
        han = self._han if len(scores) == 1 else self._characters
        allowed = han if is_han(word.spelling[0]) else self._others
        scores = np.where(allowed, scores, -np.inf)
        each = min(self._most + 1, int(allowed.sum())) if len(scores) == 1 else min(8, int(allowed.sum()))
        best = [np.argsort(-row, kind="stable")[:each] for row in scores]
        chances = {
            "".join(self._words[token] for token in tokens): sum(float(row[token]) for row, token in zip(scores, tokens, strict=True))
            for tokens in product(*(row.tolist() for row in best[:4]))
        }
        if len(scores) > 4:  # as rare as words of five characters are: their ends stay
            chances = {spelling + word.spelling[len(spelling) :]: chance for spelling, chance in chances.items()}
        ranked = sorted(chances, key=lambda spelling: -chances[spelling])
        return self._cased(word.spelling, ranked)

    def _nearest(self, spelling: str) -> list[str]:
        """The nearest words of the run with word vectors, if it knows the word."""
        if self._vectors is None:
            return []
        if spelling not in self._near:
            known = next((form for form in (spelling, spelling.lower()) if form in self._vectors), None)
            found = [word for word, _ in self._vectors.nearest(known, self._most + 1)] if known else []
            self._near[spelling] = self._cased(spelling, [word for word in found if is_content(word)])
        return self._near[spelling]

    def _cased(self, spelling: str, words: Sequence[str]) -> list[str]:
        """So many of the words as may be candidates, none of them the word itself, with its capital."""
        others = [word for word in words if word.lower() != spelling.lower()][: self._most]
        return [word[0].upper() + word[1:] for word in others] if spelling[0].isupper() else others

    def _varied(self, text: Text, halves: Sequence[list[_Word]], number: int) -> Iterator[Text]:
        """New texts of one, each with words drawn anew."""
        rng, seen = generator("augment", self._seed, number), {(text.text, text.other)}
        fitting = [[(word, _fitting(word, text.units if k == 0 else ())) for word in words] for k, words in enumerate(halves)]
        for _ in range(TRIES * self._copies):
            if len(seen) > self._copies:
                return
            changes = [self._changes(words, rng) for words in fitting]
            new = dataclasses.replace(
                text,
                text=_replaced(text.text, changes[0]),
                other=_replaced(text.other, changes[1]),
                units=tuple((_moved(start, changes[0]), _moved(end, changes[0])) for start, end in text.units),
            )
            if (new.text, new.other) not in seen:
                seen.add((new.text, new.other))
                yield new

    def _changes(self, words: Sequence[tuple[_Word, list[str]]], rng: np.random.Generator) -> list[tuple[Span, str]]:
        """What is put in place of which words."""
        return [(word.span, _drawn(others, rng)) for word, others in words if others and rng.random() < self._share]


def _whole_words(tokenizer: Tokenizer) -> list[str]:
    """What each token is as a word; empty where it is none by itself: a special, a mark, or the inside of a word that has spaces."""
    spaced, specials, found = tokenizer.kind == "unigram", set(tokenizer.specials.values()), []
    for place, (token, text) in enumerate(zip(tokenizer.tokens, tokenizer.texts, strict=True)):
        word = text.strip()
        begins = text.startswith(" ") if spaced else not token.startswith("##")
        whole = place not in specials and word.isalpha() and (begins or is_han(word[0]))
        found.append(word if whole else "")
    return found


def _halves(texts: Sequence[Text]) -> list[str]:
    return [half for text in texts for half in (text.text, text.other)]


def _fitting(word: _Word, units: Sequence[Span]) -> list[str]:
    """The candidates that leave every unit what it is."""
    if not units or word.span in units:
        return word.candidates
    return [other for other in word.candidates if len(other) == len(word.spelling)]


def _drawn(others: Sequence[str], rng: np.random.Generator) -> str:
    return others[int(rng.integers(len(others)))]


def _replaced(text: str, changes: Sequence[tuple[Span, str]]) -> str:
    """The text with other words at these places, which are in order."""
    for (start, end), other in reversed(changes):
        text = text[:start] + other + text[end:]
    return text


def _moved(place: int, changes: Sequence[tuple[Span, str]]) -> int:
    """Where a border between characters stands after the changes: none of those that move it lies across it."""
    return place + sum(len(other) - (end - start) for (start, end), other in changes if end <= place)


def _padded(rows: Sequence[Sequence[np.ndarray]]) -> Batch:
    """The framed rows side by side, padding being segment 0."""
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    batch = {name: np.zeros(shape, np.int64) for name in ("ids", "types", "segments")}
    for row, (ids, types) in enumerate(rows):
        batch["ids"][row, : len(ids)], batch["types"][row, : len(ids)], batch["segments"][row, : len(ids)] = ids, types, 1
    return batch
