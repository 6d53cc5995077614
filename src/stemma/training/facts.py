"""What training reports while it goes: one small class for each kind of thing that happens.

Every fact says whose it is (`of`), where several train at once; the rest is its own.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Note:
    """A line for the reader."""

    message: str
    of: str = ""
    kind: Literal["note"] = "note"


@dataclass(frozen=True)
class Prepared:
    """The whole text has been worked up, now or in an earlier call."""

    tokens: int
    seconds: float
    bytes: int  # on disk until training ends
    of: str = ""
    kind: Literal["prepared"] = "prepared"


@dataclass(frozen=True)
class Counting:
    """A stage of counting has been reached."""

    step: int
    steps: int
    stage: str
    tokens: int  # counted so far
    seconds: float
    of: str = ""
    kind: Literal["step"] = "step"


@dataclass(frozen=True)
class Update:
    """An update has been made."""

    step: int  # updates made
    steps: int  # updates in all
    tokens: int  # real tokens read so far
    loss: float  # nats per prediction, unless the generation says otherwise (a squared error)
    rate: float
    seconds: float  # of training so far, earlier sessions of the run included
    tokens_per_second: float
    seconds_left: float
    parts: dict[str, float] = field(default_factory=dict)  # of the loss: name -> mean
    count: int = 0  # predictions that `loss` is the mean of
    passes: float = 0.0  # over the text so far; 0 where nobody counts them
    of: str = ""
    kind: Literal["step"] = "step"

    def line(self) -> dict[str, Any]:
        """Its line in metrics.jsonl."""
        return _kept(self, "steps", "seconds_left", "tokens_per_second", "count", "passes")


@dataclass(frozen=True)
class EpochEnd:
    """An epoch has ended, or the run in the midst of one: the exact mean loss of all its predictions."""

    step: int
    steps: int
    tokens: int
    loss: float
    seconds: float
    count: int
    epoch: float  # passes over what is read so far; a whole number where an epoch has ended
    of: str = ""
    kind: Literal["epoch"] = "epoch"

    def line(self) -> dict[str, Any]:
        """Its line in metrics.jsonl."""
        return _kept(self, "steps")


@dataclass(frozen=True)
class HeldOut:
    """The held-out loss has been taken."""

    step: int
    tokens: int
    loss: float
    seconds: float
    parts: dict[str, float] = field(default_factory=dict)
    of: str = ""
    kind: Literal["eval"] = "eval"

    def line(self) -> dict[str, Any]:
        """Its line in metrics.jsonl."""
        return _kept(self)


@dataclass(frozen=True)
class Saved:
    """A state to resume from has been saved."""

    step: int
    of: str = ""
    kind: Literal["save"] = "save"


@dataclass(frozen=True)
class StageEnd:
    """A stage of a comparison has ended, or was found finished."""

    stage: str
    how: Literal["kept", "made", "failed"]
    seconds: float = 0.0  # by the clock
    of: str = ""
    kind: Literal["stage"] = "stage"


@dataclass(frozen=True)
class Ahead:
    """How far a comparison has come, all its generations together."""

    done: int  # stages
    stages: int
    share: float  # of the time that all were expected to take
    seconds_left: float
    of: str = ""
    kind: Literal["ahead"] = "ahead"


Fact = Note | Prepared | Counting | Update | EpochEnd | HeldOut | Saved | StageEnd | Ahead
Report = Callable[[Fact], None]  # what is called with each fact as it comes
KINDS: tuple[type, ...] = (Note, Prepared, Counting, Update, EpochEnd, HeldOut, Saved, StageEnd, Ahead)


def to_json(fact: Fact) -> dict[str, Any]:
    """The fact as plain values, to be read by `from_json` in another process."""
    return {"fact": type(fact).__name__, **asdict(fact)}


def from_json(plain: dict[str, Any]) -> Fact:
    """The fact that `to_json` gave."""
    kinds = {kind.__name__: kind for kind in KINDS}
    return kinds[plain.pop("fact")](**plain)


def _kept(fact: Any, *dropped: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(fact).items() if name not in ("of", *dropped)}
