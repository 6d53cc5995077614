"""`stemma corpus check`: what the corpus is, what would be rejected and why, and how to mend it; it never stops at a fault."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from stemma.corpus.blocks import blocks
from stemma.corpus.clean import INVALID
from stemma.corpus.document import Ledger
from stemma.corpus.files import find
from stemma.corpus.formats import Config, border
from stemma.corpus.pair_check import FAR, Found, PairFigures, measure
from stemma.corpus.parallel import SEPARATOR
from stemma.corpus.parse import BAD_RECORDS, CUT, EMPTY_SIDE, LONG_PAIR, NO_PAIR, Block, Parsed, parse
from stemma.corpus.read import PARTS, Joiner, no_text
from stemma.corpus.repetition import REPORTED_FROM, Repetition
from stemma.corpus.scripts import count_scripts
from stemma.corpus.workers import ordered_map
from stemma.errors import DataError
from stemma.nouns import counted

HEAD = 1000  # first sentences that are kept


@dataclass(slots=True)
class CorpusReport:
    """What `check` found."""

    files: list[dict] = field(default_factory=list)  # name, format, characters, documents end at
    encoding: str = "utf-8"
    ledger: Ledger = field(default_factory=Ledger)
    scripts: Counter[str] = field(default_factory=Counter)
    longest_line: int = 0  # characters
    longest_line_at: str = ""
    longest_sentence: int = 0  # characters
    longest_document: int = 0  # characters
    replacements: int = 0  # characters U+FFFD
    repeated_sentences: float = 0.0  # share of the sentences that have stood before
    problems: list[str] = field(default_factory=list)  # the first of them, each with file, line and cure
    num_problems: int = 0
    skipped: list[str] = field(default_factory=list)  # files of a directory that are not text
    hints: list[str] = field(default_factory=list)
    pairs: PairFigures | None = None  # of pairs of source and target, where there are any
    repeated_pairs: float = 0.0  # share of the pairs that have stood before
    head: list[str] = field(default_factory=list)  # the first sentences: whoever learns a tokenizer judges by them

    @property
    def ok(self) -> bool:
        """True when `read` would take the corpus as it is."""
        return not self.num_problems and self.ledger.documents > 0

    def as_dict(self) -> dict:
        """The report as JSON-able values."""
        return {
            "ok": self.ok,
            "files": self.files,
            "encoding": self.encoding,
            **self.ledger.as_dict(),
            "characters_by_script": dict(self.scripts.most_common()),
            "longest_line": {"characters": self.longest_line, "at": self.longest_line_at},
            "longest_sentence": self.longest_sentence,
            "longest_document": self.longest_document,
            "replacement_characters": self.replacements,
            "repeated_sentences": round(self.repeated_sentences, 4),
            **({"pairs": self.pairs.as_dict(self.ledger.notes, self.repeated_pairs)} if self.pairs else {}),
            "problems": self.problems,
            "num_problems": self.num_problems,
            "skipped_files": self.skipped,
            "hints": self.hints,
        }


def check(
    paths: Sequence[str | Path],
    config: Config | None = None,
    workers: int = 1,
    most_problems: int = 20,
    targets: Sequence[str | Path] = (),
) -> CorpusReport:
    """Reads everything and reports it, faults included. Raises DataError only where the paths name no file.

    With `targets`, as many other files, each line and the one beside it there are a pair.
    """
    config = config or Config()
    lenient = replace(config, invalid="reject")
    found = find(paths, targets)
    report = CorpusReport(encoding=config.encoding, skipped=found.skipped)
    joiner, repetition, repeated_pairs = Joiner(lenient, report.ledger), Repetition(), Repetition()
    for seen in ordered_map(partial(_examine, config=lenient), blocks(found.files, lenient, targets=found.targets), workers):
        if isinstance(seen, DataError):
            _add_problems(report, [seen], most_problems)
            continue
        _add_block(report, seen, config, most_problems)
        for document in joiner.documents(seen.parsed):
            report.longest_document = max(report.longest_document, len(document.text))
            repetition.add(document.sentences)
            if document.pair:
                repeated_pairs.add([SEPARATOR.join(document.sentences)])
            report.head += document.sentences[: max(0, HEAD - len(report.head))]
    report.repeated_sentences, report.repeated_pairs = repetition.share, repeated_pairs.share
    if not report.ledger.documents and not report.num_problems:
        _add_problems(report, [no_text(found, report.ledger)], most_problems)
    report.num_problems = max(report.num_problems, _faults(report.ledger))
    report.hints = _hints(report, config)
    return report


@dataclass(slots=True)
class _Seen:
    """A parsed block and what was measured in it."""

    parsed: Parsed
    scripts: Counter[str]
    longest_line: tuple[int, int]  # characters, line number
    longest_sentence: int
    replacements: int  # U+FFFD
    pairs: PairFigures | None  # of a block of pairs


def _examine(job: Block | DataError, config: Config) -> _Seen | DataError:
    if isinstance(job, DataError):
        return job
    parsed = parse(job, config)
    text = job.text if job.target is None else job.text + "\n" + job.target[1]
    lines = [row.text or "" for row in job.rows] or text.split("\n")
    text = "\n".join(lines) if job.rows else text
    longest = max(range(len(lines)), key=lambda at: len(lines[at]))
    longest_sentence = max((len(sentence) for segment in parsed.segments for sentence in segment.sentences), default=0)
    number = longest if job.target is None else longest % (job.text.count("\n") + 1)
    pairs = measure(parsed) if parsed.format == "pairs" else None
    return _Seen(parsed, count_scripts(text), (len(lines[longest]), job.line + number), longest_sentence, text.count("\ufffd"), pairs)


def _add_block(report: CorpusReport, seen: _Seen, config: Config, most: int) -> None:
    parsed = seen.parsed
    if not report.files or report.files[-1]["name"] != parsed.source:
        ends = border(config, parsed.format)
        report.files.append({"name": parsed.source, "format": parsed.format, "documents_end_at": ends, "characters": 0})
    if seen.pairs:
        report.pairs = report.pairs or PairFigures()
        report.pairs.add(seen.pairs)
    report.files[-1]["characters"] += parsed.ledger.characters_in
    report.scripts.update(seen.scripts)
    report.replacements += seen.replacements
    report.longest_sentence = max(report.longest_sentence, seen.longest_sentence)
    if seen.longest_line[0] > report.longest_line:
        report.longest_line, report.longest_line_at = seen.longest_line[0], f"{parsed.source}, line {seen.longest_line[1]}"
    _add_problems(report, parsed.problems, most)


def _add_problems(report: CorpusReport, problems: Sequence[DataError], most: int) -> None:
    report.num_problems += len(problems)
    report.problems += [str(problem) for problem in problems[: max(0, most - len(report.problems))]]


def _faults(ledger: Ledger) -> int:
    return ledger.rejected[INVALID] + ledger.notes[BAD_RECORDS] + ledger.notes[NO_PAIR] + ledger.notes[EMPTY_SIDE]


def _hints(report: CorpusReport, config: Config) -> list[str]:
    """What a careful person would want to know before training on this text."""
    ledger, hints = report.ledger, []
    formats = Counter(file["format"] for file in report.files)
    if ledger.documents == len(report.files) and ledger.sentences > 200 and formats["sentences"] + formats["text"] == len(report.files):
        hints.append("No blank line in any file: each file is one document. If each line is a document: --set corpus.documents=line.")
    if len(formats) > 1 and config.format == "auto":
        kinds = ", ".join(f"{count} {name}" for name, count in formats.most_common())
        hints.append(f"The files were taken for different formats ({kinds}). If that is wrong, set format.")
    if report.replacements:
        hints.append(f"Replacement characters (U+FFFD): {report.replacements:,}; an earlier conversion damaged the text. Convert it anew.")
    if report.repeated_sentences > 0.1 and not report.pairs:
        hints.append(f"{report.repeated_sentences:.0%} of the sentences have stood before. Remove repeated text for a better model.")
    if ledger.notes[CUT]:
        cut = counted(ledger.notes[CUT], "sentence")
        hints.append(f"Cut, since longer than {config.max_sentence:,} characters (max_sentence): {cut}.")
    if ledger.notes[LONG_PAIR]:
        left_out = counted(ledger.notes[LONG_PAIR], "pair")
        hints.append(f"Left out, a side being longer than {config.max_sentence:,} characters (max_sentence): {left_out}.")
    if report.pairs:
        hints += _pair_hints(report.pairs, report.repeated_pairs)
    if ledger.notes[PARTS]:
        parted = counted(ledger.notes[PARTS], "document")
        hints.append(f"Handed on in parts, since longer than {config.max_document:,} characters: {parted}.")
    if report.skipped:
        shown = ", ".join(report.skipped[:3]) + (", …" if len(report.skipped) > 3 else "")
        hints.append(f"Files passed over, not .txt or .jsonl: {len(report.skipped)} ({shown}). Name them one by one to read them.")
    return hints


def _pair_hints(pairs: PairFigures, repeated: float) -> Iterator[str]:
    """What may be wrong with pairs that can be read."""
    if (far := pairs.out_of_line).count:
        usual = f"{FAR:g} times the usual ratio of lengths, or a third of it"
        yield f"{counted(far.count, 'pair is', 'pairs are')} beyond {usual}, and may be misaligned: {_shown(far)}."
    for side, usual, script, found in pairs.in_other_scripts:
        yield f"{counted(found.count, f'{side} is', f'{side}s are')} in {script} script, where most are in {usual}: {_shown(found)}."
    for side, simplified, traditional in pairs.mixed_chinese:
        both = f"{simplified.count:,} in simplified and {traditional.count:,} in traditional Chinese"
        rarer = min(simplified, traditional, key=lambda found: found.count)
        yield f"The {side}s mix {both}. Convert them to one (OpenCC does): {_shown(rarer)}."
    if (same := pairs.identical).count:
        yield f"{counted(same.count, 'target is its source', 'targets are their sources')}, untranslated: {_shown(same)}."
    if repeated > REPORTED_FROM:
        yield f"{repeated:.0%} of the pairs have stood before. Remove them for a better model."


def _shown(found: Found) -> str:
    return "; ".join(map(str, found.examples)) + ("; …" if found.count > len(found.examples) else "")
