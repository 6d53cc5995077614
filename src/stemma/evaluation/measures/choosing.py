"""Choosing by likelihood: what each possible answer costs a run in the place where it would stand, and how it is compared with others.

What reads left to right gives an answer, and what the template has behind it, the chance that they follow what stands before (Radford
2019, section 3.2: a candidate's own chance and that of the rest given it). What fills masks is asked for the answer alone, in a gap
of as many tokens as it has (`runs.pseudo_likelihood`).

Answers of many tokens, and answers that are likely anywhere, win or lose by that alone. So their log-probabilities are made up for by

- `length`: divided by the tokens that are priced, the mean of one (Brown 2020, section 2.4);
- `pmi`: less the log-probability without the example's text: how much likelier the text has made them (Holtzman 2021, eq. 2);
- `none`: nothing.

N examples, K answers.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from stemma.errors import UsageError
from stemma.evaluation.measures.minimal_pairs import ability_for
from stemma.evaluation.measures.templates import Slot
from stemma.lineage.table import Ability, able
from stemma.runs.pseudo_likelihood import gap_nats
from stemma.runs.run import Run

Normalise = Literal["length", "pmi", "none"]
WAYS: dict[Ability, str] = {
    "score": "log-probability of the answer and of what stands behind it",
    "fill": "log-probability of the answer in a gap of as many tokens",
}
ROUNDING = 1e-5  # nats that differ by less are equal: the networks reckon in float32
BY = {"length": "a token", "pmi": "less that without the text", "none": "as it is"}


def way(ability: Ability, normalise: Normalise) -> str:
    """How answers are compared, in words."""
    return f"{WAYS[ability]}, {BY[normalise]}"


def likelihood_of(run: Run) -> Ability:
    """The ability by which the run prices answers; UsageError where it has none, or lacks the head for it."""
    ability = ability_for(run.row)
    if ability is None:
        wrong = f"{run.row.name} gives no likelihood to an answer"
        raise UsageError(wrong, f"a run that can score or fill: {able('score', 'fill')}", "name another run, or finetune this one")
    if ability == "fill":
        run.network.check_fills()
    return ability


def worth(run: Run, slots: Sequence[Slot], without: Sequence[Slot], normalise: Normalise) -> np.ndarray:
    """How much the answer of each slot (N) is worth, more being likelier; -inf for an answer that the tokenizer makes nothing of.

    `without` are the same slots without the example's text, which `pmi` alone reads.
    """
    nats, tokens = _priced(run, slots)
    if normalise == "length":
        found = -nats / np.maximum(tokens, 1)
    elif normalise == "pmi":
        distinct = list(dict.fromkeys(without))
        base = dict(zip(distinct, _priced(run, distinct)[0], strict=True))
        found = np.array([base[slot] for slot in without]) - nats
    else:
        found = -nats
    return np.where((tokens > 0) & np.isfinite(nats), found, -np.inf)


def chances(worths: np.ndarray) -> np.ndarray:
    """A softmax of the worth of answers (K); what is as good as the best is as likely, and all are alike where none has any.

    >>> chances(np.array([0.0, 1e-9, -np.inf])).tolist()
    [0.5, 0.5, 0.0]
    """
    best = worths.max()
    if not np.isfinite(best):
        return np.full(len(worths), 1 / len(worths))
    powers = np.exp(np.where(worths >= best - ROUNDING, 0.0, worths - best))
    found: np.ndarray = powers / powers.sum()
    return found


def _priced(run: Run, slots: Sequence[Slot]) -> tuple[np.ndarray, np.ndarray]:
    """The nats of each slot's answer, the spelling of unknown words included where the run knows of it, and the tokens priced."""
    texts = [slot.text for slot in slots]
    if likelihood_of(run) == "score":
        return run.nats_from(texts, [slot.start for slot in slots])
    gaps = [(slot.start, slot.end) for slot in slots]
    nats, tokens = gap_nats(run.network, run.tokenizer, texts, gaps, [slot.whole for slot in slots])
    answers = [slot.text[slot.start : slot.end].strip() for slot in slots]
    distinct = list(dict.fromkeys(answers))
    spelling = {answer: cost or 0.0 for answer, cost in zip(distinct, run.spelling(distinct), strict=True)}
    return nats + np.array([spelling[answer] for answer in answers]), tokens
