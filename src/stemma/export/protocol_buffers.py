"""Protocol buffers as they are written, field after field, without what says what the fields mean (protobuf.dev, "Encoding")."""

from collections.abc import Iterator
from typing import Any

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # how a field is written


def fields(content: bytes) -> Iterator[tuple[int, Any]]:
    r"""The fields of a message: (number, an integer or bytes); IndexError or ValueError where it ends early or is written otherwise.

    >>> list(fields(b"\x08\x96\x01\x12\x02hi"))
    [(1, 150), (2, b'hi')]
    """
    place = 0
    while place < len(content):
        key, place = varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = varint(content, place)
            yield number, value
            continue
        if kind not in (EIGHT, BYTES, FOUR):
            raise ValueError(f"a field of kind {kind} at byte {place}")
        size, place = varint(content, place) if kind == BYTES else ({EIGHT: 8, FOUR: 4}[kind], place)
        if place + size > len(content):
            raise ValueError(f"a field of {size} bytes at byte {place} of {len(content)}")
        yield number, content[place : place + size]
        place += size


def varint(content: bytes, place: int) -> tuple[int, int]:
    """(the number that begins at `place`, seven bits a byte with the lowest first, the place after it)."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
