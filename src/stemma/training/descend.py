"""A descending run: taken up, settled, trained, finished; saving on the way."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from stemma.checkpoint import RunFolder, write_tensors
from stemma.config import restore
from stemma.errors import DataError, Interrupted, UsageError
from stemma.layers.allocator import keep_freed_memory
from stemma.nouns import counted
from stemma.objectives.objective import Objective, Preparation, Prepares, TextObjective
from stemma.tokens.outside import left_out_of_targets
from stemma.tokens.store import TokenStore
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.baseline import against_baseline
from stemma.training.card import write_card
from stemma.training.facts import Fact, Note, Prepared, Report, Update
from stemma.training.ingest import Ingested
from stemma.training.learners import Learner, Manner, NotFinite, Others
from stemma.training.loop import Reached, seconds_per_step, steps_for, train
from stemma.training.passes import Passes, sensible_steps
from stemma.training.peak import peak_memory_mib
from stemma.training.ranks import Ranks, join
from stemma.training.recorder import Recorder
from stemma.training.request import Job, Updates, take_up
from stemma.training.settings import BUDGETS, Config, HandConfig
from stemma.training.stopping import stopping

WELL_READ = 0.1  # of what was drawn may be unread without a word: separators are in the budget, and the last step is seldom full


@contextmanager
def descending(job: Job, path: Path, root: Path, report: Report) -> Iterator[Updates]:
    """The updates that are left of the job, inside the process group and with the threads of its settings; then the finished folder."""
    keep_freed_memory()
    with _manner(job).computing(job.sections["training"].threads), join() as ranks:
        yield from _updates(job, path, root, report if ranks.first else _nothing, ranks)
        ranks.wait()


def _updates(job: Job, path: Path, root: Path, report: Report, ranks: Ranks) -> Iterator[Updates]:
    """The first rank alone writes and reports."""
    folder, text = _read(job, path, root, report, ranks)
    if text is None:
        yield (), report
        return
    objective = objective_of(job, text.train, text)
    folder = folder or _begun(job, text, objective, path, report, ranks)
    descent = _taken_up(job, folder, text, objective, report, ranks)
    yield from _recorded(job, descent, text, report, ranks)
    held = ranks.gather((peak_memory_mib(), descent.learner.kept_mib)) if ranks.count > 1 else []
    if ranks.first:
        _finish(job, descent, text, held)


@dataclass(frozen=True)
class _Descent:
    """A job under way: where it is written, what learns from what, and how far it has come."""

    folder: RunFolder
    objective: TextObjective
    learner: Learner
    training: HandConfig
    progress: Reached
    passes: Passes
    best: dict[str, np.ndarray] | None  # weights of the least held-out loss that an earlier call kept
    before: Reached  # how far earlier sessions had come


def _read(job: Job, path: Path, root: Path, report: Report, ranks: Ranks) -> tuple[RunFolder | None, Ingested | None]:
    """The folder and the text, built by the first rank and then found by the others."""
    if ranks.first:
        found = take_up(job, path, root, report)
    ranks.wait()
    return found if ranks.first else take_up(job, path, root, report)


def _begun(job: Job, text: Ingested, objective: Objective, path: Path, report: Report, ranks: Ranks) -> RunFolder:
    """The new run folder, every `auto` and the budget settled in its config."""
    settled = _settle(job, text, objective, path, report, ranks)
    if ranks.first:
        _spelling(job, text).save(path / "tokenizer.json")
        RunFolder.create(path, job.config(**settled) | {"processes": ranks.count})
    ranks.wait()
    return RunFolder.open(path)


def _spelling(job: Job, text: Ingested) -> Tokenizer:
    """The tokenizer; where the network reads more words than it predicts, it records how those are spelt that it does not."""
    tokenizer, targets = text.tokenizer, job.sections["model"].targets if job.row.reads_spelling else 0
    if not 0 < targets < tokenizer.vocab_size:
        return tokenizer
    predicted = slice(len(set(tokenizer.specials.values())), targets)
    return tokenizer.spelling_by(left_out_of_targets(tokenizer.outside, tokenizer.tokens, text.train.counts, predicted))


def _check_processes(folder: RunFolder, progress: Reached, ranks: Ranks, changed: bool) -> str:
    """Each process reads its share of a batch and adds it up in its own order: another number of them ends in other weights.

    UsageError then, unless that is allowed (`changed`): what there is to be said of it.
    """
    begun = progress.processes[-1][1] if progress.processes else folder.config.get("processes", ranks.count)
    if begun == ranks.count:
        return ""
    wrong = f"{folder.path} was begun by {counted(begun, 'process', 'processes')}, now {ranks.count}"
    if not changed:
        as_begun = f"torchrun --nproc-per-node={begun}" if begun > 1 else "run it without torchrun"
        mend = f"{as_begun}, or say --ranks-changed: the same samples in the same order, rounded otherwise"
        raise UsageError(wrong, "as many, to go on", mend)
    return f"{wrong}: the same samples in the same order, but sums round otherwise, and dropout draws anew"


def _settle(job: Job, text: Ingested, objective: Objective, path: Path, report: Report, ranks: Ranks) -> dict[str, Any]:
    """The sections with every `auto` and budget settled, by measuring once; `corpus` says so where the text is of pairs."""
    manner, facts = _manner(job), text.tokenizer.facts(text.train.counts)
    training: Any
    model, training = manner.settled(job.row, job.sections["model"], job.sections["training"], facts, ranks)
    if not training.threads:
        threads = manner.threads(training, ranks, lambda: _learner(job, model, training, text, Ranks()), lambda: objective.batch(0))
        training = dataclasses.replace(training, threads=threads)
    manner.use(training.threads)
    a_step, spent = None, 0.0
    if training.seconds:
        spent = _prepare(job, objective, RunFolder(path), training.threads, report).seconds
        a_step = seconds_per_step(_learner(job, model, training, text, Ranks()), objective, training, training.seconds * 0.05)
    bought = int(ranks.agree(steps_for(training, objective, a_step, spent)))
    passes = _passes(job, objective, text, training)
    if training.tokens and text.share < 1:  # what was drawn is not read again
        bought = min(bought, passes.steps_for(text.share))
    steps, message = sensible_steps(bought, training, passes)
    if message:
        report(Note(message))
    cut = training.most_passes if steps < bought else 0  # it stays in the config where it made a difference
    training = dataclasses.replace(training, **(dict.fromkeys(BUDGETS, 0) | {"steps": steps, "most_passes": cut}))
    corpus = job.sections["corpus"]
    pairs = text.train.documents and text.train.pairs == text.train.documents
    return {"model": model, "training": training, "corpus": dataclasses.replace(corpus, format="pairs") if pairs else corpus}


def _passes(job: Job, objective: Objective, text: Ingested, training: HandConfig) -> Passes:
    return Passes(objective, text.share, training.accumulate, job.row.reads_once)


def _taken_up(job: Job, folder: RunFolder, text: Ingested, objective: TextObjective, report: Report, ranks: Ranks) -> _Descent:
    """The run where an earlier call left it, or at its start. It computes as it was settled to, whatever this call would choose."""
    settled, where = folder.config["sections"], str(folder.path)
    model, training = (restore(type(job.sections[name]), settled[name], where) for name in ("model", "training"))
    _manner(job).use(training.threads)  # until `descending` ends; another number would round otherwise
    saved = folder.load_state()
    progress = Reached(**saved[1]) if saved else Reached()
    changed = _check_processes(folder, progress, ranks, job.ranks_changed)
    if changed or not progress.processes:
        progress.processes.append([progress.step, ranks.count])
    learner = _learner(job, model, training, text, ranks)
    if saved:
        for note in [changed] if changed else []:
            report(Note(note))
        _restore(learner, folder, saved[0], report, bool(changed))
        report(Note(f"going on from step {progress.step:,} of {training.steps:,}"))
    if progress.step < training.steps:
        spent = _prepare(job, objective, folder, training.threads, report)
        if not saved:
            progress.tokens, progress.seconds, progress.cpu_seconds = spent.tokens, spent.seconds, spent.cpu_seconds
    best = saved[0].get("best") if saved else None
    before = dataclasses.replace(progress) if saved else Reached()
    return _Descent(folder, objective, learner, training, progress, _passes(job, objective, text, training), best, before)


def _restore(learner: Learner, folder: RunFolder, arrays: Mapping[str, Mapping[str, np.ndarray]], report: Report, changed: bool) -> None:
    """The saved state in the learner, whether it or the learner is in shards or not."""
    memories = [name for name in arrays if name.startswith("carried-")]
    if changed and memories:
        report(Note("what the last window left to the next one was of other rows for each process, and is forgotten"))
        arrays = {name: group for name, group in arrays.items() if name not in memories}
    if folder.shards is None:
        learner.restore(arrays)
        return
    from stemma.training.sharding import joined

    if learner.shards is None:
        learner.restore({**arrays, **joined(folder.shards, "model", "optimiser")})
    else:
        learner.shards.load(folder.shards)
        learner.restore(arrays)


def _prepare(job: Job, objective: Objective, folder: RunFolder, threads: int, report: Report) -> Preparation:
    """What working up the whole text takes, or took in an earlier call; nothing for objectives that read it step by step."""
    if not job.row.reads_once:
        return Preparation(0, 0.0, 0.0, 0)
    spent = cast(Prepares, objective).prepare(folder.prepared_path, threads, lambda message: report(Note(message)))
    report(Prepared(spent.tokens, spent.seconds, spent.bytes))
    return spent


def _recorded(job: Job, descent: _Descent, text: Ingested, report: Report, ranks: Ranks) -> Iterator[Updates]:
    """The updates that are left; each is recorded, judged at the marks, and the last one saved, or that at which a signal stops them."""
    folder, learner, training, progress = descent.folder, descent.learner, descent.training, descent.progress
    held_out, marks = _held_out(job, text, training), _marks(training)
    constants = held_out.constant_losses(text.train) if held_out else {}
    recorder = Recorder(folder, learner, descent.objective, training, progress, report, ranks, descent.passes, descent.best, constants)
    if held_out is None and isinstance(training, Config) and training.optimiser == "asgd":
        report(Note("the text is so short that none of it is held out: asgd never comes to average, and the last weights are kept"))

    def take(fact: Fact) -> None:
        assert isinstance(fact, Update)
        recorder.take(fact)
        if held_out and fact.step in marks:
            recorder.judge(*_manner(job).evaluate(learner, held_out, training, ranks))
        recorder.save_when_due(fact)
        if ranks.agree(stop.is_set()) and fact.step < training.steps:
            recorder.save()
            raise _stopped(folder, fact)

    with stopping() as stop:
        try:
            yield train(learner, descent.objective, training, training.steps, progress, ranks), take
        except NotFinite as error:
            raise _explained(error, folder, progress) from error
    recorder.save()


def _held_out(job: Job, text: Ingested, training: HandConfig) -> TextObjective | None:
    """What the held-out loss is taken on; None where nothing is held out. UsageError where training is to wait for a better one."""
    if not isinstance(training, Config):
        return None
    if text.dev is not None and len(text.dev.ids):
        return objective_of(job, text.dev, text)
    if training.patience:
        wrong = f"training.patience = {training.patience} without held-out text"
        raise UsageError(wrong, "text to take the held-out loss on", "set training.held_out or --dev, or drop training.patience")
    return None


def _marks(training: HandConfig) -> set[int]:
    """The steps after which the held-out loss is taken; the last step is one of them."""
    if not isinstance(training, Config) or not training.evaluations:
        return set()
    return {max(1, round(training.steps * (k + 1) / training.evaluations)) for k in range(training.evaluations)}


def objective_of(job: Job, store: TokenStore, text: Ingested) -> TextObjective:
    """The objective of the job over a store of its text."""
    training, model = job.sections["training"], job.sections["model"]
    return job.row.load_data()(
        store,
        text.tokenizer.facts(text.train.counts),
        job.sections["objective"],
        seed=training.seed,
        batch_tokens=training.batch_tokens,
        max_length=model.max_length,
        **({"targets": model.targets} if job.row.reads_spelling else {}),
    )


def _learner(job: Job, model: Any, training: HandConfig, text: Ingested, ranks: Ranks) -> Learner:
    others = Others(job.earlier.tensors() if job.earlier else None, job.teacher.network if job.teacher else None)
    return _manner(job).learner(job.row, model, training, text.tokenizer.facts(text.train.counts), ranks, others)


def _manner(job: Job) -> Manner:
    return _MANNERS[job.row.updates]()


def _differentiating() -> Manner:
    from stemma.training.backprop import Differentiating  # torch: not for tables that move themselves

    return Differentiating()


def _handmade() -> Manner:
    from stemma.training.by_hand import Handmade

    return Handmade()


_MANNERS = {"backprop": _differentiating, "by hand": _handmade}


def _finish(job: Job, descent: _Descent, text: Ingested, held: list[tuple[float, float]]) -> None:
    """The finished folder; `held` is what each of several processes held: (MiB at most, MiB of weights and optimiser)."""
    folder, training, progress = descent.folder, descent.training, descent.progress
    kept_weights = _kept_weights(folder, bool(progress.best_step))  # before a line of metrics is added
    ledger = text.full_ledger(_read_of_it(descent, job.row.reads_once))
    metrics = folder.metrics()
    losses = [line["loss"] for line in metrics if line["kind"] == "step"]
    if not sum(line.get("count", 1) for line in metrics if line["kind"] == "epoch"):
        wrong = f"the text made not one prediction in {counted(progress.step, 'step')}: nothing could be learnt"
        expected = "sentences of two words or more that are left once frequent ones are thinned out"
        raise DataError(wrong, expected, "give other text, or for word2vec set objective.sample to 0, which keeps all")
    held_out = [line for line in metrics if line["kind"] == "eval"]
    kept = next((line for line in held_out if line["step"] == progress.best_step), held_out[-1]) if held_out else None
    constants = objective_of(job, text.dev, text).constant_losses(text.train) if kept and text.dev else {}
    baseline, stuck = against_baseline(held_out[: held_out.index(kept) + 1] if kept else [], constants)
    passes = descent.passes.after(progress.step)
    done = {
        "kind": "done",
        "steps": progress.step,
        "kept_step": progress.best_step or None,
        "tokens": progress.tokens,
        "passes": passes,
        "most_passes": training.most_passes or None,
        "seconds": progress.seconds,
        "cpu_seconds": progress.cpu_seconds,
        "earlier": {"seconds": descent.before.seconds, "cpu_seconds": descent.before.cpu_seconds},
        "ingested": text.costs,
        "tokens_per_second": progress.tokens / max(1e-9, progress.seconds),
        "loss": losses[-1],
        "epoch_losses": [line["loss"] for line in metrics if line["kind"] == "epoch"],
        "held_out_loss": kept["loss"] if kept else None,
        **baseline,
        "parameters": descent.learner.parameters,
        **_taught(job, descent),
        **descent.learner.reading_cost(),
        "peak_memory_mib": peak_memory_mib(),
        "processes": len(held) or None,
        "processes_peak_memory_mib": [peak for peak, _ in held] or None,
        "processes_state_mib": [state for _, state in held] or None,
        "tokens_added": text.tokenizer.vocab_size - _known(job.earlier) if job.earlier else None,
        "notes": [*_decided(job), *text.notes, *stuck, *_notes(training, progress), *_unread(text, ledger["tokens"], passes)] or None,
    }
    folder.append_metrics([done])
    card = write_card(job.row.title, job.row.paper, folder.config, done, ledger, job.row.abilities)
    folder.finish(card, ledger, kept_weights)


def _kept_weights(folder: RunFolder, best: bool) -> Mapping[str, np.ndarray] | None:
    """The weights to keep, where they are not simply those of the last state: the best ones, or those of its shards, as one."""
    saved = folder.load_state() if best or folder.shards else None
    if saved is None:
        return None
    if folder.shards is None:
        return saved[0]["best"]
    from stemma.training.sharding import joined

    return joined(folder.shards, "model")["model"]


def _read_of_it(descent: _Descent, reads_once: bool) -> dict[str, int]:
    """What the run did with the store's tokens: as an epoch does, but for those that it had no step left for."""
    objective, steps = descent.objective, descent.progress.step * descent.training.accumulate
    epoch = objective.ledger()
    if reads_once or steps >= objective.steps_in_epoch(0):
        return epoch
    used = objective.used_by(steps)
    return {**epoch, "used": used, "not_reached": epoch["used"] - used}


def _taught(job: Job, descent: _Descent) -> dict[str, Any]:
    """What is to be said of the teacher; nothing where there is none."""
    model: Any = restore(job.row.model_config(), descent.folder.config["sections"]["model"], str(descent.folder.path))
    return job.teacher.facts(job.row.load_network(), model, descent.progress.cpu_seconds) if job.teacher else {}


def _known(earlier: RunFolder) -> int:
    """Tokens that the earlier run had."""
    return Tokenizer.load(earlier.guarded("tokenizer.json")).vocab_size


def _decided(job: Job) -> list[str]:
    return [job.decided] if job.decided else []


def _notes(training: HandConfig, progress: Reached) -> list[str]:
    """What a reader of the finished run should know of its length, and of how many processes made it."""
    changes = [f"step {step:,} on by {counted(count, 'process', 'processes')}" for step, count in progress.processes[1:]]
    begun = [f"begun by {counted(progress.processes[0][1], 'process', 'processes')}; from {', from '.join(changes)}"] if changes else []
    cut = f"cut to {training.most_passes:,.4g} passes over the text (training.most_passes)"
    early = f"stopped early: step {progress.best_step:,} had the least held-out loss, and its weights are kept"
    return begun + ([cut] if training.most_passes else []) + ([early] if progress.stopped else [])


def _unread(text: Ingested, tokens: Mapping[str, int], passes: float) -> list[str]:
    """How much of what was drawn the budget came to, where that is not about all of it."""
    part, missed = len(text.train.ids), tokens.get("not_reached", 0)
    note = f"its budget ended after {passes / text.share:.2f} of a pass over the {counted(part, 'token')} drawn for it, and {missed:,} were"
    return (
        [f"{note} not reached: within a pass some are read twice, and separators are read too"]
        if text.share < 1 and missed > WELL_READ * part
        else []
    )


def _explained(error: NotFinite, folder: RunFolder, progress: Reached) -> NotFinite:
    place = folder.path / "state" / f"not-finite-step-{progress.step}.safetensors"
    place.parent.mkdir(exist_ok=True)
    write_tensors(place, error.batch)
    error.args = (f"Step {progress.step:,}: {error.wrong} {error.expected} {error.mend} The batch is kept in {place}.",)
    return error


def _stopped(folder: RunFolder, fact: Update) -> Interrupted:
    return Interrupted(
        f"stopped at step {fact.step:,} of {fact.steps:,}; the state is saved in {folder.path}",
        "the run to go on to its end",
        "repeat the same command: it goes on where it was",
    )


def _nothing(_: Fact) -> None:
    """The report of every rank but the first."""
