"""Characters as tokens: every code point one id, found by table; spaces are shown as ▁, so that decoding is exact."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from stemma.tokens.chinese import SAMPLE, Segmenter, chosen
from stemma.tokens.outside import Outside, left_out
from stemma.tokens.sample import batches
from stemma.tokens.scripts import PLACES, codes_of
from stemma.tokens.settings import SPECIALS, Config
from stemma.tokens.word_starts import ends_by_size

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"  # how token() shows a space; a ▁ in the text is therefore unknown
UNKNOWN = "\ufffd"  # what an unknown character is decoded to


class Characters:
    """Encodes and decodes by a list of characters; one that is not in the list is unknown."""

    def __init__(self, config: Config, tokens: Sequence[str], words: Segmenter, outside: Outside | None = None) -> None:
        self.config, self.tokens, self.words, self.outside = config, list(tokens), words, outside
        self._table = np.zeros(PLACES, dtype=np.uint32)
        specials = len(SPECIALS["char"])
        characters = [" " if token == SPACE else token for token in self.tokens[specials:]]
        self._table[[ord(c) for c in characters]] = np.arange(specials, len(self.tokens), dtype=np.uint32)
        self._shown = [UNKNOWN, "", "", *characters]

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, and how many each text has."""
        if self.config.lowercase:
            texts = [text.lower() for text in texts]
        return self._table[codes_of("".join(texts))], np.array([len(text) for text in texts], dtype=np.int64)

    def encode_ends(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ids of all texts, how many each has, and the characters of its text before the end of each token."""
        ids, lengths = self.encode_flat(texts)
        sizes = np.ones(len(ids), np.int64)
        ends, unfit = ends_by_size(texts, lengths, sizes, lambda codes: np.ones(len(codes), np.int64), 0)
        for i in np.flatnonzero(unfit).tolist():  # a letter that is two in lower case
            first = int(lengths[:i].sum())
            ends[first : first + lengths[i]] = [end for _, end in self.encode_offsets(texts[i])[1]]
        return ids, lengths, ends

    def spellings(self, texts: Sequence[str], chosen: np.ndarray) -> list[str]:
        """The characters for which `chosen` (N) is true, over all characters of the texts."""
        joined = "".join(text.lower() if self.config.lowercase else text for text in texts)
        return [joined[place] for place in np.flatnonzero(chosen).tolist()]

    def encode_offsets(self, text: str) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids, and the (start, end) of each in the raw text."""
        widths = [len(c.lower()) for c in text] if self.config.lowercase else [1] * len(text)
        return self.encode_flat([text])[0], [(i, i + 1) for i, width in enumerate(widths) for _ in range(width)]

    def drops(self, character: str) -> bool:
        """Every character is a token."""
        return False

    def decode(self, ids: Iterable[int]) -> str:
        """The characters as they stood; an unknown one is shown as U+FFFD."""
        return "".join(self._shown[i] for i in ids)

    def to_rust(self) -> "Tokenizer":
        """The same rules as a `tokenizers.Tokenizer`, with the specials alone as its vocabulary."""
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

        specials = SPECIALS["char"].values()
        rust = Tokenizer(models.WordLevel({token: i for i, token in enumerate(specials)}, "<unk>"))
        steps = [normalizers.Lowercase()] if self.config.lowercase else []
        rust.normalizer = normalizers.Sequence([*steps, normalizers.Replace(SPACE, "\uffff"), normalizers.Replace(" ", SPACE)])
        rust.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        rust.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(SPACE, " ")])
        return rust


def learn(texts: Iterator[str], config: Config) -> Characters:
    """The characters of the texts by count, ties by code point."""
    counts = np.zeros(PLACES, dtype=np.int64)
    head = list(islice(texts, SAMPLE))
    for batch in batches(chain(head, texts)):
        text = "".join(batch)
        codes = codes_of(text.lower() if config.lowercase else text)
        seen, times = np.unique(codes, return_counts=True)
        counts[seen] += times
    counts[ord(SPACE)] = 0
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts >= config.min_count)]
    specials = list(SPECIALS["char"].values())
    order = order[: config.vocab_size - len(specials) if config.vocab_size else None]
    outside = left_out(counts, order, lambda codes: [chr(code) for code in codes])
    return Characters(
        config, specials + [SPACE if code == 32 else chr(code) for code in order], chosen(config.words, head, config.dictionary), outside
    )
