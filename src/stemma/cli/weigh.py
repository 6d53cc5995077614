"""The verbs that weigh: `evaluate` one run, `compare` generations, `demo` the comparison on the embedded default."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.cli.answer import Answer, Printable
from stemma.cli.measures import measures
from stemma.cli.progress import Progress
from stemma.cli.verb import Corpus, Files, RunPath, Settings, TomlFile, Verb
from stemma.config import read_toml, resolve, to_plain
from stemma.errors import UsageError
from stemma.evaluation.comparison.plan import Config, SomeFiles

if TYPE_CHECKING:
    from stemma.evaluation.comparison.results import Results


@dataclass(frozen=True)
class Evaluate(Verb):
    """Measures a run with 95 % intervals: text gives bits per character, a labelled file the metrics of a fine-tuned run.

    Example: stemma evaluate runs/gpt dev.txt
    """

    run_folder: RunPath  # a run folder, pre-trained or fine-tuned
    files: Files = ()  # text to predict, or labelled examples for a fine-tuned run
    similarity: SomeFiles = ()  # word pairs and people's scores, for word vectors: WordSim, SimLex, MEN and the like as they are, or a TSV
    analogies: SomeFiles = ()  # a is to b as c is to d: questions-words.txt, CA8, or a TSV of section, a, b, c, d
    restrict: int = 0  # answers to analogies are sought among that many of the most frequent words; 0: all
    outliers: SomeFiles = ()  # words that belong together, an empty line, words that do not; a group a file
    senses: SomeFiles = ()  # TSV of word, index, sense, sentence

    def run(self) -> Printable:
        """The measures that were asked for."""
        from stemma.evaluation.measures.evaluate import evaluate_run, evaluate_task
        from stemma.runs.fitted import FittedRun, load

        run = load(self.run_folder)
        asked = {"perplexity": self.files, **{name: getattr(self, name) for name in ("similarity", "analogies", "outliers", "senses")}}
        files = {measure: paths for measure, paths in asked.items() if paths}
        if not files:
            expected = "a text, a TSV of examples, --similarity, --analogies, --outliers or --senses"
            raise UsageError("no file to measure on", expected, "name one")
        if self.restrict < 0 or (self.restrict and not self.analogies):
            expected = "a number of words, for --analogies"
            raise UsageError(f"--restrict {self.restrict}", expected, "name an analogies file, or drop --restrict")
        if not isinstance(run, FittedRun):
            found = evaluate_run(run, files, self.restrict)
        elif list(files) == ["perplexity"] and len(self.files) == 1:
            found = {"task": evaluate_task(run, self.files[0])}
        else:
            raise UsageError(f"{self.run_folder} is fine-tuned", "one file of labelled examples", "name that alone")
        return Answer({"run": self.run_folder, **found}, measures(found))


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
        return _compared(self.out, results)

    def settled(self) -> Config:
        """The settings of the TOML file, and over them those of the command line."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(Config) if getattr(self, f.name) != f.default}
        sources: list[tuple[str, Mapping[str, Any]]] = [(str(self.config), read_toml(self.config))] if self.config else []
        resolved: Config = resolve({"compare": Config}, *sources, ("command line", {"compare": given}))["compare"]
        return resolved


@dataclass(frozen=True)
class Demo(Verb):
    """Compares the generations on the embedded default: the docstrings of the installed Python packages.

    Example: stemma demo --out demo
    """

    out: Path = Path("demo")  # the folder of report.html, report.json and the run folders
    seconds: float = 45.0  # of pre-training for each generation

    def run(self) -> Printable:
        """The demonstration, or the rest of it."""
        from stemma.evaluation.comparison.demo import demo

        with Progress() as progress:
            results = demo(self.out, seconds=self.seconds, progress=progress)
        return _compared(self.out, results)


def _compared(out: Path, results: "Results") -> Answer:
    from stemma.evaluation.comparison.compare import failed

    error = failed(results)
    if error is not None:
        print(f"error: {error}", file=sys.stderr)
    places = {"report": out / "report.html", "data": out / "report.json"}
    states = {generation.name: "failed" if generation.failed else "done" for generation in results.generations}
    headline = results.headline
    lines = [headline.title, "", *(f"- {finding.text}" for finding in headline.findings), "", f"report: {places['report']}"]
    return Answer({**places, "headline": to_plain(headline), "generations": states}, lines, error.exit_code if error else 0)
