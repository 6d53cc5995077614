"""`stemma pack`: runs in one file, for a machine without network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Positional, Verb
from stemma.errors import UsageError

RunsAndFile = Annotated[Positional[tuple[str, ...]], arg(metavar="RUN … FILE", help_behavior_hint="(required)")]
Folder = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(optional)")]


@dataclass(frozen=True)
class Pack(Verb):
    """Packs finished runs into one zip file, with sums and a README, for a machine without network; stemma unpack opens it there.

    What training needs (state/, store/) stays behind. The same runs make the same bytes.

    Example: stemma pack runs/bert runs/topics models.zip
    """

    runs_and_file: RunsAndFile  # the run folders, then the file to write
    wheels: Folder = None  # packs the wheels of this folder too, from pip download

    def run(self) -> Printable:
        """The file written."""
        from stemma.export.pack import pack

        *runs, file = self.runs_and_file or ("",)
        if not runs:
            raise UsageError(f"stemma pack {file}".rstrip(), "a run, or several, and the file to write", "write stemma pack RUN FILE")
        written = pack(runs, file, self.wheels)
        size = written.stat().st_size
        return Answer({"file": written, "bytes": size, "runs": runs}, [f"{written}: {size / 2**20:,.1f} MiB"])
