"""Phrases: words that stand together far more often than by chance become one token, new_york (word2phrase).

A pass over the text joins neighbours a b whose score is above a threshold (Mikolov 2013b, eq. 6, as word2phrase.c
scales it), with N the words of the text and `min_count` its discount:

    ratio = (count(a b) - min_count) / (count(a) count(b)) x N         npmi = ln(p(a b) / (p(a) p(b))) / -ln p(a b)

from left to right, so that no word is in two phrases; a second pass can join what the first has joined. Symbols
are never part of a phrase, nor is one made that is spelt like a word of the text. A phrase that ends up rarer than
`min_count` is taken apart again, so no word gets lost by joining. Decoding writes the words with spaces.

A *unit* is a word or a phrase. U units; words come first, then phrases in the order they were found.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np

from stemma.tokens import words
from stemma.tokens.chinese import Segmenter
from stemma.tokens.outside import Outside, left_out
from stemma.tokens.sample import batches
from stemma.tokens.settings import SPECIALS, Config
from stemma.tokens.words import Words, room_for_more

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROOM = 1 << 24  # pairs held at a time while they are counted; more are counted in several readings
CHUNK = 1 << 20  # units read at a time
LONGEST = 1 << 16  # words of a phrase that is read from a file

Joins = list[list[tuple[int, int]]]  # pass -> pairs of units; their phrases have the next numbers


class Phrases:
    """Encodes and decodes by a list of words and phrases; what is in neither is unknown."""

    def __init__(self, config: Config, tokens: Sequence[str], base: Words, joins: Joins, outside: Outside | None = None) -> None:
        self.config, self.tokens, self.base, self.joins, self.outside = config, list(tokens), base, joins, outside
        self.words: Segmenter = base.words
        names, parts = _spelt(base.tokens, joins)
        self._passes = list(_lookups(len(base.tokens), joins))
        known = {token: i for i, token in enumerate(self.tokens)}
        spread: list[list[int]] = []  # unit -> its tokens: itself, or where it is none, those of its parts
        for unit, name in enumerate(names):
            if name in known or unit < len(base.tokens):
                spread.append([known.get(name, 0)])
            else:
                first, second = parts[unit]
                spread.append(spread[first] + spread[second])
        self._ends = np.cumsum([0, *map(len, spread)])
        self._spread = np.array(list(chain.from_iterable(spread)), np.int64)
        whole: list[list[int]] = [[unit] for unit in range(len(base.tokens))]  # unit -> its words
        for unit in range(len(base.tokens), len(names)):
            whole.append(whole[parts[unit][0]] + whole[parts[unit][1]])
        self._words = {known[name]: whole[unit] for unit, name in enumerate(names) if name in known}

    def grown(self, newer: "Phrases") -> "Phrases":
        """These words and phrases with their ids, then those of `newer` that are not among them; the pairs of both are joined."""
        base = Words(self.base.config, list(dict.fromkeys([*self.base.tokens, *newer.base.tokens])), self.words)
        number = {name: unit for unit, name in enumerate(base.tokens)}
        joins, none = cast(Joins, []), cast(list[tuple[str, str]], [])
        for old, new in zip_longest(_named(self), _named(newer), fillvalue=none):
            joins.append([])
            for pair in dict.fromkeys([*old, *new]):
                name = "_".join(pair)
                if name not in number:
                    joins[-1].append((number[pair[0]], number[pair[1]]))
                    number[name] = len(number)
        known = set(self.tokens)
        more = [token for token in newer.tokens if token not in known]
        return Phrases(self.config, [*self.tokens, *more[: room_for_more(newer.config, len(self.tokens))]], base, joins, newer.outside)

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, and how many each text has."""
        ids, lengths = self.base.encode_flat(texts)
        units, owners = ids.astype(np.int64), np.repeat(np.arange(len(texts)), lengths)
        for keys, phrases in self._passes:
            units, owners = join(units, owners, keys, phrases)
        sizes = np.diff(self._ends)[units]
        places = np.repeat(self._ends[units] - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes) + np.arange(sizes.sum())
        return self._spread[places].astype(np.uint32), np.bincount(np.repeat(owners, sizes), minlength=len(texts))

    def encode_offsets(self, text: str) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids, and the (start, end) of each in the raw text."""
        ids, _ = self.encode_flat([text])
        _, spans = self.base.encode_offsets(text)
        ends = np.cumsum([len(self._words[i]) for i in ids.tolist()]).tolist()
        return ids, [(spans[first][0], spans[end - 1][1]) for first, end in zip([0, *ends], ends, strict=False)]

    def drops(self, character: str) -> bool:
        """As of the words."""
        return self.base.drops(character)

    def decode(self, ids: Iterable[int]) -> str:
        """The words of the ids, as without phrases."""
        return self.base.decode([word for i in ids for word in self._words[i]])

    def to_rust(self) -> "Tokenizer":
        """The vocabulary as a `tokenizers.Tokenizer`, which does not join words."""
        return Words(self.config, self.tokens, self.words).to_rust()

    def as_json(self) -> dict:
        """What makes the same phrases again: the words, and the pairs of units of each pass."""
        return {"words": self.base.tokens[len(SPECIALS[self.config.kind]) :], "passes": self.joins}


def from_json(config: Config, tokens: Sequence[str], words: Segmenter, kept: dict, outside: Outside | None) -> Phrases:
    """The phrases that `as_json` gave."""
    base = Words(config, [*SPECIALS[config.kind].values(), *kept["words"]], words)
    joins = [[(first, second) for first, second in found] for found in kept["passes"]]
    sizes = [1] * len(base.tokens)  # words of each unit
    for found in joins:
        if not all(type(unit) is int and 0 <= unit < len(sizes) for pair in found for unit in pair):
            raise ValueError("a pass joins units that are not there before it")
        sizes += [sizes[first] + sizes[second] for first, second in found]
        if max(sizes) > LONGEST:
            raise ValueError(f"a phrase of {max(sizes):,} words")
    return Phrases(config, tokens, base, joins, outside)


def join(units: np.ndarray, owners: np.ndarray, keys: np.ndarray, phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One pass over the units (and the text that owns each): pairs a << 32 | b found in the sorted `keys` become their phrase."""
    if len(units) < 2 or not len(keys):
        return units, owners
    pairs = units[:-1] << 32 | units[1:]
    at = np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)
    hits = (keys[at] == pairs) & (owners[:-1] == owners[1:])
    places = np.arange(len(pairs))
    before = np.maximum.accumulate(np.where(hits, -1, places))  # the last place that was no hit
    taken = np.flatnonzero(hits & ((places - before) % 2 == 1))  # of hits in a row, every other one
    joined, kept = units.copy(), np.ones(len(units), bool)
    joined[taken], kept[taken + 1] = phrases[at[taken]], False
    return joined[kept], owners[kept]


def learn(texts: Iterator[str], config: Config) -> Phrases:
    """The words and phrases of the texts. Memory grows with the distinct words alone; texts and ids wait in temporary files."""
    with TemporaryDirectory(prefix="stemma-phrases-") as folder:
        spool = Path(folder) / "texts"
        base = words.learn(_spooled(texts, spool), replace(config, phrases=0, min_count=1, vocab_size=0))
        text = _Text(Path(folder), spool, base)
        names, joins = list(base.tokens), []
        able = [any(map(str.isalnum, name)) for name in names]
        able[: len(SPECIALS[config.kind])] = [False] * len(SPECIALS[config.kind])
        for threshold in _thresholds(config):
            taken = set(names)
            found = [pair for pair in text.pairs(np.array(able), config, threshold) if "_".join(names[u] for u in pair) not in taken]
            joins.append(found)
            names += ["_".join(names[unit] for unit in pair) for pair in found]
            able += [True] * len(found)
            text.join(len(names) - len(found), found)
        counts = text.counts(len(names))
    return _vocabulary(config, base, names, joins, counts)


class _Text:
    """The text as units on disk, rewritten by each pass."""

    def __init__(self, folder: Path, spool: Path, base: Words) -> None:
        self._units, self._owners = folder / "units", folder / "owners"
        number = 0
        with self._units.open("wb") as units, self._owners.open("wb") as owners, spool.open(encoding="utf-8", newline="\n") as lines:
            for batch in batches(line.rstrip("\n") for line in lines):
                ids, lengths = base.encode_flat(batch)
                units.write(ids.astype("<i8").tobytes())
                owners.write(np.repeat(np.arange(number, number + len(batch)), lengths).astype("<i8").tobytes())
                number += len(batch)

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Units and owners, some texts at a time, each text whole."""
        if not self._units.stat().st_size:
            return
        units, owners = (np.memmap(path, "<i8", "r") for path in (self._units, self._owners))
        first = 0
        while first < len(units):
            end = min(first + CHUNK, len(units))
            end = int(np.searchsorted(owners, owners[end - 1], side="right"))
            yield np.array(units[first:end]), np.array(owners[first:end])
            first = end

    def counts(self, names: int) -> np.ndarray:
        """How often each unit stands in the text."""
        return sum((np.bincount(units, minlength=names) for units, _ in self._chunks()), np.zeros(names, np.int64))

    def pairs(self, able: np.ndarray, config: Config, threshold: float) -> list[tuple[int, int]]:
        """The pairs of units whose score is above the threshold, in the order of their numbers."""
        counts = self.counts(len(able))
        total, able = int(counts.sum()), able & (counts >= config.min_count)
        found = []
        parts = 1 + total // ROOM
        for part in range(parts):  # so many readings that the pairs of each fit into memory
            keys = [np.zeros(0, np.int64)]
            for units, owners in self._chunks():
                good = able[units[:-1]] & able[units[1:]] & (owners[:-1] == owners[1:])
                key = (units[:-1] << 32 | units[1:])[good]
                keys.append(key[(key * 0x9E3779B1 >> 16) % parts == part] if parts > 1 else key)
            distinct, times = np.unique(np.concatenate(keys), return_counts=True)
            first, second = counts[distinct >> 32].astype(float), counts[distinct & 0xFFFFFFFF].astype(float)
            found.append(distinct[_score(times, first, second, total, config) > threshold])
        return [(key >> 32, key & 0xFFFFFFFF) for key in np.sort(np.concatenate(found)).tolist()]

    def join(self, first: int, found: list[tuple[int, int]]) -> None:
        """Rewrites the text with the pairs joined; their phrases are numbered from `first`."""
        ((keys, phrases),) = _lookups(first, [found])
        units, owners = (path.with_name(f"{path.name}.joined") for path in (self._units, self._owners))
        with units.open("wb") as one, owners.open("wb") as other:
            for chunk in self._chunks():
                joined, whose = join(*chunk, keys, phrases)
                one.write(joined.tobytes())
                other.write(whose.tobytes())
        units.replace(self._units)
        owners.replace(self._owners)


def _score(times: np.ndarray, first: np.ndarray, second: np.ndarray, total: int, config: Config) -> np.ndarray:
    if config.phrase_score == "ratio":
        return (times - config.min_count) / (first * second) * total
    enough = times >= config.min_count
    share = np.minimum(times / max(total, 1), 1 - 1e-9)  # a text of one pair alone has no logarithm to divide by
    return np.where(enough, np.log(share * total / first * total / second) / -np.log(share), -np.inf)


def _thresholds(config: Config) -> list[float]:
    """The passes' thresholds: the ratio's is halved from pass to pass (word2phrase's demo: 200, then 100)."""
    steps = range(config.phrases - 1, -1, -1)
    return [config.phrase_threshold * (2**step if config.phrase_score == "ratio" else 1) for step in steps]


def _vocabulary(config: Config, base: Words, names: list[str], joins: Joins, counts: np.ndarray) -> Phrases:
    """The units that are frequent enough, and of the words also those that phrases are made of."""
    pairs = list(chain.from_iterable(joins))
    size, specials = len(base.tokens), list(SPECIALS[config.kind].values())
    counts = counts.copy()
    for unit in range(len(names) - 1, size - 1, -1):  # the latest first: its parts may be phrases
        if counts[unit] < config.min_count:
            for part in pairs[unit - size]:
                counts[part] += counts[unit]
            counts[unit] = 0
    counts[: len(specials)] = 0
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts >= config.min_count)]
    order = order[: config.vocab_size - len(specials) if config.vocab_size else None]
    if config.kind == "whitespace":  # KenLM's own order of ids
        order = np.sort(order)
    kept = sorted({*order[order < size].tolist(), *(part for pair in pairs for part in pair if part < size)})
    number = {unit: len(specials) + place for place, unit in enumerate(kept)}
    number |= {size + n: len(specials) + len(kept) + n for n in range(len(pairs))}
    smaller = Words(replace(config, phrases=0), [*specials, *(names[unit] for unit in kept)], base.words)
    renumbered = [[(number[first], number[second]) for first, second in found] for found in joins]
    outside = left_out(counts[:size], order[order < size], lambda units: [names[unit] for unit in units.tolist()])
    return Phrases(config, [*specials, *(names[unit] for unit in order.tolist())], smaller, renumbered, outside)


def _lookups(size: int, joins: Joins) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each pass's pairs as sorted keys, and the unit that each becomes; `size` is the first phrase's number."""
    for found in joins:
        keys = np.array([first << 32 | second for first, second in found], np.int64)
        order = np.argsort(keys)
        yield keys[order], size + order
        size += len(found)


def _spelt(tokens: Sequence[str], joins: Joins) -> tuple[list[str], dict[int, tuple[int, int]]]:
    """How each unit is written, and the parts of each phrase."""
    names, parts = list(tokens), {}
    for first, second in chain.from_iterable(joins):
        parts[len(names)] = (first, second)
        names.append(f"{names[first]}_{names[second]}")
    return names, parts


def _named(phrases: Phrases) -> list[list[tuple[str, str]]]:
    """Each pass's pairs as they are written."""
    names, _ = _spelt(phrases.base.tokens, phrases.joins)
    return [[(names[first], names[second]) for first, second in found] for found in phrases.joins]


def _spooled(texts: Iterable[str], path: Path) -> Iterator[str]:
    """The texts as they come, kept one a line in the file."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text in texts:
            file.write(text.replace("\n", " ") + "\n")
            yield text
