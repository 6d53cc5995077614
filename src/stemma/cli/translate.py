"""`stemma translate`: the target text of each source."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.answer import Printable
from stemma.cli.engine import USUAL, by_engine
from stemma.cli.streamed import Streamed
from stemma.cli.verb import EngineName, File, Files, RunPath, Share, Texts, Verb


@dataclass(frozen=True)
class Translate(Verb):
    """Translates each line, as the pairs that the run learnt have taught it.

    Example: stemma translate runs/en-de --text "Two dogs play in the snow."
    """

    run_folder: RunPath  # a folder made on pairs by stemma pretrain, or by stemma finetune --task translate
    files: Files = ()  # one source a line; - or none: standard input
    text: Texts = ()  # a source of its own
    engine: EngineName = USUAL  # torch, onnx, openvino, ctranslate2, a file.onnx or a folder of the run; exact: the fastest here
    dev: File = None  # a file that exact and close have to say the same on, or that tells what an engine in 8 bits costs
    max_drop: Share = None  # with an engine in 8 bits: how much worse it may be on the file of --dev
    beams: int = 4  # texts that the search follows side by side; 1: the likeliest token each time
    length_penalty: float = 0.6  # of the search: 0 ranks by probability alone, more favours longer texts
    samples: int = 1  # of the search's best, each with its score; as many as beams at most

    def run(self) -> Printable:
        """The target of each source."""
        from stemma.runs import answers
        from stemma.runs.decoding import Decoding
        from stemma.runs.fitted import load

        run = load(self.run_folder)
        run.check_translates()  # before the first line is waited for
        run = by_engine(run, self.engine, "write", self.dev, self.max_drop)
        options = Decoding(temperature=1.0 if self.beams > 1 else 0.0, beams=self.beams, length_penalty=self.length_penalty)

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            return iter(answers.translate(run, lines, options, self.samples).rows())

        def shown(row: dict[str, Any]) -> Iterator[str]:
            yield f"{row['score']:8.3f}  {row['translation']}" if self.samples > 1 else row["translation"]

        return Streamed(rows, shown, self.text, self.files)
