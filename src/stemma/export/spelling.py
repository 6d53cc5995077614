"""How tokens are written where white space parts words."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from stemma.errors import DataError

BLANKS = {byte: f"<0x{byte:02X}>" for byte in (0, 9, 10, 11, 12, 13, 32)}


def spelled(tokens: Sequence[str], form: str) -> list[bytes]:
    """The tokens as a file of the format `form` can hold them: white space inside one is written <0x20>, as SentencePiece does."""
    names = [token.translate(BLANKS) for token in tokens]
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise DataError(f"{times} tokens are written {name!r} in {form}", "a spelling of its own for each", "rename all but one of them")
    return [name.encode("utf-8", "surrogateescape") for name in names]


def joined(names: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of all names one after the other, and where each begins, with the end."""
    return np.frombuffer(b"".join(names), np.uint8), np.cumsum([0, *map(len, names)], dtype=np.int64)
