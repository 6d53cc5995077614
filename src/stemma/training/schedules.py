"""Learning-rate schedules: the rate as a function of the place in the run alone."""

import math
from collections.abc import Callable
from typing import NamedTuple

from stemma.training.settings import HandConfig, Schedule

CLIMBING = ("slanted", "inverse-sqrt")  # schedules whose formula has a climb of its own
RATIO = 32  # how many times the lowest rate the peak is, of the slanted triangle (Howard & Ruder 2018, section 3.2)


class Place(NamedTuple):
    """Where a run stands before an update."""

    step: int  # updates made
    steps: int  # updates in all
    epoch: int = 0  # whole passes over the text

    def warmup(self, config: HandConfig) -> int:
        """Updates of the warm-up."""
        return round(config.warmup * self.steps)

    def progress(self, config: HandConfig) -> float:
        """Share of the updates after the warm-up that are made."""
        warmup = self.warmup(config)
        return (self.step - warmup) / max(1, self.steps - warmup)


def rate_at(place: Place, config: HandConfig) -> float:
    """The learning rate of the update that follows: up to `config.rate`, the peak, and down as the schedule says.

    All climb linearly over the warm-up. The first update is at rate 0 and the one after the warm-up at the peak, as in the code of
    BERT and GPT, whose updates are numbered from 0; the slanted triangle begins at a 32nd of the peak, and the inverse root,
    whose updates are numbered from 1, at its first step up.
    """
    if place.step < place.warmup(config) and config.schedule not in CLIMBING:
        return config.rate * place.step / place.warmup(config)
    return SCHEDULES[config.schedule](place, config)


def _linear(place: Place, config: HandConfig) -> float:
    """Along a line to the floor (Devlin 2018).

    Deviates: the line leaves from the peak where the warm-up ends; BERT's leaves from it at update 0, so that its rate jumps
    down by the warm-up's share there.
    """
    return _towards_floor(place.progress(config), config)


def _cosine(place: Place, config: HandConfig) -> float:
    """Along half a cosine to the floor (Radford 2018)."""
    return _towards_floor(0.5 * (1 - math.cos(math.pi * place.progress(config))), config)


def _towards_floor(fall: float, config: HandConfig) -> float:
    return config.rate * (config.floor + (1 - config.floor) * (1 - fall))


def _constant(place: Place, config: HandConfig) -> float:
    """Not down at all."""
    return config.rate


def _inverse_sqrt(place: Place, config: HandConfig) -> float:
    """With the inverse root of the updates (Vaswani 2017, section 5.3, whose peak is (width * warm-up) ** -0.5)."""
    warmup, number = max(1, place.warmup(config)), place.step + 1
    return config.rate * min(number / warmup, math.sqrt(warmup / number))


def _slanted(place: Place, config: HandConfig) -> float:
    """The slanted triangle (Howard & Ruder 2018, section 3.2); the warm-up is its short side (`cut_frac`).

    Deviates: it falls over all updates that are left, which is the paper's line wherever the cut is a whole number; where it
    is not, the paper's goes below zero.
    """
    warmup = place.warmup(config)
    height = place.step / warmup if place.step < warmup else 1 - place.progress(config)
    return config.rate * (1 + height * (RATIO - 1)) / RATIO


def _steps(place: Place, config: HandConfig) -> float:
    """Divided every so many passes, after a flat part (Zaremba 2014, section 4.1)."""
    late = place.epoch - config.flat_epochs
    return config.rate if late < 0 else config.rate / config.decay ** (1 + late // config.decay_epochs)


SCHEDULES: dict[Schedule, Callable[[Place, HandConfig], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
    "inverse-sqrt": _inverse_sqrt,
    "slanted": _slanted,
    "steps": _steps,
}
