"""`stemma attend`: where each head of a network looks, in words, in six steps or as a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from stemma.cli.answer import Answer, Printable
from stemma.cli.attention_text import looks, six_steps, step_rows
from stemma.cli.pretrained import open_pretrained
from stemma.cli.streamed import Streamed
from stemma.cli.texts import texts
from stemma.cli.verb import File, Files, Flag, RunPath, Texts, Verb
from stemma.errors import DataError, UsageError
from stemma.nouns import counted
from stemma.runs import answers
from stemma.runs.attention_heads import AttentionHead
from stemma.tokens.files import write_bytes

if TYPE_CHECKING:
    from stemma.runs.run import Run

Number = Annotated[int | None, arg(metavar="N", help_behavior_hint="(optional)")]
Text = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="(optional)")]
FORMATS = (".html", ".png")


@dataclass(frozen=True)
class Attend(Verb):
    """Shows where each head of each layer looks in a text: the weights, the six steps behind them, or a picture of them all.

    Example: stemma attend runs/bert --text "The river bank was steep." --out attention.html
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line, or a pair with a tab between the two; - or none: standard input
    text: Texts = ()  # a text of its own
    other: Text = None  # a second text, which makes a pair with the one --text; or the target of a source
    layer: Number = None  # this layer alone, from 1
    head: Number = None  # this head of each layer alone, from 1
    steps: Flag = False  # prints the six steps from queries, keys and values to the output, of layer 1 and head 1 unless others are named
    out: File = None  # draws the maps there: an offline page (.html), or a picture (.png)

    def run(self) -> Printable:
        """The weights, the steps, or what was drawn."""
        self._check()
        run = open_pretrained(self.run_folder, "attend")
        given = self.text if self.other is None else (f"{self.text[0]}\t{self.other}",)
        if self.out is not None:
            return self._drawn(run, self.out, list(texts(given, self.files)))

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            for line in lines:
                told = step_rows if self.steps else answers.head_row
                yield {**answers.pair_of(line), "heads": list(map(told, self._heads(run, line)))}

        return Streamed(rows, six_steps if self.steps else looks, given, self.files, size=1)

    def _check(self) -> None:
        if self.other is not None and (len(self.text) != 1 or self.files):
            raise UsageError(
                "--other without its one --text", "a pair: --text A --other B", "put pairs in a file, with a tab between the two"
            )
        if self.out is not None and self.out.suffix not in FORMATS:
            raise UsageError(f"--out {self.out}", "a name that ends in .html or .png", "choose one of the two")
        if self.out is not None and self.steps:
            raise UsageError("--steps with --out", "one of them: steps are printed, maps are drawn", "drop one of the two")

    def _heads(self, run: "Run", line: str) -> list[AttentionHead]:
        """The heads that were chosen; of the steps the first one unless others are named."""
        layer, head = (1 if self.steps and one is None else one for one in (self.layer, self.head))
        return answers.heads_of(run, line, layer, head, dashes="--")

    def _drawn(self, run: "Run", out: Path, lines: Sequence[str]) -> Answer:
        from stemma.evaluation.report import heat_maps

        if not lines:
            raise DataError("there is no text to look at", "one text a line or more", "check the input")
        shown = [heat_maps.Attended(" | ".join(answers.pair_of(line).values()), self._heads(run, line)) for line in lines]
        drawn = heat_maps.page(f"Where {run.row.short} looks", shown).encode() if out.suffix == ".html" else heat_maps.png(shown)
        write_bytes(out, drawn)
        maps = sum(len(text.heads) for text in shown)
        return Answer(
            {"out": str(out), "texts": len(shown), "maps": maps}, [f"{out}: {counted(maps, 'map')} of {counted(len(shown), 'text')}"]
        )
