"""Counts the characters of a text by script: Latin, Han, kana, hangul, Cyrillic, Greek, digits, punctuation..."""

from collections import Counter
from functools import cache

import numpy as np

SCRIPTS = ("Latin", "Han", "kana", "hangul", "Cyrillic", "Greek", "Arabic", "digits", "punctuation", "space", "emoji", "other")
LETTERS = SCRIPTS[:7]
_RANGES = (  # later ranges overrule earlier ones
    ("punctuation", 0x21, 0x7E),
    ("space", 0x09, 0x0D),
    ("space", 0x20, 0x20),
    ("digits", 0x30, 0x39),
    ("Latin", 0x41, 0x5A),
    ("Latin", 0x61, 0x7A),
    ("punctuation", 0xA1, 0xBF),
    ("space", 0xA0, 0xA0),
    ("Latin", 0xC0, 0x24F),
    ("punctuation", 0xD7, 0xD7),
    ("punctuation", 0xF7, 0xF7),
    ("Latin", 0x250, 0x2AF),
    ("Greek", 0x370, 0x3FF),
    ("Cyrillic", 0x400, 0x52F),
    ("Arabic", 0x600, 0x6FF),
    ("digits", 0x660, 0x669),
    ("hangul", 0x1100, 0x11FF),
    ("Latin", 0x1E00, 0x1EFF),
    ("Greek", 0x1F00, 0x1FFF),
    ("space", 0x2000, 0x200A),
    ("punctuation", 0x2010, 0x2027),
    ("punctuation", 0x2030, 0x205E),
    ("emoji", 0x2600, 0x27BF),
    ("Han", 0x2E80, 0x2FDF),
    ("space", 0x3000, 0x3000),
    ("punctuation", 0x3001, 0x3004),
    ("Han", 0x3005, 0x3007),
    ("punctuation", 0x3008, 0x3020),
    ("kana", 0x3041, 0x30FF),
    ("punctuation", 0x30FB, 0x30FB),
    ("hangul", 0x3130, 0x318F),
    ("Han", 0x3400, 0x4DBF),
    ("Han", 0x4E00, 0x9FFF),
    ("hangul", 0xAC00, 0xD7AF),
    ("Han", 0xF900, 0xFAFF),
    ("punctuation", 0xFE10, 0xFE6F),
    ("punctuation", 0xFF01, 0xFF0F),
    ("digits", 0xFF10, 0xFF19),
    ("punctuation", 0xFF1A, 0xFF20),
    ("Latin", 0xFF21, 0xFF3A),
    ("punctuation", 0xFF3B, 0xFF40),
    ("Latin", 0xFF41, 0xFF5A),
    ("punctuation", 0xFF5B, 0xFF65),
    ("kana", 0xFF66, 0xFF9F),
    ("emoji", 0x1F000, 0x1FAFF),
    ("Han", 0x20000, 0x323AF),
)


def count_scripts(text: str) -> Counter[str]:
    """How many characters of each script the text has."""
    counts = np.bincount(script_indices(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")), minlength=len(SCRIPTS))
    return Counter({script: int(count) for script, count in zip(SCRIPTS, counts, strict=True) if count})


def script_indices(codes: np.ndarray) -> np.ndarray:
    """The index in SCRIPTS of each code point."""
    return _table()[np.minimum(codes, len(_table()) - 1)]


@cache
def _table() -> np.ndarray:
    """The index in SCRIPTS of every code point up to the last one named."""
    table = np.full(_RANGES[-1][2] + 2, SCRIPTS.index("other"), dtype=np.uint8)
    for script, first, last in _RANGES:
        table[first : last + 1] = SCRIPTS.index(script)
    return table
