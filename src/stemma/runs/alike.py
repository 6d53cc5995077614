"""Rows of like length, to be computed together."""

from collections.abc import Iterator, Sequence

WORTH = 128  # tokens from which on a batch is closed rather than padded further: computing it by itself costs no more
PADDED = 1.25  # times its tokens that such a batch may have positions


def alike(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Numbers of the rows, shortest first, in batches of `most` positions at most (one row at least) with little padding.

    >>> list(alike([90, 3, 100, 4, 91], 1000))
    [[1, 3, 0, 4], [2]]
    """
    batch, real = list[int](), 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        padded, filled = (len(batch) + 1) * lengths[number], real + lengths[number]
        if batch and (padded > most or (real >= WORTH and padded > PADDED * filled)):
            yield batch
            batch, filled = [], lengths[number]
        batch.append(number)
        real = filled
    if batch:
        yield batch
