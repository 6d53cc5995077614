"""Learning-rate schedules: the rate as a function of the step alone."""

import math

from stemma.training.settings import Schedule


def rate_at(step: int, steps: int, peak: float, schedule: Schedule, warmup_steps: int, floor: float = 0.0) -> float:
    """The learning rate of `step` (0-based) of `steps`.

    It climbs linearly to `peak` over the warm-up, then falls to `floor * peak` at the end: along a
    line (Devlin 2018), half a cosine (Radford 2018), or not at all.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    fall = {"linear": progress, "cosine": 0.5 * (1 - math.cos(math.pi * progress)), "constant": 0.0}[schedule]
    return peak * (floor + (1 - floor) * (1 - fall))
