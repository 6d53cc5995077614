"""Rows of the likeliest tokens, by their ids and as they read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemma.tokens.tokenizer import Tokenizer


def likeliest(tokenizer: "Tokenizer", found: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    """The tokens with their probabilities, as JSON-able rows."""
    return [{"id": token, "token": tokenizer.text(token), "probability": p} for token, p in found]
