"""`stemma corpus docstrings`: writes the embedded default, text that is always there."""

from dataclasses import dataclass
from pathlib import Path

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import Verb


@dataclass(frozen=True)
class CorpusDocstrings(Verb):
    """Writes the embedded default: docstrings of installed Python packages, with a task (which package?) and a senses file.

    Example: stemma corpus docstrings --out text --packages python numpy --limit-mb 1
    """

    out: Path  # the folder of train.jsonl, dev.jsonl, task_train.tsv, task_dev.tsv, senses.tsv
    packages: tuple[str, ...] = ()  # installed packages; python is the standard library; none: those with most text
    limit_mb: float = 7.0  # text of all packages together, in millions of characters
    workers: int = 0  # processes that read; 0: one a core

    def run(self) -> Printable:
        """The paths of what was written."""
        from stemma.corpus.docstrings import write_docstrings

        written = write_docstrings(self.out, self.packages or None, self.limit_mb, self.workers or None)
        paths = {name: getattr(written, name) for name in ("train", "dev", "task_train", "task_dev", "senses")}
        lines = [f"{name:<11} {path}" for name, path in paths.items()]
        return Answer({**paths, "packages": written.packages}, [f"packages    {', '.join(written.packages)}", *lines])
