"""Character classes, as the insides of regular-expression brackets: Chinese, word characters, marks, symbols."""

import sys
import unicodedata
from functools import lru_cache

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
UNICODE_VERSION = unicodedata.unidata_version  # classes follow it: recorded with every tokenizer


def is_han(character: str) -> bool:
    """True for a Chinese character as BERT counts them, and for 〇."""
    code = ord(character)
    return code >= 0x3007 and any(low <= code <= high for low, high in HAN_BLOCKS)


def _brackets(blocks: list[tuple[int, int]]) -> str:
    return "".join(f"\\U{low:08x}-\\U{high:08x}" if high > low else f"\\U{low:08x}" for low, high in blocks)


@lru_cache(maxsize=1)
def _blocks() -> dict[str, list[tuple[int, int]]]:
    """Runs of code points by class: w word, m mark, s symbol; separators and controls are in none."""
    blocks: dict[str, list[tuple[int, int]]] = {"w": [], "m": [], "s": []}
    for low, high in ((0, 0x33480), (0xE0100, 0xE01F0)):  # what Unicode has assigned, private planes aside
        for code in range(low, high):
            kind = _kind(code)
            if kind:
                runs = blocks[kind]
                if runs and runs[-1][1] == code - 1:
                    runs[-1] = (runs[-1][0], code)
                else:
                    runs.append((code, code))
    blocks["s"].append((0xF0000, sys.maxunicode))
    return blocks


def _kind(code: int) -> str:
    category = unicodedata.category(chr(code))
    if category[0] == "M" or code in JOINERS:
        return "m"
    if is_han(chr(code)):
        return ""
    if category[0] in "LN" or code == 0x5F:
        return "w"
    return "s" if category[0] in "PS" or category in ("Co", "Cn") else ""


HAN = _brackets(list(HAN_BLOCKS))
WORD = _brackets(_blocks()["w"])
MARK = _brackets(_blocks()["m"])
SYMBOL = _brackets(_blocks()["s"])
