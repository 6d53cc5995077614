"""`stemma compare`: generations side by side on one text and one task."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.cli.answer import Answer, Printable
from stemma.cli.progress import Progress
from stemma.cli.verb import Corpus, Settings, TomlFile, Verb
from stemma.config import read_toml, resolve, to_plain
from stemma.evaluation.comparison.plan import Config

if TYPE_CHECKING:
    from stemma.evaluation.comparison.results import Results


@dataclass(frozen=True, kw_only=True)
class Compare(Config, Verb):
    """The main job: pre-trains each generation on the same text under the same budget, transfers each, writes one report.

    The same command again goes on where a killed one was.

    Example: stemma compare corpus.txt --train train.tsv --dev dev.tsv --out comparison --budget-seconds 60
    """

    corpus: Corpus  # files, folders or globs
    train: Path  # labelled examples: a TSV with the header label, text; for tag: a token and its tag a line
    dev: Path  # labelled examples for the figures alone
    out: Path  # the folder of report.html, report.json and the run folders
    task: str = "classify"  # the kind of task: classify, tag
    generations: tuple[str, ...] = ()  # names that stemma lineage prints; none: all that can learn the task
    config: TomlFile = None  # a TOML file with a table [compare]; options win over it
    settings: Settings = ()  # one setting for all, or for one, as bert.model.width=64 or transfer.epochs=2

    def run(self) -> Printable:
        """The comparison, or the rest of it."""
        from stemma.evaluation.comparison.compare import compare

        with Progress() as progress:
            asked = {name: getattr(self, name) for name in ("train", "dev", "out", "task", "generations")}
            results = compare(self.corpus, config=self.settled(), progress=progress, **asked)
        return compared(self.out, results)

    def settled(self) -> Config:
        """The settings of the TOML file, and over them those of the command line."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(Config) if getattr(self, f.name) != f.default}
        sources: list[tuple[str, Mapping[str, Any]]] = [(str(self.config), read_toml(self.config))] if self.config else []
        resolved: Config = resolve({"compare": Config}, *sources, ("command line", {"compare": given}))["compare"]
        return resolved


def compared(out: Path, results: "Results") -> Answer:
    """Where the report is and what it finds first; with a failure's exit code when a generation failed."""
    from stemma.evaluation.comparison.compare import failed

    error = failed(results)
    if error is not None:
        print(f"error: {error}", file=sys.stderr)
    places = {"report": out / "report.html", "data": out / "report.json"}
    states = {generation.name: "failed" if generation.failed else "done" for generation in results.generations}
    headline = results.headline
    sentences = [*filter(None, (headline.title, headline.second)), *headline.cautions]
    lines = [*sentences, "", *(f"- {finding.text}" for finding in headline.findings), "", f"report: {places['report']}"]
    return Answer({**places, "headline": to_plain(headline), "generations": states}, lines, error.exit_code if error else 0)
