"""`stemma evaluate`: the measures that fit a run, on the user's files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stemma.cli.answer import Answer, Printable
from stemma.cli.measures import measures
from stemma.cli.verb import Files, Flag, RunPath, Verb
from stemma.errors import UsageError
from stemma.evaluation.comparison.plan import LabelWords, SomeFiles
from stemma.nouns import counted

if TYPE_CHECKING:
    from stemma.runs.fitted import FittedRun
    from stemma.runs.run import Run

MEASURES = ("similarity", "analogies", "outliers", "senses", "minimal_pairs", "cloze", "probe")  # options that name files


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
    limit: int = 0  # minimal pairs of a phenomenon, examples of a probe or of a task without training, at most, drawn by lot; 0: all
    cloze: SomeFiles = ()  # text of which 15 % of the words are hidden, the same for every run, to be filled in by a run that can
    units: Literal["words", "characters"] = "words"  # what a cloze hides; characters: of Chinese single ones
    zero_shot: Flag = False  # puts a task to a pre-trained run that has learnt nothing of it, beside what chance gets; with --task
    task: str = ""  # the kind of task without training: classify, pair, regress, choice (in a blank ____ too), generate, translate
    template: str = ""  # how it reads, as "{text} This is about {label}."; of a prompt, "{text}\nTL;DR:"; \n is a line end
    verbalise: LabelWords = ()  # the word that stands for a label; none: the label itself
    normalise: Literal["length", "pmi", "none"] = "length"  # what answers' chances are made up for; pmi: their chances without the text

    def run(self) -> Printable:
        """The measures that were asked for."""
        from stemma.evaluation.measures.evaluate import evaluate_fitted, evaluate_run, of_text
        from stemma.runs.fitted import FittedRun, load

        run = load(self.run_folder)
        _check("restrict", self.restrict, "analogies", bool(self.analogies))
        _check("limit", self.limit, "minimal-pairs, --probe or --zero-shot", bool(self.minimal_pairs or self.probe) or self.zero_shot)
        _check("units", self.units, "cloze", bool(self.cloze) or self.units == "words")
        if self._zero_shot_asked():
            return self._zero_shot(run)
        text = of_text(run)
        given = {text: self.files, **{name: getattr(self, name) for name in MEASURES}}
        files = {measure: paths for measure, paths in given.items() if paths}
        if not files:
            expected = "a text, a TSV of examples, --similarity, --analogies, --outliers, --senses, --minimal-pairs, --cloze or --probe"
            raise UsageError("no file to measure on", expected, "name one")
        if not isinstance(run, FittedRun):
            found = evaluate_run(run, files, self.restrict, self.limit, self.units)
        elif list(files) == [text] and len(self.files) == 1:
            found = evaluate_fitted(run, self.files[0])
        else:
            raise UsageError(f"{self.run_folder} is fine-tuned", "one file of examples of its task", "name that alone")
        return Answer({"run": self.run_folder, **found}, measures(found))

    def _zero_shot_asked(self) -> bool:
        """True for a task without training; UsageError for its options without it."""
        given = {"task": self.task, "template": self.template, "verbalise": self.verbalise, "normalise": self.normalise != "length"}
        named = [name for name, value in given.items() if value]
        if named and not self.zero_shot:
            mend = f"add --zero-shot, or drop --{named[0]}; a fine-tuned run knows its task"
            raise UsageError(f"--{named[0]} without --zero-shot", "a task to be answered without training", mend)
        return self.zero_shot

    def _zero_shot(self, run: "Run | FittedRun") -> Answer:
        """What a pre-trained run gets on one file of a task."""
        from stemma.evaluation.measures.evaluate import evaluate_zero_shot
        from stemma.evaluation.measures.posed import Posed

        if not self.task or len(self.files) != 1:
            wrong = "--zero-shot without --task" if not self.task else f"--zero-shot with {counted(len(self.files), 'file')}"
            raise UsageError(wrong, "a task and one file of its examples", "for example, FILE --task classify --zero-shot")
        others = {name: getattr(self, name) for name in MEASURES}
        if named := [name for name, files in others.items() if files]:
            option = f"--{named[0].replace('_', '-')}"
            raise UsageError(f"--zero-shot with {option}", "one or the other", f"measure {option} by itself")
        posed = Posed.of(self.template, self.verbalise, self.normalise, self.limit)
        found = evaluate_zero_shot(run, self.files[0], self.task, posed)
        return Answer({"run": self.run_folder, **found}, measures(found))


def _check(option: str, value: int | str, files: str, named: bool) -> None:
    """UsageError where the files that an option is for were not named."""
    if value and not named:
        raise UsageError(f"--{option} {value} without --{files}", f"what --{option} is for", f"name that, or drop --{option}")
