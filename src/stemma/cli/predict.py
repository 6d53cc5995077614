"""`stemma predict`: the answer of a fine-tuned run to each line."""

import warnings
from dataclasses import dataclass

from stemma.cli.answer import Printable
from stemma.cli.engine import USUAL, by_engine
from stemma.cli.streamed import Streamed
from stemma.cli.verb import EngineName, File, Files, RunPath, Share, Texts, Verb


@dataclass(frozen=True)
class Predict(Verb):
    """Answers each line with a fine-tuned run. A line has the parts that the task asks for, with tabs between them.

    Example: echo "a fine film" | stemma predict runs/bert-films
    """

    run_folder: RunPath  # a folder made by stemma finetune
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    engine: EngineName = USUAL  # torch, torch-bf16, onnx, openvino, openvino-bf16, a file.onnx of the run; exact, close: the fastest here
    dev: File = None  # a file that exact and close have to say the same on, or that tells what an engine in 8 bits costs
    max_drop: Share = None  # with an engine in 8 bits: how much worse it may be on the file of --dev

    def run(self) -> Printable:
        """One answer a line."""
        from stemma.runs import answers
        from stemma.runs.fitted import FittedRun

        run = FittedRun.load(self.run_folder)
        for doubt in run.doubts:
            warnings.warn(f"{self.run_folder}: {doubt.told}; its answers say little", stacklevel=2)
        run = by_engine(run, self.engine, "write" if run.task.per == "target" else "read", self.dev, self.max_drop)
        return Streamed(lambda lines: iter(answers.predict(run, lines).rows()), run.task.shown, self.text, self.files)
