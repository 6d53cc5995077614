"""Shows the facts of a training loop on stderr: a bar on a terminal, plain lines elsewhere."""

import math
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

from stemma.nouns import counted
from stemma.training.facts import Ahead, Counting, EpochEnd, Fact, HeldOut, Note, Prepared, Saved, StageEnd, Update

EVERY_SECONDS = 5.0  # between two plain lines


class Progress:
    """Takes facts as a callback; a context, so that a bar is put away whatever happens."""

    def __init__(self, stream: TextIO | None = None, every_seconds: float = EVERY_SECONDS) -> None:
        self.stream = stream or sys.stderr
        self.every_seconds = every_seconds
        self.shown_at: dict[str, float] = {}  # when each of those that train was last shown
        self.bar: Any = None
        self.all: Any = None  # the line of the bar for the whole of a comparison
        self.tasks: dict[str, tuple[Any, int]] = {}  # whose it is -> its line of the bar, its latest step

    def __enter__(self) -> Self:
        if self.stream.isatty():
            self.bar = _bar(self.stream)
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, fact: Fact) -> None:
        """Shows one fact."""
        whose = f"{fact.of}: " if fact.of else ""
        hurried = time.monotonic() - self.shown_at.get(fact.of, -math.inf) < self.every_seconds
        if isinstance(fact, EpochEnd):
            if hurried and fact.step < fact.steps:
                return  # a small text ends an epoch many times a second
            self.shown_at[fact.of] = time.monotonic()
        if isinstance(fact, Ahead) and self.bar is not None:
            self._whole(fact)
        elif not isinstance(fact, Update | Counting):
            self.say(whose + event(fact))
        elif self.bar is not None:
            self._move(fact, whose)
        elif fact.step == fact.steps or not hurried:
            self.shown_at[fact.of] = time.monotonic()
            self.say(f"{whose}step {fact.step:,} of {fact.steps:,} · {measures(fact)}")

    def say(self, line: str) -> None:
        """Prints one line, above the bar where there is one."""
        if self.bar is not None:
            self.bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self.stream, flush=True)

    def _whole(self, fact: Ahead) -> None:
        """The line of the bar for all generations together."""
        if self.all is None:
            self.all = self.bar.add_task("", total=fact.stages, shown="")
        self.bar.update(self.all, completed=fact.done, shown=f"stages in all, {_work(fact)}")

    def _move(self, fact: Update | Counting, whose: str) -> None:
        task, step = self.tasks.get(fact.of, (None, 0))
        if task is None or fact.step < step:  # another run has begun
            if task is not None:
                self.bar.remove_task(task)
            task = self.bar.add_task("", total=fact.steps, shown="")
        self.bar.update(task, completed=fact.step, total=fact.steps, shown=whose + measures(fact))
        if whose and fact.step == fact.steps:  # with several at once, a finished line makes room
            self.bar.remove_task(task)
            task = None
        self.tasks[fact.of] = (task, fact.step)


def measures(fact: Update | Counting) -> str:
    """Loss, passes over the text, speed and time left, those that are known; of counting the stage."""
    if isinstance(fact, Counting):
        return fact.stage
    known = [f"loss {fact.loss:.3f}"] if math.isfinite(fact.loss) else []
    if fact.passes:
        known.append(f"{fact.passes:,.3g} passes")
    if fact.tokens_per_second:
        known.append(f"{fact.tokens_per_second:,.0f} tokens/s")
    if fact.step < fact.steps and fact.tokens_per_second:
        known.append(f"{duration(fact.seconds_left)} left")
    return " · ".join(known)


def event(fact: Note | Prepared | EpochEnd | HeldOut | Saved | StageEnd | Ahead) -> str:
    """One line for what is no step: a note, an epoch's loss, a held-out loss, a saved state, a stage's end, how far all has come."""
    match fact:
        case EpochEnd():
            return f"epoch {fact.epoch:.4g}: mean loss {fact.loss:.4f} over {counted(fact.count, 'prediction')}"
        case HeldOut():
            return f"held out at step {fact.step:,}: loss {fact.loss:.3f}"
        case Saved():
            return f"saved at step {fact.step:,}"
        case Prepared():
            return (
                f"read {counted(fact.tokens, 'token')} in {fact.seconds:.1f} s; {fact.bytes / 2**20:,.0f} MiB on disk until training ends"
            )
        case StageEnd():
            ends = {"kept": "was finished earlier", "made": f"done in {duration(fact.seconds)}", "failed": "failed"}
            return f"{fact.stage} {ends[fact.how]}"
        case Ahead():
            return f"in all {fact.done} of {counted(fact.stages, 'stage')}, {_work(fact)}"
        case Note():
            return fact.message


def _work(fact: Ahead) -> str:
    left = f", about {duration(fact.seconds_left)} left" if fact.done < fact.stages else ""
    return f"{fact.share:.0%} of the work{left}"


def duration(seconds: float) -> str:
    """A time for a reader.

    >>> duration(4.2), duration(62), duration(7320)
    ('4 s', '1 min 02 s', '2 h 02 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.fields[shown]}"))
    return Bar(*columns, console=Console(file=stream), transient=True)
