"""Files of choices: a context and the candidates that may go with it, of which one is right.

A table has the columns `label`, `context` and one for each candidate, whatever they are called, in their order; a row may leave the
last ones empty. A `question` beside the context is read after it. JSON lines hold the candidates as a list, `choices`. The label is
the number of the right candidate, from 1, or its letter, from A.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.corpus.clean import from_json
from stemma.corpus.encoding import codec
from stemma.corpus.given import given_texts, listed, warn_of
from stemma.corpus.tables import table
from stemma.corpus.task import read_lines
from stemma.errors import DataError
from stemma.nouns import counted

_FORM = "a header `label<TAB>context<TAB>choice1<TAB>choice2 …`, or JSON lines with `label`, `context` and a list `choices`"
_LABEL, _CONTEXT, _QUESTION, _CHOICES = "label", "context", "question", "choices"


@dataclass(frozen=True, slots=True)
class Choice:
    """A context and its candidates; `right` is the place of the right one, from 0, or -1 where it is to be found."""

    context: str
    candidates: tuple[str, ...]
    right: int = -1
    source: str = ""  # "file:line"


def read_choices(path: str | Path, encoding: str = "utf-8") -> list[Choice]:
    """The file's choices in order. DataError with file, line and cure for whatever is not of the form."""
    lines = read_lines(str(path), codec(encoding))
    if not lines:
        raise DataError(f"{path}: the file is empty", _FORM, "give it one choice a line")
    first = next(line for line in lines if line.strip()).lstrip()
    found = _json_lines(lines, str(path)) if first.startswith("{") else _rows(lines, str(path))
    if not found:
        raise DataError(f"{path}: no example follows the header", "one choice a line", "add the choices below line 1")
    return found


def given_choices(examples: Iterable[Any]) -> list[Choice]:
    """Choices that a program hands over: `Choice`, mappings as JSON lines have them, or (label, context, candidates)."""
    found = []
    for place, row in enumerate(listed(examples, "the examples")):
        where = f"example {place}"
        if isinstance(row, (tuple, list)) and len(row) == 3 and not isinstance(row[2], str):
            row = {_LABEL: row[0], _CONTEXT: row[1], _CHOICES: list(row[2])}
        if isinstance(row, Mapping):
            row = _of_mapping(row, where, "")
        if not isinstance(row, Choice):
            raise DataError(f"{where} is {row!r:.60}", "(label, context, candidates), or a mapping", "make each example one of these")
        texts = [text.strip() for text in given_texts([row.context, *row.candidates], where)]
        found.append(_checked(Choice(texts[0], tuple(texts[1:]), row.right, row.source), where))
    return found


def _rows(lines: list[str], path: str) -> list[Choice]:
    found = table(lines, path)
    known = [found.names.index(name) if name in found.names else -1 for name in (_LABEL, _CONTEXT, _QUESTION)]
    places = [at for at in range(len(found.names)) if at not in known]
    if min(known[:2]) < 0 or len(places) < 2:
        raise DataError(f"{path}, line 1: {lines[0]!r:.80}", _FORM, "add that header as the first line, or rename the columns")
    choices = []
    for number, cells in found.rows:
        where = f"{path}, line {number}"
        if len(cells) > len(found.names) or len(cells) <= max(known):
            wrong = f"{where}: {counted(len(cells), 'cell')}"
            raise DataError(wrong, f"{counted(len(found.names), 'cell')}, as in the header", "write a tab inside a text as a space")
        given = [cells[at].strip() for at in places if at < len(cells)]
        while given and not given[-1]:
            given.pop()
        context = " ".join(cells[at].strip() for at in known[1:] if at >= 0)
        choices.append(_checked(Choice(context, tuple(given), _place(cells[known[0]], where), f"{path}:{number}"), where))
    return choices


def _json_lines(lines: list[str], path: str) -> list[Choice]:
    choices, removed = [], Counter[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            found = from_json(line, removed)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: {error}", _FORM, "mend the line") from error
        if not isinstance(found, dict):
            raise DataError(f"{where}: {type(found).__name__}", _FORM, "make it a JSON object")
        choices.append(_checked(_of_mapping(found, where, f"{path}:{number}"), where))
    warn_of(removed, path)
    return choices


def _of_mapping(found: Mapping[str, Any], where: str, source: str) -> Choice:
    lacking = [name for name in (_LABEL, _CONTEXT, _CHOICES) if name not in found]
    if lacking:
        raise DataError(f"{where}: no {', '.join(map(repr, lacking))}", _FORM, "add it, or rename the keys")
    candidates, question = found[_CHOICES], found.get(_QUESTION, "")
    if not isinstance(candidates, (list, tuple)) or not all(isinstance(text, str) for text in (found[_CONTEXT], question, *candidates)):
        raise DataError(f"{where}: context and choices are no texts", "a text, and a list of texts", "write them as text")
    context = " ".join(filter(None, (found[_CONTEXT].strip(), question.strip())))
    return Choice(context, tuple(text.strip() for text in candidates), _place(str(found[_LABEL]), where), source)


def _place(label: str, where: str) -> int:
    """The place, from 0, that a number from 1 or a letter names."""
    label = label.strip()
    if label.isascii() and label.isdigit() and int(label) > 0:
        return int(label) - 1
    if len(label) == 1 and "A" <= label.upper() <= "Z":
        return ord(label.upper()) - ord("A")
    raise DataError(
        f"{where}: the label {label!r:.40}", "the number of the right candidate, from 1, or its letter, from A", "mend the label"
    )


def _checked(choice: Choice, where: str) -> Choice:
    """The choice; DataError for an empty text, fewer than two candidates, or a label beyond them."""
    if not choice.context or not all(choice.candidates):
        empty = "context" if not choice.context else f"candidate {choice.candidates.index('') + 1}"
        raise DataError(f"{where}: the {empty} is empty", "a text", "fill it in, or remove the line")
    if len(choice.candidates) < 2:
        raise DataError(f"{where}: {counted(len(choice.candidates), 'candidate')}", "two or more to choose from", "add the others")
    if choice.right >= len(choice.candidates):
        wrong = f"{where}: the label names candidate {choice.right + 1} of {len(choice.candidates)}"
        raise DataError(wrong, f"1 to {len(choice.candidates)}", "mend the label")
    return choice
