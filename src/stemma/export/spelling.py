"""How tokens are written where white space parts words."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from stemma.errors import DataError

BLANKS = {byte: f"<0x{byte:02X}>" for byte in (0, 9, 10, 11, 12, 13, 32)}
_BRACKET = "<0x3C>"  # <, where what follows it would be read as something else
_ESCAPED = re.compile(r"<0x(00|09|0A|0B|0C|0D|20|3C)>")


def spelled(tokens: Sequence[str], form: str, reserved: Collection[str] = ()) -> list[bytes]:
    """The tokens as a file of the format `form` can hold them, and `named` reads them back.

    White space inside one is written <0x20>, as SentencePiece does. So is the first character of what the format has
    `reserved` for itself, such as <UNK> for the unknown word.
    """
    names = [_spelled(token, reserved) for token in tokens]
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise DataError(f"{times} tokens are written {name!r} in {form}", "a spelling of its own for each", "rename all but one of them")
    return [name.encode("utf-8", "surrogateescape") for name in names]


def named(spelling: str) -> str:
    """The token that was written so; a spelling that is an escape and nothing else is a token of its own (SentencePiece's bytes).

    >>> named("New<0x20>York"), named("<0x3C>UNK>"), named("<0x0A>")
    ('New York', '<UNK>', '<0x0A>')
    """
    if "<0x" not in spelling or _ESCAPED.fullmatch(spelling):
        return spelling
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), spelling)


def _spelled(token: str, reserved: Collection[str]) -> str:
    if token in reserved:
        return _BRACKET + token[1:]
    if "<0x" in token and not _ESCAPED.fullmatch(token):  # stands there itself: it must not be read as an escape
        token = _ESCAPED.sub(lambda match: _BRACKET + match[0][1:], token)
    return token.translate(BLANKS)


def joined(names: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of all names one after the other, and where each begins, with the end."""
    return np.frombuffer(b"".join(names), np.uint8), np.cumsum([0, *map(len, names)], dtype=np.int64)
