"""The verb that hands a run to other programs: `convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Positional, RunPath, Verb


@dataclass(frozen=True)
class Convert(Verb):
    """Writes a run in another program's format: arpa (ngram), word2vec text (word2vec), huggingface folder (gpt, bert).

    Example: stemma convert runs/bert bert-hf --to huggingface
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    target: Annotated[Positional[Path], arg(metavar="TARGET")]  # the file or folder to write
    to: str  # arpa, word2vec or huggingface

    def run(self) -> Printable:
        """The files written."""
        from stemma.export.formats import convert

        files = convert(self.run_folder, self.target, self.to)
        return Answer({"format": self.to, "files": files}, map(str, files))
