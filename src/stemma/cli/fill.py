"""`stemma fill`: the likeliest tokens of each [MASK]."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.aligned import likely
from stemma.cli.answer import Printable
from stemma.cli.pretrained import open_pretrained
from stemma.cli.streamed import Streamed
from stemma.cli.verb import Files, RunPath, Texts, Verb


@dataclass(frozen=True)
class Fill(Verb):
    """Fills in each [MASK] of a text with the likeliest tokens.

    Example: stemma fill runs/bert --text "The [MASK] of a tree." --k 3
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    k: int = 5  # tokens a mask

    def run(self) -> Printable:
        """The likeliest tokens of each mask."""
        from stemma.runs import answers

        run = open_pretrained(self.run_folder, "fill")

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            return iter(answers.fill(run, lines, self.k).rows())

        def shown(row: dict[str, Any]) -> Iterator[str]:
            yield row["text"]
            for place, mask in enumerate(row["masks"], start=1):
                if len(row["masks"]) > 1:
                    yield f"  mask {place}"
                yield from likely(mask)

        return Streamed(rows, shown, self.text, self.files)
