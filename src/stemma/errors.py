"""The error family: what was wrong, what was expected, how to mend it.

Each class derives from the built-in it refines and carries the exit code of the command line.
"""


class StemmaError(Exception):
    """An error in three parts, in this order: `wrong`, `expected`, `mend`."""

    exit_code = 1

    def __init__(self, wrong: str, expected: str, mend: str) -> None:
        self.wrong, self.expected, self.mend = (_sentence(part) for part in (wrong, expected, mend))
        super().__init__(f"{self.wrong} Expected: {self.expected} {self.mend}")

    def __reduce__(self) -> "tuple[type[StemmaError], tuple[str, str, str]]":
        return type(self), (self.wrong, self.expected, self.mend)


class UsageError(StemmaError, ValueError):
    """A wrong option, key or combination of options: exit code 2."""

    exit_code = 2


class DataError(StemmaError, ValueError):
    """The user's text, task file or token store cannot be read as it is: exit code 3."""

    exit_code = 3


class BudgetError(StemmaError, RuntimeError):
    """Disk or memory would not suffice, or has run out: exit code 4."""

    exit_code = 4


class Interrupted(StemmaError, RuntimeError):
    """Stopped by a signal after saving; the same command goes on from there: exit code 5."""

    exit_code = 5


class RunError(StemmaError, RuntimeError):
    """A run folder is unfinished or another's, or training failed (a NaN, say): exit code 1."""


class NoRunError(RunError):
    """A path that should be a run folder is none: exit code 3."""

    exit_code = 3


class DamagedError(RunError):
    """A file that Stemma wrote is not as it was written: exit code 3."""

    exit_code = 3


class MissingExtra(StemmaError, ImportError):
    """An optional library is not installed: exit code 1."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed",
            f"the extra `{extra}`",
            f'pip install "stemma-nlp[{extra}]"',
        )

    def __reduce__(self) -> "tuple[type[StemmaError], tuple[str, str, str]]":
        return StemmaError, (self.wrong, self.expected, self.mend)


def _sentence(part: str) -> str:
    part = part.strip()
    return part if part.endswith((".", "!", "?", ":")) or not part else part + "."
