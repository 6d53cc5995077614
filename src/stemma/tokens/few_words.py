"""The words of a little text, cut without compiled code: loading that takes as long as cutting a quarter of a million characters so.

The rules are those of `stemma.kernels.word_scan`, which a test holds these to.
"""

import re
from collections.abc import Sequence

from stemma.tokens.chinese import Segmenter, has_chinese
from stemma.tokens.scripts import class_of, codes_of

LITTLE = 1 << 18  # characters that are cut so, all texts of a tokenizer together; from there on compiled code is faster

_LETTERS = "-wmhsa"  # a letter for each class of characters, in the order of their numbers
_BEGUN = "H"  # a Chinese character that begins a word
_WORD = re.compile(r"[wm]+(?:a[wm]+)*|[hH][hm]*|[sa](?:m+[sa]?)*")
_TOKEN = re.compile(r"[^\x00\t\n\r ]+")


def spaced_once(text: str) -> str:
    """What stands between white space, as KenLM has it, with one space between; nearly every text is so already."""
    odd = "  " in text or "\n" in text or "\t" in text or "\r" in text or "\0" in text or text[:1] == " " or text[-1:] == " "
    return " ".join(_TOKEN.findall(text)) if odd else text


class FewWords:
    """Cuts texts and looks their words up, until it has had `LITTLE` characters."""

    def __init__(self, spaced: bool, words: Segmenter) -> None:
        """`spaced`: words are what stands between white space; `words` cuts Chinese otherwise."""
        self._spaced, self._words, self._left = spaced, words, LITTLE

    def takes(self, texts: Sequence[str]) -> bool:
        """True as long as these texts and all before are little."""
        if self._left >= 0:
            self._left -= sum(map(len, texts))
        return self._left >= 0

    def borders(self, text: str) -> list[tuple[int, int]]:
        """The (start, end) of each word of the text, which is in lower case already where it should be."""
        if self._spaced:
            return [match.span() for match in _TOKEN.finditer(text)]
        letters = text.translate(_CLASSES)
        if self._words.cut and has_chinese(text):
            cuts = self._words.cuts(text, codes_of(text)).tolist()
            letters = "".join(_BEGUN if cut and letter == "h" else letter for letter, cut in zip(letters, cuts, strict=True))
        return [match.span() for match in _WORD.finditer(letters)]


class _Classes(dict[int, str]):
    """A code point -> the letter of its class."""

    def __missing__(self, code: int) -> str:
        self[code] = letter = _LETTERS[class_of(code)]
        return letter


_CLASSES = _Classes()
