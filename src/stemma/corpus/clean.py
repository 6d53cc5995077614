"""Takes out of a text what no reader sees: NULs, byte order marks, control characters, bytes that did not decode.

Every character taken out is counted under its reason. Bytes that are not in the stated encoding
arrive here as lone surrogates U+DC00 + byte, put there by the error handler `ESCAPE`, which also
turns them back, so that the bytes around a fault can be shown and guessed at.
"""

import codecs
import json
import re
from collections import Counter
from typing import Any

ESCAPE = "stemma.escape"
INVALID = "invalid bytes"
FAULTY = re.compile("[\udc00-\udcff]")

_REASONS = (
    ("NUL", re.compile("\x00")),
    ("byte order marks", re.compile("\ufeff")),
    (INVALID, FAULTY),
    ("lone surrogates", re.compile("[\ud800-\udbff\udd00-\udfff]")),
    ("control characters", re.compile("[\x01-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffe\uffff]")),
)
UNSEEN = tuple(reason for reason, _ in _REASONS)  # why characters are taken out
# Line breaks that are not a line end in a file: form feed, vertical tab, NEL, Unicode separators.
# They become spaces, so that no later splitlines() can tear a sentence.
_BREAKS = re.compile("[\x0b\x0c\x1c-\x1f\x85\u2028\u2029]")
_ANY = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")

_LOW = bytes(code for code in range(128) if _ANY.match(chr(code)))
_C1 = re.compile(b"\xc2[\x80-\x9f]")  # U+0080 to U+009F
_MARKS = "\u2028\u2029\ufeff\ufffe\uffff"


def has_faults(text: str) -> bool:
    """True where `FAULTY` finds something. Encoding the text tells several times as fast where nothing is to be found."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return FAULTY.search(text) is not None
    return False


def clean(text: str) -> tuple[str, Counter[str]]:
    """The text without its invisible characters, and how many went for each reason."""
    rejected: Counter[str] = Counter()
    if _is_clean(text) or not _ANY.search(text):
        return text, rejected
    for reason, pattern in _REASONS:
        text, count = pattern.subn("", text)
        if count:
            rejected[reason] = count
    return _BREAKS.sub(" ", text), rejected


def from_json(text: str, removed: Counter[str]) -> Any:
    r"""The value of JSON text, as `json.loads` reads it; what its escapes spell that no reader sees is taken out, and counted in `removed`.

    >>> from_json(r'{"text": "a\u0000b"}', Counter())
    {'text': 'ab'}
    """
    value = json.loads(text)
    return _cleaned(value, removed) if "\\" in text else value


def _cleaned(value: Any, removed: Counter[str]) -> Any:
    match value:
        case str():
            text, own = clean(value)
            removed.update(own)
            return text
        case list():
            return [_cleaned(one, removed) for one in value]
        case dict():
            return {_cleaned(name, removed): _cleaned(one, removed) for name, one in value.items()}
    return value


def kept_places(text: str) -> list[int]:
    r"""For each character of the cleaned text, its place in the text.

    >>> kept_places("a\x00b"), clean("a\x00b")[0]
    ([0, 2], 'ab')
    """
    gone = {match.start() for _, pattern in _REASONS for match in pattern.finditer(text)}
    return [place for place in range(len(text)) if place not in gone]


def _is_clean(text: str) -> bool:
    """True where a look at bytes, several times as fast as `_ANY`, finds nothing to take out; False where there may be."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # surrogates
        return False
    if len(data.translate(None, _LOW)) < len(data):
        return False
    return text.isascii() or not (_C1.search(data) or any(mark in text for mark in _MARKS))


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end
    if isinstance(error, UnicodeEncodeError):
        faulty = error.object[error.start : error.end]
        return bytes(ord(c) - 0xDC00 if FAULTY.match(c) else 0x3F for c in faulty), error.end
    raise error


codecs.register_error(ESCAPE, _escape)
