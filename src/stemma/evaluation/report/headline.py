"""The report's answer in plain sentences, computed from its numbers: a title, a second sentence, and what was learnt, theme by theme.

A sentence holds three figures at most, and names the rows that are its evidence. What lies inside an interval is not called a difference.
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stemma.evaluation.comparison.results import Finding, GenerationResults, Headline, Probe, Results, SenseFiles
from stemma.evaluation.measures import senses, similarity
from stemma.evaluation.measures.intervals import Effects, leads_of, ratio_effects
from stemma.evaluation.report.standings import Contender, Standings, Verdict
from stemma.evaluation.report.wording import (
    agreeing,
    capital,
    duration,
    gap,
    listed_few,
    metric_unit,
    metric_value,
    percent,
    times,
)
from stemma.nouns import counted

ENOUGH_SEEDS = 5  # more of them narrow the intervals little: the examples' luck is left
Hits = Sequence[int | None]  # of every test occurrence 1 right, 0 wrong; None where it was not judged
_MANY_PASSES = 20  # over one text: more teach little (Muennighoff 2023, section 6: past 4 they pay less, past 40 nothing)


def headline(standings: Standings) -> Headline:
    """The two sentences of the first screen, the cautions under them, and the findings."""
    results, ranked = standings.results, standings.ranked
    machine = results.environment
    cautions = (*_failed(results), *results.cautions, *filter(None, (machine.busy, machine.changed)), *results.lacks)
    if not ranked:
        return Headline("No generation finished, so there is nothing to compare yet", cautions=cautions)
    parts = (
        _choice(standings),
        _against_baselines(standings),
        _pays(standings),
        _passes(results),
        _predicts(results),
        _similarity(results),
        _senses(results),
        _unread(results),
    )
    return Headline(_title(standings), _second(standings), cautions, tuple(finding for part in parts for finding in part))


def _figure(standings: Standings, contender: Contender) -> str:
    """`84.1 %` of an accuracy, `27.3` of a BLEU."""
    return f"{metric_value(standings.metric, contender.quality.value)}{metric_unit(standings.metric)}"


def _names(contenders: Sequence[Contender]) -> tuple[str, ...]:
    return tuple(contender.name for contender in contenders)


def _title(standings: Standings) -> str:
    first, metric = standings.ranked[0], standings.metric
    floor = standings.unbeaten_floor
    if floor:
        return f"No generation is clearly better than the {floor.short}, which does not read: {metric.title} {_figure(standings, floor)}"
    ahead = [baseline for baseline in standings.readers if standings.beats(baseline, first)]
    if ahead:
        against = f"{metric.title} {_figure(standings, ahead[0])} against {_figure(standings, first)}"
        return f"On your text plain {ahead[0].title} beats every generation: {against}"
    level = standings.ties(first, standings.readers)
    ties = [first, *standings.ties(first, standings.ranked)]
    above = bool(level) and standings.worth(level[0]) > standings.worth(first)
    if len(ties) == 1 and not above:
        also = f"; plain {listed_few([b.title for b in level])} cannot be told apart from it" if level else ""
        return f"On your text {first.title} does best: {metric.title} {_figure(standings, first)}{also}"
    if level:
        figure = _figure(standings, level[0])
        return f"On your text no generation is clearly better than plain {level[0].title}: {metric.title} {figure}"
    names = listed_few([tie.short for tie in ties])
    return f"On your text {names} do best, too close to call: {metric.title} about {_figure(standings, first)}"


def _second(standings: Standings) -> str:
    """What pre-training was worth, and what the best costs beside a cheaper choice."""
    first = standings.ranked[0]
    ties = [first, *standings.ties(first, standings.ranked), *standings.ties(first, standings.readers)]
    cheapest = min(ties, key=lambda contender: contender.cost)
    if len(ties) > 1:
        cost = f"of those too close to call the cheapest is {cheapest.title}, for {duration(cheapest.cost)} of computing"
    else:
        cost = f"{first.title} costs {duration(first.cost)} of computing{_cheaper(standings, first)}"
    worth = _worth_of_reading(standings)
    return f"{worth}; {cost}." if worth else f"{capital(cost)}."


def _cheaper(standings: Standings, first: Contender) -> str:
    """The next cheaper choice that is worth its cost, and what it gives up."""
    cheaper = [contender for contender in standings.frontier if contender.cost < first.cost and contender.name != first.name]
    if not cheaper:
        return ""
    lead = standings.lead(first, cheaper[-1])
    lost = f"{metric_value(standings.metric, abs(lead.value))} points {'less' if lead.value > 0 else 'more'}"
    return f", {cheaper[-1].title} {_ratio(cheaper[-1].cost / first.cost)} for {lost}"


def _worth_of_reading(standings: Standings) -> str:
    """`Pre-training on your text paid for 3 of 5 generations`, each in its better way of transfer."""
    generations = {generation.name: generation for generation in standings.results.generations}
    held = [standings.verdict(generations[best.name], best.mode) for best in standings.ranked]
    verdicts = [verdict for verdict in held if verdict]
    if not verdicts:
        return ""
    if set(verdicts) == {"budget too small"}:
        return "The budget was too small for pre-training to teach anything"
    return f"Pre-training on your text paid for {verdicts.count('pays') or 'none'} of {counted(len(verdicts), 'generation')}"


def _ratio(ratio: float) -> str:
    """A cost over another in words: `a tenth of`-like shares as per cent, multiples as times."""
    if 0.9 <= ratio <= 1.1:
        return "about as much"
    return f"{times(ratio)} times as much" if ratio > 1 else f"{max(ratio * 100, 0.1):.2g}\u00a0% of that"


def _choice(standings: Standings) -> list[Finding]:
    """Which generation to use, and the next cheaper one that is worth its cost."""
    about, first = "Which one to use", standings.ranked[0]
    ties = standings.ties(first, standings.ranked)
    if ties:
        level = [first, *ties]
        cheapest = min(level, key=lambda contender: contender.cost)
        sentence = f"{listed_few([c.short for c in level])} differ by no more than chance would explain, so take the cheapest of them: "
        sentence += f"{cheapest.title}, for {duration(cheapest.cost)} of computing."
        return [Finding(about, sentence, _names(level)), *_more_seeds(standings, level)]
    reached = f"{standings.metric.title} {_figure(standings, first)}"
    among = " of the generations" if any(standings.worth(reader) > standings.worth(first) for reader in standings.readers) else ""
    best = f"{capital(first.title)} does best{among}, with {reached} for {duration(first.cost)} of computing."
    cheaper = [c for c in standings.frontier if c.cost < first.cost and c.name != first.name]
    if not cheaper:
        return [Finding(about, best, (first.name,))]
    other, lead = cheaper[-1], standings.lead(first, cheaper[-1])
    sentence = f"The next cheaper choice, {other.title}, costs {_ratio(other.cost / first.cost)} "
    sentence += f"and is {gap(standings.metric, lead)} {'worse' if lead.value > 0 else 'better'}."
    return [Finding(about, best, (first.name,)), Finding(about, sentence, (other.name,))]


def _more_seeds(standings: Standings, level: Sequence[Contender]) -> list[Finding]:
    """The command that may tell generations apart which a few seeds do not, where their luck is in it."""
    results, seeds = standings.results, len(standings.results.budget.seeds)
    modes = {generation.name: generation.modes for generation in results.generations}
    if seeds >= ENOUGH_SEEDS or all(modes[row.name][row.mode].deterministic for row in level):
        return []
    words = shlex.split(results.command)
    if "--seeds" in words:
        place = words.index("--seeds")
        del words[place : place + 2]
    command = shlex.join([*words, "--seeds", str(ENOUGH_SEEDS)])
    sentence = f"{capital(counted(seeds, 'seed'))} left this open; {ENOUGH_SEEDS} may tell, and what was pre-trained is kept: {command}"
    return [Finding("Which one to use", sentence, _names(level))]


def _against_baselines(standings: Standings) -> list[Finding]:
    """What plain methods reach, and what can be had without reading at all."""
    about, first, metric = "Plain methods beside it", standings.ranked[0], standings.metric
    found = []
    for baseline in standings.readers:
        lead = standings.lead(first, baseline)
        side = "worse" if lead.value > 0 else "better"
        verdict = f"{gap(metric, lead)} {side} than {first.title}" if lead.excludes_zero else f"not to be told apart from {first.title}"
        sentence = f"{capital(baseline.title)} gets {_figure(standings, baseline)}, {verdict}, for {duration(baseline.cost)} of computing."
        found.append(Finding(about, sentence, (baseline.name,)))
    for baseline in standings.baselines:
        if baseline.blind:
            sentence = f"Without reading anything, the {baseline.title} gets {_figure(standings, baseline)}"
            behind = [c for c in standings.ranked if not standings.beats(c, baseline)]
            tail = f"; {listed_few([c.short for c in behind])} {agreeing(behind, 'is', 'are')} not clearly better." if behind else "."
            found.append(Finding(about, sentence + tail, (baseline.name, *_names(behind))))
    return found


_FINE, _FROZEN = ("finetune",), ("frozen", "frozen-network")
_GROUPS: tuple[tuple[Verdict, str], ...] = (
    ("pays", "{mode}: {names} {does} clearly better than the same network that never read your text{most}."),
    ("unclear", "{mode}: {names} {does} neither clearly better nor worse than without it."),
    ("harms", "{mode}: {names} {does} clearly worse than the same network that never read your text{most}."),
    ("budget too small", "{mode}: the budget was too small for {names}: the loss never left that of a constant answer."),
)


def _pays(standings: Standings) -> list[Finding]:
    """Whether starting from pre-training beats the same network without it: one sentence a verdict, for each way of transfer."""
    found = []
    for mode, title in ((_FINE, "Fine-tuned"), (_FROZEN, "Frozen")):
        for verdict, sentence in _GROUPS:
            held = [g for g in standings.results.generations if _verdict_in(standings, g, mode) == verdict]
            if held:
                names = listed_few([g.short for g in held])
                most = _most(standings, held, mode) if len(held) > 1 else f" ({_gain(standings, held[0], mode)})"
                text = sentence.format(mode=title, names=names, does=agreeing(held, "does", "do"), most=most)
                found.append(Finding("Does pre-training pay?", text, tuple(g.name for g in held)))
    return found


def _verdict_in(standings: Standings, generation: GenerationResults, modes: Sequence[str]) -> Verdict | None:
    return next((verdict for mode in modes if (verdict := standings.verdict(generation, mode))), None)


def _gain(standings: Standings, generation: GenerationResults, modes: Sequence[str]) -> str:
    gain = next(gain for mode in modes if (gain := standings.gain(generation.name, mode)))
    return gap(standings.metric, gain)


def _most(standings: Standings, held: Sequence[GenerationResults], modes: Sequence[str]) -> str:
    def size(generation: GenerationResults) -> float:
        return abs(next(gain.value for mode in modes if (gain := standings.gain(generation.name, mode))))

    best = max(held, key=size)
    return f", {best.short} most of all ({_gain(standings, best, modes)})"


def _passes(results: Results) -> list[Finding]:
    """Who read the text so often that more passes teach little."""
    often = [(g.pretrain.passes, g) for g in results.generations if g.pretrain and g.pretrain.passes > _MANY_PASSES]
    if not often:
        return []
    most, whose = max(often, key=lambda pair: pair[0])
    names = tuple(g.name for _, g in often)
    others = f"; so did {len(often) - 1} more" if len(often) > 1 else ""
    sentence = f"{whose.short} read the text {most:.0f} times over{others}: more text would teach more than more passes."
    return [Finding("How often the text was read", sentence, names)]


def _predicts(results: Results) -> list[Finding]:
    scored = sorted(((g.bits, g) for g in results.generations if g.bits), key=lambda pair: pair[0].value)
    if len(scored) < 2:
        return []
    (best, first), (next_best, second), *_ = scored
    sentence = f"{first.short} predicts unseen text best, at {best.value:.2f} bits a character; "
    sentence += f"{second.short} follows with {next_best.value:.2f}"
    blocks = [np.array(g.surprise.each) for _, g in scored if g.surprise and g.surprise.each]
    several = len(blocks) == len(scored) and len(blocks[0]) > 1
    tail = _tail(_ahead([(-ratio_effects(blocks[0]), -ratio_effects(other)) for other in blocks[1:]]), "block by block")
    tail = tail if several else ", on too little text to say for certain."
    return [Finding("Predicting your text", sentence + tail, (first.name, second.name))]


def _ahead(pairs: Sequence[tuple[Effects, Effects] | None]) -> bool:
    """True when the first of several is ahead of the next, both judged on the same examples, by more than chance and its choice explain.

    `pairs` are its effects and those of each other one, the next one first; None where the two share too few examples.
    """
    if not pairs or pairs[0] is None:
        return False
    judged = [pair for pair in pairs if pair is not None]
    return leads_of(judged, 1, [1] * len(judged))[0].low > 0


def _similarity(results: Results) -> list[Finding]:
    """Whose word vectors agree best with people, on the first file of scored pairs."""
    files = [(g.words.similarity[0], g) for g in results.generations if g.words and g.words.similarity]
    judged = sorted(((file.found, g) for file, g in files if file.found), key=lambda pair: -pair[0].rho.value)
    if len(judged) < 2:
        return []
    (best, first), (next_best, second), *_ = judged
    tail = _tail(_ahead([similarity.effects_of(best.each, found.each) for found, _ in judged[1:]]), "pair by pair")
    pairs = "" if len({found.used for found, _ in judged}) == 1 else ", each on the pairs it has vectors for"
    file = Path(files[0][0].file).name
    sentence = f"{first.short}'s word vectors agree best with people's judgement of {file}: rho {best.rho.value:.2f}, "
    sentence += f"and {second.short}'s {next_best.rho.value:.2f}"
    return [Finding("Word vectors", sentence + pairs + tail, (first.name, second.name))]


def _senses(results: Results) -> list[Finding]:
    """The best row of the senses table, and what the other kind of vector reaches."""
    rows = [(probe, g) for g in results.generations if g.senses for probe in g.senses.probes]
    if not rows or not results.senses:
        return []
    best, first = max(rows, key=_accuracy)
    sentence = f"{first.short} ({best.short}) tells the senses of a word apart best, in {percent(best.accuracy.value)}\u00a0% of cases"
    moving = best.kind == "in-context"
    others = [row for row in rows if (row[0].kind == "in-context") != moving]
    if not others:
        floor = results.senses.majority
        against = f"; always naming the commonest sense gets {percent(floor.value)}\u00a0%"
        certain = _parted(results.senses, best.hits, len(rows), results.senses.majority_hits, 0)
        return [Finding("One word, several senses", sentence + against + _tail(certain, "case by case"), (first.name,))]
    other, second = max(others, key=_accuracy)
    kind = "the best vector that ignores the word's context" if moving else "the best vector of the word in its context"
    sentence += f"; {kind} ({second.short}, {other.short}) does in {percent(other.accuracy.value)}\u00a0%"
    certain = _parted(results.senses, best.hits, len(rows) - len(others), other.hits, len(others))
    names = tuple(dict.fromkeys((first.name, second.name)))
    return [Finding("One word, several senses", sentence + _tail(certain, "case by case"), names)]


def _parted(files: SenseFiles, hits: Hits, choices: int, others: Hits, rows: int) -> bool:
    """True when the best of `choices` rows names more senses right than the other, the best of `rows`, by more than chance explains."""
    pair = senses.effects_of(hits, others, files.occurrences)
    return pair is not None and leads_of([pair], choices, [rows])[0].low > 0


def _accuracy(row: tuple[Probe, GenerationResults]) -> float:
    return row[0].accuracy.value


def _unread(results: Results) -> list[Finding]:
    """Who had to guess words of the dev file that it could not read, and how many."""
    counts = [(max((mode.cut.dev_units for mode in g.modes.values()), default=0), g) for g in results.generations]
    guessed = [(units, g) for units, g in counts if units]
    if not guessed:
        return []
    most, whose = max(guessed, key=lambda pair: pair[0])
    sentence = f"{listed_few([g.short for _, g in guessed])} had to guess words of the dev file that stand beyond what is read of a text, "
    sentence += f"{f'{whose.short} most: ' if len(guessed) > 1 else ''}{most:,} of {sum(map(len, results.task.gold)):,}."
    return [Finding("Left unread", sentence, tuple(g.name for _, g in guessed))]


def _tail(clear: bool, how: str) -> str:
    return "." if clear else f"; compared {how}, the difference may be chance."


def _failed(results: Results) -> list[str]:
    template: Callable[[str, str, str], str] = "{} failed at the stage {}: {}".format
    return [template(g.short, failure.stage, failure.message) for g in results.generations for failure in g.failures]
