"""How a request's texts become rows: tokenised, held to the limits, computed with others, each text's fault its own."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from stemma.corpus.clean import clean, kept_places
from stemma.errors import DataError, StemmaError, UsageError
from stemma.nouns import counted
from stemma.runs.answers import Asked, Row
from stemma.serving.batches import Lane
from stemma.serving.limits import Limits, TooLarge
from stemma.serving.models import Version

Input = str | Sequence[str]  # a text, or its parts
Make = Callable[[list[str]], Asked]  # of texts what is asked about them (`runs.answers`)


@dataclass(frozen=True)
class Answered:
    """Rows in the order of the inputs, and what was read for them."""

    rows: list[list[Row]]  # of each input
    tokens: int

    @property
    def flat(self) -> list[Row]:
        """The rows of all inputs."""
        return [row for own in self.rows for row in own]

    @property
    def truncated(self) -> list[bool]:
        """True for each input whose end was not read."""
        return [any("tokens_cut" in row for row in own) for own in self.rows]


async def answer(
    version: Version, lane: Lane, kind: Hashable, make: Make, inputs: Sequence[Input], limits: Limits, strict: bool = False
) -> Answered:
    """The rows of each input; those of an input at fault hold its error, unless it is the only one, or `strict`."""
    if len(inputs) > limits.inputs:
        raise TooLarge(f"{counted(len(inputs), 'input')} in a request", f"{limits.inputs} at most", "send several requests")
    lines = list(map(line_of, inputs))

    async def together(some: list[str]) -> tuple[list[list[Row]], int]:
        asked = await version.lanes.tokenising.alone(lambda: make(some))
        check_tokens(asked, limits)
        rows = await lane.rows(kind, asked) if some else []
        each = asked.rows_each
        return [rows[place * each : (place + 1) * each] for place in range(len(some))], sum(asked.tokens)

    try:
        rows, tokens = await together(lines)
    except (DataError, UsageError):
        if strict or len(lines) == 1:
            raise
        parts = await asyncio.gather(*(together([line]) for line in lines), return_exceptions=True)
        faults = [part for part in parts if isinstance(part, BaseException)]
        if len(faults) == len(parts) or not all(isinstance(fault, StemmaError) for fault in faults):
            raise faults[0] from None
        rows = [[_fault(line, part)] if isinstance(part, StemmaError) else part[0][0] for line, part in zip(lines, parts, strict=True)]  # type: ignore[index]
        tokens = sum(part[1] for part in parts if not isinstance(part, BaseException))
    return Answered([[on_raw(row, given) for row in own] for own, given in zip(rows, inputs, strict=True)], tokens)


def check_tokens(asked: Asked, limits: Limits) -> None:
    """DataError for a text with more tokens than are read."""
    most = max(asked.tokens, default=0)
    if most > limits.tokens:
        raise DataError(f"an input has {counted(most, 'token')}", f"{limits.tokens:,} at most", "shorten it, or send it in parts")


def line_of(given: Input) -> str:
    """The input as a line of the command line: its parts with tabs between."""
    return given if isinstance(given, str) else "\t".join(part.replace("\t", " ") for part in given)


def on_raw(row: Row, given: Input) -> Row:
    """The row with its places in the text, if it has any, counted in the text as it was sent; of several parts it is the last."""
    last = given.rpartition("\t")[2] if isinstance(given, str) else given[-1] if given else ""
    cleaned = clean(last)[0]
    kept = cleaned.strip()
    if kept == last or not ("start" in row or "words" in row or "best" in row):
        return row
    places = kept_places(last)[len(cleaned) - len(cleaned.lstrip()) :][: len(kept)]
    moved: Row = _moved(row, places)
    return moved


def _moved(value: Any, places: list[int]) -> Any:
    if isinstance(value, list):
        return [_moved(inner, places) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {key: _moved(inner, places) for key, inner in value.items()}
    if "start" in value and "end" in value and value["end"] > value["start"]:
        found |= {"start": places[value["start"]], "end": places[value["end"] - 1] + 1}
    return found


def _fault(line: str, error: StemmaError) -> Row:
    return {"text": line, "error": {"wrong": error.wrong, "expected": error.expected, "mend": error.mend}}
