"""Turns a block of lines into sentences, and enters in the ledger what became of each of its characters."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

from stemma.config import nearest
from stemma.corpus.clean import FAULTY, clean, has_faults
from stemma.corpus.columnar import Row
from stemma.corpus.document import Ledger
from stemma.corpus.encoding import invalid_byte
from stemma.corpus.formats import TAG, Config, border, first_word, full_width
from stemma.corpus.parallel import SEPARATOR, is_header
from stemma.corpus.sentences import is_unspaced, pieces, sentences
from stemma.errors import DataError
from stemma.nouns import counted

LINE_ENDS, BLANK, TRIMMED, BETWEEN = "line ends", "blank lines", "trimmed white space", "white space between sentences"
MARKUP, BAD_RECORDS = "JSON markup and other fields", "JSON lines that cannot be read"
NO_TEXT = "rows without a text"
TAGS = "lines <doc …> and </doc>"
HEADER = "header of the columns"
NO_PAIR, EMPTY_SIDE, LONG_PAIR = "lines that are not one source and one target", "pairs with an empty side", "pairs with a side too long"
REJECT = ', or set corpus.invalid = "reject" to leave such lines out, counted'
ONE_TAB = 'lines with one tab, read as text (corpus.format = "pairs" takes them as a source and its target)'
CUT = "sentences cut, being too long"  # a note: no character is lost by it
JOINED = 'lines joined to the line before, the text being taken for wrapped (corpus.format = "sentences" reads each line by itself)'
_LISTED = 20  # problems listed from one block


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines of one file, about a megabyte: what one worker parses at a time."""

    source: str
    line: int  # number of its first line, from 1
    text: str
    format: str
    begins: bool = True  # at the start of a line (False: goes on inside an endless one)
    ends: bool = True  # at the end of a line
    last: bool = False  # of its file
    target: tuple[str, str] | None = None  # of pairs in two files: the other file, and as many lines of it
    rows: tuple[Row, ...] = ()  # of a table with typed columns, in place of `text`; `line` is the number of the first one
    note: str = ""  # what the ledger is to say of each of them


@dataclass(slots=True)
class Segment:
    """Sentences of one document that stand together in one block."""

    line: int
    sentences: list[str] = field(default_factory=list)
    label: str = ""
    joins: list[str] = field(default_factory=list)  # what stands before each sentence; for line ends and blank lines one space


@dataclass(slots=True)
class Parsed:
    """A block's segments, with a document border between any two of them, and what became of its characters."""

    source: str
    format: str
    last: bool
    ledger: Ledger
    segments: list[Segment]
    problems: list[DataError] = field(default_factory=list)


def parse(block: Block, config: Config) -> Parsed:
    """The block's sentences. With config.invalid = "error" the first fault is raised as DataError with its line."""
    parsed = Parsed(block.source, block.format, block.last, Ledger(characters_in=_size(block)), [Segment(block.line)])
    _Parser(block, config, parsed).run()
    return parsed


class _Parser:
    """One block on its way into `parsed`."""

    def __init__(self, block: Block, config: Config, parsed: Parsed) -> None:
        self.block, self.config, self.parsed = block, config, parsed
        self.ledger, self.rejected = parsed.ledger, parsed.ledger.rejected
        self.border = border(config, block.format)
        self.lines: list[str] = []  # as they stand
        self.trimmed: list[str] = []  # without the white space around them
        self.blanks: list[int] = []  # which of them are blank
        self.tags: set[int] = set()  # numbers of those that begin or end a document and are no text

    def run(self) -> None:
        if self.block.format == "rows":
            self._rows()
            return
        self._find_faults(self.block.source, self.block.text)
        if self.block.format == "pairs":
            self._pairs()
            return
        self.lines = self._clean_lines(self.block.text)
        closed = len(self.lines) > 1 and not self.lines[-1]  # the last line has its line end
        if closed:
            self.lines.pop()
        self._trim(closed)
        if self.block.format == "tagged":
            self._take_out_tags()
        if self.block.format == "jsonl":
            self._records()
        elif self.block.format == "wrapped":
            self._paragraphs()
        else:
            self._sentences(split=self.block.format in ("text", "tagged"))

    def _sentences(self, split: bool) -> None:
        filled = len(self.trimmed) - len(self.blanks)
        if 1 < filled == self.block.text.count(SEPARATOR) and all(line.count(SEPARATOR) == 1 for line in self.trimmed if line):
            self.ledger.notes[ONE_TAB] += filled
        if not split and self.block.begins and self.block.ends and self.border != "line":
            self._whole_lines()
        else:
            self._line_by_line(split)

    def _line_by_line(self, split: bool) -> None:
        final = self.block.line + len(self.lines) - 1
        for number, line, blank in self._numbered():
            if line:
                self._add(number, sentences(line) if split else [line], line, self._lead(number))
            whole = self.block.ends or number < final
            if number in self.tags or (blank and self.border == "blank") or (whole and self.border == "line"):
                self._end_document(number)

    def _whole_lines(self) -> None:
        """As `_line_by_line` for lines that are sentences, whole paragraphs of them at once."""
        begin, first = 0, self.block.line
        for end in (*self.blanks, len(self.trimmed)):
            if lines := self.trimmed[begin:end]:
                self._add_lines(first + begin, lines)
            if end < len(self.trimmed) and self.border == "blank":
                self._end_document(first + end)
            begin = end + 1

    def _end_document(self, number: int) -> None:
        segments = self.parsed.segments
        if segments[-1].sentences or len(segments) == 1:  # no border after a border
            segments.append(Segment(number + 1))

    def _paragraphs(self) -> None:
        """Lines broken at some width: a blank line, an indent, or a line left short starts a new paragraph."""
        paragraph: list[str] = []
        first, indented = self.block.line, False
        width = full_width(self.lines)
        for number, line, blank in self._numbered():
            was_indented, indented = indented, self.lines[number - self.block.line][:1].isspace()
            short = paragraph and len(paragraph[-1]) + first_word(line) < 0.8 * width and not paragraph[-1].endswith("-")
            if paragraph and (blank or short or (indented and not was_indented)):
                self._add_paragraph(paragraph, first)
                paragraph = []
            if line:
                first = first if paragraph else number
                paragraph.append(line)
            if (blank and self.border == "blank") or self.border == "line":
                self._end_document(number)
        if paragraph:
            self._add_paragraph(paragraph, first)

    def _add_paragraph(self, lines: list[str], number: int) -> None:
        """Joins the lines by a space where the script has spaces; such a line end is used text, not a reject."""
        if self.config.format == "auto":
            self.ledger.notes[JOINED] += len(lines) - 1
        parts = [lines[0]]
        for before, line in pairwise(lines):
            if not ((is_unspaced(before[-1]) and is_unspaced(line[0])) or (before[-1] == "-" and before[-2:-1].isalpha())):
                parts.append(" ")
                self.rejected[LINE_ENDS] -= 1
            parts.append(line)
        text = "".join(parts)
        self._add(number, sentences(text), text)

    def _records(self) -> None:
        for number, line, _ in self._numbered():
            if not line:
                continue
            try:
                text, label = _record(line, f"{self.block.source}, line {number}", self.config)
            except DataError as error:
                self.rejected[BAD_RECORDS] += len(line)
                self.ledger.notes[BAD_RECORDS] += 1
                self._problem(error)
                continue
            self.rejected[MARKUP] += len(line) - len(text)
            self.parsed.segments.append(Segment(number, label=label))
            self._add_record(text, number)
        self.parsed.segments.append(Segment(self.block.line + len(self.lines)))

    def _rows(self) -> None:
        for number, row in enumerate(self.block.rows, self.block.line):
            self.ledger.notes.update({self.block.note: 1} if self.block.note else {})
            self.parsed.segments.append(Segment(number, label=row.label))
            if row.text is None:
                self.ledger.notes[NO_TEXT] += 1
            else:
                self._add_record(row.text, number)
        self.parsed.segments.append(Segment(self.block.line + len(self.block.rows)))

    def _add_record(self, text: str, number: int) -> None:
        """A record's line ends are paragraph ends; its paragraphs are split into sentences."""
        lines = self._clean_lines(text)
        self.rejected[LINE_ENDS] += len(lines) - 1
        for raw in lines:
            line = raw.strip()
            self.rejected[TRIMMED] += len(raw) - len(line)
            if line:
                self._add(number, sentences(line), line)
        if not self.parsed.segments[-1].sentences:
            self.ledger.notes["rows with an empty text" if self.block.format == "rows" else "JSON lines with an empty text"] += 1

    def _pairs(self) -> None:
        """Each line, or the lines of one number in two files: a source and its target, which are a document and are never cut."""
        for number, line, cells in self._cells():
            sides = [cell.strip() for cell in cells]
            if not any(sides):
                self.rejected[BLANK] += len(line)
            elif number == 1 and not self.block.target and is_header(line):
                self.rejected[HEADER] += len(line)
            elif len(sides) == 2 and all(sides) and max(map(len, sides)) <= self.config.max_sentence:
                self.parsed.segments.append(Segment(number, sides, joins=[" ", " "]))
                self.ledger.characters_used += len(sides[0]) + len(sides[1])
                self.rejected[BETWEEN] += len(line) - len(cells[0]) - len(cells[1])
                self.rejected[TRIMMED] += len(cells[0]) + len(cells[1]) - len(sides[0]) - len(sides[1])
            else:
                self._leave_out(number, line, sides)
        self.parsed.segments.append(Segment(self.block.line + max(1, len(self.lines))))

    def _cells(self) -> Iterator[tuple[int, str, list[str]]]:
        """(number, all that stands there, its cells) for each line, or for the lines of one number in two files."""
        self.lines = self._whole_lines_of(self.block.text)
        if not self.block.target:
            yield from ((number, line, line.split(SEPARATOR)) for number, line in enumerate(self.lines, self.block.line))
            return
        self._find_faults(*self.block.target)
        targets = self._whole_lines_of(self.block.target[1])
        for number, sides in enumerate(zip_longest(self.lines, targets, fillvalue=""), self.block.line):
            yield number, "".join(sides), list(sides)

    def _whole_lines_of(self, text: str) -> list[str]:
        """The lines as they stand; their ends go to the ledger."""
        lines = self._clean_lines(text)
        self.rejected[LINE_ENDS] += len(lines) - 1
        return lines if lines[-1] else lines[:-1]

    def _leave_out(self, number: int, line: str, sides: list[str]) -> None:
        """Enters in the ledger a line that is no pair, or too long a one, and reports what is a fault."""
        reason = NO_PAIR if len(sides) != 2 else LONG_PAIR if all(sides) else EMPTY_SIDE
        self.rejected[reason] += len(line)
        self.ledger.notes[reason] += 1
        if reason != LONG_PAIR:
            self._problem(_no_pair(self.block, number, sides))

    def _add(self, number: int, found: list[str], text: str, lead: str = " ") -> None:
        """Enters the sentences of a stretch of text, which follows on `lead`, in the open segment and in the ledger."""
        limit = self.config.max_sentence
        if len(text) > limit and (endless := sum(len(s) > limit for s in found)):
            self.ledger.notes[CUT] += endless
            found = [piece for s in found for piece in pieces(s, limit)]
        segment = self._entered(number)
        segment.sentences.extend(found)
        segment.joins.extend([lead] if len(found) == 1 else _joins(text, found, lead))
        used = sum(map(len, found))
        self.ledger.characters_used += used
        self.rejected[BETWEEN] += len(text) - used

    def _add_lines(self, number: int, lines: list[str]) -> None:
        """Enters lines that are sentences."""
        if max(map(len, lines)) > self.config.max_sentence:
            for offset, line in enumerate(lines):
                self._add(number + offset, [line], line)
            return
        segment = self._entered(number)
        segment.sentences.extend(lines)
        segment.joins.extend([" "] * len(lines))
        self.ledger.characters_used += sum(map(len, lines))
        self.rejected[BETWEEN] += 0  # an item of every ledger

    def _entered(self, number: int) -> Segment:
        """The open segment, which begins at this line if it had no sentence yet."""
        segment = self.parsed.segments[-1]
        if not segment.sentences:
            segment.line = number
        return segment

    def _lead(self, number: int) -> str:
        """What stands before a line: a line end, but before the rest of an endless one nothing."""
        return " " if number > self.block.line or self.block.begins else ""

    def _clean_lines(self, text: str) -> list[str]:
        text, rejected = clean(text)
        self.rejected.update(rejected)
        if "\r" in text:
            self.rejected[LINE_ENDS] += text.count("\r\n")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.split("\n")

    def _trim(self, closed: bool) -> None:
        """Takes the white space around each line off: it goes to the ledger with the line ends. A part of a line is never blank."""
        self.trimmed, last = [line.strip() for line in self.lines], len(self.lines) - 1
        parts = {index for index, whole in ((0, self.block.begins), (last, self.block.ends)) if not whole}
        self.blanks = [index for index, line in enumerate(self.trimmed) if not line and index not in parts]
        white = sum(map(len, self.lines)) - sum(map(len, self.trimmed))
        blank = sum(len(self.lines[index]) for index in self.blanks)
        blank_ends = len(self.blanks) - (not closed and last in self.blanks[-1:])
        self.rejected.update({TRIMMED: white - blank, BLANK: blank + blank_ends, LINE_ENDS: last + closed - blank_ends})

    def _take_out_tags(self) -> None:
        """Lines that begin or end a document go to the ledger as such."""
        for index, line in enumerate(self.trimmed):
            if TAG.fullmatch(line):
                self.tags.add(self.block.line + index)
                self.rejected[TAGS] += len(line)
                self.trimmed[index] = ""

    def _numbered(self) -> Iterator[tuple[int, str, bool]]:
        """(number, trimmed line, blank) for each line."""
        blanks = set(self.blanks)
        for index, line in enumerate(self.trimmed):
            yield self.block.line + index, line, index in blanks

    def _find_faults(self, source: str, text: str) -> None:
        """Reports each line's first byte that is not in the encoding."""
        if not has_faults(text):
            return
        listed = 0
        match = FAULTY.search(text)
        while match and listed < _LISTED:
            at, listed = match.start(), listed + 1
            start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            number = self.block.line + text.count("\n", 0, at)
            around = text[max(0, at - 4000) : at + 4000]
            where = f"{source}, line {number}"
            self._problem(invalid_byte(where, self.config.encoding, text[start : at + 1], at - start, around))
            match = FAULTY.search(text, end) if end >= 0 else None

    def _problem(self, error: DataError) -> None:
        if self.config.invalid == "error":
            raise error
        if len(self.parsed.problems) < _LISTED:
            self.parsed.problems.append(error)


def _size(block: Block) -> int:
    """Characters of the block."""
    if block.rows:
        return sum(len(row.text or "") for row in block.rows)
    return len(block.text) + (len(block.target[1]) if block.target else 0)


def _no_pair(block: Block, number: int, sides: list[str]) -> DataError:
    """The error for a line that is not one source and one target."""
    where = f"{block.source}, line {number}"
    cure = f"mend the line{REJECT}"
    if len(sides) != 2:
        return DataError(f"{where}: {counted(len(sides), 'cell')} ({' '.join(sides)[:40]!r})", "a source, one tab and its target", cure)
    empty, other = ("source", sides[1]) if not sides[0] else ("target", sides[0])
    if block.target and empty == "target":
        where = f"{block.target[0]}, line {number}"
    return DataError(f"{where}: the {empty} of {other[:40]!r} is empty", "a text on both sides", cure)


def _joins(text: str, found: list[str], lead: str) -> list[str]:
    """What stands before each of the sentences found in the text: `lead`, then what parts them."""
    joins, at = [], 0
    for sentence in found:
        start = text.index(sentence, at)
        joins.append(text[at:start])
        at = start + len(sentence)
    return [lead, *joins[1:]]


def _record(line: str, where: str, config: Config) -> tuple[str, str]:
    """The text and the label of one JSON line."""
    try:
        record = json.loads(line, strict=False)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        cure = "Mend the line" if len(line) > 1 and line[0] == "{" else 'Write one object a line (jq -c ".[]" does it for an array)'
        cure += ', or set corpus.invalid = "reject" to leave such lines out, counted'
        raise DataError(f"{where}: not JSON: {reason}", "one JSON object a line", cure) from error
    if not isinstance(record, dict):
        cure = f'write {{"{config.field}": …}}; jq -c ".[]" makes lines of an array'
        raise DataError(f"{where}: the line holds a JSON {_kind(record)}", "one JSON object a line", cure)
    if config.field not in record:
        fields = ", ".join(map(repr, list(record)[:12])) or "none"
        cure = _other_field(record, config.field)
        raise DataError(f"{where}: no field {config.field!r}; the fields are {fields}", "the text in that field", cure)
    text = record[config.field]
    if not isinstance(text, str):
        raise DataError(f"{where}: field {config.field!r} holds a JSON {_kind(text)}", "a string", "write the text as one JSON string")
    label = record.get(config.label, "")
    return text, "" if label is None or isinstance(label, (dict, list)) else str(label)


def _other_field(record: dict, field: str) -> str:
    longest = max((k for k, v in record.items() if isinstance(v, str)), key=lambda k: len(record[k]), default="")
    return f'set corpus.field = "{longest}"' if longest else nearest(field, record) if record else "give each line its text"


def _kind(value: object) -> str:
    return {list: "array", dict: "object", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
