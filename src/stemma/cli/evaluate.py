"""`stemma evaluate`: the measures that fit a run, on the user's files."""

from dataclasses import dataclass
from typing import Literal

from stemma.cli.answer import Answer, Printable
from stemma.cli.measures import measures
from stemma.cli.verb import Files, RunPath, Verb
from stemma.errors import UsageError
from stemma.evaluation.comparison.plan import SomeFiles


@dataclass(frozen=True)
class Evaluate(Verb):
    """Measures a run with 95 % intervals: text gives bits per character, a labelled file the metrics of a fine-tuned run, pairs BLEU.

    Example: stemma evaluate runs/gpt dev.txt
    """

    run_folder: RunPath  # a run folder, pre-trained or fine-tuned
    files: Files = ()  # text to predict, labelled examples for a fine-tuned run, or pairs for one that translates
    similarity: SomeFiles = ()  # word pairs and people's scores, for word vectors: WordSim, SimLex, MEN and the like as they are, or a TSV
    analogies: SomeFiles = ()  # a is to b as c is to d: questions-words.txt, CA8, or a TSV of section, a, b, c, d
    restrict: int = 0  # answers to analogies are sought among that many of the most frequent words; 0: all
    outliers: SomeFiles = ()  # words that belong together, an empty line, words that do not; a group a file
    senses: SomeFiles = ()  # TSV of word, index, sense, sentence
    minimal_pairs: SomeFiles = ()  # which of two sentences is likelier: a TSV of phenomenon, good, bad, or BLiMP's JSON lines
    probe: SomeFiles = ()  # which layer knows what: tagged words (CoNLL), labelled texts, or a TSV as for --senses; half is learnt from
    limit: int = 0  # minimal pairs of a phenomenon, or examples of a probe, at most, drawn by lot; 0: all
    cloze: SomeFiles = ()  # text of which 15 % of the words are hidden, the same for every run, to be filled in by a run that can
    units: Literal["words", "characters"] = "words"  # what a cloze hides; characters: of Chinese single ones

    def run(self) -> Printable:
        """The measures that were asked for."""
        from stemma.evaluation.measures.evaluate import evaluate_fitted, evaluate_run, of_text
        from stemma.runs.fitted import FittedRun, load

        run = load(self.run_folder)
        named = ("similarity", "analogies", "outliers", "senses", "minimal_pairs", "cloze", "probe")
        text = of_text(run)
        given = {text: self.files, **{name: getattr(self, name) for name in named}}
        files = {measure: paths for measure, paths in given.items() if paths}
        if not files:
            expected = "a text, a TSV of examples, --similarity, --analogies, --outliers, --senses, --minimal-pairs, --cloze or --probe"
            raise UsageError("no file to measure on", expected, "name one")
        _check("restrict", self.restrict, "analogies", bool(self.analogies))
        _check("limit", self.limit, "minimal-pairs or --probe", bool(self.minimal_pairs or self.probe))
        _check("units", self.units, "cloze", bool(self.cloze) or self.units == "words")
        if not isinstance(run, FittedRun):
            found = evaluate_run(run, files, self.restrict, self.limit, self.units)
        elif list(files) == [text] and len(self.files) == 1:
            found = evaluate_fitted(run, self.files[0])
        else:
            raise UsageError(f"{self.run_folder} is fine-tuned", "one file of examples of its task", "name that alone")
        return Answer({"run": self.run_folder, **found}, measures(found))


def _check(option: str, value: int | str, files: str, named: bool) -> None:
    """UsageError where the files that an option is for were not named."""
    if value and not named:
        raise UsageError(f"--{option} {value} without --{files}", f"files of --{files}", f"name one, or drop --{option}")
