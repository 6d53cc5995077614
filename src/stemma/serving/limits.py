"""What the server takes on, and for how long; and what it says to those that ask for more."""

from dataclasses import dataclass

from stemma.bounds import real, whole
from stemma.errors import StemmaError, UsageError


@dataclass(frozen=True)
class Limits:
    """Bounds that are on unless they are set otherwise."""

    body_bytes: int = 2 << 20  # of a request
    inputs: int = 256  # of a request
    tokens: int = 16_384  # of an input
    written: int = 4096  # tokens that an input has written, all samples or beams together
    queue: int = 512  # requests in the house; the next one is told to come again
    batch_tokens: int = 16_384  # computed together, one request at least
    wait_ms: float = 2.0  # that a request waits for others to be computed with
    answer_seconds: float = 60.0  # from a request's arrival to its answer's end
    body_seconds: float = 10.0  # for a body to arrive
    header_seconds: float = 10.0  # for a request's headers
    weights: int = 1_000_000  # numbers of attention of a text

    def __post_init__(self) -> None:
        """Refuses what is out of range."""
        for name in ("body_bytes", "inputs", "tokens", "written", "queue", "batch_tokens", "weights"):
            whole(name, getattr(self, name), 1)
        real("wait_ms", self.wait_ms)
        for name in ("answer_seconds", "body_seconds", "header_seconds"):
            real(name, getattr(self, name), above=True)


class TooLarge(UsageError):
    """A body, or a number of inputs, above the limit."""


class Overloaded(StemmaError, RuntimeError):
    """More requests than are taken on at once."""


class NoSuchModel(UsageError):
    """A name that no model goes by."""
