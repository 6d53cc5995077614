"""Texts in batches of bounded size, and an even sample of a stream of unknown length."""

from collections.abc import Iterable, Iterator

BATCH = 1 << 20  # characters


def batches(texts: Iterable[str], characters: int = BATCH) -> Iterator[list[str]]:
    """The texts in order, in lists of about so many characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def even_sample(texts: Iterable[str], limit: int) -> tuple[list[str], int]:
    """Every 2^k-th text, with k just large enough for at most `limit` characters, and the stride 2^k.

    One pass in bounded memory: whenever the limit is passed, every other kept text goes. One text is
    always kept.
    """
    kept: list[str] = []
    size, stride = 0, 1
    for i, text in enumerate(texts):
        if i % stride:
            continue
        kept.append(text)
        size += len(text)
        while limit and size > limit and len(kept) > 1:
            kept = kept[::2]
            size = sum(map(len, kept))
            stride *= 2
    return kept, stride
