"""Character classes: what is a letter, a mark, Chinese, a symbol or a separator, as a table over all code points."""

import unicodedata
from functools import lru_cache

import numpy as np

from stemma.kernels.numbers import APOSTROPHE, HAN, MARK, SEPARATOR, SYMBOL, WORD

PLACES = 0x110000  # code points
# Google BERT's blocks of Chinese characters (tokenization.py), and the ideographic zero of 二〇一九.
HAN_BLOCKS = (
    (0x3007, 0x3007),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
JOINERS = (0x200C, 0x200D)  # keep Persian and Indic words, and emoji families, in one piece
UNICODE_VERSION = unicodedata.unidata_version  # the classes follow it: recorded with every tokenizer

_BY_CATEGORY = {"L": WORD, "N": WORD, "M": MARK, "P": SYMBOL, "S": SYMBOL, "Z": SEPARATOR, "C": SEPARATOR, "Cn": SYMBOL, "Co": SYMBOL}


@lru_cache(maxsize=1)
def word_classes() -> np.ndarray:
    """The class of every code point for words that keep their inner apostrophes (don't)."""
    classes = inner_classes().copy()
    classes[[ord("'"), ord("’")]] = APOSTROPHE
    return classes


@lru_cache(maxsize=1)
def inner_classes() -> np.ndarray:
    """The class of every code point for words that no punctuation joins."""
    classes = np.full(PLACES, SYMBOL, dtype=np.uint8)
    for low, high in ((0, 0x33480), (0xE0000, 0xE01F0)):  # elsewhere nothing is assigned but private use
        categories = [unicodedata.category(chr(code)) for code in range(low, high)]
        classes[low:high] = [_BY_CATEGORY.get(category) or _BY_CATEGORY[category[0]] for category in categories]
    classes[0xD800:0xE000] = SEPARATOR  # lone surrogates are no text
    classes[ord("_")] = WORD
    classes[list(JOINERS)] = MARK
    for low, high in HAN_BLOCKS:
        classes[low : high + 1] = HAN
    return classes


@lru_cache(maxsize=1)
def token_classes() -> np.ndarray:
    """All but KenLM's delimiters (lm/builder/corpus_count.cc) makes tokens; U+3000 is no delimiter."""
    classes = np.full(PLACES, WORD, dtype=np.uint8)
    classes[[0, 9, 10, 13, 32]] = SEPARATOR
    return classes


@lru_cache(maxsize=1)
def lower_codes() -> np.ndarray:
    """Each code point in lower case; 0 where its own bytes do not say which: İ, the Kelvin sign, Σ, ẞ and others."""
    lower = np.arange(PLACES, dtype=np.uint32)
    for code in range(0x20000):  # no letter beyond has two cases
        small = chr(code).lower()
        if small == chr(code):
            continue
        fits = len(small) == 1 and len(small.encode("utf-8", "surrogatepass")) == len(chr(code).encode("utf-8", "surrogatepass"))
        lower[code] = ord(small) if fits and code != ord("Σ") else 0
    return lower


def is_han(character: str) -> bool:
    """True for a Chinese character as BERT counts them, and for 〇."""
    code = ord(character)
    return code >= 0x3007 and any(low <= code <= high for low, high in HAN_BLOCKS)


def codes_of(text: str) -> np.ndarray:
    """The text's code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def bytes_of(text: str) -> np.ndarray:
    """The text in UTF-8."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
