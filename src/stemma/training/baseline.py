"""A held-out loss beside its constant baseline: that of a network which answers by word frequencies alone."""

from collections.abc import Mapping
from typing import Any

LEFT = 0.015  # of the baseline, which a loss must be lower: for words a tenth of a nat, three standard errors over 7,000 predictions
STUCK = "budget too small: it has not left the baseline of word frequencies"


def against_baseline(losses: Mapping[str, float], constants: Mapping[str, float]) -> tuple[dict[str, Any], list[str]]:
    """What `done` tells of it (`baseline_loss`, `left_baseline`) and notes for the reader; by the names of the loss's parts, tokens first.

    The baseline is that of the whole loss, named "" or else the sum of its parts; it is left where the first is.
    Nothing where there is none.
    """
    if not constants:
        return {}, []
    first, *others = constants
    left = {name: losses[name] <= (1 - LEFT) * constant for name, constant in constants.items()}
    chance = [f"the loss of the part {name!r} ({losses[name]:.3f}) is that of chance" for name in others if not left[name]]
    return {"baseline_loss": constants.get("", sum(constants.values())), "left_baseline": left[first]}, (
        [] if left[first] else [STUCK]
    ) + chance
