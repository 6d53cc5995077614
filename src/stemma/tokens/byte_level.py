"""The tokens of byte-level BPE as text: their vocabulary writes every byte as one visible character (Radford 2019, section 2.2)."""

from collections.abc import Sequence

LONGEST = 4  # bytes of a character in UTF-8
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_AS_THEY_ARE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that Latin-1 shows
_OTHERS = [byte for byte in range(256) if byte not in set(_AS_THEY_ARE)]  # written as the characters from U+0100 on
BYTES = {chr(byte): byte for byte in _AS_THEY_ARE} | {chr(0x100 + place): byte for place, byte in enumerate(_OTHERS)}


def text_of(token: str) -> str:
    r"""The text that a token of the vocabulary stands for; bytes that are only part of a character are written `\xe7\xba`.

    A token that is not written in bytes is given back as it is.

    >>> text_of("Ġthe"), text_of("çº¢å¸½"), text_of("çº")
    (' the', '红帽', '\\xe7\\xba')
    """
    if not BYTES.keys() >= set(token):
        return token
    return bytes(BYTES[character] for character in token).decode("utf-8", "backslashreplace")


def texts_of(tokens: Sequence[str]) -> list[str]:
    r"""The texts that the tokens of one text stand for, one after the other; where several share a character, each has what they
    spell together, and its number.

    What is cut off inside a character stays as `text_of` writes it.

    >>> texts_of(["Ġa", "çº", "¢", "å¸½", "çº"])
    [' a', '红¹', '红²', '帽', '\\xe7\\xba']
    """
    found, shared = list[str](), list[str]()
    for token in tokens:
        shared.append(token)
        whole = _decoded("".join(shared))
        if whole is None and _decoded(token) is None and len(shared) < LONGEST:
            continue
        if whole is None:  # what went before never became a character
            found += map(text_of, shared)
        else:
            found += [whole] if len(shared) == 1 else [whole + str(n).translate(_RAISED) for n in range(1, len(shared) + 1)]
        shared = []
    return found + list(map(text_of, shared))


def _decoded(token: str) -> str | None:
    """The token's text; None where it is no bytes, or they are no text."""
    if not BYTES.keys() >= set(token):
        return None
    try:
        return bytes(BYTES[character] for character in token).decode("utf-8")
    except UnicodeDecodeError:
        return None
