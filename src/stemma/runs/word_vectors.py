"""Queries of a table of word vectors, in words: what is near, what completes an analogy, which word is the odd one.

V vocabulary, D width, W words of a query.
"""

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stemma.errors import DataError
from stemma.runs.neighbours import neighbours, unit_rows

FREQUENT = 10_000  # words among which neighbours are sought unless set otherwise: those of rare words are mostly chance
_SPELLINGS = 200_000  # words compared with a misspelt one, from the most frequent down: half a second
_JUDGED = 100  # words that are compared to see whether the vectors differ
_SEVERAL = 5  # words of one sense that may stand as near as TOO_NEAR; more of them are words of which nothing was learnt
TOO_NEAR = 0.99  # cosine
_RARE = "the text has too few places of it, or was read for too short a time, to tell it from other rare words"
TOO_ALIKE = 0.9  # mean cosine of two words above which nearness says nothing; trained vectors have 0.1 to 0.5
_SIGNS = {"+": 1, "-": -1, "−": -1}


@dataclass(frozen=True)
class Outlier:
    """The word that fits the others least, each word's mean cosine with the others, and the words without a vector."""

    word: str
    cosines: dict[str, float]
    missing: tuple[str, ...]


class WordVectors:
    """The vectors of a vocabulary, whose tokens may begin with the space before them.

    A word is found with such a space or without, as the more frequent of the two, and tried in lower case where it is not found
    as written.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        vectors: np.ndarray,
        counts: np.ndarray | None = None,
        specials: Sequence[int] = (),
        compose: Callable[[str], np.ndarray | None] | None = None,
    ) -> None:
        """Takes `vectors` (V D), zeros for words that were never trained, and how often the corpus has each word (V).

        Without counts the vocabulary is taken to be in the order of frequency, as word tokenizers learn it. The rows
        in `specials` are no words. `compose` may make a vector (D) of a word that has none, of its n-grams say.
        """
        self.tokens, self.unit, self._compose = tokens, unit_rows(vectors), compose
        self.unit[list(specials)] = 0
        self._rows = {token: row for row, token in enumerate(tokens)}
        self._trained: np.ndarray = np.any(self.unit, axis=1)
        order = np.arange(len(tokens)) if counts is None else np.argsort(-counts, kind="stable")
        self._warned = False
        self.by_frequency = order[self._trained[order]]  # rows that have a vector, the most frequent word first
        self._place = np.argsort(order)  # of each row in the order of frequency

    def row(self, word: str) -> int | None:
        """The word's row; None when it has no vector."""
        for form in (word, word.lower()):
            if rows := self._written(form):
                return min(rows, key=self._place.__getitem__)
        return None

    def _written(self, form: str) -> list[int]:
        """The rows that have a vector of the tokens that read so, a space before them or not."""
        return [row for token in (form, f" {form}") if (row := self._rows.get(token)) is not None and self._trained[row]]

    def nearest(self, query: str, k: int = 10, restrict: int = FREQUENT) -> list[tuple[str, float]]:
        """The `k` words of highest cosine with a word, or with a sum of words such as `king - man + woman`, less those named.

        `restrict` seeks them among that many of the most frequent words, 0 among all. Raises DataError for a word that
        has no vector, and for a sum that makes no sense.
        """
        self._warn_if_alike()
        terms = self._terms(query)
        named = {row for _, word in terms for row in self._written(word) or self._written(word.lower())}
        total = np.sum([sign * self.known(word) for sign, word in terms], axis=0)
        if not total.any():
            raise DataError(f"{query!r}: the words cancel out", "a sum that is not zero", "name each word once")
        some = 0 < restrict < len(self.unit)
        rows = self.frequent(restrict) if some else np.arange(len(self.unit))
        table = self.unit[rows] if some else self.unit  # not copied for every question
        found = ((int(rows[place]), cosine) for place, cosine in neighbours(table, total, k + len(named)))
        nearest = [(self.tokens[row], cosine) for row, cosine in found if row not in named][:k]
        if self.alike <= TOO_ALIKE and len(nearest) >= _SEVERAL and nearest[_SEVERAL - 1][1] > TOO_NEAR:
            warnings.warn(f"{query!r} is as near to anything: {_RARE}", stacklevel=2)
        return nearest

    def frequent(self, most: int) -> np.ndarray:
        """The rows of the `most` most frequent words that have a vector; of all when that is 0."""
        return self.by_frequency[:most] if most else self.by_frequency

    def outlier(self, words: Sequence[str]) -> Outlier:
        """The word of lowest mean cosine with the others (Camacho-Collados & Navigli 2016), words without a vector left out.

        gensim's `doesnt_match` names the same one. Raises DataError when fewer than three words have a vector.
        """
        self._warn_if_alike()
        known = {word: vector for word in words if (vector := self.vector(word)) is not None}
        missing = tuple(word for word in dict.fromkeys(words) if word not in known)
        if len(known) < 3:
            wrong = f"only {len(known)} of {len(set(words))} words have a vector; {', '.join(map(repr, missing)) or 'none'} without one"
            raise DataError(wrong, "at least three known words, of which one can be odd", self._spellings(missing) or "name more words")
        if missing:
            warnings.warn(f"left out, since the vocabulary has no vector of them: {', '.join(missing)}", stacklevel=2)
        unit = np.stack(list(known.values()))  # (W D)
        mean = ((unit @ unit.T).sum(1) - 1) / (len(known) - 1)
        return Outlier(list(known)[int(mean.argmin())], dict(zip(known, mean.tolist(), strict=True)), missing)

    def vector(self, word: str) -> np.ndarray | None:
        """The word's vector (D) at length 1, its own or a composed one; None when it has neither."""
        row = self.row(word)
        if row is not None:
            return self.unit[row]
        made = self._compose(word) if self._compose else None
        return None if made is None else unit_rows(made[None])[0]

    def _terms(self, query: str) -> list[tuple[int, str]]:
        """The signed words of a sum; a word of the vocabulary may hold spaces, or be the whole query."""
        if self.row(query) is not None:
            return [(1, query)]
        parts = [[""]]  # a sign and its words
        for part in query.split():
            parts = [*parts, [part]] if part in _SIGNS else [*parts[:-1], [*parts[-1], part]]
        terms = [(_SIGNS[sign or "+"], " ".join(words)) for sign, *words in parts if words or sign]
        several = [word for _, word in terms if " " in word]
        return terms if several and all(self.row(word) is not None for word in several) else parse(query)

    @cached_property
    def alike(self) -> float:
        """The mean cosine of two of the most frequent words: near 1 where the vectors have hardly begun to differ."""
        unit = self.unit[self.by_frequency[:_JUDGED]]
        number = len(unit)
        return float((np.linalg.norm(unit.sum(0)) ** 2 - number) / (number * (number - 1))) if number > 1 else 0.0

    def _warn_if_alike(self) -> None:
        if self.alike > TOO_ALIKE and not self._warned:
            self._warned = True
            wrong = f"the vectors of any two frequent words have a cosine of {self.alike:.2f} on average"
            warnings.warn(f"{wrong}: they have learnt too little to tell words apart; train longer, or on more text", stacklevel=4)

    def known(self, word: str) -> np.ndarray:
        """As `vector`; DataError, with words that are spelled alike, where there is none."""
        self._warn_if_alike()
        vector = self.vector(word)
        if vector is None:
            mend = self._spellings([word]) or "try another form of it, or lower tokenizer.min_count"
            raise DataError(f"{word!r} is not in the vocabulary, or has no vector", "a word that the corpus has often enough", mend)
        return vector

    def _spellings(self, words: Sequence[str]) -> str:
        """`did you mean 'river' or 'rivers'?` for words that the vocabulary lacks, nothing where nothing is near."""
        frequent = [self.tokens[row].removeprefix(" ") for row in self.by_frequency[:_SPELLINGS]]
        near: list[str] = []
        for word in words:
            alike = [known for known in frequent if abs(len(known) - len(word)) <= 2]
            near += difflib.get_close_matches(word.lower(), alike, n=3, cutoff=0.6)
        return f"did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""


def parse(query: str) -> list[tuple[int, str]]:
    """The signed words of a sum, blanks round its signs; a single word stands for itself, be it `-` or `well-known`.

    >>> parse("king - man + woman")
    [(1, 'king'), (-1, 'man'), (1, 'woman')]
    """
    parts = query.split()
    if len(parts) == 1:
        return [(1, parts[0])]
    if parts and parts[0] not in _SIGNS:
        parts = ["+", *parts]
    signs, words = parts[::2], parts[1::2]
    if len(signs) != len(words) or not words or any(sign not in _SIGNS for sign in signs):
        raise DataError(f"{query!r} is not a word or a sum of words", "words with + or - between", 'for example "king - man + woman"')
    return [(_SIGNS[sign], word) for sign, word in zip(signs, words, strict=True)]
