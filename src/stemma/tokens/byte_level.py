"""The tokens of byte-level BPE as text: their vocabulary writes every byte as one visible character (Radford 2019, section 2.2)."""

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
