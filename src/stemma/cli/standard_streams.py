"""Standard input, output and error when they are closed or full: reported where it matters, passed over where it does not."""

import os
import sys
from io import TextIOWrapper

from stemma.errors import BudgetError, StemmaError
from stemma.tokens.files import is_disk_full

NAMES = ("stdin", "stdout", "stderr")


class _Messages(TextIOWrapper):
    """Standard error, which may be full or gone: what cannot be written there stops no work."""

    def write(self, text: str) -> int:
        """Writes, or else gives the messages up."""
        try:
            return super().write(text)
        except OSError:
            to_nowhere(2)
            return len(text)

    def flush(self) -> None:
        """Flushes, or else gives the messages up."""
        try:
            super().flush()
        except OSError:
            to_nowhere(2)


def closed_streams_open() -> None:
    """Opens the closed ones on nothing, so that no file takes their number; a closed output stays None in `sys`, to be reported."""
    for number, name in enumerate(NAMES):
        if getattr(sys, name) is None:
            to_nowhere(number)
    if sys.stdin is None:
        sys.stdin = TextIOWrapper(open(0, "rb", closefd=False), encoding="utf-8")  # noqa: SIM115  (it lasts as long as the process)
    messages = open(2, "wb", closefd=False) if sys.stderr is None else sys.stderr.buffer  # noqa: SIM115
    sys.stderr = _Messages(messages, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def print_out(text: str) -> None:
    """Prints at once. BrokenPipeError when nobody reads any more; BudgetError or StemmaError when it cannot be written."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        to_nowhere(1)
        kind = BudgetError if is_disk_full(error) else StemmaError
        raise kind(f"standard output: {error.strerror}", "a place that takes it", "print to another place, or free some space") from error


def to_nowhere(number: int) -> None:
    """Makes the stream of this number end in nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)
