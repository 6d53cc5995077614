"""What a fine-tuning has done so far, kept in its run folder from time to time: the same command goes on where a killed one was.

A state holds the facts of the trials and of the seeds that are done, the best model of either, and the model being learnt.
"""

import copy
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.errors import Interrupted
from stemma.runs.assignment import Answers, Assignment
from stemma.runs.fitted import restored
from stemma.training.learners import Learner
from stemma.training.loop import Reached

SAVE_SECONDS = 60.0  # between two states
BEST_TRIAL, BEST_SEED = "trial", "seed"  # the groups of a state that hold a whole model; crossed, a trial's has its value behind
FIRST_STEP = "first-step"  # and that which holds what a first step of learning came to


@dataclass(frozen=True)
class Done:
    """The trials and the seeds that are done, and the best model of either, with its facts."""

    trials: tuple[dict[str, Any], ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    models: Mapping[str, Answers] = field(default_factory=dict)


class Journal:
    """Without a folder nothing is kept. `done` is replaced whole, so that a signal finds it right at any moment."""

    def __init__(self, folder: RunFolder | None, assignment: Assignment) -> None:
        """Takes up what an earlier call kept in the folder."""
        self._folder, self._assignment, self.done = folder, assignment, Done()
        self._began = self._saved = time.perf_counter()
        self._earlier = 0.0  # seconds of earlier calls
        self._part: Mapping[str, Mapping[str, np.ndarray]] = {}  # the learner of the model that an earlier call was at
        self._reached: dict[str, Any] | None = None  # how far it had come
        self.first_step: tuple[Mapping[str, np.ndarray], dict[str, Any]] | None = None  # weights that all models begin with, and its facts
        saved = folder.load_state() if folder else None
        if saved:
            arrays, facts = saved
            models = {name: self._restored(arrays[name], kept) for name, kept in facts["models"].items()}
            self.done = Done(tuple(facts["trials"]), tuple(facts["rows"]), models)
            self._earlier, self._reached = facts["seconds"], facts["reached"]
            self.first_step = (arrays[FIRST_STEP], facts["first_step"]) if FIRST_STEP in arrays else None
            self._part = {name: group for name, group in arrays.items() if name not in (*models, FIRST_STEP)}

    @property
    def seconds(self) -> float:
        """What the fine-tuning has taken, earlier calls included."""
        return self._earlier + time.perf_counter() - self._began

    @property
    def last_seconds(self) -> float:
        """What has been taken since the last trial, earlier calls included."""
        return self.seconds - sum(trial["seconds"] for trial in self.done.trials)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.perf_counter() - self._saved >= SAVE_SECONDS

    @property
    def summary(self) -> str:
        """What is done, in words; empty where nothing is."""
        at = f", {self._reached['step']:,} updates of the next" if self._reached else ""
        models = len(self.done.trials) + max(0, len(self.done.rows) - 1)  # the first seed's is that of a trial
        return f"{models} models learnt{at}" if models or at else ""

    def trial(self, facts: dict[str, Any], models: Mapping[str, Answers] | None) -> None:
        """A trial is done; the models to keep from here on are given if its own is one of them."""
        self.done = Done((*self.done.trials, facts), (), self.done.models if models is None else models)
        self._keep()

    def begin_from(self, weights: Mapping[str, np.ndarray], facts: dict[str, Any]) -> None:
        """A first step is done, from whose weights all models begin: kept at once, for it is not made again."""
        self.first_step = weights, facts
        self.save()

    def seed(self, facts: dict[str, Any], model: Answers | None) -> None:
        """A seed is done; its model is given if it is the best so far."""
        models = self.done.models if model is None else {BEST_SEED: model}  # the trial's is of no use after the first seed
        self.done = Done(self.done.trials, (*self.done.rows, facts), models)
        self._keep()

    def settle(self, rows: Sequence[dict[str, Any]]) -> None:
        """The trials are the seeds' too: these rows are those of the chosen value."""
        self.done = Done(self.done.trials, tuple(rows), self.done.models)

    def take_up(self, learner: Learner) -> Reached:
        """How far the model has come that an earlier call was at, its learner restored; of any later model nothing."""
        if self._reached is None:
            return Reached()
        learner.restore(self._part)
        reached, self._reached, self._part = Reached(**self._reached), None, {}
        return reached

    def save(self, learner: Learner | None = None, reached: Reached | None = None) -> None:
        """Keeps what is done, and the model being learnt, if any."""
        if self._folder is None:
            return
        models = self.done.models
        facts = {
            "trials": self.done.trials,
            "rows": self.done.rows,
            "models": {name: model.facts for name, model in models.items()},
            "reached": asdict(reached) if reached else None,
            "seconds": self.seconds,
            "first_step": self.first_step[1] if self.first_step else None,
        }
        arrays = {name: model.arrays() for name, model in models.items()} | (learner.state() if learner else {})
        arrays |= {FIRST_STEP: dict(self.first_step[0])} if self.first_step else {}
        last = int((self._folder.manifest.get("state") or "step-0").removeprefix("step-"))
        self._folder.save_state(last + 1, arrays, facts)
        self._saved = time.perf_counter()

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Keeps what is done when Ctrl-C comes, and tells the truth about it."""
        try:
            yield
        except KeyboardInterrupt as error:
            if self._reached is None:  # else what an earlier call kept is more
                self.save()
            raise self.stopped() from error

    def stopped(self) -> Interrupted:
        """The error to end with."""
        kept = self._folder and self._folder.manifest.get("state")
        where = f"; what was learnt so far is kept in {self._folder.path}" if self._folder and kept else "; nothing of it is kept"
        mend = "repeat the same command" + (": it goes on where it was" if kept else "")
        return Interrupted(f"stopped{where}", "the fine-tuning to go on to its end", mend)

    def _keep(self) -> None:
        if self.due:
            self.save()

    def _restored(self, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Answers:
        """The model on a network of its own; one that counts is never changed."""
        run = self._assignment
        own = run if run.row.learns == "count" else dataclasses.replace(run, network=copy.deepcopy(run.network))
        return restored(own, arrays, facts)
