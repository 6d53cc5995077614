"""The tokens of byte-level BPE as text: their vocabulary writes every byte as one visible character (Radford 2019, section 2.2)."""

from collections.abc import Iterator, Sequence

LONGEST = 4  # bytes of a character in UTF-8
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_AS_THEY_ARE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that Latin-1 shows
_OTHERS = [byte for byte in range(256) if byte not in set(_AS_THEY_ARE)]  # written as the characters from U+0100 on
BYTES = {chr(byte): byte for byte in _AS_THEY_ARE} | {chr(0x100 + place): byte for place, byte in enumerate(_OTHERS)}


def bytes_of(token: str) -> bytes:
    """The bytes that a token of the vocabulary stands for; those of UTF-8 where it is not written in bytes."""
    return bytes(BYTES[character] for character in token) if BYTES.keys() >= set(token) else token.encode("utf-8", "surrogatepass")


def text_of(token: str) -> str:
    r"""The text that a token of the vocabulary stands for; bytes that are only part of a character are written `\xe7\xba`.

    A token that is not written in bytes is given back as it is.

    >>> text_of("Ġthe"), text_of("çº¢å¸½"), text_of("çº")
    (' the', '红帽', '\\xe7\\xba')
    """
    return bytes_of(token).decode("utf-8", "backslashreplace") if BYTES.keys() >= set(token) else token


def texts_of(tokens: Sequence[str]) -> list[str]:
    r"""The texts that the tokens of one text stand for, one after the other; a character that several share stands, numbered, in each.

    Bytes that are no character even together are written as `text_of` writes them.

    >>> texts_of(["Ġa", "çº", "¢å", "¸½", "çº"])
    [' a', '红¹', '红²帽¹', '帽²', '\\xe7\\xba']
    """
    parts = [bytes_of(token) if BYTES.keys() >= set(token) else token.encode() for token in tokens]
    owner = [place for place, part in enumerate(parts) for _ in part]  # of each byte
    found, start = [""] * len(parts), 0
    for character, size in _characters(b"".join(parts)):
        sharing = dict.fromkeys(owner[start : start + size])
        for number, place in enumerate(sharing, start=1):
            found[place] += character + (str(number).translate(_RAISED) if len(sharing) > 1 else "")
        start += size
    return found


def _characters(data: bytes) -> Iterator[tuple[str, int]]:
    """Each character with its number of bytes; bytes that belong to none one by one, in hexadecimal."""
    start = 0
    while start < len(data):
        sizes = (size for size in range(1, LONGEST + 1) if _decodes(data[start : start + size]))
        size = next(sizes, 0)
        yield (data[start : start + size].decode(), size) if size else (f"\\x{data[start]:02x}", 1)
        start += size or 1


def _decodes(data: bytes) -> bool:
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False
