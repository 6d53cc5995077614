"""Chinese words: the segmenter, and word spans with their places in the raw text.

A word here is the intersection of a segmenter's word and a run of one type (Chinese, or letters and digits):
it never crosses punctuation, and the segmenter never cuts inside a run that is not Chinese (rjieba would break
"naïve" at the ï).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np

from stemma.tokens.dictionary import Added, read_dictionary
from stemma.tokens.scripts import HAN, HAN_BLOCKS, SYMBOL, codes_of, inner_classes, is_han

ENOUGH_RUNS = 100  # runs of Chinese characters, to judge by
GIVEN_RUN = 2.5  # characters: below this mean length, runs that spaces part are words
RECURRING = 0.5  # longer ones (terms, names) are words if at least this share of them stands there more than once; clauses seldom do
JUDGED = 2  # raised whenever texts would be judged otherwise than before, so that stores made earlier are made anew
SAMPLE = 1000  # texts that show whether Chinese words are given
TOGETHER = 1 << 16  # characters given to the segmenter at a time: a call for each line would take twice as long

_HAN = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in HAN_BLOCKS) + "]")


@dataclass(frozen=True)
class Segmenter:
    """What cuts text into words, with the name and version that a run folder records.

    `cut` gives back the whole text in pieces, white space included, none of them beyond a line end; None: the words
    are given by spaces.
    """

    name: str
    version: str = ""
    cut: Callable[[str], list[str]] | None = None
    added: Added = ()  # words of a user's dictionary, which it knows beside its own

    def __reduce__(self) -> "tuple[Callable[[str, Added], Segmenter], tuple[str, Added]]":
        """By name: a copied run cuts with what is installed where it is opened, as one from a folder does."""
        return segmenter, (self.name, self.added)

    def as_json(self) -> dict[str, Any]:
        """What a run folder records of it."""
        return {"name": self.name, "version": self.version, **({"added": self.added} if self.added else {})}

    def cuts(self, text: str, codes: np.ndarray) -> np.ndarray:
        """True where a Chinese word starts (and anywhere outside Chinese); empty where no word is to be cut."""
        chinese = np.flatnonzero(inner_classes()[codes] == HAN) if self.cut else ()
        if self.cut is None or len(chinese) == 0:
            return np.zeros(0, dtype=bool)
        ends = np.append(np.flatnonzero(codes == ord("\n")), len(codes))
        starts = np.zeros(len(text) + 1, dtype=bool)
        for lines in _in_groups(np.unique(np.searchsorted(ends, chinese)), ends):  # other lines are spared the segmenter
            begins = np.where(lines, ends[lines - 1] + 1, 0)
            pieces = [text[begin:end] for begin, end in zip(begins.tolist(), ends[lines].tolist(), strict=True)]
            places = np.cumsum(np.fromiter(map(len, self.cut("\n".join(pieces))), dtype=np.int64))
            joined = np.cumsum([0, *(len(piece) + 1 for piece in pieces[:-1])])  # where each line begins among those cut together
            line = np.searchsorted(joined, places, side="right") - 1
            starts[begins[line] + places - joined[line]] = True
        return starts[:-1]


GIVEN = Segmenter("given")


def _in_groups(lines: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """The lines in groups of about TOGETHER characters."""
    sizes = np.diff(ends, prepend=-1)[lines]
    group = np.cumsum(sizes) // TOGETHER
    return np.split(lines, np.flatnonzero(np.diff(group)) + 1)


class _Rjieba:
    """What cuts: rjieba with its own dictionary, or with one of its own to which words are added."""

    def __init__(self, added: Added = ()) -> None:
        self._added = added

    def __call__(self, text: str) -> list[str]:
        found: list[str] = self._knowing.cut(text.encode("utf-8", "replace").decode())  # it refuses lone surrogates
        return found

    @cached_property
    def _knowing(self) -> Any:
        import rjieba  # loads its dictionary: only where Chinese is cut

        if not self._added:
            return rjieba
        own = rjieba.Jieba()
        for word, count in self._added:
            own.add_word(word, count, None)
        return own


_RJIEBA = _Rjieba()


def segmenter(name: str, added: Added = ()) -> Segmenter:
    """The segmenter of that name: `rjieba`, with the words of a dictionary beside its own, or `given` for text whose words are spaced."""
    return GIVEN if name == GIVEN.name else Segmenter("rjieba", version("rjieba"), _Rjieba(added) if added else _RJIEBA, added)


def recorded_segmenter(record: Mapping[str, Any]) -> Segmenter:
    """The segmenter that `Segmenter.as_json` gave the record of."""
    return segmenter(record["name"], tuple((word, count) for word, count in record.get("added", ())))


def chosen(words: str, head: Sequence[str], dictionary: str = "") -> Segmenter:
    """The segmenter that the setting `words` names; "auto" looks whether the first texts' words are spaced already.

    With a file of words as `dictionary` it is one that cuts.
    """
    if dictionary:
        return segmenter("rjieba", read_dictionary(dictionary))
    given = words == "given" or (words == "auto" and is_given(head[:SAMPLE]))
    return GIVEN if given else segmenter("rjieba")


def is_given(texts: Iterable[str]) -> bool:
    """True when the texts' Chinese words are spaced already.

    Then spaces part the runs of Chinese characters at least as often as punctuation does; and the runs are hardly longer
    than words, or recur as words do and clauses do not.
    """
    from stemma.kernels.word_scan import borders

    codes = codes_of("\n".join(texts))
    starts, ends = borders(codes, np.zeros(0, dtype=bool), inner_classes())
    kinds, lines = inner_classes()[codes[starts]], np.cumsum(codes == ord("\n"))[starts]
    chinese = kinds == HAN
    spaced = chinese[:-1] & chinese[1:] & (lines[:-1] == lines[1:])  # nothing but white space stands between
    pointed = chinese[:-2] & (kinds[1:-1] == SYMBOL) & chinese[2:] & (lines[:-2] == lines[2:])
    sizes = (ends - starts)[chinese]
    if len(sizes) < ENOUGH_RUNS or spaced.sum() < max(1, pointed.sum()):
        return False
    if float(sizes.mean()) < GIVEN_RUN:
        return True
    runs = Counter(codes[start:end].tobytes() for start, end in zip(starts[chinese].tolist(), ends[chinese].tolist(), strict=True))
    return sum(times for times in runs.values() if times > 1) >= RECURRING * runs.total()


def described(words: Segmenter) -> str:
    """How Chinese words are found, in words, and the setting that makes it otherwise."""
    if words is GIVEN:
        return "Chinese words are taken as spaces part them (tokenizer.words=given); tokenizer.words=rjieba cuts them"
    known = " and a dictionary" if words.added else ""
    return (
        f"Chinese words are cut by {words.name}{known} (tokenizer.words={words.name}); tokenizer.words=given takes them as spaces part them"
    )


def has_chinese(text: str) -> bool:
    """True where a Chinese character stands in the text."""
    return _HAN.search(text) is not None


def word_spans(text: str, words: Segmenter) -> list[tuple[int, int]]:
    """The (start, end) of every word and of every other visible character of the raw text, in order."""
    from stemma.kernels.word_scan import borders

    codes = codes_of(text)
    starts, ends = borders(codes, words.cuts(text, codes), inner_classes())
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def spoken(words: Sequence[str], written: Sequence[str] = ()) -> str:
    """The words joined by spaces, but as Chinese is written: none between two Chinese words or at full-width symbols.

    Where `written` has them otherwise, that is what stands between those spaces.
    """
    written = written or words
    text = [*written[:1]]
    for (before, word), as_written in zip(pairwise(words), written[1:], strict=True):
        text.append(as_written if _tight(before, word) else f" {as_written}")
    return "".join(text)


def are_characters(tokens: Iterable[str]) -> bool:
    """True for text cut into single characters: Chinese ones are among the tokens, and none stands in a longer token."""
    chinese = [token for token in tokens if any(is_han(c) for c in token)]
    return bool(chinese) and all(len(token) == 1 for token in chinese)


def rejoined(tokens: Sequence[str], characters: bool = False) -> tuple[str, list[tuple[int, int]]]:
    """(the text that was cut into the tokens, the (start, end) of each in it).

    Words are joined as `spoken` joins them. Single `characters` are joined without spaces, but for a word of letters or
    digits that stands among them whole: a space keeps it from its like (iPhone X).
    """
    text, spans, before = "", [], ""
    for token in tokens:
        text += " " if before and _apart(before, token, characters) else ""
        spans.append((len(text), len(text) + len(token)))
        text, before = text + token, token
    return text, spans


def _apart(before: str, token: str, characters: bool) -> bool:
    """True where a space stands between the two tokens."""
    if not characters:
        return not _tight(before, token)
    whole = len(before) > 1 or len(token) > 1
    return whole and all(c.isalnum() and not _is_wide(c) for c in (before[-1], token[0]))


def _tight(before: str, word: str) -> bool:
    """True where no space is written between the two words."""
    return (_is_wide(before[-1:]) and _is_wide(word[:1])) or _is_full(before[-1:]) or _is_full(word[:1])


def _is_full(character: str) -> bool:
    return ("\u3001" <= character <= "\u303f" and character != "\u3007") or "\uff01" <= character <= "\uff60"


def _is_wide(character: str) -> bool:
    return character >= "\u3007" and (is_han(character) or _is_full(character))
