"""Long texts in parts that the `tokenizers` library can hold: its account of a text takes a hundred bytes a character."""

import re
from collections.abc import Iterator

AT_ONCE = 1 << 19  # characters that are encoded together
_PARTING = re.compile(r"(?<=\w) (?=\w)")


def parts_of(text: str, size: int = AT_ONCE) -> Iterator[str]:
    """The text in parts of a little more than `size` characters, parted before single spaces between words: no token reaches over one.

    >>> list(parts_of("one two  three four", 4))
    ['one two  three', ' four']
    """
    begin = 0
    while len(text) - begin > size and (parting := _PARTING.search(text, begin + size)):
        yield text[begin : parting.start()]
        begin = parting.start()
    yield text[begin:]
