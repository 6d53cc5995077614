"""`stemma corpus check`: what a corpus is, before anything is learnt from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Corpus, Repeated, Settings, TomlFile, Verb
from stemma.config import check_read, parse_settings, read_toml, resolve
from stemma.nouns import counted

NOT_OK = 3  # the exit code of a corpus that would be refused


@dataclass(frozen=True)
class CorpusCheck(Verb):
    """Says what a corpus is: format, documents, sentences, characters by script; what would be rejected, why, and the cure.

    Ends with code 3 when the corpus would be refused as it is.

    Example: stemma corpus check text/*.txt --set encoding=gb18030
    """

    corpus: Corpus  # files, folders, globs or URLs; - is standard input
    config: TomlFile = None  # a TOML file of settings
    settings: Settings = ()  # one setting of the section corpus, as encoding=gb18030
    source: Repeated = ()  # in place of a corpus: a file whose lines are translated by those of the file --target
    target: Repeated = ()  # the lines beside those of --source
    workers: int = 1  # processes that read

    def run(self) -> Printable:
        """The report, which never stops at a fault."""
        from stemma.corpus.check import check
        from stemma.corpus.formats import Config
        from stemma.corpus.parallel import check_sides

        check_sides(self.corpus, self.source, self.target)
        sources = [(str(self.config), read_toml(self.config))] if self.config else []
        sources.append(("--set", parse_settings(self.settings)))
        configs = resolve({"corpus": Config}, *sources)
        check_read(configs, *sources)
        config = configs["corpus"]
        report = check(self.source or self.corpus, config, self.workers, targets=self.target)
        words = _words(report.head)
        document = report.as_dict() | ({"chinese_words": words} if words else {})
        return Answer(document, _lines(report, words), 0 if report.ok else NOT_OK)


def _words(head: list[str]) -> str:
    """How Chinese words would be found, judged as learning judges it; empty where there are none."""
    from stemma.tokens.chinese import chosen, described, has_chinese

    return described(chosen("auto", head)) if has_chinese("".join(head)) else ""


def _pair_lines(pairs: Any) -> Iterator[str]:
    source, target = pairs.characters
    yield f"pairs       {pairs.pairs:,} ({counted(source, 'character')} of sources, {target:,} of targets)"
    yield f"ratio       {pairs.median_ratio:.3g} characters of a target to one of its source, in the median"
    for side, found in zip(("source", "target"), pairs.scripts, strict=True):
        yield f"  {side}s   {', '.join(f'{name} {count:,}' for name, count in found.most_common())}"


_BORDERS = {"blank": "a blank line", "line": "each line", "row": "each row", "file": "the file", "tag": "a line <doc …> or </doc>"}


def _lines(report: Any, words: str) -> Iterator[str]:
    ledger, encoding = report.ledger, report.encoding
    for file in report.files[:20]:
        ends = _BORDERS[file["documents_end_at"]]
        yield f"{file['name']}: {file['format']}, {encoding}; {ends} ends a document; {counted(file['characters'], 'character')}"
    if len(report.files) > 20:
        yield f"… and {counted(len(report.files) - 20, 'more file')}"
    yield f"documents   {ledger.documents:,} (the longest {counted(report.longest_document, 'character')})"
    yield f"sentences   {ledger.sentences:,} (the longest {counted(report.longest_sentence, 'character')})"
    yield f"characters  {ledger.characters_in:,} in = {ledger.characters_used:,} used + {ledger.rejected.total():,} left out"
    yield from (f"            {count:>12,}  {reason}" for reason, count in ledger.rejected.most_common() if count)
    yield f"scripts     {', '.join(f'{name} {count:,}' for name, count in report.scripts.most_common())}"
    if report.pairs:
        yield from _pair_lines(report.pairs)
    if words:
        yield f"words       {words}"
    if report.longest_line:
        yield f"longest line {counted(report.longest_line, 'character')} ({report.longest_line_at})"
    yield from (f"note        {count:,} {what}" for what, count in ledger.notes.items() if count)
    yield from (f"hint        {hint}" for hint in report.hints)
    yield from (f"problem     {problem}" for problem in report.problems)
    if report.num_problems > len(report.problems):
        yield f"            … and {report.num_problems - len(report.problems):,} more"
    yield "this corpus can be read as it is" if report.ok else "this corpus would be refused as it is: mend the problems above"
