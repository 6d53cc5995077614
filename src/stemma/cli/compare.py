"""`stemma compare`: generations side by side on one text and one task."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.cli.aligned import paragraph
from stemma.cli.answer import Answer, Printable
from stemma.cli.progress import Progress, duration
from stemma.cli.verb import Corpus, Flag, Settings, TomlFile, Verb
from stemma.config import read_toml, resolve, to_plain
from stemma.evaluation.comparison.plan import Config
from stemma.nouns import counted

if TYPE_CHECKING:
    from stemma.evaluation.comparison.forecast import Forecast
    from stemma.evaluation.comparison.results import Results


@dataclass(frozen=True, kw_only=True)
class Compare(Config, Verb):
    """The main job: pre-trains each generation on the same text under the same budget, transfers each, writes one report.

    The same command again goes on where a killed one was.

    Example: stemma compare corpus.txt --train train.tsv --dev dev.tsv --out comparison --budget-seconds 60
    """

    corpus: Corpus  # files, folders, globs or URLs
    # labelled examples: a TSV with the header label, text; for tag: a token and its tag a line; for translate and generate: pairs
    train: Path
    dev: Path  # labelled examples for the figures alone
    out: Path  # the folder of report.html, report.json and the run folders
    task: str = "classify"  # the kind of task: classify, pair, regress, choice, span, tag, generate, translate
    generations: tuple[str, ...] = ()  # names that stemma lineage prints; none: all that can learn the task
    config: TomlFile = None  # a TOML file with a table [compare]; options win over it
    dry_run: Flag = False  # tells what would be computed, how long, in what memory and on how much disk, and trains nothing
    settings: Settings = ()  # one setting for all that read it, or for one, as bert.model.width=64 or transfer.epochs=2

    def run(self) -> Printable:
        """The comparison, or the rest of it."""
        if self.dry_run:
            return self._planned()
        from stemma.evaluation.comparison.compare import compare

        with Progress() as progress:
            options = {name: getattr(self, name) for name in ("train", "dev", "out", "task", "generations")}
            results = compare(self.corpus, config=self.settled(), progress=progress, **options)
        return compared(self.out, results)

    def _planned(self) -> Printable:
        from stemma.evaluation.comparison.compare import foresee
        from stemma.evaluation.comparison.plan import Comparison, generations_for

        names = self.generations or generations_for(self.task)
        comparison = Comparison(self.corpus, self.task, str(self.train), str(self.dev), str(self.out), names, self.settled())
        with Progress() as progress:
            found = foresee(comparison, progress)
        return Answer(found, forecast_lines(found))

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
    findings = [f"- {finding.text}" for finding in headline.findings]
    cautions = [f"warning: {sentence}" for sentence in headline.cautions]
    answer = filter(None, (results.title, headline.title, headline.second))
    parts = ([*map(paragraph, answer)], [paragraph(text, "  ") for text in findings], [*map(paragraph, cautions)])
    first, found, warned = ([line for lines in part for line in lines] for part in parts)
    lines = [*first, "", *found, "", *warned, f"report: {places['report']}"]
    return Answer(
        {**places, "title": results.title, "headline": to_plain(headline), "generations": states}, lines, error.exit_code if error else 0
    )


def forecast_lines(found: "Forecast") -> Iterator[str]:
    """The forecast for a reader, a generation a line."""
    yield f"{found.title}: what would be computed; nothing was kept"
    for row in found.generations:
        plan, stages = row.plan, row.stages
        about = f"{counted(plan.tokens, 'token')}" + (f" in {counted(plan.steps, 'step')}" if plan.steps else "")
        ways = [name for name in stages if name != "pretrain"]
        rest = f", then {', '.join(ways)} {duration(sum(stages[name] for name in ways))}" if ways else ""
        first = f"reading and pre-training {duration(stages['pretrain'])} ({about})" if "pretrain" in stages else "is pre-trained"
        yield f"  {plan.generation:<10} {first}{rest}; {plan.memory_mib:,.0f} MiB of memory"
        if row.finished:
            yield f"  {'':<10} finished earlier: {', '.join(row.finished)}"
    low, high = (duration(found.seconds * times) for times in found.roughly)
    yield f"  in all     about {duration(found.seconds)} ({low} to {high}) on this machine as busy as it is now, {found.parallel} at once"
    yield f"  memory     about {found.memory_mib:,.0f} MiB at most"
    yield f"  disk       about {found.disk_mib:,.1f} MiB"
