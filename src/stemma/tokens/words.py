"""Words as tokens: split at white space alone (KenLM's manner) or also at punctuation, Chinese cut by a segmenter."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from stemma.tokens.chinese import HAN_RUN, Segmenter, is_given, segmenter, spoken
from stemma.tokens.scripts import HAN, HAN_BLOCKS, MARK, SYMBOL, WORD
from stemma.tokens.settings import SPECIALS, Config

# A word keeps its inner apostrophes (don't); a symbol takes its marks and joiners along (❤️).
WORDS = re.compile(
    f"[{WORD}{MARK}]+(?:['’][{WORD}{MARK}]+)*|[{HAN}][{HAN}{MARK}]*|[{SYMBOL}](?:[{MARK}]+[{SYMBOL}]?)*"
)
_HAN = "[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in HAN_BLOCKS) + "]"
_WORD = rf"(?:(?!{_HAN})[\p{{L}}\p{{N}}_]|[\p{{M}}\x{{200C}}\x{{200D}}])+"
JSON_WORDS = (  # the same in the syntax of tokenizer.json
    rf"{_WORD}(?:['’]{_WORD})*|{_HAN}(?:{_HAN}|[\p{{M}}\x{{200C}}\x{{200D}}])*"
    r"|[\p{P}\p{S}\p{Co}\p{Cn}](?:[\p{M}\x{200C}\x{200D}]+[\p{P}\p{S}\p{Co}\p{Cn}]?)*"
)
TOKENS = re.compile("[^\0\t\n\r ]+")  # KenLM's delimiters (lm/builder/corpus_count.cc); U+3000 is none
SAMPLE = 1000  # texts that tell whether Chinese words are given


class Words:
    """Encodes and decodes by a list of words; a word that is not in the list is unknown."""

    def __init__(self, config: Config, tokens: Sequence[str], words: Segmenter) -> None:
        self.config, self.words, self.tokens = config, words, list(tokens)
        specials = len(SPECIALS[config.kind])  # never looked up: text cannot forge a special
        self._index = {token: i for i, token in enumerate(self.tokens) if i >= specials}
        self._pattern = TOKENS if config.kind == "whitespace" else WORDS

    def split(self, text: str) -> list[str]:
        """The text's words in their normal form."""
        if self.config.lowercase:
            text = text.lower()
        if self.config.kind == "word" and self.words.name != "given":
            text = self.words.spaced(text)
        return self._pattern.findall(text)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text."""
        get = self._index.get
        return [np.array([get(word, 0) for word in self.split(text)], dtype=np.uint32) for text in texts]

    def encode_offsets(self, text: str) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids, and the (start, end) of each in the raw text."""
        lowered = text.lower() if self.config.lowercase else text
        spans = list(self._spans(lowered))
        ids = np.array([self._index.get(lowered[start:end], 0) for start, end in spans], dtype=np.uint32)
        return ids, spans if len(lowered) == len(text) else _raw_places(text, spans)

    def decode(self, ids: Iterable[int]) -> str:
        """The words joined by spaces, but none between the words of a Chinese run that a segmenter cut."""
        words = [self.tokens[i] for i in ids]
        if self.config.kind == "whitespace" or self.words.name == "given":
            return " ".join(words)
        return spoken(words)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        cut = self.config.kind == "word" and self.words.name != "given"
        for match in self._pattern.finditer(text):
            if not cut or not HAN_RUN.search(match[0]):
                yield match.span()
                continue
            start = match.start()
            for run in re.split(f"([{HAN}]+)", match[0]):
                for word in self.words.cut(run) if HAN_RUN.match(run) else [run] * bool(run):
                    yield start, start + len(word)
                    start += len(word)

    def to_rust(self):
        """The same vocabulary as a `tokenizers.Tokenizer` (which cannot segment Chinese)."""
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

        unknown = SPECIALS[self.config.kind]["unk"]
        rust = Tokenizer(models.WordLevel({token: i for i, token in enumerate(self.tokens)}, unknown))
        if self.config.lowercase:
            rust.normalizer = normalizers.Lowercase()
        pattern = r"[^\x{0}\t\n\r ]+" if self.config.kind == "whitespace" else JSON_WORDS
        rust.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        return rust


def _raw_places(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of the lower-cased text as spans of the text: İ becomes two characters there."""
    places = [i for i, character in enumerate(text) for _ in character.lower()]
    return [(places[start], places[end - 1] + 1) for start, end in spans]


def learn(texts: Iterator[str], config: Config) -> Words:
    """The words of the texts: by count, ties by first appearance (`word`), or by first appearance (`whitespace`)."""
    head = list(islice(texts, SAMPLE))
    name = config.words
    if config.kind == "whitespace" or (name == "auto" and is_given(head)):
        name = "given"
    cutter = Words(config, [], segmenter("rjieba" if name == "auto" else name))
    counts: Counter[str] = Counter()  # keeps the order of first appearance
    for text in chain(head, texts):
        counts.update(cutter.split(text))
    return Words(config, _kept(counts, config), cutter.words)


def _kept(counts: Counter[str], config: Config) -> list[str]:
    specials = list(SPECIALS[config.kind].values())
    room = config.vocab_size - len(specials) if config.vocab_size else None
    words = [word for word, count in counts.items() if count >= config.min_count and word not in specials]
    by_count = sorted(words, key=counts.__getitem__, reverse=True)[:room]  # sorted() is stable: ties by first appearance
    if config.kind == "whitespace":  # KenLM's own order of ids
        frequent = set(by_count)
        by_count = [word for word in words if word in frequent]
    return specials + by_count
