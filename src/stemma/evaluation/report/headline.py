"""The report's answer in plain sentences, computed from its numbers; what lies inside the interval is called a tie."""

from pathlib import Path

from stemma.evaluation.comparison.results import Finding, Headline, Results
from stemma.evaluation.report.standings import Contender, Standings
from stemma.evaluation.report.wording import CONTROLS, capital, duration, gap, listed, metric_unit, metric_value, mode_title, percent, times


def headline(standings: Standings) -> Headline:
    """`title`, the answer in one line, and `findings`: what stands behind it, theme by theme."""
    results, ranked = standings.results, standings.ranked
    if not ranked:
        return Headline("No generation finished, so there is nothing to compare yet", tuple(_failures(results)))
    parts = (
        _cost(standings),
        _against_baselines(standings),
        _pays(standings),
        _finding("Cut off", *results.cautions),
        _unread(results),
        _predicts(results),
        _similarity(results),
        _senses(results),
        _failures(results),
    )
    return Headline(_title(standings), tuple(finding for part in parts for finding in part))


def _finding(about: str, *sentences: str) -> list[Finding]:
    return [Finding(about, " ".join(sentences))] if sentences else []


def _title(standings: Standings) -> str:
    first, *others = standings.ranked
    metric, baselines = standings.metric, standings.baselines
    ahead = [b for b in baselines if standings.worth(b) > standings.worth(first) and standings.lead(b, first).excludes_zero]
    if ahead:
        best, other = (metric_value(metric, c.quality.value) for c in (ahead[0], first))
        against = f"{metric.title} {best}{metric_unit(metric)} against {other}{metric_unit(metric)}"
        return f"On your text {ahead[0].title} beats every representation: {against}"
    level = [b.title for b in baselines if not standings.lead(b, first).excludes_zero]
    also = f"; plain {listed(level)} ties with it" if level else ""
    ties = [first, *standings.ties(first, others)]
    if len(ties) == 1:
        figure = f"{metric.title} {metric_value(metric, first.quality.value)}{metric_unit(metric)}"
        return f"On your text {first.short} is the best generation: {figure} when {mode_title(first.mode)}{also}"
    cheapest = min(ties, key=lambda contender: contender.seconds)
    names = [*(tie.short for tie in ties), *(f"plain {name}" for name in level)]
    return f"On your text {listed(names)} tie for first; of the generations {cheapest.short} costs the least"


def _cost(standings: Standings) -> list[Finding]:
    """What the best costs and gains over each of the others, the nearest first."""
    first, *others = standings.ranked
    metric = standings.metric
    if not others:
        figure = f"{metric.title} {metric_value(metric, first.quality.value)}{metric_unit(metric)}"
        return _finding("Cost and gain", f"{capital(first.title)}: {figure} for {duration(first.seconds)} of computing.")
    told = []
    for other in others:
        lead, cost = standings.lead(first, other), _ratio(first.seconds / max(other.seconds, 1e-9))
        points = gap(metric, lead)
        gain = f"gains {points}" if lead.excludes_zero else f"ties with it (a difference of {points} is inside the interval)"
        told.append(f"{capital(first.title)} {cost} {other.title} and {gain}.")
    return _finding("Cost and gain", *told)


def _ratio(ratio: float) -> str:
    """`costs 12 times`, `costs about as much as` or `costs 40 % of`; what comes next is the other one."""
    if 0.9 <= ratio <= 1.1:
        return "costs about as much as"
    return f"costs {times(ratio)} times" if ratio > 1 else f"costs {ratio * 100:.2g} % of"


def _against_baselines(standings: Standings) -> list[Finding]:
    first, metric = standings.ranked[0], standings.metric
    told = []
    for baseline in sorted(standings.baselines, key=standings.worth, reverse=True):
        lead = standings.lead(first, baseline)
        points, side = gap(metric, lead), "above" if (lead.value > 0) == metric.higher_is_better else "below"
        verdict = f"is {points} {side} it" if lead.excludes_zero else f"ties with it ({points})"
        figure = f"{metric_value(metric, baseline.quality.value)}{metric_unit(metric)}"
        told.append(f"{capital(baseline.title)} gets {figure}; {first.title} {verdict}.")
    return _finding("Plain baselines", *told)


def _pays(standings: Standings) -> list[Finding]:
    """Whether starting from pre-training beats its controls: the same network from scratch, and random but frozen."""
    rows, told = {contender.place: contender for contender in standings.contenders}, []
    for mode, control in reversed(CONTROLS.items()):
        names = [name for name, kind in rows if kind == control and (name, mode) in rows]
        verdicts = [_verdict(standings, rows[name, mode], rows[name, control]) for name in names]
        if verdicts:
            told.append(f"{capital(_AGAINST[control])}, pre-training {'; '.join(verdicts)}.")
    return _finding("Does pre-training pay?", *told)


_AGAINST = {
    "scratch": "against the same network from scratch",
    "random": "frozen, against the same network randomly drawn",
    "random-network": "frozen under a task network, against the same network randomly drawn",
}


def _verdict(standings: Standings, ours: Contender, control: Contender) -> str:
    lead, metric = standings.lead(ours, control), standings.metric
    verdict = "ties for" if not lead.excludes_zero else "pays for" if lead.value > 0 else "harms"
    figures = " against ".join(metric_value(metric, contender.quality.value) for contender in (ours, control))
    return f"{verdict} {ours.short}: {figures}{metric_unit(metric)} ({gap(metric, lead)})"


def _unread(results: Results) -> list[Finding]:
    """Who had to guess words of the dev file that it could not read, and how many."""
    counts = [(g.short, max((mode.cut.dev_units for mode in g.modes.values()), default=0)) for g in results.generations]
    guessed = [f"{units:,} ({short})" for short, units in counts if units]
    if not guessed:
        return []
    units = sum(map(len, results.task.gold))
    told = f"Of the {units:,} words or characters of the dev file some stand beyond what a generation reads of a text, "
    told += f"or its tokenizer drops them; they were guessed: {listed(guessed)}."
    return _finding("Left unread", told)


def _predicts(results: Results) -> list[Finding]:
    scored = sorted(((g.bits, g.short) for g in results.generations if g.bits), key=lambda pair: pair[0].value)
    if len(scored) < 2:
        return []
    (best, name), *others = scored
    against = listed([f"{bits.value:.2f} ({other})" for bits, other in others])
    clear = all(bits.low > best.high for bits, _ in others)
    told = f"{name} predicts the held-out text best, at {best.value:.2f} bits per character against {against}{_tail(clear)}"
    return _finding("Predicting the text", told)


def _similarity(results: Results) -> list[Finding]:
    """Whose word vectors agree best with people, on the first file of scored pairs."""
    files = [(g.words.similarity[0], g.short) for g in results.generations if g.words and g.words.similarity]
    known = [(file.found, name) for file, name in files if file.found]
    judged = sorted(((found.rho, name) for found, name in known), key=lambda pair: -pair[0].value)
    if len(judged) < 2:
        return []
    (best, name), *others = judged
    against = listed([f"{rho.value:.2f} ({other})" for rho, other in others])
    tail = _tail(all(rho.high < best.low for rho, _ in others))
    file = Path(files[0][0].file).name
    pairs = "" if len({found.used for found, _ in known}) == 1 else ", each on the pairs it has vectors for"
    told = f"{name}'s word vectors agree best with people's judgement of {file}, at rho {best.value:.2f} against {against}"
    return _finding("Word vectors", told + pairs + tail)


def _senses(results: Results) -> list[Finding]:
    context, static = [], []
    for generation in results.generations:
        for probe in generation.senses.probes if generation.senses else ():
            if probe.kind == "in-context":
                context.append((probe.accuracy, generation.short))
            elif probe.kind == "static" and generation.senses and not generation.senses.layers:  # not the lowest layer of a deep one
                static.append((probe.accuracy, generation.short))
    if not context or not static:
        return []
    (moving, name), (fixed, other) = (max(pairs, key=lambda pair: pair[0].value) for pairs in (context, static))
    told = f"{name}'s vectors in context tell the senses of a word apart in {percent(moving.value)} % of cases, "
    told += f"one static vector a word ({other}) in {percent(fixed.value)} %{_tail(not moving.overlaps(fixed))}"
    return _finding("One word, several senses", told)


def _tail(clear: bool) -> str:
    return "." if clear else "; the intervals overlap, so call it a tie."


def _failures(results: Results) -> list[Finding]:
    told = [f"{g.short} failed at the stage {f.stage}: {f.message}" for g in results.generations for f in g.failures]
    return _finding("Failed", *told)
