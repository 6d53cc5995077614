"""The one loop: a generator of facts. It trains, and does no input or output."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stemma.kernels.clocks import working
from stemma.objectives.batch import seed_for
from stemma.objectives.objective import Objective
from stemma.training.facts import Update
from stemma.training.learners import Learner
from stemma.training.ranks import Ranks
from stemma.training.schedules import Place, rate_at
from stemma.training.settings import HandConfig


@dataclass
class Reached:
    """How far a run has come: all that a resumed loop needs beside the learner's arrays."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of this process, all its threads; preparation is in all three, compiling in none
    epoch_nats: float = 0.0  # the epoch's losses, added up over all its predictions so far
    epoch_count: int = 0  # those predictions
    losses: list[float] = field(default_factory=list)  # of the updates since the log's last line
    parts: list[dict[str, float]] = field(default_factory=list)  # of each of those losses
    best_loss: float | None = None  # the least held-out loss, where training waits for a new one (`patience`)
    best_step: int = 0
    waited: int = 0  # held-out losses since
    stopped: bool = False  # for it waited in vain
    processes: list[list[int]] = field(default_factory=list)  # (updates made before, how many processes went on from there), in order


def train(learner: Learner, objective: Objective, config: HandConfig, steps: int, reached: Reached, ranks: Ranks) -> Iterator[Update]:
    """Makes the updates `reached.step` .. `steps`, yielding a fact after each; moves `reached` along, and ends when it says `stopped`."""
    while reached.step < steps and not reached.stopped:
        began = working()
        epoch, _ = objective.epoch_of(reached.step * config.accumulate)
        rate = rate_at(Place(reached.step, steps, epoch), config)
        micro = range(reached.step * config.accumulate, (reached.step + 1) * config.accumulate)
        batches = [objective.batch(number, ranks.rank, ranks.count) for number in micro]
        update = learner.step(batches, rate, seed_for(config.seed, "step", reached.step, ranks.rank))
        took = working().minus(began)
        reached.step += 1
        reached.tokens += int(ranks.total([sum(map(objective.real_tokens, batches))])[0])
        reached.seconds += took.seconds
        reached.cpu_seconds += took.cpu_seconds
        speed = reached.tokens / max(1e-9, reached.seconds)
        left = (steps - reached.step) * reached.seconds / reached.step
        reached.epoch_nats += update.loss * update.count
        reached.epoch_count += update.count
        pace = (reached.seconds, speed, left)
        yield Update(reached.step, steps, reached.tokens, update.loss, rate, *pace, update.parts, update.count)


def steps_for(config: HandConfig, objective: Objective, seconds_per_step: float | None, spent: float = 0.0) -> int:
    """How many updates the budget buys. A budget of seconds needs the measured seconds of one, and what preparation has `spent`."""
    if config.seconds:
        assert seconds_per_step is not None
        return max(1, int((config.seconds - spent) / seconds_per_step))
    if config.steps:
        return config.steps
    first = objective.steps_in_epoch(0)
    if config.tokens:
        sample = range(0, first, max(1, first // 8))
        a_step = config.accumulate * float(np.mean([objective.real_tokens(objective.batch(step)) for step in sample]))
        return max(1, int(np.ceil(config.tokens / max(1.0, a_step))))  # of a few words, sub-sampling may keep none in the whole sample
    whole = sum(objective.steps_in_epoch(epoch) for epoch in range(int(config.epochs)))
    part = (config.epochs % 1) * objective.steps_in_epoch(int(config.epochs)) if config.epochs % 1 else 0
    return max(1, int((whole + part) / config.accumulate))


def seconds_per_step(learner: Learner, objective: Objective, config: HandConfig, most_seconds: float) -> float:
    """The median time of an update, measured on a learner that is thrown away afterwards."""
    began, times = time.perf_counter(), []
    for step in range(20):
        start = time.perf_counter()
        learner.step(
            [objective.batch(step * config.accumulate + k) for k in range(config.accumulate)],
            config.rate * 1e-3,
            seed_for(config.seed, "timing", step),
        )
        times.append(time.perf_counter() - start)
        if len(times) >= 4 and time.perf_counter() - began > most_seconds:
            break
    return float(np.median(times[2:]))
