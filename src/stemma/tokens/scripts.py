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
ASSIGNED = ((0, 0x33480), (0xE0000, 0xE01F0))  # elsewhere stand private use, and code points that mean nothing yet
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
    for low, high in HAN_BLOCKS:
        classes[low : high + 1] = HAN
    codes = [code for low, high in ASSIGNED for code in np.flatnonzero(classes[low:high] != HAN) + low]
    categories = map(unicodedata.category, map(chr, codes))
    classes[codes] = [_BY_CATEGORY.get(category) or _BY_CATEGORY[category[0]] for category in categories]
    classes[0xD800:0xE000] = SEPARATOR  # lone surrogates are no text
    classes[ord("_")] = WORD
    classes[list(JOINERS)] = MARK
    return classes


def class_of(code: int) -> int:
    """The class of one code point, as `word_classes` has it: the table of all takes a twentieth of a second."""
    if code in (ord("'"), ord("’")):
        return APOSTROPHE
    if code in JOINERS or code == ord("_"):
        return MARK if code in JOINERS else WORD
    character = chr(code)
    if is_han(character):
        return HAN
    category = unicodedata.category(character)
    return SEPARATOR if category == "Cs" else _BY_CATEGORY.get(category) or _BY_CATEGORY[category[0]]


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
    codes = np.delete(lower[:0x20000], [ord("İ"), ord("Σ")])  # no letter beyond has two cases; İ becomes two characters
    small = codes_of("".join(map(chr, codes.tolist())).lower())  # all at once: but for Σ, no letter minds its neighbours
    lower[codes] = np.where(byte_widths(small) == byte_widths(codes), small, 0)
    lower[[ord("İ"), ord("Σ")]] = 0
    return lower


def is_han(character: str) -> bool:
    """True for a Chinese character as BERT counts them, and for 〇."""
    code = ord(character)
    return code >= 0x3007 and any(low <= code <= high for low, high in HAN_BLOCKS)


def codes_of(text: str) -> np.ndarray:
    """The text's code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def byte_widths(codes: np.ndarray) -> np.ndarray:
    """How many bytes each code point takes in UTF-8."""
    return 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)


def bytes_of(text: str) -> np.ndarray:
    """The text in UTF-8."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
