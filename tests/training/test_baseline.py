"""Losses that sit at their constant baselines are told, part by part."""

from math import log

import pytest

from stemma.training.baseline import LONG, STUCK, against_baseline, at_baseline, sits

CONSTANTS = {"masked": 7.0, "next": log(2)}


def lines(masked: list[float], following: list[float]) -> list[dict]:
    return [{"loss": m + n, "parts": {"masked": m, "next": n}} for m, n in zip(masked, following, strict=True)]


def test_a_part_that_sits_at_its_baseline_for_long_is_told_once_with_advice() -> None:
    held_out = lines([7.1, 6.9, 6.0, 5.0, 4.9], [0.6, 0.693, 0.692, 0.694, 0.693])
    told = [sits(held_out[: n + 1], CONSTANTS) for n in range(len(held_out))]
    assert [len(one) for one in told] == [0, 0, 0, 1, 0]
    assert told[3][0].startswith(f"{LONG} held-out losses in a row: the loss of the part 'next' (0.694) is no better than")
    assert told[3][0].endswith("objective.pairs to order or none")
    assert at_baseline(held_out, CONSTANTS) == {"next": 4}


def test_a_loss_that_comes_back_to_its_baseline_is_told() -> None:
    held_out = lines([6.0, 5.0, 7.0, 7.0, 7.0], [0.3] * 5)
    (told,) = sits(held_out, CONSTANTS)
    assert "'masked' (7.000) is no better than that of frequencies alone (7.000)" in told and "training.rate" in told
    (told,) = sits(lines([6.0, 5.0, 7.0, 7.0, 6.95], [0.3] * 5), CONSTANTS)
    assert "'masked' (6.950) is hardly better than that of frequencies alone (7.000)" in told


@pytest.mark.parametrize(("masked", "left"), [(7.0, False), (6.95, False), (6.8, True)])
def test_the_end_tells_what_never_left(masked: float, left: bool) -> None:
    done, notes = against_baseline(lines([7.2, masked], [0.7, 0.69]), CONSTANTS)
    assert done == {"baseline_loss": pytest.approx(7 + log(2)), "left_baseline": left}
    assert notes[-1].startswith("the loss of the part 'next' (0.690) is that of chance in the last 2 held-out losses; ")
    assert (len(notes) == 1) == left and notes[0].startswith(STUCK) != left


def test_a_part_that_nothing_was_asked_of_is_told() -> None:
    done, notes = against_baseline([{"loss": 3.0, "parts": {"masked": 3.0}}], {"masked": 7.0, "order": log(2)})
    assert done["baseline_loss"] == 7.0
    assert notes == ["nothing was asked of the part 'order': no document of the held-out text has two sentences"]
    assert against_baseline([], CONSTANTS) == against_baseline([{"loss": 3.0}], {}) == ({}, [])
