"""All results of a comparison, put together from those of its stages."""

import dataclasses
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import stemma
from stemma.config import to_plain
from stemma.corpus.document import Ledger
from stemma.errors import BudgetError
from stemma.evaluation.comparison.environment import commit, environment
from stemma.evaluation.comparison.extras import lacks
from stemma.evaluation.comparison.load import BUSY
from stemma.evaluation.comparison.plan import READY, SCHEMA, Comparison, Config, generations_for, refusals
from stemma.evaluation.comparison.results import (
    Baseline,
    Circumstances,
    Costs,
    Failure,
    GenerationResults,
    Results,
    TextRead,
    WordMaps,
    read,
)
from stemma.evaluation.comparison.stages import Stages, judge_of, sense_examples, task_examples
from stemma.evaluation.measures import senses
from stemma.evaluation.measures.judge import rows
from stemma.evaluation.report.headline import headline
from stemma.evaluation.report.standings import Standings
from stemma.evaluation.report.wording import duration
from stemma.lineage.table import find
from stemma.nouns import counted, noun
from stemma.tasks.task import Text
from stemma.training.facts import Fact

BEGINNING = 240  # characters of a dev example that the report holds
_ALWAYS = (
    "Settings of the heads were chosen on a part of the training examples; the dev file was used for the figures alone.",
    "Heads differ between modes and generations, so part of a difference may be the head's: the table below tells which was used.",
    "Intervals hold 95 % and take in the luck of the dev examples and, of several seeds, that of the seeds; those of a single seed hold "
    "examples alone. Differences are judged on the same examples. One pre-training of each generation was run: its luck is not in the "
    "intervals.",
    "The first generation was chosen by the figures that it is judged by, so its leads over others pay for that choice: each is held to "
    "the level of as many comparisons as it could have come from, the clearest first (Holm). What pre-training is worth is judged row "
    "by row against its own control, and of twenty such verdicts one may be chance.",
    "Time of pre-training is training alone; its CPU time is that of reading the text, of learning a tokenizer and cutting the text into "
    "tokens, of training and of measuring on the way, helpers included. Generations with the same tokens share what was read: it is "
    "counted for each of them, for each needs it. Kernels are compiled once a machine, which is in none of these figures. "
    "Peak memory is that of the whole process, Python and its libraries included; helpers that only read the text are not in it.",
)
_TOKENS_OF = (
    "The {own} model counts the byte-level tokens of {other}: "
    "so nothing is out of its vocabulary and its bits per character can be compared."
)
_SECONDS = (
    "A budget of seconds is turned into steps by timing the first ones, so the time spent differs from it a little; "
    "counting reads the text once, whatever the budget."
)
_TOKENS = (
    "The tokens of a budget are each generation's own, and a word is more text than a piece of one: see the passes over the text. "
    "They count as read whatever becomes of them, those that word2vec thins out too. A vocabulary is learnt from the whole text, "
    "how unknown words are spelt from the part that a budget of less than a pass reads."
)


def assemble(
    comparison: Comparison,
    corpus: TextRead,
    baselines: tuple[Baseline, ...],
    maps: WordMaps | None,
    codes: dict[str, int],
    wall_seconds: float,
) -> Results:
    """The results of all stages, and the headline that follows from them."""
    generations = tuple(_generation(comparison, name, corpus.key, codes.get(name, 0)) for name in comparison.generations)
    about = circumstances(generations, baselines)
    made = {
        "schema": SCHEMA,
        "made": {"stemma": stemma.__version__, "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")},
        "title": comparison.title,
        "corpus": _corpus(comparison, corpus, generations),
        "task": _task(comparison),
        "budget": _budget(comparison.config),
        "environment": environment() | {"threads": threads_of(generations, baselines), "wall_seconds": wall_seconds} | about,
        "generations": generations,
        "baselines": baselines,
        "senses": _senses(comparison),
        "words": maps,
        "notes": _notes(comparison, generations, baselines),
        "command": _command(comparison, _settled_threads(generations)),
        "lacks": lacks(comparison.task),
        "cautions": _cautions(generations),
    }
    results = read(Results, made, "the results")
    standings = Standings(results)
    return dataclasses.replace(results, leads=standings.leads, headline=headline(standings))


def _generation(comparison: Comparison, name: str, corpus_key: str, code: int) -> GenerationResults:
    """What one generation is, and the results or failures of its stages."""
    row = find(name)
    stages = Stages(comparison, name, corpus_key, _silent)
    results = {stage: stages.kept(stage) for stage in stages.names()}
    failures = [failure for stage, result in results.items() if result is None and (failure := stages.failure(stage))]
    if code and not failures:
        died = f"its process ended with exit code {code}" + (", killed by a signal, perhaps for want of memory" if code < 0 else "")
        failures.append(Failure(name, "RunError", died, code if code > 0 else BudgetError.exit_code))
    return GenerationResults(
        name=row.name,
        title=row.title,
        short=row.short,
        colour=row.colour,
        year=row.year,
        paper=row.paper,
        learns=row.learns,
        asks=row.predicts,
        loss_unit=row.loss_unit,
        abilities=row.abilities,
        failures=tuple(failures),
        refusal=comparison.refusals().get(name, ""),
        pretrain=results["pretrain"],
        score=results["score"],
        modes={mode: result for mode in comparison.config.modes if (result := results.get(mode))},
        words=results.get("words"),
        senses=results.get("senses"),
        minimal=results.get("minimal-pairs"),
        labels=results.get("labels"),
        layers=results.get("layers"),
        updates=results.get("updates"),
        tokens=results.get("tokens"),
        probes=results.get("probes"),
        zero_shot=results.get("zero-shot"),
    )


def _corpus(comparison: Comparison, corpus: TextRead, generations: Sequence[GenerationResults]) -> dict[str, Any]:
    read_by = next((generation.pretrain.ledger for generation in generations if generation.pretrain), None)
    ledger = to_plain(corpus.ledger or read_by) or Ledger().as_dict()
    totals = {"documents": ledger["documents"], "sentences": ledger["sentences"], "characters": ledger["characters_used"]}
    return {"paths": comparison.corpus, **totals, "ledger": ledger, "held_out": corpus.held_out}


def _task(comparison: Comparison) -> dict[str, Any]:
    judge = judge_of(comparison)
    train, dev = task_examples(comparison)
    return {
        "kind": comparison.task,
        "train": comparison.train,
        "dev": comparison.dev,
        "targets": judge.targets,
        "metrics": judge.metrics,
        "train_examples": len(train),
        "dev_examples": len(dev),
        "gold": rows(judge.gold),
        "texts": [_beginning(text) for text in judge.task.texts(dev)],
    }


def _beginning(text: Text) -> str:
    """The beginning of what a network reads of an example, its halves or candidates with strokes between."""
    whole = " / ".join(filter(None, (text.other, text.text) if text.units else (text.text, text.other, *text.candidates)))
    return whole if len(whole) <= BEGINNING else whole[: BEGINNING - 1] + "…"


def _budget(config: Config) -> dict[str, Any]:
    return {
        "preset": config.preset,
        "tokens": config.budget_tokens,
        "seconds": config.budget_seconds,
        "seeds": list(range(1, config.seeds + 1)),
        "modes": config.modes,
    }


def _senses(comparison: Comparison) -> dict[str, Any] | None:
    if not comparison.config.senses:
        return None
    train, test = sense_examples(comparison)
    words = {o.word for o in train} & {o.word for o in test}
    files = " and ".join(filter(None, (comparison.config.senses, comparison.config.senses_test)))
    how = "the two files as they are" if comparison.config.senses_test else "half of each sense to learn from, half to judge by"
    return {
        "file": files,
        "how": how,
        "words": len(words),
        "senses": len({(o.word, o.sense) for o in train if o.word in words}),
        "train": len(train),
        "test": len(test),
        "majority": senses.majority(train, test),
        "majority_hits": senses.majority_hits(train, test),
        "occurrences": [(o.word, o.sense) for o in test],
    }


def _notes(comparison: Comparison, generations: Sequence[GenerationResults], baselines: Sequence[Baseline]) -> list[str]:
    """What a careful reader should know, computed from what was done."""
    config = comparison.config
    notes = [
        *_ALWAYS,
        f"Every head had at most {counted(config.trials, 'trial')} of its one knob, "
        f"and {counted(config.seeds, 'seed')} unless nothing in it is left to chance; plain baselines choose from a grid of "
        "their own, whatever the number of trials.",
    ]
    sharing = [row for row in map(find, comparison.generations) if row.tokens_of]
    notes += [_TOKENS_OF.format(own=row.short, other=find(row.tokens_of).short) for row in sharing]
    if config.budget_seconds:
        notes.append(_SECONDS)
    if config.budget_tokens:
        notes.append(_TOKENS)
    if config.parallel > 1:
        notes.append(f"Up to {config.parallel} generations were computed at once, so each one's times are those of a machine it shared.")
    if config.train_limit:
        notes.append(f"Of the training examples {config.train_limit:,} at most were used, drawn by lot.")
    notes += [note for generation in generations for note in _taught(generation)]
    noted: dict[str, list[str]] = {}
    for generation in generations:
        for note in generation.pretrain.notes if generation.pretrain else ():
            noted.setdefault(note, []).append(generation.short)
    notes += [f"{', '.join(names)}: {note}" for note, names in noted.items()]
    named = comparison.generations
    unable = refusals(comparison.made_task(), READY if named == generations_for(comparison.task) else named)
    notes += [f"{find(name).short} {'predicts the text alone' if name in named else 'is left out'}: {why}." for name, why in unable.items()]
    notes += [sentence for sentence in circumstances(generations, baselines).values() if isinstance(sentence, str) and sentence]
    notes += [f"The {row.title}: {row.head}." for row in baselines if row.head]
    lost = sum(costs.lost.seconds for _, costs in measured(generations))
    if lost >= 1:
        notes.append(f"{lost:,.0f} seconds of attempts that were stopped came to nothing; they are in none of the figures.")
    return notes + [note for generation in generations for note in _cut_off(generation)]


def _taught(generation: GenerationResults) -> list[str]:
    """What a student imitated, and its cost with and without its teacher's."""
    if not generation.pretrain or not (teacher := generation.pretrain.teacher):
        return []
    both, own = generation.pretrain_cost, generation.pretrain_cost - teacher.cost.cpu_seconds
    return [
        f"{generation.short} imitates {find(teacher.generation).short}: {teacher.imitates}. Its pre-training took {duration(own)} of "
        f"CPU time, with that of its teacher {duration(both)}. Its cost counts both: there is no student without its teacher."
    ]


def measured(generations: Sequence[GenerationResults], baselines: Sequence[Baseline] = ()) -> list[tuple[str, Costs]]:
    """The costs of every finished stage, by the generation and the stage, then those of the baselines."""
    found: list[tuple[str, Costs]] = []
    for generation in generations:
        stages: dict[str, Any] = {"pretrain": generation.pretrain, "score": generation.surprise, **generation.modes}
        stages |= {"words": generation.words, "senses": generation.senses, "minimal-pairs": generation.minimal}
        stages |= {"labels": generation.labels, "layers": generation.layers, "updates": generation.updates, "tokens": generation.tokens}
        stages |= {"probes": generation.probes, "zero-shot": generation.zero_shot}
        found += [(f"{generation.short}, {name}", stage.costs) for name, stage in stages.items() if stage and stage.costs.made]
    return found + [(row.short, row.costs) for row in baselines if row.costs.made]


def circumstances(generations: Sequence[GenerationResults], baselines: Sequence[Baseline] = ()) -> dict[str, Any]:
    """Of `Machine`: what others took of the cores, and what a reader must hear of it and of changed threads or cores."""
    stages = [(name, costs.total.seconds, costs.made) for name, costs in measured(generations, baselines) if costs.made]
    known = [(made.others, seconds, name) for name, seconds, made in stages if made.others is not None and seconds]
    whole = sum(seconds for _, seconds, _ in known)
    others = sum(share * seconds for share, seconds, _ in known) / whole if whole else None
    busy = ""
    if others is not None and others > BUSY:
        worst, _, name = max(known)
        busy = (
            f"The machine was busy: other programs took {others:.0%} of its cores on average, {worst:.0%} at most ({name}). "
            "Seconds by the clock are too long for it, and CPU seconds somewhat."
        )
    return {"others": others, "busy": busy, "changed": _changed([(name, made) for name, _, made in stages])}


def _changed(stages: Sequence[tuple[str, Circumstances]]) -> str:
    """A sentence when the stages were not all made with the same setting of threads, cores and processor."""
    groups: dict[str, list[str]] = {}
    for name, made in stages:
        threads = f"{counted(made.asked_threads, 'thread')} asked for" if made.asked_threads else "threads chosen by their speed"
        groups.setdefault(f"{threads} on {counted(made.cores or 1, 'core')} of {made.cpu}", []).append(name)
    if len(groups) < 2:
        return ""
    described = "; ".join(f"{how}: {', '.join(names)}" for how, names in groups.items())
    return f"Not all was computed alike, so times cannot be compared between these: {described}."


def threads_of(generations: Sequence[GenerationResults], baselines: Sequence[Baseline] = ()) -> int:
    """The most threads that any stage computed with."""
    return max([costs.made.threads for _, costs in measured(generations, baselines) if costs.made], default=1)


def _cut_off(generation: GenerationResults) -> list[str]:
    """How much of the training file lay beyond what the generation reads of a text, if any did."""
    cut = generation.cut
    if not cut:
        return []
    units = counted(cut.units, "word or character in them was", "words or characters in them were")
    longer = counted(cut.examples, "training example is", "training examples are")
    was = noun(cut.examples, "was", "were")
    unread = f", and {units} not learnt from" if cut.units else ""
    return [f"{generation.short}: {longer} longer than what it reads of a text and {was} cut{unread}."]


def _cautions(generations: Sequence[GenerationResults]) -> list[str]:
    """Whose texts were cut, more than 1 of 100 of them, how many, and what would let them be read whole; one sentence for all."""
    cuts = [(generation.short, cut) for generation in generations if (cut := generation.cut) and cut.settings]
    if not cuts:
        return []
    shares = ", ".join(
        f"{short} the first {counted(cut.reads, 'token')} ({cut.dev_share:.1%} of the dev texts are longer)" for short, cut in cuts
    )
    settings = dict.fromkeys(setting for _, cut in cuts for setting in cut.settings)
    room = f"99 of 100 fit with {shlex.join(word for setting in settings for word in ('--set', setting))}."
    return [f"Not everybody read whole texts: {shares}. What is plain, or counts, read them to their ends. {room}"]


def _settled_threads(generations: Sequence[GenerationResults]) -> int:
    """The threads that all which descends computed with; 0 where they differ."""
    descending = [generation for generation in generations if find(generation.name).updates != "counts"]
    numbers = {costs.made.threads for _, costs in measured(descending) if costs.made}
    return numbers.pop() if len(numbers) == 1 else 0


def _command(comparison: Comparison, threads: int) -> str:
    """The command of the whole; `threads` are named in it if the user named none: another number may round otherwise."""
    config = dataclasses.replace(comparison.config, threads=comparison.config.threads or threads)
    changed = [(f, getattr(config, f.name)) for f in dataclasses.fields(config) if getattr(config, f.name) != f.default]
    words = [
        "stemma",
        "compare",
        *comparison.corpus,
        "--task",
        comparison.task,
        "--train",
        comparison.train,
        "--dev",
        comparison.dev,
        "--out",
        comparison.out,
    ]
    if comparison.generations != generations_for(comparison.task):
        words += ["--generations", *comparison.generations]
    for field, value in changed:
        if field.name == "settings":
            words += [word for setting in value for word in ("--set", setting)]
        elif value is True:
            words.append("--" + field.name.replace("_", "-"))
        else:
            words += ["--" + field.name.replace("_", "-"), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return shlex.join(words)


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""
