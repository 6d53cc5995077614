"""Why not to trust a run: it learnt too little, nobody knows what, or a task no better than what needs no learning."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from stemma.nouns import counted

SURE = 2.0  # standard errors between a figure and what needs no learning
DoubtKind = Literal["steps", "baseline", "unreadable", "floor"]  # too few; no better than frequencies; its log damaged; its task not learnt


class Doubt(NamedTuple):
    """Why not to trust a run."""

    kind: DoubtKind
    told: str  # in English
    steps: int | None = None  # that it learnt for, where they are too few


def floor_warning(facts: Mapping[str, Any]) -> str:
    """That the run is no better, or not surely, than what needs no learning (`facts["floor"]`); else empty."""
    least = facts.get("floor")  # runs of earlier versions have none
    if not least:
        return ""
    metric, reached, value = facts["metrics"][0], least["reached"], least["value"]
    if not metric["higher_is_better"]:
        return ""
    luck = math.sqrt(max(0.0, value * (1 - value)) / least["examples"]) if metric["share"] else least.get("error", 0.0)
    error = SURE * luck
    if reached > value and reached >= value + error:
        return ""
    how = "no better" if reached <= value + 1e-9 else "not surely better"
    easy = least.get("how") or f"always answering {least['answer']!r}"
    return f"{how} than {easy} ({metric['title']} {value:.4f} on {counted(least['examples'], least['of'])})"
