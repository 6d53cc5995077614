"""Chinese words: runs of Chinese characters, the segmenter, and word spans with their places in the raw text.

A word here is the intersection of a segmenter's word and a run of one type (Chinese, or letters and digits):
it never crosses punctuation, and the segmenter never cuts inside a run that is not Chinese (it would break
"naïve" at the ï).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise

from stemma.tokens.scripts import HAN, MARK, WORD, is_han

HAN_RUN = re.compile(f"[{HAN}]+")
_RUNS = re.compile(f"[{HAN}]+|[{WORD}][{WORD}{MARK}]*|\\S")
GIVEN_RUN = 2.5  # characters: below this mean length, runs of Chinese characters are words already


@dataclass(frozen=True)
class Segmenter:
    """What cuts a run of Chinese characters into words, with the name and version that a run folder records."""

    name: str
    version: str
    cut: Callable[[str], list[str]]

    def spaced(self, text: str) -> str:
        """The text with spaces around every Chinese word; everything else as it stands."""
        return HAN_RUN.sub(lambda run: f" {' '.join(self.cut(run[0]))} ", text)


def segmenter(name: str) -> Segmenter:
    """The segmenter of that name: `rjieba`, or `given` for text whose words are already spaced."""
    if name == "given":
        return Segmenter("given", "", lambda run: [run])
    import rjieba  # loads its dictionary (0.1 s): only where Chinese is cut

    return Segmenter("rjieba", version("rjieba"), rjieba.cut)


def is_given(texts: Iterable[str]) -> bool:
    """True when the texts' Chinese words are spaced already: their runs are hardly longer than words."""
    runs = [len(run) for text in texts for run in HAN_RUN.findall(text)]
    return len(runs) >= 100 and sum(runs) / len(runs) < GIVEN_RUN


def word_spans(text: str, words: Segmenter) -> list[tuple[int, int]]:
    """The (start, end) of every word and of every other visible character of the raw text, in order."""
    spans: list[tuple[int, int]] = []
    for run in _RUNS.finditer(text):
        start = run.start()
        for word in words.cut(run[0]) if HAN_RUN.match(run[0]) else [run[0]]:
            spans.append((start, start + len(word)))
            start += len(word)
    return spans


def spoken(words: Sequence[str]) -> str:
    """The words joined by spaces, but as Chinese is written: none between two Chinese words or at full-width symbols."""
    text = [words[0]] if words else []
    for before, word in pairwise(words):
        tight = (_is_wide(before[-1:]) and _is_wide(word[:1])) or _is_full(before[-1:]) or _is_full(word[:1])
        text.append(word if tight else f" {word}")
    return "".join(text)


def _is_full(character: str) -> bool:
    return ("\u3001" <= character <= "\u303f" and character != "\u3007") or "\uff01" <= character <= "\uff60"


def _is_wide(character: str) -> bool:
    return character >= "\u3007" and (is_han(character) or _is_full(character))
