"""Characters that a tokenizer drops: they part words or vanish within them, and become no token. The ledger lists them by kind.

White space is none of them: it is what tokens stand between.
"""

import unicodedata
from collections.abc import Callable

import numpy as np

from stemma.tokens.scripts import PLACES, codes_of

KINDS = (  # category, or its first letter -> how the ledger calls it
    ("Cf", "format controls"),
    ("Co", "private use"),
    ("Cn", "unassigned"),
    ("C", "control characters"),
    ("M", "combining marks"),
    ("", "others"),
)
REPLACEMENT = "\ufffd"  # what other programs put in place of bytes that they could not read
NAMES = ("", "U+FFFD", *(name for _, name in KINDS))
UNKNOWN = 255


class Dropped:
    """Counts what a tokenizer drops: `drops`, called once for each character, says whether it becomes nothing."""

    def __init__(self, drops: Callable[[str], bool]) -> None:
        self._drops = drops
        self._kinds = np.full(PLACES, UNKNOWN, np.uint8)

    def counts(self, data: bytes) -> dict[str, int]:
        """How many characters of a text in UTF-8 are dropped, by kind. ASCII is left out: of it nothing is but white space."""
        flat = np.frombuffer(data, np.uint8)
        codes = codes_of(flat[flat >= 0x80].tobytes().decode("utf-8", "surrogatepass"))
        kinds = self._kinds[codes]
        if (kinds == UNKNOWN).any():
            for code in np.unique(codes[kinds == UNKNOWN]).tolist():
                self._kinds[code] = self._kind(chr(code))
            kinds = self._kinds[codes]
        found = np.bincount(kinds[kinds > 0], minlength=len(NAMES)).tolist()
        return {f"{NAMES[kind]} that the tokenizer drops": count for kind, count in enumerate(found) if count}

    def _kind(self, character: str) -> int:
        if character.isspace() or not self._drops(character):
            return 0
        if character == REPLACEMENT:
            return NAMES.index("U+FFFD")
        category = unicodedata.category(character)
        return next(NAMES.index(name) for begins, name in KINDS if category.startswith(begins))
