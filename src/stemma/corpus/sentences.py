"""Splits text into sentences: English, Chinese and both mixed, by one regular expression and a few rules.

A regular expression finds every place where a sentence could end (marks, closing quotes, spaces);
the rules then refuse those that only look like it: abbreviations, initials, list numbers, a quoted
question followed by `said he`. Nothing but white space is lost between two sentences.
"""

import re
from collections.abc import Iterator

_WEST = re.compile(r"""([.!?]++)["')\]]*+(\s++)(?=\S)""")
_ALL = re.compile(r"""([.!?…。！？；｡।॥؟۔]++)["'”’»)\]」』）》〉】]*+(?:\s[”」』])*+(\s*+)(?=\S)""")
_EAST_MARKS = frozenset("。！？｡।॥؟۔")
_HAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CARRIES_ON = frozenset(",;:，、：；,.!?…。！？-—–~～")
_OPENERS = "\"'`“‘(["
_QUOTES = "\"'`´“”‘’」』"
_SPEECH = re.compile("[他她我你它咱](?:们|們)?[^，。！？；：“”\\s]{0,4}?[说說道问問喊叫答笑]")
_ENUMERATOR = re.compile(r"[(\[]?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxlcIVXLC]{1,6})[.)]")
_ROMAN = re.compile(r"[IVXLC]+\b")
_WORD = re.compile(r"[\"'`“‘(\[]*([A-Za-z]+)")
_LONG_CLAUSE = 50  # characters; a semicolon ends a Chinese sentence only when so many stand before it


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never at an end: titles, and words that always lead to the next one.
_LEADING = _words(
    "mr mrs ms messrs dr prof st rev hon capt col gen lt sgt maj cmdr gov sen rep supt fr mme mlle mdlle esq mt "
    "vs cf e.g i.e viz approx ca resp dept est jan feb apr aug sept oct nov dec"
)
# Not at an end when a number follows ("Fig. 3", "No. 7").
_NUMBERED = _words("fig figs eq eqs sec sect ch chap vol vols no nos p pp art para ref refs tab ver op")
# At an end only when the next word usually starts a sentence ("at 4 p.m. The", "Inc. It").
_TRAILING = _words("inc ltd co corp bros a.m p.m jr sr etc al ed eds")
_STARTERS = _words(
    "the a an in on at it he she they we i you this that these those but and so if when while as after before there "
    "here his her its their my our your for from with by to then now what who why how where not no yes mr mrs miss "
    "such some many most all each every both one two however thus therefore although though because since note see "
    "use given let under over during until upon even only perhaps never nothing"
)


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph, in order, trimmed.

    >>> sentences('Mr. Smith paid $3.50. "Really?" he asked. Yes!')
    ['Mr. Smith paid $3.50.', '"Really?" he asked.', 'Yes!']
    >>> sentences('他来了。“真的吗？”他问。Yes!')
    ['他来了。', '“真的吗？”他问。', 'Yes!']
    """
    text = text.strip()
    found, start = [], 0
    for stop, after in borders(text):
        found.append(text[start:stop])
        start = after
    if start < len(text):
        found.append(text[start:])
    return found


def borders(text: str) -> Iterator[tuple[int, int]]:
    """Where a sentence ends and the next one starts: (stop, start) with white space or nothing between."""
    start = 0
    western = text.isascii()
    for match in (_WEST if western else _ALL).finditer(text):
        stop, after = match.span(2)
        if after == len(text) - 1 and text[after] in _QUOTES:  # a closing quote that stands apart
            continue
        first, mark = match.start(), match.group(1)
        if western or mark.isascii():
            ends = _ends_western(text, start, first, mark, stop, after)
        else:
            ends = _ends_eastern(text, start, first, mark, stop, after)
        if ends:
            yield stop, after
            start = after


def pieces(sentence: str, limit: int) -> Iterator[str]:
    """An endless sentence cut at white space, else at a comma, else at `limit` characters."""
    at = 0
    while len(sentence) - at > limit:
        low, high = at + limit // 2, at + limit
        cut = max(sentence.rfind(" ", low, high), sentence.rfind("\t", low, high)) + 1
        if not cut:
            cut = max(sentence.rfind(comma, low, high) for comma in "，、；：,") + 1
        cut = cut or high
        if piece := sentence[at:cut].strip():
            yield piece
        at = cut
    if piece := sentence[at:].strip():
        yield piece


def _ends_western(text: str, start: int, first: int, mark: str, stop: int, after: int) -> bool:
    """Whether `mark` (. ! ?) at `first` ends the sentence that began at `start`."""
    follows = text[after]
    if stop == after:  # no white space: an end only between Chinese characters ("真的?是")
        return mark[-1] != "." and first > start and bool(_HAN.match(text[first - 1])) and _is_han_start(text, after)
    if follows.islower() or follows in _CARRIES_ON:
        return False
    if follows in _OPENERS and text[after + 1 : after + 2].islower() and (follows in "([" or stop == first + len(mark)):
        return False
    if mark == ".":
        return _ends_with_dot(text, start, first, stop, after)
    if mark[-1] == "." and len(mark) > 1:  # an ellipsis: "well... I think" goes on
        return _next_word(text, after) != "I"
    return True


def _ends_with_dot(text: str, start: int, first: int, stop: int, after: int) -> bool:
    space = text.rfind(" ", start, first)
    word = text[space + 1 if space >= start else start : first].lstrip(_OPENERS)
    if stop - start <= 12 and _ENUMERATOR.fullmatch(text, start, stop):
        return False
    lower = word.lower()
    if lower in _LEADING:
        return False
    if lower in _NUMBERED:
        roman = lower != "no" and _ROMAN.match(text, after)
        return not (roman or text[after].isdigit() or text[after] in "([")
    if lower in _TRAILING or _is_initials(word):
        return _next_word(text, after).lower() in _STARTERS
    return True


def _is_initials(word: str) -> bool:
    """True for J, U.S, Ph.D, p.m: a letter, or short pieces between dots, unlike `numpy.array` and 3.5."""
    if len(word) == 1:
        return word.isascii() and word.isalpha()
    return "." in word and word[-1].isalpha() and all(0 < len(piece) <= 2 for piece in word.split("."))


def _ends_eastern(text: str, start: int, first: int, mark: str, stop: int, after: int) -> bool:
    """Whether full-width marks or an ellipsis end the sentence that began at `start`."""
    follows = text[after]
    if follows in _CARRIES_ON and stop == after:
        return False
    if not _EAST_MARKS.isdisjoint(mark):
        quoted = stop > first + len(mark)
        return not (quoted and stop == after and _SPEECH.match(text, after))
    if "；" in mark:
        return first - start >= _LONG_CLAUSE
    if stop < after:  # an ellipsis and a space
        return not follows.islower() and _next_word(text, after) != "I"
    stammers = first > start and text[first - 1] == follows  # 我……我
    return len(mark) > 1 and not stammers and _is_han_start(text, after)


def _is_han_start(text: str, at: int) -> bool:
    return bool(_HAN.match(text[at])) or text[at] in "“‘「『《（"


def _next_word(text: str, at: int) -> str:
    match = _WORD.match(text, at)
    return match.group(1) if match else ""


def is_unspaced(character: str) -> bool:
    """True for a character of a script written without spaces, and its punctuation."""
    return bool(_HAN.match(character)) or "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff65" or character in "“”‘’…—"
