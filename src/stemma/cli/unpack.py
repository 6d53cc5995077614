"""`stemma unpack`: the runs of a packed file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Positional, Verb


@dataclass(frozen=True)
class Unpack(Verb):
    """Unpacks a file that stemma pack made: into a new folder, every file compared with its sum, all of it or nothing.

    Paths that lead elsewhere, links, compressed or overlapping entries and wrong sums are refused by name before they are written.

    Example: stemma unpack models.zip models
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]  # made by stemma pack
    folder: Annotated[Positional[Path], arg(metavar="DIR")]  # to be made, or empty

    def run(self) -> Printable:
        """The runs in it."""
        from stemma.export.pack import unpack

        runs = unpack(self.file, self.folder)
        return Answer({"folder": self.folder, "runs": runs}, map(str, runs))
