"""`stemma embed`: one vector a text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.answer import Printable
from stemma.cli.streamed import streamed
from stemma.cli.verb import Files, RunPath, Texts, Verb
from stemma.errors import UsageError


@dataclass(frozen=True)
class Embed(Verb):
    """Gives each text one vector: the mean of its tokens' states in a layer, or what a fine-tuned run's head reads.

    Example: stemma embed runs/bert --text "the river bank" --layer -2
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    layer: int = -1  # 0: the embeddings, -1: the last layer

    def run(self) -> Printable:
        """One vector a text."""
        from stemma.runs.fitted import FittedRun, load

        run = load(self.run_folder)
        if isinstance(run, FittedRun) and self.layer != -1:
            raise UsageError(f"--layer {self.layer}: {self.run_folder} is fine-tuned", "the vectors that its head reads", "drop --layer")

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            if isinstance(run, FittedRun):
                yield from run.vector_rows(lines)
                return
            known = run.knows(lines)
            for line, knows, vector in zip(lines, known.tolist(), run.embed(lines, layer=self.layer), strict=True):
                lacking = {} if knows and vector.any() else {"no_known_word": True}
                yield {"text": line, **lacking, "vector": vector.tolist()}

        return streamed(rows, self.text, self.files)
