"""What every verb shares: `--json`, `--debug`, and a `run` that gives something printable."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from stemma.cli.answer import Printable

Flag = FlagCreatePairsOff[bool]
Settings = Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="A.B=C", help_behavior_hint="(may be repeated)")]
Texts = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT", help_behavior_hint="(may be repeated)")]
Repeated = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE", help_behavior_hint="(may be repeated)")]
RunPath = Annotated[Positional[str], arg(metavar="RUN")]
Files = Annotated[Positional[tuple[str, ...]], arg(metavar="[FILE …]", help_behavior_hint="(optional)")]
GenerationName = Annotated[Positional[str], arg(metavar="GENERATION")]
Corpus = Annotated[Positional[tuple[str, ...]], arg(metavar="CORPUS …", help_behavior_hint="(required)")]
TomlFile = Annotated[Path | None, arg(metavar="TOML", help_behavior_hint="(optional)")]
Several = Annotated[tuple[str, ...], arg(metavar="FILE …", help_behavior_hint="(optional)")]
EngineName = Annotated[str, arg(metavar="ENGINE")]
Share = Annotated[float | None, arg(metavar="DROP", help_behavior_hint="(optional)")]
Preset = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(optional)")]
Gibibytes = Annotated[float | None, arg(metavar="GIB", help_behavior_hint="(optional)")]
TextSize = Annotated[str | None, arg(metavar="SIZE", help_behavior_hint="(optional)")]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")]
EarlierRun = Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(optional)")]

__all__ = [
    "Corpus",
    "EarlierRun",
    "EngineName",
    "File",
    "Files",
    "Flag",
    "GenerationName",
    "Gibibytes",
    "Positional",
    "Preset",
    "Repeated",
    "RunPath",
    "Settings",
    "Several",
    "Share",
    "TextSize",
    "Texts",
    "TomlFile",
    "Verb",
]


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb's options are its fields; their comments are its help."""

    several_processes: ClassVar[bool] = False  # may be started by torchrun

    json: Flag = False  # prints one JSON document on stdout
    debug: Flag = False  # shows the traceback of an error

    def run(self) -> Printable:
        """Does the work and gives back what is to be printed."""
        raise AssertionError(f"{type(self).__name__} has no run")
