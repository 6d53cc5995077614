"""A held-out loss beside its constant baseline: that of a network which answers by frequencies alone, for each part of the loss.

Losses are those of held-out lines of metrics.jsonl, by the names of their parts; "" is the whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

LEFT = 0.015  # of the baseline, which a loss must be lower: for words a tenth of a nat, three standard errors over 7,000 predictions
LONG = 3  # held-out losses in a row at the baseline, after which it is told while training goes on
STUCK = "budget too small: it has not left the baseline of word frequencies"
LONGER = "train longer, in smaller steps (training.batch_tokens) or at another training.rate"
ADVICE = {  # by the name of the part
    "next": "pairs are learnt long after words: train longer, or set objective.pairs to order or none",
    "order": "pairs are learnt long after words: train longer, or set objective.pairs to none",
}


def at_baseline(held_out: Sequence[Mapping[str, Any]], constants: Mapping[str, float]) -> dict[str, int]:
    """Of each part whose last loss is that of its constant baseline: how many in a row are."""
    found = {}
    for name in constants.keys() & _losses(held_out[-1]).keys():
        left = [place for place, line in enumerate(held_out) if _losses(line).get(name, 0.0) <= (1 - LEFT) * constants[name]]
        in_a_row = len(held_out) - (left[-1] + 1 if left else 0)
        if in_a_row:
            found[name] = in_a_row
    return found


def _how(loss: float, constant: float) -> str:
    return "hardly better than" if loss < constant else "no better than"


def sits(held_out: Sequence[Mapping[str, Any]], constants: Mapping[str, float]) -> list[str]:
    """A line, with advice, for each part whose last LONG losses, and not the one before, are those of its constant baseline."""
    losses = _losses(held_out[-1])
    found = sorted(name for name, in_a_row in at_baseline(held_out, constants).items() if in_a_row == LONG)
    return [
        f"{LONG} held-out losses in a row: the loss{_of(name)} ({losses[name]:.3f}) is {_how(losses[name], constants[name])} "
        f"that of frequencies alone ({constants[name]:.3f}); {ADVICE.get(name, LONGER)}"
        for name in found
    ]


def against_baseline(
    held_out: Sequence[Mapping[str, Any]], constants: Mapping[str, float], mend: str = LONGER
) -> tuple[dict[str, Any], list[str]]:
    """What `done` tells of it (`baseline_loss`, `left_baseline`), and notes for the reader, with advice.

    The last of `held_out` is of the weights that are kept; `constants` begin with the tokens' part. The baseline is that of the whole
    loss, or else the sum of its parts where they all have one; it is left where the first is. Nothing where there is none.
    """
    if not constants or not held_out:
        return {}, []
    first, *others = constants
    losses, still = _losses(held_out[-1]), at_baseline(held_out, constants)
    notes = [f"{STUCK}; {mend}"] if first in still else []
    for name in others:
        if name not in losses:
            notes.append(f"nothing was asked of the part {name!r}: no document of the held-out text has two sentences")
        elif name in still:
            long = f" in the last {still[name]} held-out losses" if still[name] > 1 else ""
            notes.append(f"the loss{_of(name)} ({losses[name]:.3f}) is that of chance{long}; {ADVICE.get(name, LONGER)}")
    whole = constants.get("")
    if whole is None and losses.keys() - constants.keys() <= {""}:  # else a part has no baseline
        whole = sum(constant for name, constant in constants.items() if name in losses)
    return {"baseline_loss": whole, "left_baseline": first not in still}, notes


def _losses(line: Mapping[str, Any]) -> dict[str, float]:
    return {"": line["loss"], **line.get("parts", {})}


def _of(name: str) -> str:
    return f" of the part {name!r}" if name else ""
