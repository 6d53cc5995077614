"""Cuts the text of the files into blocks of whole lines, the unit of parallel work; memory holds one block at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from stemma.corpus.clean import FAULTY
from stemma.corpus.columnar import Row, kind_of, rows_of
from stemma.corpus.encoding import codec, texts
from stemma.corpus.files import STDIN, opened, raw
from stemma.corpus.formats import Config, recognise
from stemma.corpus.parallel import aligned
from stemma.corpus.parse import Block
from stemma.corpus.sentences import borders
from stemma.errors import DataError

BLOCK = 1 << 20  # characters
SAMPLE = 1 << 17  # characters that the format is recognised from
MAX_RECORD = 1 << 26  # characters of one JSON line
_LOOK_BACK = 1 << 14  # characters searched for a sentence end where a line is endless


def blocks(
    files: Sequence[str | Path], config: Config, size: int = BLOCK, targets: Sequence[str | Path] = ()
) -> Iterator[Block | DataError]:
    """The blocks of all files in order, of pairs of files where `targets` are as many others.

    A file that cannot be read comes as its error, so that it is met in its place.
    """
    encoding = codec(config.encoding)
    for file, target in zip_longest(files, targets):
        try:
            if not targets and (kind := _columnar(str(file))):
                yield from _row_blocks(str(file), kind, config, size)
            elif not targets:
                yield from _file_blocks(str(file), config, encoding, size)
            else:
                yield from _pair_blocks(str(file), str(target), encoding, size)
        except DataError as error:
            yield error


def _file_blocks(name: str, config: Config, encoding: str, size: int) -> Iterator[Block]:
    with opened(name) as stream:
        line, begins, held = 1, True, ""
        format: str = config.format
        for text in texts(stream, encoding, name):
            held += text
            if len(held) < size:
                continue
            format = recognise(held[:SAMPLE], name) if format == "auto" else format
            while len(held) >= size and (cut := _cut(held, format, name, line)):
                ends = held[cut - 1] in "\r\n"
                block = Block(name, line, held[:cut], format, begins, ends)
                line += _line_ends(block.text)
                begins, held = ends, held[cut:]
                yield block
        format = recognise(held[:SAMPLE], name) if format == "auto" else format
        yield Block(name, line, held, format, begins, ends=True, last=True)


def _columnar(name: str) -> str:
    """What kind of table with typed columns the file is; empty for text. Standard input, which can be read but once, is text."""
    if name == STDIN:
        return ""
    with raw(name) as stream:
        return kind_of(stream.read(8))


def _row_blocks(name: str, kind: str, config: Config, size: int) -> Iterator[Block]:
    with raw(name) as stream:
        rows = rows_of(name, kind, stream, config.field, config.label, guess=config.field == Config.field)
        note = f"rows of which the column {rows.column!r} was read (corpus.field names another)" if rows.guessed else ""
        first, held, length = 1, list[Row](), 0
        for _, stretch in rows.stretches:
            for row in stretch:
                held.append(row)
                length += len(row.text or "")
                if length >= size:
                    yield Block(name, first, "", "rows", rows=tuple(held), note=note)
                    first, held, length = first + len(held), [], 0
        yield Block(name, first, "", "rows", last=True, rows=tuple(held), note=note)


def _pair_blocks(source: str, target: str, encoding: str, size: int) -> Iterator[Block]:
    before: Block | None = None
    for line, text, other in aligned(source, target, encoding, size):
        if before:
            yield before
        before = Block(source, line, text, "pairs", target=(target, other))
    assert before is not None, "even empty files give a stretch"
    yield replace(before, last=True)


def _cut(text: str, format: str, name: str, line: int) -> int:
    """Where to end a block: after a blank line (wrapped text), else a line, else a sentence, else a word; 0 to wait for more."""
    if format == "wrapped":
        blank = max(text.rfind("\n\n"), text.rfind("\n\r\n"))
        if blank >= 0:
            return text.index("\n", blank + 1) + 1
    cut = text.rfind("\n") + 1 or text.rfind("\r", 0, len(text) - 1) + 1
    if cut:
        return cut
    if format in ("jsonl", "pairs"):
        if len(text) > MAX_RECORD and not FAULTY.search(text[:SAMPLE]):
            wrong = f"{name}, line {line}: a {'JSON line' if format == 'jsonl' else 'pair'} of more than {MAX_RECORD:,} characters"
            raise DataError(wrong, "one document a line", "cut the record into several lines, or give its text as a plain text file")
        return 0
    return _cut_inside_line(text)


def _cut_inside_line(text: str) -> int:
    tail = max(0, len(text) - _LOOK_BACK)
    *_, end = (0, *(start for _, start in borders(text[tail:])))
    if end:
        return tail + end
    return max(text.rfind(" ", tail), text.rfind("\t", tail), text.rfind("\u3000", tail)) + 1 or len(text) - 1


def _line_ends(text: str) -> int:
    return text.count("\n") + (text.count("\r") - text.count("\r\n") if "\r" in text else 0)
