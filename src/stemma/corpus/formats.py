"""The formats of text, the settings of reading them, and recognising which one a file is in.

`sentences`  one sentence a line, a blank line between documents
`text`       one paragraph a line, split into sentences; a blank line between documents
`wrapped`    paragraphs broken into lines at some width, a blank line between paragraphs; a file is a document
`jsonl`      one JSON object a line, its `text` field one document
`pairs`      a source, a tab and its target a line, or line i of two files: each a document of two sentences
`rows`       a column of a Parquet or Arrow file, each row a document; known by its bytes (`corpus.columnar`)
`tagged`     a document between a line `<doc …>` and a line `</doc>`, as WikiExtractor writes them; its lines are read as `text`
"""

import csv
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from stemma.bounds import Positive
from stemma.config import ReadIf
from stemma.corpus.clean import clean
from stemma.corpus.files import text_suffix
from stemma.corpus.parallel import is_header, looks_parallel
from stemma.corpus.sentences import is_unspaced, sentences
from stemma.corpus.tables import MARK, labelled
from stemma.corpus.task import header_of
from stemma.errors import DataError

TAG = re.compile(r"</?doc(?: .*)?>")  # a line that begins or ends a document
_WHOLE_LINES = 50  # lines of a sample beyond which its last, which may be cut, is not needed to judge by
_FINAL = (".", "!", "?", "。", "！", "？", "”", '"', "…", ":", "：")


@dataclass(frozen=True)
class Config:
    """How the text is read."""

    format: Literal["auto", "sentences", "text", "wrapped", "jsonl", "tagged", "pairs"] = "auto"  # auto: recognised, file by file
    encoding: str = "utf-8"  # any of Python's, by name: gb18030, big5, utf-16
    field: Annotated[str, ReadIf("format", "auto", "jsonl")] = "text"  # the field of a JSON line, or the column, that holds its text
    label: Annotated[str, ReadIf("format", "auto", "jsonl")] = "label"  # the field or column that holds its label, where there is one
    documents: Literal["auto", "blank", "line", "file"] = "auto"  # what ends a document: a blank line, a line end, the file
    invalid: Literal["error", "reject"] = "error"  # bytes not in the encoding, bad JSON lines or pairs: stop, or leave out and count
    max_sentence: Positive = 10_000  # characters; a longer one is cut and noted, a pair with one left out
    max_document: Positive = 4_000_000  # characters; a longer one is handed on in parts and noted


def border(config: Config, format: str) -> str:
    """What ends a document: "blank", "line", "file"; in tagged text "tag", in pairs "line" and in rows "row" in any case."""
    if config.documents != "auto" and format not in ("pairs", "rows"):
        return config.documents
    return {"wrapped": "file", "rows": "row", "jsonl": "line", "pairs": "line", "tagged": "tag"}.get(format, "blank")


def recognise(sample: str, name: str = "") -> str:
    """The format of a text, from its first lines and the suffix of its name; DataError for a table of labelled examples."""
    sample = clean(sample)[0].replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.strip() for line in sample.split("\n")]
    filled = [line for line in lines if line]
    if filled and is_header(filled[0]) and not header_of(filled[0]):
        return "pairs"
    _refuse_labelled(filled, [line for line in sample.split("\n") if line.strip()], name)
    if text_suffix(name) == ".tsv" and looks_parallel([line for line in sample.split("\n")[:2000] if line.strip()][:-1]):
        return "pairs"
    if text_suffix(name) in (".jsonl", ".ndjson", ".json") or (filled and _is_json_object(filled[0])):
        return "jsonl"
    if _is_tagged(filled):
        return "tagged"
    if _is_wrapped(lines):
        return "wrapped"
    several = sum(len(sentences(line[:5000])) > 1 for line in filled[:2000])
    return "text" if several > 0.2 * min(len(filled), 2000) else "sentences"


def _refuse_labelled(filled: list[str], raw: list[str], name: str) -> None:
    """DataError for a table of labelled examples, with a header or without; `raw` are the lines with the white space around them."""
    if not filled:
        return
    file, table, otherwise = name or "FILE", "finetune, compare and a fine-tuned run's evaluate take the table itself", ""
    if header := header_of(filled[0]):
        mark, cells = header
        column = next((place for place, cell in enumerate(cells, start=1) if cell.lower() not in ("label", "labels", "score")), 2)
        alone = f", `tail -n +2 {file} | cut -f {column}`" if mark == "\t" else ""
    elif filled[0].startswith(MARK) and sum(line.startswith(MARK) for line in filled) > 0.5 * len(filled):
        alone = f", `sed 's/{MARK}[^ ]* *//g' {file}`"
    elif found := labelled(raw[:-1] if len(raw) > _WHOLE_LINES else raw):
        mark, column = found
        width = len(next(csv.reader(raw[:1], delimiter=mark)))
        alone = f", `cut -f {column} {file}`" if mark == "\t" else f", column {column} of {width}"
        table = "finetune takes the table itself with a header such as `label<TAB>text`, or for --task tag a token and its tag a line"
        otherwise = '; if it is text all the same, set corpus.format = "sentences"'
    else:
        return
    shown = filled[0] if len(filled[0]) <= 80 else filled[0][:77] + "..."
    wrong = f"{name}: a table of labelled examples, {shown!r}"
    raise DataError(wrong, "text alone: labels would be read as words of it", f"take its texts alone{alone}; {table}{otherwise}")


def _is_json_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return line.startswith('{"')


def _is_tagged(filled: list[str]) -> bool:
    """True where the first line begins a document, or, after other text, document after document begins and ends."""
    tags = [line for line in filled if TAG.fullmatch(line)]
    begun = [line.startswith("<doc ") for line in tags]
    if filled and filled[0] in tags:
        return begun[0]
    return sum(begun) > 1 and all(one != other for one, other in pairwise(begun))


def _is_wrapped(lines: list[str]) -> bool:
    """True where nearly every line inside a paragraph is as full as the next line's first word allows."""
    width = full_width(lines)
    if not 20 <= width <= 200:
        return False
    inner = full = ended = 0
    for line, following in pairwise(lines):
        if line and following:
            inner += 1
            full += len(line) + first_word(following) > width - 6
            ended += line.endswith(_FINAL)
    return inner >= 3 and full > 0.7 * inner and ended < 0.6 * inner  # lines of verse or of a list end whole


def full_width(lines: list[str]) -> int:
    """The width that the lines are broken at: of a hundred, two may stick out (a title, a link)."""
    lengths = sorted(len(line.strip()) for line in lines)
    return lengths[int(0.98 * (len(lengths) - 1))] if lengths else 0


def first_word(line: str) -> int:
    """How many characters the line's first word would have added to the line before."""
    line = line.lstrip()
    if not line or is_unspaced(line[0]):
        return len(line[:1])
    return len(line.split(None, 1)[0]) + 1
