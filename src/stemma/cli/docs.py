"""`stemma docs`: where the documentation stands on this machine."""

import webbrowser
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Flag, Verb
from stemma.errors import StemmaError

SITE = Path(str(files("stemma"))) / "site"


@dataclass(frozen=True)
class Docs(Verb):
    """Tells where the documentation is, which needs no network, or opens it in a browser.

    Example: stemma docs --open
    """

    language: Literal["en", "zh"] = "en"  # English or Chinese
    open: Flag = False  # opens it in this machine's browser

    def run(self) -> Printable:
        """The path of its first page."""
        page = SITE / self.language / "index.html"
        if not page.is_file():
            wrong, expected = f"{page} is missing: the documentation is not built here", "the pages that a release of Stemma brings along"
            raise StemmaError(wrong, expected, "run `make docs` in a checkout of Stemma")
        opened = self.open and webbrowser.open(page.as_uri())
        return Answer({"page": str(page), "opened": opened}, [str(page)])
