"""Minimal pairs: whether of two sentences that differ in one thing the good one is likelier (BLiMP, Warstadt 2020).

What reads left to right gives whole sentences their probability, each by itself and with its end, as `stemma score` does; what
fills masks gives pseudo-log-likelihoods (`runs.pseudo_likelihood`). Lengths are not made up for, as in the paper. Equally likely
sentences are a tie and not right. To both, the spelling of unknown words is added (`runs.unknown_words`) where the run knows of it.
Pairs that a run reads as the same tokens, since they differ in unknown words alone, in what the tokenizer drops or (SLING
has some) not at all, are counted, and ties but for their spelling; so are pairs that an unknown word may have decided. Unknown is
what the vocabulary lacks, and what a closed model left out of its own.

P pairs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stemma.errors import UsageError
from stemma.evaluation.measures.intervals import Interval, mean_of_shares, proportion
from stemma.evaluation.measures.minimal_files import MinimalPair
from stemma.lineage.table import Ability, Generation
from stemma.objectives.batch import generator
from stemma.runs.pseudo_likelihood import pseudo_nats
from stemma.runs.run import Run

ABILITIES: tuple[Ability, ...] = ("score", "fill")  # one of them is used, the first of both
WAYS = {
    "score": "log-probability of the whole sentence",
    "fill": "pseudo-log-likelihood, each token masked with those of its word on its right",
}
LACKING = -1  # stands for every token that is no word to the run
ROUNDING = 1e-6  # nats that differ by less of themselves are equal: the networks reckon in float32


@dataclass(frozen=True)
class Part:
    """How many pairs of a phenomenon were judged right."""

    pairs: int
    right: int
    ties: int
    share: Interval  # right among all pairs, with Wilson's interval


@dataclass(frozen=True)
class MinimalPairs:
    """The share of pairs whose good sentence is likelier, by phenomenon and overall."""

    way: str  # how sentences were scored
    given: int  # pairs in the files, of which those judged were drawn
    total: Part  # every pair counting once; where paradigms are of one size, BLiMP's mean over them
    mean: Interval  # every phenomenon counting once
    phenomena: dict[str, Part]
    paradigms: dict[str, Part]  # empty where the files name none
    same: int  # pairs read as the same tokens: ties, but for spelling
    unknown: int  # pairs with an unknown word in what differs, those included

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        return asdict(self)


def ability_for(row: Generation) -> Ability | None:
    """What a generation scores sentences by; None where it can give them no likelihood."""
    return next((ability for ability in ABILITIES if ability in row.abilities), None)


def drawn(pairs: Sequence[MinimalPair], limit: int) -> list[MinimalPair]:
    """At most `limit` pairs of each phenomenon, drawn by lot, the same ones for every generation; 0: all."""
    if not limit:
        return list(pairs)
    kept: list[int] = []
    for phenomenon in dict.fromkeys(pair.phenomenon for pair in pairs):
        places = [place for place, pair in enumerate(pairs) if pair.phenomenon == phenomenon]
        order = generator("minimal pairs", phenomenon).permutation(len(places))
        kept += [places[k] for k in order[:limit]]
    return [pairs[place] for place in sorted(kept)]


def minimal_pairs(run: Run, pairs: Sequence[MinimalPair], limit: int = 0) -> MinimalPairs:
    """Judges the run on the pairs, or on `limit` of each phenomenon drawn by lot. Raises UsageError where it gives no likelihood."""
    ability = ability_for(run.row)
    if ability is None:
        raise UsageError(
            f"{run.row.name} gives no likelihood to a sentence", f"a run that can {' or '.join(ABILITIES)}", "choose another run"
        )
    judged = drawn(pairs, limit)
    nats, same, unknown = _compared(run, judged, ability)
    ties = np.isclose(nats[:, 0], nats[:, 1], rtol=ROUNDING, atol=0)
    right = ~ties & (nats[:, 0] < nats[:, 1])
    phenomena = _parts(right, ties, [pair.phenomenon for pair in judged])
    return MinimalPairs(
        way=WAYS[ability],
        given=len(pairs),
        total=_part(right, ties),
        mean=_mean(list(phenomena.values())),
        phenomena=phenomena,
        paradigms=_parts(right, ties, [pair.paradigm for pair in judged]),
        same=int(same.sum()),
        unknown=int(unknown.sum()),
    )


def _compared(run: Run, pairs: Sequence[MinimalPair], ability: Ability) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nats (P 2) of the good and the bad sentences, which pairs are the same tokens, in which an unknown word makes a difference."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.good, pair.bad)))  # each once: sentences recur
    flat, lengths = run.tokenizer.encode_flat(texts)
    read = np.where(run.lacks(flat), LACKING, flat.astype(np.int64))
    ids = dict(zip(texts, (tuple(own.tolist()) for own in np.split(read, np.cumsum(lengths)[:-1])), strict=True))
    cost = dict(zip(texts, _scored(run, texts) if ability == "score" else _filled(run, texts), strict=True))
    nats = np.array([(cost[pair.good], cost[pair.bad]) for pair in pairs], np.float64)
    same = np.array([ids[pair.good] == ids[pair.bad] for pair in pairs], bool)
    differ = [LACKING in _difference(ids[pair.good], ids[pair.bad]) for pair in pairs]
    written = np.array([LACKING in ids[pair.good] for pair in pairs], bool)
    return nats, same, np.array(differ, bool) | (same & written)


def _scored(run: Run, texts: Sequence[str]) -> list[float]:
    return [score.nats + (score.spelling or 0.0) for score in run.score(texts)]


def _filled(run: Run, texts: Sequence[str]) -> list[float]:
    pairs = zip(pseudo_nats(run.network, run.tokenizer, texts), run.spelling(texts), strict=True)
    return [nats + (spelling or 0.0) for nats, spelling in pairs]


def _difference(good: Sequence[int], bad: Sequence[int]) -> list[int]:
    """The tokens of both that stand between what they begin and end with alike."""
    short = min(len(good), len(bad))
    head = next((n for n in range(short) if good[n] != bad[n]), short)
    tail = next((n for n in range(short - head) if good[-1 - n] != bad[-1 - n]), short - head)
    return [*good[head : len(good) - tail], *bad[head : len(bad) - tail]]


def _mean(parts: Sequence[Part]) -> Interval:
    """Of the parts' shares, each counting once."""
    right, pairs = np.array([part.right for part in parts]), np.array([part.pairs for part in parts])
    return mean_of_shares(right, pairs, np.full(len(parts), 1 / len(parts)))


def _part(right: np.ndarray, ties: np.ndarray) -> Part:
    return Part(len(right), int(right.sum()), int(ties.sum()), proportion(int(right.sum()), len(right)))


def _parts(right: np.ndarray, ties: np.ndarray, names: Sequence[str]) -> dict[str, Part]:
    """The pairs of each name, in the order of the files; those without a name are left out."""
    of = np.array(names)
    return {name: _part(right[of == name], ties[of == name]) for name in dict.fromkeys(names) if name}
