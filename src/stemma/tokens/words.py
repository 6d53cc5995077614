"""Words as tokens: split at white space alone (KenLM's manner) or also at punctuation, Chinese cut by a segmenter."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, compress, islice
from typing import TYPE_CHECKING

import numpy as np

from stemma.kernels.numbers import SEPARATOR
from stemma.tokens.chinese import GIVEN, SAMPLE, Segmenter, chosen, spoken
from stemma.tokens.dropped import Dropped
from stemma.tokens.few_words import FewWords, spaced_once
from stemma.tokens.outside import Outside, left_out
from stemma.tokens.sample import batches
from stemma.tokens.scripts import HAN_BLOCKS, bytes_of, codes_of, lower_codes, token_classes, word_classes
from stemma.tokens.settings import SPECIALS, Config

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from stemma.kernels.word_table import WordTable

_JSON_HAN = "[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in HAN_BLOCKS) + "]"
_JSON_MARK = r"[\p{M}\x{200C}\x{200D}]"
_JSON_WORD = rf"(?:(?!{_JSON_HAN})[\p{{L}}\p{{N}}_]|{_JSON_MARK})+"
_JSON_SYMBOL = r"(?!_)[\p{P}\p{S}\p{Co}\p{Cn}]"
# The rules of `scan` in the syntax of tokenizer.json, for the programs that open it.
JSON_WORDS = (
    rf"{_JSON_WORD}(?:['’]{_JSON_WORD})*|{_JSON_HAN}(?:{_JSON_HAN}|{_JSON_MARK})*"
    rf"|{_JSON_SYMBOL}(?:{_JSON_MARK}+(?:{_JSON_SYMBOL})?)*"
)
JSON_TOKENS = r"[^\x{0}\t\n\r ]+"


class Words:
    """Encodes and decodes by a list of words; a word that is not in the list is unknown."""

    def __init__(self, config: Config, tokens: Sequence[str], words: Segmenter, outside: Outside | None = None) -> None:
        self.config, self.words, self.tokens, self.outside = config, words, list(tokens), outside
        self._specials = len(SPECIALS[config.kind])  # not looked up: text cannot forge a special
        self._few = FewWords(config.kind == "whitespace", words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        """The id of each word that is no special."""
        return {token: i for i, token in enumerate(self.tokens) if i >= self._specials}

    @cached_property
    def _table(self) -> "WordTable":
        """The same for compiled code."""
        from stemma.kernels.word_table import WordTable  # Numba takes half a second: only where many words are cut

        table = WordTable()
        known = [token.encode("utf-8", "surrogatepass") for token in self.tokens[self._specials :]]
        ends = np.cumsum([0, *map(len, known)], dtype=np.int64)
        table.add(np.frombuffer(b"".join(known), np.uint8), ends[:-1], ends[1:])
        return table

    def grown(self, newer: "Words") -> "Words":
        """These words with their ids, then those of `newer` that are not among them, as many as its config has room for."""
        old = set(self.tokens)
        new = [token for token in newer.tokens if token not in old]
        return Words(self.config, [*self.tokens, *new[: room_for_more(newer.config, len(self.tokens))]], self.words, newer.outside)

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, and how many each text has."""
        if self._few.takes(texts):
            ids = self._ids
            cut = [[ids.get(text[start:end], 0) for start, end in self._few.borders(text)] for text in map(self._lower, texts)]
            return np.fromiter(chain.from_iterable(cut), np.uint32), np.fromiter(map(len, cut), np.int64, len(cut))
        numbers, lengths = self._table.number_texts(*_bytes(texts, self.config, self.words))
        return np.where(numbers > 0, numbers + np.uint32(self._specials - 1), np.uint32(0)), lengths

    def spellings(self, texts: Sequence[str], chosen: np.ndarray) -> list[str]:
        """How those words are spelt for which `chosen` (N) is true, over all words of the texts."""
        joined = "\n".join(map(self._lower, texts))
        if self._few.takes(texts):
            return [joined[start:end] for start, end in compress(self._few.borders(joined), chosen.tolist())]
        starts, ends = self._borders(joined)
        return [joined[start:end] for start, end in zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)]

    def give_back(self, texts: Sequence[str]) -> list[str]:
        """What each text's words are written as, unknown ones spelt as they are there: all that its tokens keep of it."""
        if self.config.kind == "whitespace":
            return list(map(spaced_once, texts))
        ids, lengths = self.encode_flat(texts)
        words = self.spellings(texts, np.ones(len(ids), bool))
        shown = (
            words if self.words is GIVEN else [word if known else self.tokens[0] for word, known in zip(words, ids.tolist(), strict=True)]
        )
        ends = np.cumsum(lengths).tolist()
        parts = [slice(end - length, end) for end, length in zip(ends, lengths.tolist(), strict=True)]
        return [" ".join(words[part]) if self.words is GIVEN else spoken(shown[part], words[part]) for part in parts]

    def encode_offsets(self, text: str) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids, and the (start, end) of each in the raw text."""
        lowered = self._lower(text)
        if self._few.takes([text]):
            spans = self._few.borders(lowered)
        else:
            starts, ends = self._borders(lowered)
            spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
        return self.encode_flat([text])[0], spans if len(lowered) == len(text) else _raw_places(text, spans)

    def _borders(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        from stemma.kernels.word_scan import borders

        codes = codes_of(text)
        found: tuple[np.ndarray, np.ndarray] = borders(codes, self.words.cuts(text, codes), _classes(self.config))
        return found

    def _lower(self, text: str) -> str:
        return text.lower() if self.config.lowercase else text

    def drops(self, character: str) -> bool:
        """True where the character parts words and is in none."""
        return bool(_classes(self.config)[ord(character)] == SEPARATOR)

    def decode(self, ids: Iterable[int]) -> str:
        """The words joined by spaces, or as Chinese is written where a segmenter cut them."""
        words = [self.tokens[i] for i in ids]
        return " ".join(words) if self.words is GIVEN else spoken(words)

    def to_rust(self) -> "Tokenizer":
        """The same rules as a `tokenizers.Tokenizer` (which cannot segment Chinese), with the specials alone as its vocabulary."""
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

        specials = self.tokens[: self._specials]
        rust = Tokenizer(models.WordLevel({token: i for i, token in enumerate(specials)}, SPECIALS[self.config.kind]["unk"]))
        if self.config.lowercase:
            rust.normalizer = normalizers.Lowercase()
        pattern = JSON_TOKENS if self.config.kind == "whitespace" else JSON_WORDS
        rust.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        return rust


def _classes(config: Config) -> np.ndarray:
    return token_classes() if config.kind == "whitespace" else word_classes()


def _bytes(texts: Sequence[str], config: Config, words: Segmenter) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a `WordTable` reads: the texts in UTF-8, where each ends, the classes, and where the segmenter cuts."""
    joined = "\n".join(texts)
    data = _lowered(joined) if config.lowercase else bytes_of(joined)
    stops = np.append(np.flatnonzero(data == ord("\n")), len(data))
    if len(stops) != len(texts):  # line ends inside the texts
        sizes = [len((text.lower() if config.lowercase else text).encode("utf-8", "surrogatepass")) for text in texts]
        stops = np.cumsum(np.add(sizes, 1)) - 1
    return data, stops, _classes(config), _cuts(data, words)


def _lowered(text: str) -> np.ndarray:
    """The text in lower case, in UTF-8."""
    from stemma.kernels.word_table import lower

    data = bytes_of(text)
    lowered = np.empty_like(data)
    return lowered if lower(data, lower_codes(), lowered) else bytes_of(text.lower())


def _cuts(data: np.ndarray, words: Segmenter) -> np.ndarray:
    """For each byte, whether the segmenter starts a word there; empty where it has nothing to cut."""
    if words is GIVEN or not (data >= 0xE3).any():  # in UTF-8 every Chinese character begins with such a byte
        return np.zeros(0, dtype=bool)
    text = data.tobytes().decode("utf-8", "surrogatepass")
    found = words.cuts(text, codes_of(text))
    if len(found) == 0:
        return found
    cuts = np.zeros(len(data), dtype=bool)
    cuts[np.flatnonzero(data & 0xC0 != 0x80)[found]] = True
    return cuts


def _raw_places(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of the lower-cased text as spans of the text: İ becomes two characters there."""
    places = [i for i, character in enumerate(text) for _ in character.lower()]
    return [(places[start], places[end - 1] + 1) for start, end in spans]


class Learner:
    """Counts the words of texts and numbers them by first appearance; ids are known once all texts have been seen."""

    def __init__(self, head: Sequence[str], config: Config) -> None:
        """`head` are the first texts (they are not counted): they tell whether Chinese words are given."""
        from stemma.kernels.word_table import WordTable  # Numba takes half a second: only where words are cut

        self._config, self._words = config, GIVEN if config.kind == "whitespace" else chosen(config.words, head, config.dictionary)
        self._table = WordTable()
        self.fingerprint = None  # its numbers mean nothing to another learner
        self.dropped = Dropped(lambda character: bool(_classes(config)[ord(character)] == SEPARATOR))

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of all words one after the other, and how many each text has. Counts them."""
        numbers, lengths = self._table.count_texts(*_bytes(texts, self._config, self._words))
        return numbers - np.uint32(1), lengths

    def encode_words(self, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> tuple[np.ndarray, np.ndarray, None]:
        """As `encode_flat`; every token begins a word, whatever stands before its text."""
        return *self.encode_flat(texts), None

    def finish(self) -> tuple[Words, np.ndarray]:
        """The words by count, ties by first appearance (`word`), or by first appearance (`whitespace`); and each number's id."""
        tokens, order = _kept(self._table, self._config)
        ids = np.zeros(self._table.size, dtype=np.uint32)
        ids[order] = np.arange(len(tokens) - len(order), len(tokens))
        return Words(self._config, tokens, self._words, left_out(self._table.counts, order, self._table.words)), ids


def room_for_more(config: Config, tokens: int) -> int | None:
    """How many tokens may still be added; None: any number."""
    return max(0, config.vocab_size - tokens) if config.vocab_size else None


def learn(texts: Iterator[str], config: Config) -> Words:
    """The words of the texts."""
    head = list(islice(texts, SAMPLE))
    learner = Learner(head, config)
    for batch in batches(chain(head, texts)):
        learner.encode_flat(batch)
    return learner.finish()[0]


def _kept(table: "WordTable", config: Config) -> tuple[list[str], np.ndarray]:
    """The tokens, specials first, and the numbers in the table of those after the specials."""
    specials = list(SPECIALS[config.kind].values())
    order = np.argsort(-table.counts, kind="stable")[: np.count_nonzero(table.counts >= config.min_count)]
    room = config.vocab_size - len(specials) if config.vocab_size else len(order)
    order = order[: room + len(specials)]  # a few more, should the text write specials
    known = dict(zip(order.tolist(), table.words(order), strict=True))
    order = np.array([i for i in order.tolist() if known[i] not in specials][:room], dtype=np.int64)
    if config.kind == "whitespace":  # KenLM's own order of ids
        order = np.sort(order)
    return specials + [known[i] for i in order.tolist()], order
