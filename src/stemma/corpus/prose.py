"""Takes the prose out of a docstring: sentences without markup, code, doctests, tables, signatures and references."""

import inspect
import re
from collections.abc import Iterator

from stemma.corpus.sentences import sentences

_UNDERLINE = re.compile(r"([-=~^*#\"'+])\1{2,}\s*$")
_DIRECTIVE = re.compile(r"\.\. ?(?:\|[^|]*\| )?([\w-]+)::")
_KEPT_DIRECTIVES = frozenset(("note", "warning", "tip", "important", "caution", "attention", "hint", "topic"))
_DROPPED_SECTIONS = frozenset(("see also", "references", "reference", "methods", "attributes", "authors", "author", "routine listings"))
_ENTRY_TYPED = re.compile(r"\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)* : ")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}[\w.]+ ?\([^()]*(?:\([^()]*\))?[^()]*\): ")
_SPHINX_FIELD = re.compile(r":(?:param|arg|key|keyword|ivar|var|cvar|return|returns|raises|rtype|type|vartype|meta)\b[^:]*: ?")
_TYPE_FIELD = re.compile(r":(?:rtype|type|vartype|meta)\b")
_TABLE = re.compile(r"[+|].*[+|]\s*$|[=-]{2,}(?: +[=-]{2,})+\s*$")
_BULLET = re.compile(r"(?:[-*+•]|\(?\d{1,2}[.)]|\(?[a-z]\)|#\.)\s+")
_INLINE = (
    (re.compile(r":[\w:+.-]+:`~?(?:[^`<]*<~?)?(?:[\w.]*\.)?([^`<>]+?)>?`"), r"\1"),  # :class:`~a.b.Name` -> Name
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{0,2}"), r"\1"),  # `text <link>`_ -> text
    (re.compile(r"`{1,2}([^`]+)`{1,2}_{0,2}"), r"\1"),
    (re.compile(r"\s?\[[\w*,-]{1,8}\]_"), ""),  # a citation
    (re.compile(r"(?<!\w)(\*{1,2})(?=\S)([^*]+?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"\|(\w+)\|"), r"\1"),
    (re.compile(r"\\(?=[\s*_`])"), ""),
)
_PROSE = re.compile(r"[A-Z][^\n]*[.!?][\"')\]]?$")
_CODE = re.compile(r"https?:|[={}<>\\|$_^~@#]|\w\(\)?\w|::|--|\.\.|\*")
_WORD = re.compile(r"[A-Za-z][a-z'-]*")


def prose(docstring: str) -> list[str]:
    r"""The sentences of a docstring, in order.

    >>> prose('Return the kernel.\n\nParameters\n----------\nx : int\n    The width of the kernel.\n\n>>> f(1)\n2\n')
    ['The width of the kernel.']
    """
    found = []
    for paragraph in _paragraphs(inspect.cleandoc(docstring).split("\n")):
        for pattern, plain in _INLINE:
            paragraph = pattern.sub(plain, paragraph)
        found += [sentence for sentence in sentences(" ".join(paragraph.split())) if _is_prose(sentence)]
    return found


def _is_prose(sentence: str) -> bool:
    """True for a whole sentence of English words: at least five, nearly all of it letters."""
    if not 20 <= len(sentence) <= 600 or not _PROSE.match(sentence) or _CODE.search(sentence):
        return False
    words = _WORD.findall(sentence)
    return len(words) >= 5 and sum(map(len, words)) + sentence.count(" ") >= 0.86 * len(sentence)


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Stretches of plain text at one indent, each joined to a line."""
    paragraph: list[str] = []
    depth = 0
    for line, indent in _plain_lines(lines):
        text = line.strip()
        if not text or indent != depth or _BULLET.match(text):
            if paragraph:
                yield " ".join(paragraph)
            paragraph = []
        depth = indent
        if bullet := _BULLET.match(text):
            text = text[bullet.end() :]
            depth = indent + bullet.end()
        if text:
            paragraph.append(text)
    if paragraph:
        yield " ".join(paragraph)


def _plain_lines(lines: list[str]) -> Iterator[tuple[str, int]]:
    """(line, indent) of the lines that are neither code nor table nor heading; a blank line where some were dropped."""
    skipped_below: int | None = None  # lines deeper than this belong to a dropped block
    doctest = fenced = dropped = False
    for at, line in enumerate(lines):
        text, indent = line.strip(), len(line) - len(line.lstrip())
        following = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if text.startswith("```"):
            fenced = not fenced
        if _UNDERLINE.fullmatch(following) and text:
            dropped = text.lower().rstrip(":") in _DROPPED_SECTIONS
        if not text:
            doctest = False
        elif text.startswith(">>>"):
            doctest = True
        if skipped_below is not None and text and indent <= skipped_below:
            skipped_below = None
        gone = doctest or fenced or dropped or skipped_below is not None or text.startswith("```")
        if not gone and (directive := _DIRECTIVE.match(text)):
            skipped_below = None if directive.group(1).lower() in _KEPT_DIRECTIVES else indent
        elif not gone and text.endswith("::"):
            skipped_below, line = indent, line.rstrip()[:-1]
        gone = gone or _is_furniture(text, following)
        yield ("", indent) if gone or not text else _stripped_entry(line, indent)


def _is_furniture(text: str, following: str) -> bool:
    if _UNDERLINE.fullmatch(text) or _UNDERLINE.fullmatch(following) or _TABLE.match(text) or text.startswith(("..", "%", "$")):
        return True
    return bool(_ENTRY_TYPED.match(text) or _TYPE_FIELD.match(text)) or (len(text.split()) <= 3 and text.endswith(":"))


def _stripped_entry(line: str, indent: int) -> tuple[str, int]:
    """The line without `name (type): ` or `:param name: `; a new paragraph starts there."""
    text = line.strip()
    field = _SPHINX_FIELD.match(text) or _GOOGLE_ENTRY.match(text)
    return (text[field.end() :], indent + 4) if field else (line, indent)
