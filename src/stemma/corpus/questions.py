"""Files of questions in the form of SQuAD: JSON with passages, and questions whose answers stand in them.

`{"data": [{"paragraphs": [{"context": "…", "qas": [{"question": "…", "answers": [{"text": "…", "answer_start": 12}]}]}]}]}`. A question
without answers (`is_impossible` of version 2 says the same) has none in its passage. Or JSON lines, a question each, as the library
`datasets` writes them: `{"question": "…", "context": "…", "answers": {"text": ["…"], "answer_start": [12]}}`.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemma.corpus.clean import from_json
from stemma.corpus.encoding import codec
from stemma.corpus.given import given_texts, listed, warn_of
from stemma.corpus.task import read_lines
from stemma.errors import DataError
from stemma.nouns import counted

_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNIT = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
_ROW = '{"question": "…", "context": "…", "answers": {"text": ["…"], "answer_start": [0]}}'
_FORM = '{"data": [{"paragraphs": [{"context": "…", "qas": [{"question": "…", "answers": [{"text": "…", "answer_start": 0}]}]}]}]}'


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its passage, and (first character, text) of each answer that people gave; none where the passage has none."""

    question: str
    passage: str
    answers: tuple[tuple[int, str], ...] = ()
    source: str = ""  # where it stood


def units_of(text: str) -> list[tuple[int, int]]:
    """(start, end) of each Chinese character, each other word, and each mark.

    >>> [text[a:b] for text in ["GPT-2 在2019年。"] for a, b in units_of(text)]
    ['GPT', '-', '2', '在', '2019', '年', '。']
    """
    return [match.span() for match in _UNIT.finditer(text)]


def read_questions(path: str | Path, encoding: str = "utf-8") -> list[Question]:
    """The file's questions in order. DataError with place and cure for what is not of the form, or an answer that is not in its passage."""
    lines, moved, removed = read_lines(str(path), codec(encoding)), [0], Counter[str]()
    if (first := _parsed(next((line for line in lines if line.strip()), ""), Counter())) and "context" in first:
        questions = list(_rows(lines, str(path), moved, removed))
    else:
        questions = list(_questions(_whole(lines, str(path), removed), str(path), moved))
    warn_of(removed, str(path))
    if not questions:
        raise DataError(f"{path}: no question", "one question or more", "add `qas` to its paragraphs")
    _warn_of_moved(moved[0], str(path))
    return questions


def given_questions(examples: Iterable[Any]) -> list[Question]:
    """Questions that a program hands over: `Question`, or mappings with `question`, `context` and `answers`, as SQuAD has them."""
    found, moved = [], [0]
    for place, row in enumerate(listed(examples, "the examples")):
        where = f"example {place}"
        if isinstance(row, Mapping) and {"question", "context"} <= row.keys():
            row = _question(row, row["context"], where, where, moved)
        if not isinstance(row, Question):
            raise DataError(f"{where} is {row!r:.60}", "a mapping with `question`, `context` and `answers`", "make each example one")
        given_texts([row.question, row.passage], where)
        found.append(row)
    _warn_of_moved(moved[0], "the examples")
    return found


def _parsed(line: str, removed: Counter[str]) -> dict[str, Any] | None:
    """The JSON object of a line; None where it is none by itself."""
    try:
        found = from_json(line, removed)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _rows(lines: list[str], path: str, moved: list[int], removed: Counter[str]) -> Iterator[Question]:
    """The questions of JSON lines."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            if (row := _parsed(line, removed)) is None:
                raise DataError(f"{where}: {line!r:.40}", f"a JSON object, as {_ROW}", "mend the line")
            yield _question(row, row.get("context"), where, f"{path}:{number}", moved)


def _whole(lines: list[str], path: str, removed: Counter[str]) -> list[Any]:
    """The list `data` of a file in the form of SQuAD."""
    try:
        found = from_json("\n".join(lines), removed)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}", f"JSON in the form of SQuAD: {_FORM}; or JSON lines: {_ROW}", "mend the file there") from error
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        wrong = f"{path}: no list `data`"
        raise DataError(wrong, f"JSON in the form of SQuAD: {_FORM}; or JSON lines: {_ROW}", "put the passages into it")
    articles: list[Any] = found["data"]
    return articles


def _questions(articles: list[Any], path: str, moved: list[int]) -> Iterator[Question]:
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_items(article, "paragraphs", f"{path}, data[{a}]")):
            where = f"{path}, data[{a}].paragraphs[{p}]"
            for q, entry in enumerate(_items(paragraph, "qas", where)):
                source = f"{where}.qas[{q}]"
                yield _question(entry, paragraph.get("context"), source, source, moved)


def _items(value: Any, key: str, where: str) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        raise DataError(f"{where}: no list `{key}`", f"JSON in the form of SQuAD: {_FORM}", f"add `{key}`")
    found: list[Any] = value[key]
    return found


def _question(entry: Any, passage: Any, where: str, source: str, moved: list[int]) -> Question:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: {entry!r:.40}", f"JSON in the form of SQuAD: {_FORM}", "make it an object")
    for name, text in (("question", entry.get("question")), ("context", passage)):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: the {name} is {text!r:.40}", "a text", "fill it in, or remove the question")
    impossible = entry.get("is_impossible") or False
    if impossible not in (True, False):
        raise DataError(f"{where}: is_impossible is {impossible!r:.40}", "true or false", "mend it, or leave it out")
    answers = [] if impossible else _answers(entry.get("answers"), where)
    return Question(entry["question"].strip(), passage, tuple(_answer(one, passage, where, moved) for one in answers), source)


def _answers(given: Any, where: str) -> list[Any]:
    """The answers one by one; of mappings of two columns, as the library `datasets` has them, the rows."""
    if isinstance(given, Mapping) and given:
        columns = [_plain(given.get(name)) for name in ("text", "answer_start")]
        texts, starts = (column if isinstance(column, list) else None for column in columns)
        if texts is None or starts is None or len(texts) != len(starts):
            wrong = f"{where}: answers are {given!r:.60}"
            mend = "give each text its first character, or write a list of objects with both"
            raise DataError(wrong, 'two columns of equal length, as {"text": ["…"], "answer_start": [0]}', mend)
        return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    found = _plain(given) if given is not None else []
    if not isinstance(found, list) and found:
        raise DataError(f"{where}: answers are {given!r:.60}", "a list of `text` and `answer_start`", "put them into a list")
    return found or []


def _plain(values: Any) -> Any:
    """What a tuple or an array holds, as a list of Python's own values; anything else as it is."""
    if isinstance(values, np.ndarray):
        return values.tolist()
    return list(values) if isinstance(values, tuple) else values


def _answer(answer: Any, passage: str, where: str, moved: list[int]) -> tuple[int, str]:
    """(first character, text), the place nearest to the one that is given."""
    text: Any
    start: Any
    text, start = (answer.get("text"), answer.get("answer_start")) if isinstance(answer, Mapping) else (answer, 0)
    if not isinstance(text, str) or not text.strip() or isinstance(start, bool) or not isinstance(start, int):
        raise DataError(f"{where}: the answer {answer!r:.60}", "`text` and its first character, `answer_start`", "mend the answer")
    start, text = start + len(text) - len(text.lstrip()), text.strip()
    if passage[start : start + len(text)] != text:
        places = [match.start() for match in re.finditer(re.escape(text), passage)]
        if not places:
            wrong = f"{where}: the answer {text!r:.60} is not in its passage"
            raise DataError(wrong, "an answer word for word as it stands there", "mend the answer, or leave the question out")
        given = start
        start = min(places, key=lambda place: abs(place - given))
        moved[0] += isinstance(answer, Mapping)
    return start, text


def _warn_of_moved(moved: int, where: str) -> None:
    if moved:
        wrong = f"{where}: {counted(moved, 'answer')} did not stand where answer_start says"
        warnings.warn(f"{wrong}; the nearest place that has the same text was taken", stacklevel=4)
