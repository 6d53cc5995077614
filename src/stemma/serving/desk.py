"""What the routes share: the models, the limits, what is counted, and the one way from a request to its rows."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from stemma.errors import UsageError
from stemma.nouns import counted
from stemma.runs.answers import Asked
from stemma.serving.asking import Answered, Input, answer
from stemma.serving.limits import Limits
from stemma.serving.measured import MOST_LABELS, Measured
from stemma.serving.models import Models, Version

WRITES = frozenset({"generate", "translate"})  # token by token


@dataclass
class Desk:
    """One server's state."""

    models: Models
    limits: Limits
    measured: Measured
    warmed: bool = False
    leaving: bool = False

    @property
    def ready(self) -> bool:
        """True when requests are answered without delay."""
        return self.warmed and not self.leaving

    async def rows(
        self,
        name: str | None,
        ability: str,
        inputs: Sequence[Input],
        ask: Callable[[Any, list[str]], Asked],
        *options: Hashable,
        strict: bool = False,
        whole: bool = False,
    ) -> tuple[Version, Answered]:
        """The version that answered, and the rows of the inputs; `ask(run, texts)` with equal `options` may be computed together.

        The run is as the model's engine computes it, or with `whole` the model's own.
        """
        version = self.models.able(name, ability)
        run = version.run_for(ability, whole=whole)
        lane = version.lanes.writing if ability in WRITES else version.lanes.computing
        async with asyncio.timeout(self.limits.answer_seconds):
            found = await answer(version, lane, (ability, *options), lambda texts: ask(run, texts), inputs, self.limits, strict)
        self._count(version, ability, found)
        return version, found

    def check_written(self, length: int, several: int) -> None:
        """UsageError where one input would have more written than is allowed."""
        if length * several > self.limits.written:
            wrong = f"{counted(length, 'token')}, {several} at a time"
            raise UsageError(wrong, f"{self.limits.written:,} at most for an input", "ask for fewer, or in several requests")

    def _count(self, version: Version, ability: str, found: Answered) -> None:
        self.measured.cut.labels(version.name).inc(sum(found.truncated))
        labels = version.description["labels"]
        if ability == "predict" and labels and len(labels) <= MOST_LABELS:
            for row in found.flat:
                for label in row["labels"] if "labels" in row else [row["label"]] if "label" in row else []:
                    self.measured.labels.labels(version.name, label).inc()
