"""What networks of heads over a table of tokens have in common: their sizes, and how texts stand in a row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stemma.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

Framed = tuple[list[int], list[int]]  # ids, and types: 0 in the first text, 1 in the second


class Sized:
    """The sizes that stand in a network's config, and in its token table."""

    config: Any
    tokens: "nn.Embedding"

    @property
    def max_length(self) -> int:
        """Positions that a text has at most, or a window of it."""
        return int(self.config.max_length)

    @property
    def width(self) -> int:
        """Numbers in a state."""
        return int(self.config.width)

    @property
    def vocab_size(self) -> int:
        """Rows of the token table."""
        return self.tokens.num_embeddings


def check_heads(config: Any) -> None:
    """UsageError where the heads do not share the width evenly."""
    if config.width % config.heads:
        wrong = f"model.width = {config.width} with model.heads = {config.heads}"
        raise UsageError(wrong, "a width that is a multiple of the heads", "change one of the two")


def closed(ids: Sequence[int], other: Sequence[int] | None, end: int) -> Framed:
    """`ids end` or `ids end other end`; an end is of its text's type."""
    first, types = [*ids, end], [0] * (len(ids) + 1)
    return (first, types) if other is None else ([*first, *other, end], [*types, *[1] * (len(other) + 1)])


def opened(ids: Sequence[int], other: Sequence[int] | None, start: int) -> Framed:
    """`start ids` or `start ids start other`; a start is of its text's type."""
    first, types = [start, *ids], [0] * (len(ids) + 1)
    return (first, types) if other is None else ([*first, start, *other], [*types, *[1] * (len(other) + 1)])
