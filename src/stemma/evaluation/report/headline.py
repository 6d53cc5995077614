"""The report's answer in plain sentences, computed from its numbers; what lies inside the interval is called a tie.

Two classifiers were asked the same questions, so their difference is judged on the same draws of them
(`bootstrap.difference`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stemma.evaluation.measures import bootstrap
from stemma.evaluation.report.wording import CONTROLS, duration, half_width, listed, mode_title, percent, times, title


@dataclass(frozen=True)
class Contender:
    """One row of the comparison: who, how, how good, at what cost."""

    name: str
    mode: str  # frozen, random, finetune, scratch; empty for a baseline
    accuracy: dict  # value, low, high
    seconds: float  # pre-training and transfer together
    predictions: tuple[str, ...] = ()  # of each seed the number of every example's label; empty when unknown
    gold: str = ""  # the right ones
    classes: int = 0

    @property
    def title(self) -> str:
        """The contender in words: `fine-tuned BERT`."""
        return f"{mode_title(self.mode)} {title(self.name)}" if self.mode else self.name


@dataclass(frozen=True)
class Difference:
    """How much more of the answers one contender gets right than another, with a 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def tie(self) -> bool:
        """True when the interval does not exclude zero."""
        return self.low <= 0 <= self.high

    def points(self) -> str:
        """The size of the difference in words: `7.3 ± 1.4 points`."""
        return f"{percent(abs(self.value))} ± {percent((self.high - self.low) / 2)} points"


def difference(a: Contender, b: Contender) -> Difference:
    """`a` minus `b`: paired where both answered the same examples, from the two intervals otherwise."""
    if a.predictions and b.predictions and a.gold == b.gold:
        return _paired(a.gold, a.predictions, b.predictions, a.classes)
    value, half = a.accuracy["value"] - b.accuracy["value"], float(np.hypot(half_width(a.accuracy), half_width(b.accuracy)))
    return Difference(value, value - half, value + half)


@lru_cache(maxsize=256)
def _paired(gold: str, ours: tuple[str, ...], theirs: tuple[str, ...], classes: int) -> Difference:
    found = bootstrap.difference(_numbers((gold,))[0], _numbers(ours), _numbers(theirs), classes)
    return Difference(found.value, found.low, found.high)


def _numbers(rows: tuple[str, ...]) -> np.ndarray:
    return np.array([[int(word) for word in row.split()] for row in rows])


def contenders(report: dict) -> list[Contender]:
    """Every generation and mode that has a result, the controls included."""
    found = []
    for generation in report["generations"]:
        for mode, result in generation.get("modes", {}).items():
            before = 0.0 if mode in CONTROLS.values() else generation["pretrain"]["seconds"]
            found.append(_contender(report, generation["name"], mode, result, before))
    return found


def baselines(report: dict) -> list[Contender]:
    """The rows that keep everyone honest."""
    return [_contender(report, row["title"], "", row, 0.0) for row in report.get("baselines", []) if row.get("accuracy")]


def _contender(report: dict, name: str, mode: str, result: dict, before: float) -> Contender:
    task = report["task"]
    answers = tuple(result.get("predictions", ()))
    return Contender(name, mode, result["accuracy"], before + result["seconds"], answers, task.get("gold", ""), len(task["labels"]))


def best_of_each(report: dict) -> list[Contender]:
    """The better pre-trained mode of each generation, the best generation first."""
    best: dict[str, Contender] = {}
    for contender in contenders(report):
        if contender.mode not in CONTROLS.values() and (
            contender.name not in best or contender.accuracy["value"] > best[contender.name].accuracy["value"]
        ):
            best[contender.name] = contender
    return sorted(best.values(), key=lambda contender: -contender.accuracy["value"])


def headline(report: dict) -> dict:
    """`title`, the answer in one line, and `findings`: what stands behind it, theme by theme."""
    ranked = best_of_each(report)
    if not ranked:
        return {"title": "No generation finished, so there is nothing to compare yet", "findings": _failures(report)}
    first = ranked[0]
    ties = [first, *(other for other in ranked[1:] if difference(first, other).tie)]
    parts = (
        _cost(ranked),
        _against_baselines(first, report),
        _pays(report),
        _predicts(report),
        _similarity(report),
        _senses(report),
        _failures(report),
    )
    return {"title": _title(first, ties, report), "findings": [finding for part in parts for finding in part]}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _finding(about: str, *sentences: str) -> list[dict]:
    return [{"about": about, "text": " ".join(sentences)}] if sentences else []


def _title(first: Contender, ties: Sequence[Contender], report: dict) -> str:
    ahead = [b for b in baselines(report) if b.accuracy["value"] > first.accuracy["value"] and not difference(b, first).tie]
    if ahead:
        best, other = (percent(c.accuracy["value"]) for c in (ahead[0], first))
        return f"On your text {ahead[0].title} beats every representation: {best} % of the answers right against {other} %"
    level = [b.title for b in baselines(report) if difference(b, first).tie]
    also = f"; plain {listed(level)} ties with it" if level else ""
    if len(ties) == 1:
        share = percent(first.accuracy["value"])
        return f"On your text {title(first.name)} is the most accurate generation: {share} % right when {mode_title(first.mode)}{also}"
    cheapest = min(ties, key=lambda contender: contender.seconds)
    names = [*(title(tie.name) for tie in ties), *(f"plain {name}" for name in level)]
    return f"On your text {listed(names)} tie for first; of the generations {title(cheapest.name)} costs the least"


def _cost(ranked: Sequence[Contender]) -> list[dict]:
    """What the best costs and gains over each of the others, the nearest first."""
    first, *others = ranked
    told = [
        f"{_capital(first.title)}: {percent(first.accuracy['value'])} % right for {duration(first.seconds)} of computing."
        if not others
        else ""
    ]
    for other in others:
        gap, ratio = difference(first, other), first.seconds / max(other.seconds, 1e-9)
        cost = _ratio(ratio)
        gain = f"ties with it (a difference of {gap.points()} is inside the interval)" if gap.tie else f"gains {gap.points()}"
        told.append(f"{_capital(first.title)} {cost} {other.title} and {gain}.")
    return _finding("Cost and gain", *filter(None, told))


def _ratio(ratio: float) -> str:
    """`costs 12 times`, `costs about as much as` or `costs 40 % of`; what comes next is the other one."""
    if 0.9 <= ratio <= 1.1:
        return "costs about as much as"
    return f"costs {times(ratio)} times" if ratio > 1 else f"costs {ratio * 100:.2g} % of"


def _against_baselines(first: Contender, report: dict) -> list[dict]:
    told = []
    for baseline in sorted(baselines(report), key=lambda b: -b.accuracy["value"]):
        gap = difference(first, baseline)
        verdict = f"ties with it ({gap.points()})" if gap.tie else f"is {gap.points()} {'above' if gap.value > 0 else 'below'} it"
        told.append(f"{_capital(baseline.title)} gets {percent(baseline.accuracy['value'])} %; {first.title} {verdict}.")
    return _finding("Plain baselines", *told)


def _pays(report: dict) -> list[dict]:
    """Whether starting from pre-training beats its controls: the same network from scratch, and random but frozen."""
    rows, told = {(c.name, c.mode): c for c in contenders(report)}, []
    for mode, control in reversed(CONTROLS.items()):
        names = [name for name, kind in rows if kind == control and (name, mode) in rows]
        verdicts = [_verdict(rows[name, mode], rows[name, control]) for name in names]
        if verdicts:
            told.append(f"{_capital(_AGAINST[control])}, pre-training {'; '.join(verdicts)}.")
    return _finding("Does pre-training pay?", *told)


_AGAINST = {"scratch": "against the same network from scratch", "random": "frozen, against the same network randomly drawn"}


def _verdict(ours: Contender, control: Contender) -> str:
    gap, name = difference(ours, control), title(ours.name)
    verdict = f"ties for {name}" if gap.tie else f"pays for {name}" if gap.value > 0 else f"harms {name}"
    return f"{verdict}: {percent(ours.accuracy['value'])} against {percent(control.accuracy['value'])} % ({gap.points()})"


def _predicts(report: dict) -> list[dict]:
    scored = [
        (g["score"]["bits_per_character"], g["name"]) for g in report["generations"] if (g.get("score") or {}).get("bits_per_character")
    ]
    if len(scored) < 2:
        return []
    (best, name), *others = sorted(scored, key=lambda pair: pair[0]["value"])
    against = listed([f"{bits['value']:.2f} ({title(other)})" for bits, other in others])
    clear = all(bits["low"] > best["high"] for bits, _ in others)
    tail = "." if clear else "; the intervals overlap, so call it a tie."
    return _finding(
        "Predicting the text",
        f"{title(name)} predicts the held-out text best, at {best['value']:.2f} bits per character against {against}{tail}",
    )


def _similarity(report: dict) -> list[dict]:
    """Whose word vectors agree best with people, on the first file of scored pairs."""
    files = [(g["words"]["similarity"][0], g["name"]) for g in report["generations"] if (g.get("words") or {}).get("similarity")]
    known = [(found, name) for found, name in files if "rho" in found]
    judged = sorted(((found["rho"], name) for found, name in known), key=lambda pair: -pair[0]["value"])
    if len(judged) < 2:
        return []
    (best, name), *others = judged
    against = listed([f"{rho['value']:.2f} ({title(other)})" for rho, other in others])
    tail = "." if all(rho["high"] < best["low"] for rho, _ in others) else "; the intervals overlap, so call it a tie."
    file = Path(files[0][0]["file"]).name
    pairs = "" if len({found["used"] for found, _ in known}) == 1 else ", each on the pairs it has vectors for"
    told = f"{title(name)}'s word vectors agree best with people's judgement of {file}, at rho {best['value']:.2f} against {against}"
    told += pairs + tail
    return _finding("Word vectors", told)


def _senses(report: dict) -> list[dict]:
    probed = [(g["senses"], g["name"]) for g in report["generations"] if g.get("senses")]
    context, static = [], []
    for senses, name in probed:
        for probe in senses["probes"]:
            if probe["kind"] == "in-context":
                context.append((probe, name))
            elif probe["kind"] == "static" and not senses["layers"]:  # truly static, not the lowest layer of a deep one
                static.append((probe, name))
    if not context or not static:
        return []
    (best, name), (still, other) = (max(pairs, key=lambda pair: pair[0]["accuracy"]["value"]) for pairs in (context, static))
    ours, theirs = best["accuracy"], still["accuracy"]
    tie = "; the intervals overlap, so call it a tie." if ours["low"] <= theirs["high"] and theirs["low"] <= ours["high"] else "."
    moving, fixed = (percent(probe["accuracy"]["value"]) for probe in (best, still))
    told = f"{title(name)}'s vectors in context tell the senses of a word apart in {moving} % of cases, "
    told += f"one static vector a word ({title(other)}) in {fixed} %{tie}"
    return _finding("One word, several senses", told)


def _failures(report: dict) -> list[dict]:
    told = [
        f"{title(g['name'])} failed at the stage {f['stage']}: {f['message']}" for g in report["generations"] for f in g.get("failures", [])
    ]
    return _finding("Failed", *told)
