"""`stemma nearest`: the nearest words of a word, or the odd one of several."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.aligned import columns, number
from stemma.cli.answer import Printable
from stemma.cli.pretrained import open_pretrained
from stemma.cli.streamed import Streamed
from stemma.cli.verb import Flag, Positional, RunPath, Verb
from stemma.errors import UsageError
from stemma.runs.word_vectors import FREQUENT


@dataclass(frozen=True)
class Nearest(Verb):
    """Finds the words of highest cosine with a word, or with a sum of words; or, of several words, the odd one.

    Example: stemma nearest runs/word2vec river "king - man + woman" --k 5
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    words: Positional[tuple[str, ...]] = ()  # one or more, or sums of words; none: one a line from standard input
    k: int = 10  # neighbours a word
    restrict: int = FREQUENT  # neighbours are sought among that many of the most frequent words; 0: all
    outlier: Flag = False  # names the word that fits the others least; from standard input, one group of words a line

    def run(self) -> Printable:
        """The neighbours of each word, or the odd one of them."""
        for option, value in (("k", self.k), ("restrict", self.restrict)):
            if self.outlier and value != getattr(type(self), option):
                raise UsageError(f"--{option} {value} with --outlier", "it with neighbours alone", f"drop --{option}, or --outlier")
        from stemma.runs import answers

        run = open_pretrained(self.run_folder, "nearest")

        def rows(given: list[str]) -> Iterator[dict[str, Any]]:
            return iter((answers.outlier(run, given) if self.outlier else answers.nearest(run, given, self.k, self.restrict)).rows())

        def shown(row: dict[str, Any]) -> Iterator[str]:
            if self.outlier:
                yield f"{' '.join(row['words'])}: {row['outlier']} fits the others least"
                yield from columns(zip(row["cosines"], map(number, row["cosines"].values()), strict=True))
                return
            yield row["word"] + (" (never seen: made of its parts)" if row.get("composed") else "")
            yield from columns((found["word"], f"{found['cosine']:.3f}") for found in row["nearest"])

        together = self.outlier or {"+", "-"} & set(self.words)  # one group of words, or one sum, written without quotes
        given = (" ".join(self.words),) if self.words and together else self.words
        return Streamed(rows, shown, given, ())
