"""`stemma demo`: `compare`, on text that is always there."""

from dataclasses import dataclass
from pathlib import Path

from stemma.cli.answer import Printable
from stemma.cli.compare import compared
from stemma.cli.progress import Progress
from stemma.cli.verb import Verb


@dataclass(frozen=True)
class Demo(Verb):
    """Compares the generations on the embedded default: the docstrings of the installed Python packages.

    Example: stemma demo --out demo
    """

    out: Path = Path("demo")  # the folder of report.html, report.json and the run folders
    seconds: float = 40.0  # of pre-training for each generation

    def run(self) -> Printable:
        """The demonstration, or the rest of it."""
        from stemma.evaluation.comparison.demo import demo

        with Progress() as progress:
            results = demo(self.out, seconds=self.seconds, progress=progress)
        return compared(self.out, results)
