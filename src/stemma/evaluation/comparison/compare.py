"""The main job: one text, one task, one budget; every generation pre-trained, transferred, judged, and shown in one report."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import left_as_found
from stemma.config import as_texts, checked, knows, resolve, to_plain
from stemma.corpus.document import Ledger
from stemma.corpus.given import listed
from stemma.errors import BudgetError, DataError, MissingExtra, RunError, StemmaError, UsageError
from stemma.evaluation.comparison.assemble import assemble
from stemma.evaluation.comparison.baselines import RIVALS, TOKEN, Rival
from stemma.evaluation.comparison.curve_stages import labels_for
from stemma.evaluation.comparison.environment import Meter, parts
from stemma.evaluation.comparison.extras import lacks
from stemma.evaluation.comparison.forecast import Forecast, Whole, forecast
from stemma.evaluation.comparison.launch import Launch, Processes, run_all
from stemma.evaluation.comparison.load import mean_load
from stemma.evaluation.comparison.plan import Comparison, Config, content_of, generations_for, key_of
from stemma.evaluation.comparison.results import Baseline, Baselines, Results, TextRead, WordMaps
from stemma.evaluation.comparison.stages import (
    HELD_OUT,
    Stages,
    judge_of,
    sense_examples,
    stage_path,
    staged,
    task_examples,
    write_held_out,
)
from stemma.evaluation.measures.judge import Judge, rows
from stemma.evaluation.measures.minimal_files import read_minimal_pairs
from stemma.evaluation.measures.perplexity import blocks, spread
from stemma.evaluation.measures.probe_files import SELECTED, read_probe
from stemma.evaluation.measures.word_files import read_analogies, read_pairs
from stemma.evaluation.measures.zero_shot import check_posed
from stemma.evaluation.report.page import write
from stemma.evaluation.report.word_map import word_maps
from stemma.evaluation.report.wording import listed as in_words
from stemma.layers.cores import check_cores, cores_free, named_threads
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.tokens.files import one_writer, read_json, write_sealed
from stemma.training.facts import Fact, Note, Report
from stemma.training.request import Job, check_threads, planned_job, section_types
from stemma.transfer.doubts import repeats_warning
from stemma.transfer.selection import drawn, hold_out

BUSY_LOAD = 0.5  # processes a core that ran or waited before the comparison began


def compare(
    corpus: str | Path | Sequence[str | Path],
    *,
    train: str | Path,
    dev: str | Path,
    out: str | Path,
    task: str = "classify",
    generations: Sequence[str] = (),
    config: Config | None = None,
    progress: Report | None = None,
    **options: Any,
) -> Results:
    """The results of a comparison, also written as `report.html` and `report.json` in `out`, beside the run folders.

    Without `generations`, all that can learn the task. `options` are fields of `config`, as budget_seconds=60
    or preset="tiny". The same call again goes on where a killed one was. A generation that fails stands among the results
    (`failures`) and stops no other one; one that cannot learn the task (`refusal`) predicts the text alone.
    """
    for name, path in (("train", train), ("dev", dev)):
        if not isinstance(path, (str, Path)):  # each generation reads them in a process of its own
            cure = "write the examples to a file, as a data frame does with to_csv('train.csv', index=False)"
            raise UsageError(f"{name} is a {type(path).__name__}", "the path of a file of labelled examples", cure)
    config = _settled(config or Config(), options)
    paths = (str(corpus),) if isinstance(corpus, str | Path) else tuple(map(str, corpus))
    names = tuple(listed(generations, "generations")) or generations_for(task)
    comparison = Comparison(paths, task, str(train), str(dev), str(out), names, checked("compare", config, "compare"))
    return run_comparison(comparison, progress or _silent, Processes())


def _settled(config: Config, options: Mapping[str, Any]) -> Config:
    """The config with these fields in place of its own, checked as a file's would be."""
    if not options:
        return config
    values = {**to_plain(config), **options}
    if "settings" in options:
        values["settings"] = as_texts(options["settings"])
    return resolve({"compare": Config}, ("compare", {"compare": to_plain(values)}))["compare"]


def foresee(comparison: Comparison, progress: Report | None = None) -> Forecast:
    """What the comparison would compute and take; everything that can be wrong is reported as `compare` would report it."""
    _check(comparison)
    _tell_unread(comparison, progress or _silent)
    return forecast(comparison, progress or _silent)


def run_comparison(comparison: Comparison, progress: Report, launch: Launch) -> Results:
    """Makes every stage of the comparison that is missing, then the report.

    RunError, with nothing touched, while another process makes one in the same folder.
    """
    with one_writer(comparison.root):
        _check(comparison)
        return _made(comparison, progress, launch)


def _made(comparison: Comparison, progress: Report, launch: Launch) -> Results:
    began = time.perf_counter()
    for lack in lacks(comparison.task):
        progress(Note(lack))
    _tell_unread(comparison, progress)
    for note in _of_the_examples(comparison):
        progress(Note(note))
    with nullcontext() if begun(comparison) else left_as_found(comparison.root):
        comparison.save()
        _warn_if_busy(progress)
        corpus = _ingest(comparison, progress)
    simple = _baselines(comparison, progress)
    codes = run_all(comparison, corpus.key, Whole(comparison, progress), launch)
    maps = _word_maps(comparison, corpus.key, progress)
    results = assemble(comparison, corpus, simple, maps, codes, _spent(comparison, time.perf_counter() - began))
    write(results, comparison.root)
    progress(Note(f"report: {comparison.root / 'report.html'}"))
    return results


def _check(comparison: Comparison) -> None:
    """Everything that can be wrong before the first minute is spent."""
    if comparison.config.budget_tokens and comparison.config.budget_seconds:
        raise UsageError("both a budget of tokens and one of seconds are given", "one of the two", "drop budget_tokens or budget_seconds")
    check_partners(comparison.config)
    refusals = comparison.refusals()
    if len(refusals) == len(comparison.generations):
        able = generations_for(comparison.task)
        raise UsageError("; ".join(refusals.values()), "a generation that can learn the task", f"name one of {', '.join(able)}")
    judge_of(comparison)
    if comparison.config.senses:
        sense_examples(comparison)
    for path in comparison.config.similarity:
        read_pairs(path)
    for path in comparison.config.analogies:
        read_analogies(path)
    if comparison.config.minimal_pairs:
        read_minimal_pairs(comparison.config.minimal_pairs)
    for path in comparison.config.probes:
        read_probe(path, comparison.config.probe_limit)
    for share in comparison.config.label_shares:
        _check_share(comparison, share)
    if comparison.config.zero_shot:
        check_posed(comparison.made_task(), task_examples(comparison)[1], comparison.posed())
    for name in comparison.generations:
        if (teacher := find(name).teacher) and teacher not in comparison.generations:
            wrong = f"{name} imitates {teacher}, which is not among the generations"
            raise UsageError(wrong, "a teacher that learns from the same text", f"name {teacher} too, or leave {name} out")
    for setting in comparison.shared:
        _check_is_read(comparison, setting)
    jobs = [comparison.job(generation) for generation in comparison.generations]
    if not begun(comparison):  # what was begun on a bigger machine goes on
        _check_threads(comparison, jobs)


def _check_is_read(comparison: Comparison, setting: str) -> None:
    """UsageError for a setting that no generation reads: why one that knows its key does not, or that none knows it."""
    if not comparison.readers(setting):
        names = comparison.generations
        for name in [name for name in names if knows(section_types(find(name)), setting)] or names:
            request = comparison.request(name)
            planned_job(dataclasses.replace(request, settings=(*request.settings, setting)))


def _tell_unread(comparison: Comparison, progress: Report) -> None:
    """A note for each setting that some of the generations do not read."""
    unread = {name: comparison.unread_by(name) for name in comparison.generations}
    for setting in comparison.shared:
        without = [name for name, settings in unread.items() if setting in settings]
        if without:
            progress(Note(f"{setting} applies to those that read it, not to {in_words(without)}"))


def begun(comparison: Comparison) -> bool:
    """True when an earlier call has begun to write the comparison."""
    return (comparison.root / "plan.json").exists()


def _check_share(comparison: Comparison, share: float) -> None:
    """UsageError where so few examples are left that no setting can be chosen on a part of them."""
    task, examples = comparison.made_task(), task_examples(comparison)[0]
    part = drawn(examples, labels_for(share, len(examples)))
    try:
        hold_out(task.strata(task.gold(part, task.targets(examples))), *SELECTED)
    except DataError as error:
        wrong = f"--label-shares {share:g} leaves {error.wrong.rstrip('.')}"
        raise UsageError(wrong, "two examples or more of at least one class", "name a larger share") from error


PARTNERS = {  # an option that does nothing without another one
    "senses_test": "senses",
    "senses_limit": "senses",
    "restrict": "analogies",
    "minimal_limit": "minimal_pairs",
    "probe_limit": "probes",
    "template": "zero_shot",
    "verbalise": "zero_shot",
    "normalise": "zero_shot",
}


def check_partners(config: Config) -> None:
    """UsageError for an option that would be ignored, since what it is for was not chosen."""
    changed = {field.name for field in dataclasses.fields(Config) if getattr(config, field.name) != field.default}
    for option, partner in PARTNERS.items():
        if option in changed and partner not in changed:
            given, missing = (f"--{name.replace('_', '-')}" for name in (option, partner))
            raise UsageError(
                f"{given} {getattr(config, option)} without {missing}", f"{missing} beside it", f"add {missing}, or drop {given}"
            )
    if "held_out" in changed and config.dev_text:
        wrong = f"--held-out {config.held_out} with --dev-text, which is the held-out text"
        raise UsageError(wrong, "one of the two", "drop --held-out")


def _check_threads(comparison: Comparison, jobs: Sequence[Job]) -> None:
    check_cores("threads", comparison.config.threads)
    for way in comparison.config.modes:
        check_cores("transfer.threads", comparison.transfer_config(way).threads)
    for job in jobs:
        check_threads(job, comparison.run_folder(job.row.name))


def _warn_if_busy(progress: Report) -> None:
    """Says when others compute already: whoever can wait gets times that mean more."""
    load, cores = mean_load(), cores_free()
    if load is not None and load > BUSY_LOAD * cores:
        progress(
            Note(f"the machine is busy already, {load:.1f} processes for {counted(cores, 'core')}: times will be too long, and say so")
        )


def _of_the_examples(comparison: Comparison) -> list[str]:
    """What to know of the task's examples before anything is trained."""
    repeats = repeats_warning(comparison.made_task(), *task_examples(comparison))
    return [note for note in (_long_texts(comparison), repeats) if note]


def _long_texts(comparison: Comparison) -> str:
    """A proposal to make windows longer before they are trained, where 1 text of 100 has more words than they have positions."""
    task = comparison.made_task()
    texts = [text for examples in task_examples(comparison) for text in task.texts(examples)]
    seconds = [max((text.other, *text.candidates), key=len) for text in texts]
    apart = [(a.text, b) if task.per == "target" else (f"{a.text} {b}",) for a, b in zip(texts, seconds, strict=True)]
    words = int(np.percentile([len(re.findall(TOKEN, side)) for sides in apart for side in sides], 99, method="higher"))
    models = {name: to_plain(comparison.job(name).sections["model"]) for name in comparison.generations}
    windows = {name: model.get("max_length") for name, model in models.items()}  # what has no window reads any text whole
    short = [name for name, window in windows.items() if window and window < words]
    if not short:
        return ""
    fitting = -(-words * 3 // 16) * 8  # a word is about one token and a half, in eights
    read = comparison.transfer_config(comparison.config.modes[0]).max_length
    settings = [f"--set {name}.model.max_length={fitting}" for name in short]
    settings += [f"--set transfer.max_length={fitting}"] * (read < fitting)
    wrong = f"1 in 100 of the task's texts has {words} words or Chinese characters, or more, and {in_words(short)} will cut it"
    return f"{wrong}; to have texts read whole, add {' '.join(settings)}"


def _ingest(comparison: Comparison, progress: Report) -> TextRead:
    """Reads the held-out text into `held-out.json`, the same blocks for every generation, and counts the text."""
    source = comparison.job(comparison.generations[0]).source
    identity = source.identity()
    key = key_of("ingest", identity, comparison.config.held_out_characters)

    def make() -> dict[str, Any]:
        progress(Note("reading the text"))
        ledger = Ledger()
        documents, characters = 0, 0
        found = []
        for document in source.documents("dev", ledger):
            documents, characters = documents + 1, characters + len(document.text)
            found += blocks([document])
        chosen = spread(found, comparison.config.held_out_characters)
        write_held_out(comparison.root, chosen)
        how = (
            "the dev text given"
            if comparison.config.dev_text
            else f"{comparison.config.held_out:.1%} of the corpus, chosen by its content (seed {source.seed})"
        )
        scored = {"blocks": len(chosen), "characters": sum(len(block.text) for block in chosen)}
        held_out = {"how": how, "documents": documents, "characters": characters, "scored": scored}
        return {"key": key_of(identity), "held_out": held_out, "ledger": ledger.as_dict() if not comparison.config.dev_text else None}

    if read_json(comparison.root / HELD_OUT) is None:  # missing or damaged
        stage_path(comparison.root, "ingest").unlink(missing_ok=True)
    return staged(comparison.root, "ingest", key, TextRead, make)


def _baselines(comparison: Comparison, progress: Report) -> tuple[Baseline, ...]:
    """What the task can be done with plainly, without pre-training."""
    rivals = RIVALS.get(comparison.task, ())
    train, dev = task_examples(comparison)
    key = key_of(
        "baselines",
        comparison.task,
        [rival.name for rival in rivals],
        comparison.task_settings,
        content_of([comparison.train, comparison.dev]),
        comparison.config.train_limit,
    )

    def make() -> dict[str, Any]:
        progress(Note("the plain baselines"))
        threads = comparison.config.threads or named_threads()
        return {"rows": [_baseline(rival, train, dev, judge_of(comparison), threads) for rival in rivals]}

    return staged(comparison.root, "baselines", key, Baselines, make).rows


def _baseline(rival: Rival, train: list[Any], dev: list[Any], judge: Judge, asked_threads: int) -> dict[str, Any]:
    named = {"name": rival.name, "short": rival.short, "title": rival.title, "blind": rival.blind}
    try:
        with Meter() as meter, _no_more_than(asked_threads):
            given = rival.answer(train, dev)
    except MissingExtra as error:
        return {**named, "head": "", "measures": {}, "answers": [], "seconds": 0.0, "missing": str(error)}
    answers = rows(judge.task.gold(given.answered, judge.targets))
    measures = {name: found.as_dict() for name, found in judge.intervals([answers]).items()}
    costs = {**parts(training=meter.working, compiling=meter.compiling), "made": meter.circumstances(given.threads, asked_threads)}
    chosen = {"settings": given.settings, "trials": given.trials}
    return {**named, "head": given.head, **chosen, "measures": measures, "answers": [answers], **meter.spent(), "costs": costs}


def _no_more_than(threads: int) -> AbstractContextManager[Any]:
    """Within it the libraries of linear algebra compute with so many threads at most; 0: with as many as they like."""
    try:
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError:
        return nullcontext()
    return threadpool_limits(threads) if threads else nullcontext()


def _word_maps(comparison: Comparison, corpus_key: str, progress: Report) -> WordMaps | None:
    """The same words in the space of every generation that has word vectors and finished; None where there is none."""
    able = [Stages(comparison, name, corpus_key, progress) for name in comparison.generations if "nearest" in find(name).abilities]
    done = [stages for stages in able if stages.kept("pretrain")]
    if not done:
        return None

    def make() -> dict[str, Any]:
        progress(Note("the word maps"))
        return word_maps({stages.name: stages.run().words for stages in done}, comparison.config.words)

    return staged(
        comparison.root, "word-maps", key_of("word maps", [stages.base for stages in done], comparison.config.words), WordMaps, make
    )


def _spent(comparison: Comparison, seconds: float) -> float:
    """Seconds of the comparison, earlier sessions included; kept in `stages/time.json`."""
    place = stage_path(comparison.root, "time")
    before = (read_json(place) or {}).get("seconds", 0.0)
    total = before + (seconds if math.isfinite(seconds) else 0.0)
    write_sealed(place, {"seconds": total})
    return total


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""


def failed(results: Results) -> StemmaError | None:
    """The error to end with when a generation failed; None when all went well. A BudgetError where memory or disk was lacking."""
    broken = [generation for generation in results.generations if generation.failed]
    if not broken:
        return None
    lacking = any(failure.exit_code == BudgetError.exit_code for generation in broken for failure in generation.failures)
    return (BudgetError if lacking else RunError)(
        f"{' and '.join(generation.name for generation in broken)} failed; the report tells why",
        "every generation to finish",
        "mend the cause and repeat the command: finished stages are kept",
    )
