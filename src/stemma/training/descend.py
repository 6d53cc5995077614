"""A descending run: from its order to its finished folder, saving on the way."""

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from stemma.checkpoint import RunFolder, write_tensors
from stemma.errors import Interrupted
from stemma.layers.allocator import keep_freed_memory
from stemma.layers.attention import fitting_path
from stemma.objectives.batch import seed_for
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.card import write_card
from stemma.training.ingest import Ingested
from stemma.training.learners import Backprop, ByHand, Learner, NotFinite
from stemma.training.loop import Reached, held_out_loss, seconds_per_step, steps_for, train
from stemma.training.order import Order, Report, take_up
from stemma.training.peak import peak_memory_mib
from stemma.training.precision import choose_device, choose_precision
from stemma.training.ranks import Ranks, join
from stemma.training.settings import BUDGETS, Config, Device, Fact, HandConfig

LOG_LINES = 200  # about how many lines of training loss a run's metrics.jsonl gets


@contextmanager
def session(training: HandConfig) -> Iterator[Callable[..., RunFolder]]:
    """The function that runs an order, inside the process group and with the threads asked for."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(training.threads or threads)
    try:
        with join() as ranks:
            yield partial(run, ranks=ranks)
    finally:
        torch.set_num_threads(threads)


def run(order: Order, path: Path, root: Path, report: Report, ranks: Ranks) -> RunFolder:
    """The finished folder of the order; the first rank alone writes and reports."""
    if ranks.first:
        folder, text = take_up(order, path, root, report)
    ranks.wait()
    if not ranks.first:
        folder, text = take_up(order, path, root, _nothing)
        report = _nothing
    if text is None:
        assert folder is not None
        return folder
    objective = make_objective(order, text.train, text)
    if folder is None:
        settled = _settle(order, text, objective, path, report, ranks)
        if ranks.first:
            text.tokenizer.save(path / "tokenizer.json")
            RunFolder.create(path, order.config(**settled))
        ranks.wait()
        folder = RunFolder.open(path)
    return _descend(order, folder, text, report, ranks)


def _descend(order: Order, folder: RunFolder, text: Ingested, report: Report, ranks: Ranks) -> RunFolder:
    model, training = _settled(order, folder)
    objective = make_objective(order, text.train, text)
    judged = text.dev is not None and len(text.dev.ids) and isinstance(training, Config)
    held_out = make_objective(order, text.dev, text) if judged else None
    learner = _learner(order, model, training, text, ranks)
    progress = Reached()
    saved = folder.load_state()
    if saved:
        learner.restore(saved[0])
        progress = Reached(**saved[1])
        report(
            Fact(
                "note",
                progress.step,
                training.steps,
                progress.tokens,
                message=f"going on from step {progress.step:,} of {training.steps:,}",
            )
        )
    run = _Saving(folder, learner, objective, training, progress, report, ranks)
    if progress.step < training.steps:
        with folder.lock() if ranks.first else _unlocked():
            spent = _prepare(objective, folder, training.threads, report)
        if not saved:
            progress.tokens, progress.seconds, progress.cpu_seconds = spent.tokens, spent.seconds, spent.cpu_seconds
    with folder.lock() if ranks.first else _unlocked(), _signals() as stop:
        marks = _evaluation_marks(training)
        try:
            for fact in train(learner, objective, training, training.steps, progress, ranks):
                run.take(fact)
                if held_out and fact.step in marks and ranks.first:
                    run.evaluate(held_out)
                if stop.is_set() and fact.step < training.steps:
                    run.save()
                    raise Interrupted(
                        f"stopped at step {fact.step:,} of {training.steps:,}; the state is saved in {folder.path}",
                        "the run to go on to its end",
                        "repeat the same command: it goes on where it was",
                    )
        except NotFinite as error:
            raise _told(error, folder, progress) from error
        ranks.wait()
        if ranks.first:
            run.save()
            _finish(order, folder, learner, objective, text, progress)
        ranks.wait()
    return RunFolder.open(folder.path)


def _prepare(objective: Any, folder: RunFolder, threads: int, report: Report) -> Reached:
    """What working up the whole text takes, or took in an earlier call; nothing for objectives that read it step by step."""
    if not hasattr(objective, "prepare"):
        return Reached()
    spent = objective.prepare(folder.prepared_path, threads, lambda message: report(Fact("note", 0, 0, message=message)))
    told = f"read {spent.tokens:,} tokens in {spent.seconds:.1f} s; {spent.bytes / 2**20:,.0f} MiB on disk until training ends"
    report(Fact("note", 0, 0, spent.tokens, seconds=spent.seconds, parts={"prepared_bytes": float(spent.bytes)}, message=told))
    return Reached(0, spent.tokens, spent.seconds, spent.cpu_seconds)


class _Saving:
    """Takes the loop's facts: reports them, writes metrics, and saves when it is time."""

    def __init__(
        self, folder: RunFolder, learner: Learner, objective: Any, training: HandConfig, progress: Reached, report: Report, ranks: Ranks
    ) -> None:
        self._folder, self._learner, self._objective = folder, learner, objective
        self._training, self._progress = training, progress
        self._report, self._first = report, ranks.first
        self._every = max(1, training.steps // LOG_LINES)
        self._window: list[Fact] = []
        self._lines: list[dict[str, Any]] = []
        self._saved = time.monotonic()

    def take(self, fact: Fact) -> None:
        """One step's fact. States are saved where a line of the log ends, so that resumed logs are equal too."""
        self._report(fact)
        self._window.append(fact)
        self._end_epoch()
        if fact.step % self._every == 0 or fact.step == fact.steps:
            self._end_line()
            if time.monotonic() - self._saved >= self._training.save_seconds:
                self.save()

    def evaluate(self, objective: Any) -> None:
        """The held-out loss, reported and logged."""
        assert isinstance(self._training, Config)
        mean, parts = held_out_loss(self._learner.network, objective, self._training.evaluation_tokens, self._training.precision)
        progress = self._progress
        fact = Fact("eval", progress.step, self._training.steps, progress.tokens, mean, seconds=progress.seconds, parts=parts)
        self._report(fact)
        self._end_line()
        self._lines.append(_line(fact))

    def save(self) -> None:
        """Commits metrics and state; only the first rank writes."""
        self._end_line()
        if self._first:
            self._folder.append_metrics(self._lines)
            self._folder.save_state(self._progress.step, self._learner.state(), asdict(self._progress))
            self._report(Fact("save", self._progress.step, self._training.steps, self._progress.tokens))
        self._lines = []
        self._saved = time.monotonic()

    def _end_epoch(self) -> None:
        """Where an epoch has ended, or the run in the midst of one: the exact mean loss of all its predictions."""
        progress, micro = self._progress, self._training.accumulate
        (epoch, within), before = (self._objective.epoch_of(step * micro) for step in (progress.step, progress.step - 1))
        if epoch == before[0] and progress.step < self._training.steps:
            return
        part = within / self._objective.steps_in_epoch(epoch) if epoch == before[0] else 0.0
        mean, count = progress.epoch_nats / max(1, progress.epoch_count), progress.epoch_count
        place = (progress.step, self._training.steps, progress.tokens)
        fact = Fact("epoch", *place, mean, seconds=progress.seconds, count=count, epoch=epoch + part)
        self._report(fact)
        self._lines.append(_line(fact))
        progress.epoch_nats, progress.epoch_count = 0.0, 0

    def _end_line(self) -> None:
        if self._window:
            last = self._window[-1]
            loss = float(np.mean([fact.loss for fact in self._window]))
            parts = {name: float(np.mean([fact.parts[name] for fact in self._window if name in fact.parts])) for name in last.parts}
            self._lines.append(_line(dataclasses.replace(last, loss=loss, parts=parts)))
            self._window = []


def _line(fact: Fact) -> dict[str, Any]:
    plain = asdict(fact)
    for name in ("steps", "seconds_left", "message", "tokens_per_second", *(() if fact.kind == "epoch" else ("count", "epoch"))):
        del plain[name]
    return plain


def make_objective(order: Order, store: Any, text: Ingested) -> Any:
    """The objective that the order asks for, over a store of its text."""
    training = order.sections["training"]
    length = getattr(order.sections["model"], "max_length", None)
    make = order.row.load_data()
    return make(
        store,
        text.tokenizer.facts(text.train.counts),
        order.sections["objective"],
        seed=training.seed,
        batch_tokens=training.batch_tokens,
        max_length=length,
    )


def _learner(order: Order, model: Any, training: HandConfig, text: Ingested, ranks: Ranks) -> Learner:
    torch.manual_seed(seed_for(training.seed, "init"))
    facts = text.tokenizer.facts(text.train.counts)
    network = order.row.load_network()(model, facts)
    if order.earlier:
        network.take_over(order.earlier.tensors(), facts)
    if not isinstance(training, Config):
        return ByHand(network, training.threads or torch.get_num_threads(), ranks)
    return Backprop(network, training, choose_device(training.device, ranks.local), training.precision, ranks)


def _settle(order: Order, text: Ingested, objective: Any, path: Path, report: Report, ranks: Ranks) -> dict[str, Any]:
    """The sections `model` and `training` with every `auto` and budget settled by measuring once."""
    model, training = order.sections["model"], order.sections["training"]
    if isinstance(training, Config):
        device = choose_device(training.device, ranks.local)
        precision = choose_precision(training.precision, device)
        training = dataclasses.replace(training, device=cast(Device, device.type), precision=precision)
        if getattr(model, "attention", None) == "auto":
            model = dataclasses.replace(model, attention=fitting_path(device, model.max_length))
    training = dataclasses.replace(training, threads=training.threads or torch.get_num_threads())
    a_step, spent = None, 0.0
    if training.seconds:
        spent = _prepare(objective, RunFolder(path), training.threads, report).seconds
        a_step = seconds_per_step(_learner(order, model, training, text, Ranks()), objective, training, training.seconds * 0.05)
    steps = int(ranks.agree(steps_for(training, objective, a_step, spent)))
    training = dataclasses.replace(training, **(dict.fromkeys(BUDGETS, 0) | {"steps": steps}))
    return {"model": model, "training": training}


def _settled(order: Order, folder: RunFolder) -> tuple[Any, HandConfig]:
    """The settled sections as they stand in the folder: a resumed run computes as it did before."""
    sections = folder.config["sections"]
    model = type(order.sections["model"])(**_tuples(sections["model"]))
    return model, type(order.sections["training"])(**_tuples(sections["training"]))


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


def _evaluation_marks(training: HandConfig) -> set[int]:
    """The steps after which the held-out loss is taken; the last step is one of them."""
    if not isinstance(training, Config) or not training.evaluations:
        return set()
    return {max(1, round(training.steps * (k + 1) / training.evaluations)) for k in range(training.evaluations)}


def _finish(order: Order, folder: RunFolder, learner: Learner, objective: Any, text: Ingested, progress: Reached) -> None:
    ledger = {"characters": text.ledger, "tokens": objective.ledger()}
    metrics = folder.metrics()
    losses = [line["loss"] for line in metrics if line["kind"] == "step"]
    held_out = [line["loss"] for line in metrics if line["kind"] == "eval"]
    done = {
        "kind": "done",
        "steps": progress.step,
        "tokens": progress.tokens,
        "seconds": progress.seconds,
        "cpu_seconds": progress.cpu_seconds,
        "tokens_per_second": progress.tokens / max(1e-9, progress.seconds),
        "loss": losses[-1],
        "epoch_losses": [line["loss"] for line in metrics if line["kind"] == "epoch"],
        "held_out_loss": held_out[-1] if held_out else None,
        "parameters": sum(p.numel() for p in learner.network.parameters()),
        "peak_memory_mib": peak_memory_mib(),
        "tokens_added": text.tokenizer.vocab_size - Tokenizer.load(order.earlier.tokenizer_path).vocab_size if order.earlier else None,
    }
    folder.append_metrics([done])
    card = write_card(order.row.title, order.row.paper, folder.config, done, ledger, order.row.abilities)
    folder.finish(card, ledger)


def _told(error: NotFinite, folder: RunFolder, progress: Reached) -> NotFinite:
    place = folder.path / "state" / f"not-finite-step-{progress.step}.safetensors"
    place.parent.mkdir(exist_ok=True)
    write_tensors(place, error.batch)
    error.args = (f"Step {progress.step:,}: {error.wrong} {error.expected} {error.mend} The batch is kept in {place}.",)
    return error


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that the loop stops between two steps."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    earlier = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def _unlocked() -> Iterator[None]:
    yield


def _nothing(_: Fact) -> None:
    """The report of every rank but the first."""
