"""What a vocabulary leaves out: how the unknown words of the text were spelt, for a model of spelling to learn from.

Where fewer than `LEAST` different words were left out, the rarest of the vocabulary stand in for those to come, once each.
Where a budget reads a part of the text, only what is left out of that part counts: the rest was never read.
Written into tokenizer.json under `model.stemma.outside`, a spelling and how often it is to be counted at the same place:

    {"version": 1, "spellings": ["thrice", "zwölf", "the"], "counts": [3, 2, 1]}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

VERSION = 1
LEAST, MOST = 1 << 14, 1 << 15  # different spellings that are kept: a few hundred KB


@dataclass(frozen=True)
class Outside:
    """Spellings of unknown words, and how often each counts."""

    spellings: tuple[str, ...]
    counts: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Its written form."""
        return {"version": VERSION, "spellings": self.spellings, "counts": self.counts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self | None:
        """From its written form; None where there is none of this version. ValueError where it does not count spellings."""
        if not data or data["version"] != VERSION:
            return None
        spellings, counts = tuple(data["spellings"]), tuple(data["counts"])
        whole = len(spellings) == len(counts) and all(type(spelling) is str and spelling for spelling in spellings)
        if not whole or not all(type(count) is int and 0 < count < 1 << 48 for count in counts):
            raise ValueError("what the vocabulary leaves out is no list of spellings with their counts")
        return cls(spellings, counts)


def left_out(counts: np.ndarray, kept: np.ndarray, spell: Callable[[np.ndarray], Sequence[str]]) -> Outside:
    """What the numbers of `kept` leave out of the words counted (W), evenly from frequent to rare; `spell` spells numbers."""
    inside = np.zeros(len(counts), bool)
    inside[kept] = True
    ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    out, known = ranked[~inside[ranked]], ranked[inside[ranked]]
    if len(out) > MOST:
        out = out[np.linspace(0, len(out) - 1, MOST).astype(np.int64)]
    rare = known[max(0, len(known) - max(0, LEAST - len(out))) :]
    return _writable(spell(np.concatenate([out, rare])), [*counts[out].tolist(), *[1] * len(rare)])


def rarest(tokens: Sequence[str]) -> Outside:
    """The last of the tokens, which come by falling frequency, for a tokenizer whose unknown words nobody counted."""
    return _writable(tokens[max(0, len(tokens) - LEAST) :], [1] * len(tokens))


def left_out_of_part(spellings: Mapping[str, int], known: Sequence[str]) -> Outside:
    """As `left_out`, of the unknown words of a part of the text by their counts, with the `known` words by falling frequency."""
    words, unknown = [*spellings, *known], len(spellings)
    counts = np.array([*spellings.values(), *range(len(known), 0, -1)], np.int64)
    return left_out(counts, np.arange(unknown, len(words)), lambda numbers: [words[number] for number in numbers.tolist()])


def left_out_of_targets(outside: Outside | None, tokens: Sequence[str], counts: np.ndarray, targets: slice) -> Outside:
    """As `left_out`, of what is outside and of the tokens after the `targets`, with how often (V) a text has each."""
    inside = set(tokens)
    unknown = {word: count for word, count in zip(outside.spellings, outside.counts, strict=True) if word not in inside} if outside else {}
    beyond = zip(tokens[targets.stop :], counts[targets.stop :].tolist(), strict=True)
    return left_out_of_part(unknown | {word: count for word, count in beyond if count}, tokens[targets])


def _writable(spellings: Sequence[str], counts: Sequence[int]) -> Outside:
    """All but what no file in UTF-8 can hold: halves of surrogate pairs."""
    pairs = [(word, count) for word, count in zip(spellings, counts, strict=False) if word and not _halved(word)]
    return Outside(tuple(word for word, _ in pairs), tuple(count for _, count in pairs))


def _halved(word: str) -> bool:
    return not word.isascii() and any("\ud800" <= character <= "\udfff" for character in word)
