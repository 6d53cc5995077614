"""`stemma predict`: the answer of a fine-tuned run to each line."""

from dataclasses import dataclass

from stemma.cli.answer import Printable
from stemma.cli.engine import USUAL, by_engine
from stemma.cli.streamed import Streamed
from stemma.cli.verb import EngineName, Files, RunPath, Texts, Verb


@dataclass(frozen=True)
class Predict(Verb):
    """Answers each line with a fine-tuned run. A line has the parts that the task asks for, with tabs between them.

    Example: echo "a fine film" | stemma predict runs/bert-films
    """

    run_folder: RunPath  # a folder made by stemma finetune
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    engine: EngineName = USUAL  # what computes it: torch, torch-bf16, onnx, a file.onnx of the run; auto: the fastest exact one here

    def run(self) -> Printable:
        """One answer a line."""
        from stemma.runs import answers
        from stemma.runs.fitted import FittedRun

        run = by_engine(FittedRun.load(self.run_folder), self.engine)
        assert isinstance(run, FittedRun), "an engine makes of a run one of its kind"
        return Streamed(lambda lines: iter(answers.predict(run, lines).rows()), run.task.shown, self.text, self.files)
