"""A user's dictionary of Chinese words: one a line, perhaps with its count behind a space, and a tag that is not read (jieba's format)."""

import hashlib
from pathlib import Path

from stemma.corpus.files import held_whole
from stemma.errors import DataError

Added = tuple[tuple[str, int | None], ...]  # words and their counts; None: as many as make it one word


def read_dictionary(path: str) -> Added:
    """The words of the file in its order; DataError with the line that is none."""
    try:
        text = held_whole(Path(path)).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "a dictionary, one word a line", "check tokenizer.dictionary") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8", "a dictionary, one word a line", "convert it first, for example with iconv -t utf-8"
        ) from error
    found = [_word(f"{path}, line {number}", line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not found:
        raise DataError(f"{path} has no word", "one word a line", "fill it, or drop tokenizer.dictionary")
    return tuple(found)


def dictionary_sum(path: str) -> str:
    """Changes whenever its words do."""
    return hashlib.blake2b(repr(read_dictionary(path)).encode(), digest_size=8).hexdigest()


def _word(place: str, parts: list[str]) -> tuple[str, int | None]:
    word, *more = parts
    count = int(more.pop(0)) if more and more[0].isdecimal() else None
    if len(more) > 1:
        raise DataError(
            f"{place}: {' '.join(parts)!r} is no entry", "a word, and perhaps its count and its tag", "mend the line, or delete it"
        )
    return word, count
