"""The recorder of a descending run: what the loop reports becomes lines of metrics.jsonl and states to resume from."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.nouns import counted
from stemma.objectives.objective import Objective
from stemma.training.baseline import sits
from stemma.training.facts import EpochEnd, HeldOut, Note, Report, Saved, Update
from stemma.training.learners import Learner
from stemma.training.loop import Reached
from stemma.training.passes import Passes
from stemma.training.ranks import Ranks
from stemma.training.settings import Config, HandConfig

LOG_LINES = 200  # about how many lines of training loss a run's metrics.jsonl gets


class Recorder:
    """Takes the loop's facts: reports them, writes metrics, and saves when it is time."""

    def __init__(
        self,
        folder: RunFolder,
        learner: Learner,
        objective: Objective,
        training: HandConfig,
        progress: Reached,
        report: Report,
        ranks: Ranks,
        passes: Passes,
        best: dict[str, np.ndarray] | None,
        constants: Mapping[str, float],
    ) -> None:
        """`best` are the weights of the least held-out loss that an earlier call kept, `constants` the baselines of held-out losses."""
        self._folder, self._learner, self._objective = folder, learner, objective
        self._training, self._progress = training, progress
        self._report, self._ranks, self._passes, self._best = report, ranks, passes, best
        self._constants, self._held_out = constants, [line for line in folder.metrics() if line["kind"] == "eval"]
        self._every = max(1, training.steps // LOG_LINES)
        self._lines: list[dict[str, Any]] = []
        self._saved, self._saved_step = time.monotonic(), 0

    def take(self, fact: Update) -> None:
        """One step's fact."""
        self._report(dataclasses.replace(fact, passes=self._passes.after(fact.step)))
        self._last = fact
        self._progress.losses.append(fact.loss)
        self._progress.parts.append(fact.parts)
        self._end_epoch()
        if self._ends_line(fact):
            self._end_line()

    def save_when_due(self, fact: Update) -> None:
        """Saves when it is time, and a line of the log ends, so that resumed logs are equal too.

        Called when the step's held-out loss is taken: a run resumed from this state does not take it again.
        """
        if self._ends_line(fact) and self._ranks.agree(time.monotonic() - self._saved >= self._training.save_seconds):
            self.save()

    def judge(self, mean: float, parts: dict[str, float]) -> None:
        """The held-out loss and its parts, reported and logged."""
        progress = self._progress
        fact = HeldOut(progress.step, progress.tokens, mean, progress.seconds, parts)
        self._report(fact)
        self._end_line()
        self._lines.append(fact.line())
        self._held_out.append(fact.line())
        for note in sits(self._held_out, self._constants):
            self._report(Note(note))
        if isinstance(self._training, Config) and self._training.patience:
            self._compare(mean, self._training.patience)

    def _compare(self, mean: float, patience: int) -> None:
        """Keeps the weights of a new best, else loses patience."""
        progress = self._progress
        if progress.best_loss is None or isnan(progress.best_loss) or mean < progress.best_loss:
            progress.best_loss, progress.best_step, progress.waited = mean, progress.step, 0
            self._best = {name: array.copy() for name, array in self._learner.state().get("model", {}).items()}
            return
        progress.waited += 1
        if progress.waited >= patience:
            progress.stopped = True
            best = f"{progress.best_loss:.3f} at step {progress.best_step:,}"
            self._report(
                Note(f"no better held-out loss than {best} in {counted(patience, 'measurement')}: training stops and keeps those weights")
            )

    def save(self) -> None:
        """Commits metrics and state, once a step. All ranks come here together, for the state is gathered; the first one writes.

        Where a signal stops the run within a line of the log, its losses so far go with the state: the resumed run ends the line.
        """
        step = self._progress.step
        if step == self._saved_step:  # a save that was due fell on the last step
            return
        state = self._learner.state()
        aside = self._ranks.agree(self._folder.begin_state(step) if self._ranks.first else None)
        if aside and self._learner.shards:
            self._learner.shards.save(aside)
        if self._ranks.first:
            state |= {"best": self._best} if self._best else {}
            self._folder.append_metrics(self._lines)
            if aside:
                self._folder.end_state(aside, step, state, asdict(self._progress))
            self._report(Saved(step))
        self._ranks.wait()
        self._lines = []
        self._saved, self._saved_step = time.monotonic(), step

    def _ends_line(self, fact: Update) -> bool:
        return fact.step % self._every == 0 or fact.step == fact.steps

    def _end_epoch(self) -> None:
        """Where an epoch has ended, or the run in the midst of one: the exact mean loss of all its predictions."""
        progress, micro = self._progress, self._training.accumulate
        (epoch, within), before = (self._objective.epoch_of(step * micro) for step in (progress.step, progress.step - 1))
        if epoch == before[0] and progress.step < self._training.steps:
            return
        part = within / self._objective.steps_in_epoch(epoch) if epoch == before[0] else 0.0
        mean, count = progress.epoch_nats / max(1, progress.epoch_count), progress.epoch_count
        place = (progress.step, self._training.steps, progress.tokens)
        fact = EpochEnd(*place, mean, progress.seconds, count, epoch + part)
        self._report(fact)
        self._lines.append(fact.line())
        progress.epoch_nats, progress.epoch_count = 0.0, 0

    def _end_line(self) -> None:
        progress = self._progress
        if progress.losses:
            parts = {name: float(np.mean([one[name] for one in progress.parts if name in one])) for name in self._last.parts}
            self._lines.append(dataclasses.replace(self._last, loss=float(np.mean(progress.losses)), parts=parts).line())
            progress.losses, progress.parts = [], []
