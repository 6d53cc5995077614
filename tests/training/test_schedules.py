"""Schedules: their rates at points reckoned by hand, and the settings that do not go together."""

import math
from typing import Any

import pytest

from stemma.errors import UsageError
from stemma.training.schedules import SCHEDULES, Place, rate_at
from stemma.training.settings import Config, HandConfig


def rate(step: int, steps: int, epoch: int = 0, **settings: Any) -> float:
    return rate_at(Place(step, steps, epoch), HandConfig(**{"rate": 1.0, "warmup": 0.1, **settings}))


def test_rates_climb_and_fall() -> None:
    rates = [rate(step, 100) for step in range(100)]
    assert rates[0] == 0.0 and rates[9] == 0.9 and rates[10] == 1.0 and rates[11] < 1.0
    assert rates[55] == pytest.approx(0.5) and rates[99] == pytest.approx(1 / 90)
    assert rate(55, 100, schedule="cosine") == pytest.approx(0.5)
    assert rate(32, 100, rate=2.0, schedule="cosine") == pytest.approx(1 + math.cos(math.pi * 22 / 90))
    assert rate(99, 100, warmup=0.0, floor=0.5) == pytest.approx(0.505)
    assert rate(99, 100, rate=3.0, schedule="constant", warmup=0.0) == 3.0


def test_the_warm_up_is_berts() -> None:
    """optimization.py: init_lr * global_step / num_warmup_steps, where the first update has global_step 0."""
    for step in range(100):
        assert rate(step, 1000, rate=1e-4) == pytest.approx(1e-4 * step / 100)


def test_deviates_the_line_leaves_from_the_peak() -> None:
    """BERT's is at 1 - 100 / 1000 of the peak there."""
    assert rate(100, 1000) == 1.0 and rate(550, 1000) == pytest.approx(0.5)


def test_the_inverse_root_is_vaswanis_formula() -> None:
    """Width 512, 4,000 updates of warm-up of 100,000."""
    peak = (512 * 4000) ** -0.5
    for step, expected in ((1, 1.74693e-7), (4000, 6.98771e-4), (100_000, 1.39754e-4)):
        assert expected == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5), rel=1e-5)
        assert rate(step - 1, 100_000, schedule="inverse-sqrt", rate=peak, warmup=0.04) == pytest.approx(expected, rel=1e-5)
    assert rate(8, 100, schedule="inverse-sqrt", warmup=0.0) == pytest.approx(1 / 3)


def test_the_slanted_triangle_is_howards_formula() -> None:
    for step in range(200):  # cut_frac 0.1, ratio 32, T 200
        share = step / 20 if step < 20 else 1 - (step - 20) / (20 * (1 / 0.1 - 1))
        assert rate(step, 200, schedule="slanted", rate=0.01) == pytest.approx(0.01 * (1 + share * 31) / 32)
    assert rate(0, 200, schedule="slanted") == 1 / 32 and rate(20, 200, schedule="slanted") == 1.0


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 15, 23])
def test_deviates_the_slanted_triangle_stays_above_its_lowest_rate(steps: int) -> None:
    rates = [rate(step, steps, schedule="slanted") for step in range(steps)]
    assert min(rates) >= 1 / 32 and max(rates) <= 1.0


def test_steps_divide_after_the_flat_part_as_zaremba_does() -> None:
    """The small model: four passes at rate 1, then halved at each of the nine others."""
    small = {"schedule": "steps", "flat_epochs": 4, "decay": 2.0, "warmup": 0.0}
    assert [rate(0, 1, epoch, **small) for epoch in range(7)] == [1, 1, 1, 1, 1 / 2, 1 / 4, 1 / 8]
    assert rate(0, 1, 12, **small) == 1 / 512
    assert [rate(0, 1, epoch, **small, decay_epochs=2) for epoch in range(4, 9)] == [1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8]


def test_every_schedule_reaches_its_peak_and_never_passes_it() -> None:
    for schedule in SCHEDULES:
        divided = {"decay": 3.0, "flat_epochs": 1} if schedule == "steps" else {}
        rates = [rate(step, 60, step // 20, schedule=schedule, rate=0.3, **divided) for step in range(60)]
        assert min(rates) >= 0 and min(rates[1:]) > 0 and max(rates) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("settings", "mending"),
    [
        ({"schedule": "steps"}, "set training.decay to 2"),
        ({"momentum": 0.9}, "drop training.momentum"),
        ({"optimiser": "sgd", "betas": (0.9, 0.98)}, "drop training.betas"),
        ({"optimiser": "lamb", "muon_rate": 0.02}, "drop training.muon_rate"),
    ],
)
def test_settings_that_nothing_would_honour_are_refused(settings: dict[str, Any], mending: str) -> None:
    with pytest.raises(UsageError, match=mending):
        Config(**settings)


def test_an_option_left_out_is_the_optimisers_own() -> None:
    assert (Config().betas, Config().epsilon, Config().momentum) == ((0.9, 0.999), 1e-8, None)
    assert (Config(optimiser="muon").betas, Config(optimiser="muon").momentum) == ((0.9, 0.95), 0.95)
    assert Config(optimiser="bert-adam").epsilon == 1e-6 and Config(optimiser="lamb", epsilon=1e-9).epsilon == 1e-9
