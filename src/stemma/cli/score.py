"""`stemma score`: what a text costs a run, in nats, perplexity and bits a character."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import Any

from stemma.cli.aligned import columns, number
from stemma.cli.answer import Printable
from stemma.cli.pretrained import open_pretrained
from stemma.cli.streamed import Streamed
from stemma.cli.texts import BATCH, COUNTED
from stemma.cli.verb import Files, Flag, RunPath, Texts, Verb


@dataclass(frozen=True)
class Score(Verb):
    """Tells how surprised a run is by each text: its probability, perplexity with and without unknown tokens, bits a character.

    Example: stemma score runs/gpt --text "it was a dark and stormy night"
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    tokens: Flag = False  # shows also what each token cost, and the n-gram that matched

    def run(self) -> Printable:
        """One score a text."""
        from stemma.runs import answers

        run = open_pretrained(self.run_folder, "score")

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            return iter(answers.score(run, lines, self.tokens).rows())

        return Streamed(rows, _shown, self.text, self.files, COUNTED if run.row.learns == "count" else BATCH)


def _shown(row: dict[str, Any]) -> Iterator[str]:
    """A score for a person: what compares across runs first."""
    yield row["text"]
    unknown = f", {row['unknown']} unknown" if row["unknown"] else ""
    yield (
        f"  {number(row['bits_per_character'])} bits a character · perplexity {number(row['perplexity'])}"
        f" over {row['tokens']:,} predictions{unknown} · log10 of its probability {number(row['log10'])}"
    )
    if "backward_nats" in row:
        yield f"  read from its end to its start: log10 of its probability {number(-row['backward_nats'] / log(10))}"
    if "why_not_bits" in row:
        yield f"  no bits: {row['why_not_bits']}"
    yield from columns(_token_cells(token) for token in row.get("by_token", ()))


def _token_cells(token: dict[str, Any]) -> tuple[str, ...]:
    cells = token["token"], f"{token['log10']:.2f}", "unknown" if token["unknown"] else ""
    return (*cells[:2], f"{token['order']}-gram", cells[2]) if "order" in token else cells
