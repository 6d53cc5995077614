"""What a network needs to know of a tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenFacts:
    """Its size, its special ids, how often each id was seen, how it is written."""

    vocab_size: int
    specials: dict[str, int]
    counts: np.ndarray | None = None
    tokens: Sequence[str] = ()
    byte_level: bool = False  # `tokens` are written a character a byte (`tokens.byte_level`)
